"""The best state of a network so far, in memory and, as soon as that costs little, saved."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor

from nni_nasoa.training.time_shares import SAVING_SECONDS
from nni_nasoa.zoo.staged import Staged

from .clock import ClockSchedule
from .errors import ClassifierError
from .validation import Evaluation

SAVING_SPEED = 100e6  # bytes per second, until the first save tells
SAVING_SHARE = 0.02  # the next save may take this share of the time since the last one


class BestState:
    """A copy of the tensors that training changes, and how they were evaluated.

    Parameters
    ----------
    network
        Whose state it is.
    schedule
        Is told what saving takes.
    save
        Saves the network's present state, which is then the best one; None where nothing is to be saved.

    Attributes
    ----------
    lead
        By how much it is better than its evaluation says, as a share of the images; None where that is what
        it says.
    """

    def __init__(self, network: Staged, schedule: ClockSchedule, save: Callable[[], None] | None) -> None:
        self.network = network
        self._schedule, self._clock, self._save = schedule, schedule.clock, save
        self.lead: float | None = None
        self._state: dict[str, Tensor] = {}
        self._evaluation: Evaluation | None = None
        self._saved, self._saved_at = False, -math.inf
        size = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
        schedule.saving.expected = 0.0 if save is None else SAVING_SECONDS + size / SAVING_SPEED

    @property
    def known(self) -> bool:
        """Whether there is one."""
        return self._evaluation is not None

    @property
    def evaluation(self) -> Evaluation:
        """How it was evaluated."""
        if self._evaluation is None:
            raise RuntimeError("no state was kept")
        return self._evaluation

    def begin_with(self, state: dict[str, Tensor], evaluation: Evaluation) -> None:
        """A whole state of the network that was evaluated before, and is saved already or at the end."""
        self._state, self._evaluation, self._saved = state, evaluation, False

    def keep(self, evaluation: Evaluation, frozen: int, lead: float | None = None) -> None:
        """The present state is the best one now; the first `frozen` stages never change.

        It is saved where that costs little, so that little is left for the end, and a process that is killed
        leaves something.
        """
        self.lead = lead
        still = tuple(f"stages.{number}." for number in range(frozen))
        self._state = {
            name: tensor.detach().clone()
            for name, tensor in self.network.state_dict().items()
            if not name.startswith(still)
        }
        self._evaluation, self._saved = evaluation, False
        if self._save is not None and self._schedule.saving.typical <= SAVING_SHARE * self._unsaved_seconds:
            begin = self._clock.elapsed
            with suppress(ClassifierError):  # a disk that is full now may not be so in the end
                self._save()
                self._saved = True
            self._saved_at = self._clock.elapsed
            self._schedule.saving.add(self._saved_at - begin)

    @property
    def _unsaved_seconds(self) -> float:
        return self._clock.elapsed - self._saved_at

    @torch.no_grad()
    def restore(self) -> None:
        """Give the network this state, and put it into eval mode."""
        self.network.load_state_dict(self._state, strict=False)
        self.network.eval()

    def finish(self) -> None:
        """Give the network this state, and have it saved."""
        self.restore()
        if self._save is not None and not self._saved:
            self._save()
