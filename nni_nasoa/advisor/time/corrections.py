"""How much longer things take than was expected, learned from what happened; numpy only.

It holds though some of what is observed is rubbish.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from nni_nasoa.values import NUMBER

BOUND = math.log(20)  # no correction, and no ratio that is learned from, is further from 1
# A group's own ratios weigh as much as what they are shrunk towards when there are so many of them.
STRENGTH = 3.0
# Observations that count; of all groups together fewer, as they tell how busy the device is now.
RECENT, RECENT_OF_ALL = 48, 12


class Corrections:
    """Factors of groups within groups: medians of observations, shrunk towards those of the group around.

    A group is a path, such as (model, frozen share). Medians are not moved by a minority of wild values. What
    all groups have in common changes with what else the device has to do, so that only the newest
    observations count for it; and what is learned of a group is how it differs from that.
    """

    def __init__(self) -> None:
        self._ratios: dict[tuple[str, ...], deque[float]] = {(): deque(maxlen=RECENT_OF_ALL)}

    def observe(self, path: Sequence[str], ratio: float) -> bool:
        """Learn what was observed over what was expected.

        False, and nothing changes, where that is no positive number.
        """
        if not (math.isfinite(ratio) and ratio > 0):
            return False
        value = min(max(math.log(ratio), -BOUND), BOUND)
        shares = self._shares(path)
        self._ratios[()].append(value - sum(shares[1:]))
        common = self._shares(())[0]
        for depth in range(1, len(path) + 1):
            part = self._ratios.setdefault(tuple(path[:depth]), deque(maxlen=RECENT))
            part.append(value - common - sum(shares[1:depth]))
        return True

    def _shares(self, path: Sequence[str]) -> list[float]:
        """What each group of a path, from the outermost one, adds to the logarithm."""
        ratios = (self._ratios.get(tuple(path[:depth]), ()) for depth in range(len(path) + 1))
        return [
            len(values) / (len(values) + STRENGTH) * float(np.median(values)) if values else 0.0
            for values in ratios
        ]

    def factor(self, path: Sequence[str] = ()) -> float:
        """The correction of a group; 1 where nothing was observed at all."""
        return math.exp(min(max(sum(self._shares(path)), -BOUND), BOUND))

    @property
    def seen(self) -> int:
        """How many observations the factors rest on."""
        return sum(len(values) for path, values in self._ratios.items() if len(path) == 1)

    def to_json(self) -> list[Any]:
        """JSON values."""
        return [[list(path), list(ratios)] for path, ratios in self._ratios.items()]

    @classmethod
    def from_json(cls, data: Any) -> Corrections:
        """The inverse of `to_json`.

        Raises
        ------
        ValueError
            It is not what `to_json` gives.
        """
        new = cls()
        try:
            for path, ratios in data:
                values = [NUMBER("ratio", value) for value in ratios]
                if not all(isinstance(part, str) for part in path):
                    raise ValueError
                new._ratios[tuple(path)] = deque(values, maxlen=RECENT if path else RECENT_OF_ALL)
        except (TypeError, ValueError):
            raise ValueError("corrections: not a list of paths with logarithms of ratios") from None
        return new
