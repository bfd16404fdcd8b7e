"""A store for whoever has a deadline: what it does not tell or keep in time is done without."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from nni_nasoa.experience.patience import answered
from nni_nasoa.experience.records import StepTime
from nni_nasoa.experience.store import ExperienceStore, State

Result = TypeVar("Result")


class StoreInTime(ExperienceStore):
    """A store that is asked no more once it has failed, or taken too long; as if it were empty from then on.

    That holds for what an advice asks for. Runs are added as in any store.

    Parameters
    ----------
    url
        As `ExperienceStore` takes it.
    seconds
        That an answer may take.

    Attributes
    ----------
    failure
        Why it is asked no more, a line; empty before.

    Raises
    ------
    StoreError
        It cannot be opened.
    """

    def __init__(self, url: Any, seconds: float) -> None:
        self.failure = ""
        self._seconds = seconds
        answered(lambda: super(StoreInTime, self).__init__(url), seconds)

    def profile(self, fingerprint: str) -> dict[str, Any] | None:
        """As of `ExperienceStore`."""
        call = super().profile
        return self._asked(lambda: call(fingerprint), None)

    def set_profile(self, fingerprint: str, profile: Mapping[str, Any]) -> None:
        """As of `ExperienceStore`."""
        call = super().set_profile
        self._asked(lambda: call(fingerprint, profile), None)

    def step_times(self, device: str | None = None, model: str | None = None) -> list[StepTime]:
        """As of `ExperienceStore`."""
        call = super().step_times
        return self._asked(lambda: call(device, model), [])

    def set_step_times(self, step_times: Iterable[StepTime]) -> None:
        """As of `ExperienceStore`."""
        call, rows = super().set_step_times, list(step_times)
        self._asked(lambda: call(rows), None)

    def state(self, name: str) -> State | None:
        """As of `ExperienceStore`."""
        call = super().state
        return self._asked(lambda: call(name), None)

    def _asked(self, call: Callable[[], Result], otherwise: Result) -> Result:
        if self.failure:
            return otherwise
        try:
            return answered(call, self._seconds)
        except ValueError as error:
            self.failure = str(error)
            return otherwise
