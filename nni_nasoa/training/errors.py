"""What goes wrong in a run of training, in one line."""

from __future__ import annotations


class FineTuneError(RuntimeError):
    """A run that gives no classifier. The message is one line that says why, and what would be right."""
