"""Recorded runs of fine-tuning: what the figures along time and along frozen stages are drawn from.

A file of records has a JSON object a line, one for each run: its record, and with that its settings, by which
a series that was interrupted finds what is missing. Files may be joined, and lines taken out.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import TYPE_CHECKING, Any

from nni_nasoa.experience.records import RecordError, RunRecord
from nni_nasoa.files import append_line, read_lines
from nni_nasoa.finetune.run_record import record_of
from nni_nasoa.training.regime import FineTuneRegime
from nni_nasoa.values import SEED, SHARE, WRONG, Rule, list_of, number, or_none, shown, text, whole

from .old_runs import upgraded_run

if TYPE_CHECKING:
    from nni_nasoa.finetune.results import FineTuneResult


class RunsError(ValueError):
    """Records that cannot be read, or drawn.

    The message is one line that says where, and what would be right.
    """


@dataclass(frozen=True)
class RunSettings:
    """What makes two runs the same.

    Parameters
    ----------
    dataset
        A name that `Dataset` knows, or the absolute path of a folder.
    regime
        How to fine-tune, the input size filled in.
    budget
        Seconds.
    seed
        As `finetune` takes it.
    weights
        What the model starts from: "default", None for fresh weights, or a file.
    device
        What it is called, as times of different devices cannot be compared.
    """

    dataset: str
    regime: FineTuneRegime
    budget: float
    seed: int = 0
    weights: str | None = "default"
    device: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.budget < math.inf:
            raise RunsError(f"minutes: {self.budget / 60:g} is not a positive number")

    def described(self) -> dict[str, str]:
        """Every setting but the dataset and the seed as a reader would say it."""
        fields = {
            key: f"{key.replace('_', ' ')} " + (f"{value:g}" if isinstance(value, Real) else str(value))
            for key, value in self.regime.to_json().items()
        }
        size = self.regime.input_size
        return fields | {
            "model": last_part(self.regime.model),
            "input_size": f"{size} × {size} pixels",
            "budget": duration(self.budget),
            "weights": _start_described(self.weights),
            "device": self.device,
        }


@dataclass(frozen=True)
class RecordedRun:
    """A run that is over.

    Parameters
    ----------
    settings
        What was asked for.
    record
        What came of it.
    stages
        How many the model has.
    evaluations
        In order of time: "elapsed" in seconds, "epochs", "val_accuracy" (None where nothing was measured) and
        more; see `FineTuneResult`.
    environment
        Versions, date, load: see `training.speed.environment`.
    """

    settings: RunSettings
    record: RunRecord
    stages: int
    evaluations: tuple[Mapping[str, Any], ...]
    environment: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: RunSettings, result: FineTuneResult, stages: int) -> RecordedRun:
        """The recorded run that a result becomes."""
        from nni_nasoa.training.speed import environment

        record = replace(record_of(result), budget_seconds=settings.budget)
        evaluations = tuple(map(_without_nan, result.evaluations))
        return cls(settings, record, stages, evaluations, environment(result.classifier.device))

    @property
    def accuracy(self) -> float:
        """On the validation part, 0 to 1, of the best state; NaN where it was not measured."""
        return math.nan if self.record.accuracy is None else self.record.accuracy

    @property
    def seconds(self) -> float:
        """That it took; until its last evaluation, where it came to nothing."""
        taken = self.record.seconds
        return self.evaluations[-1]["elapsed"] if taken is None else taken

    @property
    def head_alone(self) -> bool:
        """Whether only the head was trained, where stages were to be."""
        return self.record.outcome.cut_to_head

    @property
    def seconds_per_epoch(self) -> float:
        """Time from the first evaluation to the last, over the epochs between; NaN where there were none."""
        first, last = self.evaluations[0], self.evaluations[-1]
        epochs = last["epochs"] - first["epochs"]
        return (last["elapsed"] - first["elapsed"]) / epochs if epochs > 0 else math.nan

    def best_so_far(self) -> list[tuple[float, float]]:
        """(seconds, accuracy) of the evaluations, each with the best accuracy until then.

        That is what ending there would have saved.
        """
        best, points = -math.inf, []
        for evaluation in self.evaluations:
            accuracy = evaluation["val_accuracy"]
            best = max(best, -math.inf if accuracy is None else accuracy)
            if best >= 0:
                points.append((evaluation["elapsed"], best))
        return points

    def seconds_to(self, accuracy: float) -> float:
        """When an evaluation first had this accuracy; infinity where none had."""
        return next((seconds for seconds, best in self.best_so_far() if best >= accuracy), math.inf)

    def to_json(self) -> dict[str, Any]:
        """As JSON values; regime and budget are those of the record."""
        return {
            **{name: getattr(self.settings, name) for name in _OWN_SETTINGS},
            "stages": self.stages,
            "record": self.record.to_json(),
            "evaluations": list(self.evaluations),
            "environment": dict(self.environment),
        }

    @classmethod
    def from_json(cls, data: Any) -> RecordedRun:
        """The inverse of `to_json`, also for what earlier releases wrote; see `old_runs`.

        Raises
        ------
        RunsError
            Not a record of a run; the message names the field.
        """
        if not isinstance(data, dict):
            raise RunsError(f"{shown(data)} is not an object, the record of a run")
        data = upgraded_run(data)
        for name, rule in _RULES.items():
            if name not in data:
                raise RunsError(f"no '{name}', {rule.what}")
            rule(name, data[name], RunsError)
        try:
            record = RunRecord.from_json(data["record"])
        except RecordError as error:
            raise RunsError(str(error)) from None
        regime = FineTuneRegime.from_json(record.regime)
        own = {name: data[name] for name in _OWN_SETTINGS}
        settings = RunSettings(regime=regime, budget=record.budget_seconds, **own)
        return cls(settings, record, data["stages"], tuple(data["evaluations"]), data["environment"])


_OBJECT = Rule("an object", lambda _, value: value if isinstance(value, dict) else WRONG)
_AMOUNT = number(0, math.inf, "0 or more")


def _as_evaluation(_: str, value: Any) -> Any:
    right = (
        isinstance(value, dict)
        and _AMOUNT.allows(value.get("elapsed"))
        and _AMOUNT.allows(value.get("epochs"))
        and or_none(SHARE).allows(value.get("val_accuracy"))
    )
    return value if right else WRONG


_EVALUATION = Rule('an object with "elapsed", "epochs" and "val_accuracy"', _as_evaluation)
_OWN_SETTINGS = ("dataset", "seed", "weights", "device")  # besides the record's
_RULES: dict[str, Rule] = {
    "dataset": text("the name of a dataset, or a folder"),
    "seed": SEED,
    "weights": or_none(text('"default", a file')),
    "device": Rule("a text", lambda _, value: value if isinstance(value, str) else WRONG),
    "stages": whole(0),
    "record": _OBJECT,
    "evaluations": list_of(_EVALUATION, "a list of one or more evaluations", least=1),
    "environment": _OBJECT,
}


def read_runs(path: str | os.PathLike[str]) -> list[RecordedRun]:
    """Read a file of records; empty lines are skipped.

    Raises
    ------
    RunsError
        It cannot be read, or a line is no record; the message has its number.
    """

    def damaged(number: int, error: ValueError) -> None:
        raise RunsError(f"{path}, line {number}: {error}; mend the line, or take it out")

    runs = []
    try:
        for number, data in read_lines(path, damaged):
            try:
                runs.append(RecordedRun.from_json(data))
            except RunsError as error:
                raise RunsError(f"{path}, line {number}: {error}") from None
    except OSError as error:
        raise RunsError(f"{path}: cannot be read ({error.strerror})") from None
    return runs


def append_run(path: str | os.PathLike[str], run: RecordedRun) -> None:
    """Add a record to a file, which several processes may do at once."""
    append_line(path, run.to_json())


def duration(seconds: float) -> str:
    """Seconds or minutes, whichever is shorter to read."""
    return f"{seconds:.4g} s" if seconds < 120 else f"{seconds / 60:.4g} min"


def _start_described(weights: str | None) -> str:
    if weights is None:
        return "from scratch"
    return "pretrained" if weights == "default" else f"weights {last_part(weights)}"


def last_part(name: str) -> str:
    """The last part of a path; any other name as it is."""
    return name.rstrip("/").rpartition("/")[2] or name


def _without_nan(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no NaN; None stands for it."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in evaluation.items()
    }
