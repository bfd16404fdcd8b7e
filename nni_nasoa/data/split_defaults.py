"""The defaults of how a dataset is split and read.

Without imports, so that a command's help can tell it at once.
"""

from __future__ import annotations

VAL_FRACTION = 0.2  # share of each class that is held back, where a dataset brings no validation part
MAX_BAD = 0.1  # share of the images that may be unreadable
SAMPLE_VAL_SHARE = 0.25  # share of a sample of a folder that is for validation
