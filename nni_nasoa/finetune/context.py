"""What surrounds a run of fine-tuning, as one value."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from nni_nasoa.device.interruption import Interruption
from nni_nasoa.device.turns import Turns
from nni_nasoa.training.distributed import Alone, Together

from .clock import Clock
from .progress import Watcher


@dataclass(frozen=True)
class RunContext:
    """In what time a run goes on, where, with whom, who may stop it, and who watches.

    Parameters
    ----------
    clock
        The clock of the budget.
    device
        Where networks are trained.
    turns
        The run's turns on the device, which others may want to measure on.
    group
        The processes that train together; one, unless they are given.
    interruption
        Whether the run is asked to end.
    watcher
        Who is told how it goes; by default nobody.
    """

    clock: Clock
    device: torch.device
    turns: Turns
    group: Alone | Together = field(default_factory=Alone)
    interruption: Interruption = field(default_factory=Interruption)
    watcher: Watcher = field(default_factory=Watcher)
