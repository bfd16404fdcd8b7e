"""Candidates whose trials were lost with the machine that ran them, which says nothing of the candidates."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


class LostTrials:
    """Finds out which candidates these are, each of which is asked for once more.

    NNI may name another candidate than the lost one, as trials take each other's parameters. So all that were
    under way then are suspects, until each of them has a result or is named as one whose trial has ended.

    A second loss counts as a failure, as it may be the candidate that brings machines down.
    """

    def __init__(self) -> None:
        self._suspects: dict[str, Mapping[str, Any]] = {}  # parameters of candidates, by their keys
        self._awaited: set[str] = set()  # suspects that may have a result still
        self._once: set[str] = set()  # candidates that were lost before

    def lose(self, under_way: Mapping[str, Mapping[str, Any]]) -> None:
        """A trial was lost; `under_way` has all candidates without a result, parameters by their keys."""
        self._awaited |= under_way.keys() - self._suspects.keys()
        self._suspects |= under_way

    def is_suspect(self, key: str) -> bool:
        """Whether a candidate may be one that was lost."""
        return key in self._suspects

    def end(self, key: str) -> None:
        """A candidate has a result, or NNI has named it as one whose trial has ended."""
        self._awaited.discard(key)

    def found(self, told: Collection[str]) -> list[tuple[Mapping[str, Any], bool]]:
        """What was lost, if that is known now: parameters, and whether they are to be asked for again.

        `told` has the keys of the candidates that have a result.
        """
        if self._awaited:
            return []
        lost = {key: parameters for key, parameters in self._suspects.items() if key not in told}
        again = [(parameters, key not in self._once) for key, parameters in lost.items()]
        self._once |= lost.keys()
        self._suspects = {}
        return again

    def known(self, key: str) -> None:
        """An earlier process has found that a candidate was lost."""
        self._once.add(key)

    def is_known(self, key: str) -> bool:
        """Whether a candidate was lost before."""
        return key in self._once
