"""The plan of a collection: an endless sequence of fine-tuning runs over many small tasks.

Each run follows from its number alone, so that a collection can be stopped, resumed and extended.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nni_nasoa.advisor.candidates import random_regime
from nni_nasoa.advisor.defaults import DECAY, RATE, SMOOTHING
from nni_nasoa.advisor.models import LARGE_FROM, ModelFigures
from nni_nasoa.data.tasks import get_task, list_tasks
from nni_nasoa.training.regime import FineTuneRegime
from nni_nasoa.values import POSITIVE_SECONDS, shown

from .collecting_tasks import PART_MARK, collected_task

BUDGETS = (3.0, 5.0, 8.0, 13.0, 20.0)  # seconds
SHORT_MORE_OFTEN = 0.8  # a budget's share falls with this power of it: the mean of BUDGETS is about 7 s
GOLDEN = (math.sqrt(5) - 1) / 2  # multiples of it fill 0 to 1 evenly, however many there are
# Share of the runs that are close to the defaults, and of their settings that are as there.
USUAL_RUNS, USUAL_SETTINGS = 0.5, 0.6
PARTS = 5  # of a folder
VERSION = 2  # a plan of another version draws other runs
# No module's name any more, but what all plans go by: with another one, no collection that there is could be
# resumed.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "nni_nasoa.advisor.collecting")


class CollectingError(ValueError):
    """A collection that cannot be done. The message is one line."""


@dataclass(frozen=True)
class PlannedRun:
    """A run of a plan.

    Parameters
    ----------
    id
        Of its record.
    task
        What it is on, as `collected_task` takes it.
    budget
        In seconds.
    """

    id: str
    task: str
    regime: FineTuneRegime
    budget: float

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {"id": self.id, "task": self.task, "regime": self.regime.to_json(), "budget": self.budget}


@dataclass(frozen=True)
class Plan:
    """Which runs to do: a low-discrepancy sequence over tasks, models and budgets, with regimes at random.

    In every round each task comes once; each task meets all models before it meets one again, and its budgets
    are as frequent as they should be after any number of rounds. Half of the regimes lie anywhere in the grid
    of candidates, half around the defaults, where the best ones are more often: there the predictor has to
    tell good from better.

    Parameters
    ----------
    tasks
        As `collected_task` takes them.
    models
        Names.
    budgets
        In seconds.
    seed
        Of the plan.

    Raises
    ------
    CollectingError
        There are no tasks, models or budgets, or some are not what they should be.
    DatasetError
        There is no such task.
    """

    tasks: tuple[str, ...]
    models: tuple[str, ...]
    budgets: tuple[float, ...] = BUDGETS
    seed: int = 0

    def __post_init__(self) -> None:
        for what, values in (("tasks", self.tasks), ("models", self.models), ("budgets", self.budgets)):
            if not values:
                raise CollectingError(f"{what}: none are given")
        for name in self.tasks:
            collected_task(name)
        for budget in self.budgets:
            POSITIVE_SECONDS("budgets", budget, CollectingError)

    @property
    def id(self) -> uuid.UUID:
        """Which plan it is."""
        text = json.dumps([VERSION, self.tasks, self.models, self.budgets, self.seed])
        return uuid.uuid5(_NAMESPACE, hashlib.sha256(text.encode()).hexdigest())

    def __getitem__(self, index: int) -> PlannedRun:
        """The run of a number, from 0."""
        number, place = divmod(index, len(self.tasks))
        task = int(self._rng(0, number).permutation(len(self.tasks))[place])
        turn, of_turn = divmod(number, len(self.models))
        model = self.models[self._rng(1, task, turn).permutation(len(self.models))[of_turn]]
        along = (self._rng(2, task).random() + number * GOLDEN) % 1
        shares = np.cumsum(np.power(self.budgets, -SHORT_MORE_OFTEN))
        budget = self.budgets[int(np.searchsorted(shares / shares[-1], along, side="right"))]
        return PlannedRun(
            str(uuid.uuid5(self.id, str(index))),
            self.tasks[task],
            _regime(self._rng(3, index), model),
            budget,
        )

    def runs(self, count: int) -> Iterator[PlannedRun]:
        """The first runs."""
        return map(self.__getitem__, range(count))

    def _rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


def _regime(rng: np.random.Generator, model: str) -> FineTuneRegime:
    regime = random_regime(rng, (model,))
    if rng.random() >= USUAL_RUNS:
        return regime
    figures = ModelFigures.of_zoo(model)
    # Of large networks it is mostly the head alone that is trained: see `defaults`.
    usual = (
        {"optimizer": "sgd", "learning_rate": RATE, "weight_decay": DECAY},
        {"frozen_stages": figures.stages if figures.own_size >= LARGE_FROM else 0},
        {"batch_size": 32},
        {"input_size": figures.own_size},
        {"augmentation": "crop"},
        {"label_smoothing": SMOOTHING},
    )
    for settings in usual:
        if rng.random() < USUAL_SETTINGS:
            regime = replace(regime, **settings)
    return regime


def make_plan(
    tasks: Sequence[str] = (),
    include: Sequence[str] = (),
    zoo: str = "nano",
    budgets: Sequence[float] = BUDGETS,
    seed: int = 0,
    folders: Sequence[str] = (),
    parts: int = PARTS,
) -> Plan:
    """The plan for a family of models.

    Parameters
    ----------
    tasks
        Names; by default all that are not held out, or none beside folders.
    include
        Names of more tasks, held out or not.
    zoo
        A family of the zoo.
    folders, parts
        Of real images, and how many parts are taken of each, see `FolderPart`.

    Raises
    ------
    CollectingError, DatasetError
        There is no such task or family, or the plan would be empty.
    """
    from nni_nasoa.zoo import list_models

    chosen = tasks or (() if folders else list_tasks(held_out=False))
    names = [name.removeprefix("task:") for name in (*chosen, *include)]
    for name in tasks:
        if get_task(name.removeprefix("task:")).held_out and name not in include:
            raise CollectingError(f"tasks: '{name}' is held out; --include {name} takes it all the same")
    whole = sorted({os.path.abspath(folder) for folder in folders})
    called = [os.path.basename(folder) for folder in whole]  # as their records are
    if twice := next((name for name in called if called.count(name) > 1), None):
        raise CollectingError(f"folders: two are called {shown(twice)}; give those above them, or rename one")
    names += [f"{folder}{PART_MARK}{part}" for folder in whole for part in range(parts)]
    return Plan(tuple(sorted(set(names))), tuple(list_models(zoo)), tuple(map(float, budgets)), seed)
