"""How much time there is for looking at files, for those who look at many."""

from __future__ import annotations

import math
from collections.abc import Callable

from .arrays import NotInTimeError

Left = Callable[[], float]  # seconds that may still be taken


def no_end() -> float:
    """Seconds that are left where there is no deadline."""
    return math.inf


def check_left(left: Left, how_far: str, rest: str = "") -> None:
    """Raise a NotInTimeError where none is left, which says how far it came, and not yet of which files."""
    if left() <= 0:
        raise NotInTimeError(
            f"the budget is too short to look at its files ({how_far}); give more minutes{rest}"
        )
