"""NASOA for NNI: search a zoo of networks that train fast, fine-tune the right one in the minutes at hand.

    from nni_nasoa import ImageClassifier

    ImageClassifier(minutes=2).fit("flowers/train").score("flowers/test")

The method is "NASOA: Towards Faster Task-oriented Online Fine-tuning with a Zoo of Models" (ICCV
2021, arXiv 2108.03434). Importing this package loads neither torch nor nni; each room imports what
it needs where it uses it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["ImageClassifier"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name != "ImageClassifier":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    # By name, as this file stands below all rooms: each of them may ask for the version here.
    return import_module(".advisor.estimator", __name__).ImageClassifier
