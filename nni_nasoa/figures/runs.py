"""Recorded runs of fine-tuning: what the figures along time and along frozen stages are drawn from.

A file of records has a JSON object a line, one for each run: its settings, by which a series that was
interrupted finds what is missing, and what came of it. Files may be joined, and lines taken out.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

from nni_nasoa.training.regime import FineTuneRegime, RegimeError


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
    stages, frozen_stages
        How many the model has, and how many were frozen in the end: all, where the budget was too short for
        more than a head.
    accuracy
        On the validation part, 0 to 1, of the best state; NaN where it was not measured.
    seconds, epochs, steps, images, stopped, notes
        As in `FineTuneResult`.
    evaluations
        In order of time: "elapsed" in seconds, "epochs", "val_accuracy" and more; see `finetune.run`.
    environment
        Versions, date, load: see `measure.environment`.
    """

    settings: RunSettings
    stages: int
    frozen_stages: int
    accuracy: float
    seconds: float
    epochs: float
    steps: int
    images: int
    stopped: str
    evaluations: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)

    @property
    def head_alone(self) -> bool:
        """Whether only the head was trained, where stages were to be."""
        return self.frozen_stages > self.settings.regime.frozen_stages

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
        """As JSON values."""
        regime = self.settings.regime.to_json()
        settings = self.settings
        data = {
            "dataset": settings.dataset,
            "model": regime.pop("model"),
            "weights": settings.weights,
            "regime": regime,
            "seed": settings.seed,
            "budget": settings.budget,
            "device": settings.device,
        }
        data |= {key: getattr(self, key) for key in _RESULTS} | {"environment": dict(self.environment)}
        return _without_nan(data)

    @classmethod
    def from_json(cls, data: Any) -> RecordedRun:
        """The inverse of `to_json`.

        Raises
        ------
        RunsError
            Not a record of a run; the message names the field.
        """
        if not isinstance(data, dict):
            raise RunsError(f"{_shown(data)} is not an object, the record of a run")
        for key, (what, right) in _FIELDS.items():
            if key not in data or not right(data[key]):
                raise RunsError(
                    f'"{key}" is {_shown(data[key])}, not {what}' if key in data else f'no "{key}", {what}'
                )
        try:
            regime = FineTuneRegime.from_json(data["regime"] | {"model": data["model"]})
        except RegimeError as error:
            raise RunsError(f'"regime": {error}') from None
        settings = RunSettings(
            data["dataset"], regime, data["budget"], data["seed"], data["weights"], data["device"]
        )
        results = {key: data[key] for key in _RESULTS} | {
            key: tuple(data[key]) for key in ("evaluations", "notes")
        }
        results["accuracy"] = math.nan if data["accuracy"] is None else data["accuracy"]
        return cls(settings, **results, environment=data["environment"])


_RESULTS = (
    "stages",
    "frozen_stages",
    "accuracy",
    "seconds",
    "epochs",
    "steps",
    "images",
    "stopped",
    "evaluations",
    "notes",
)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _share(value: Any) -> bool:
    return value is None or (_number(value) and value <= 1)


def _text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _evaluations(value: Any) -> bool:
    def right(item: Any) -> bool:
        return (
            isinstance(item, dict)
            and _number(item.get("elapsed"))
            and _number(item.get("epochs"))
            and _share(item.get("val_accuracy"))
        )

    return isinstance(value, list) and len(value) > 0 and all(map(right, value))


_FIELDS: dict[str, tuple[str, Callable[[Any], bool]]] = {  # what each is, and whether a value is one
    "dataset": ("the name of a dataset", _text),
    "model": ("the name of a model", _text),
    "weights": ("text or null", lambda value: value is None or _text(value)),
    "regime": ("an object", lambda value: isinstance(value, dict)),
    "seed": ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "budget": ("a positive number of seconds", lambda value: _number(value) and value > 0),
    "device": ("text", lambda value: isinstance(value, str)),
    "stages": ("a number of stages", _count),
    "frozen_stages": ("a number of stages", _count),
    "accuracy": ("from 0 to 1, or null", _share),
    "seconds": ("a number", _number),
    "epochs": ("a number", _number),
    "steps": ("a whole number", _count),
    "images": ("a whole number", _count),
    "stopped": ("text", _text),
    "evaluations": ('a list of objects with "elapsed", "epochs" and "val_accuracy"', _evaluations),
    "notes": ("a list of texts", _texts),
    "environment": ("an object", lambda value: isinstance(value, dict)),
}


def read_runs(path: str | os.PathLike) -> list[RecordedRun]:
    """Read a file of records; empty lines are skipped.

    Raises
    ------
    RunsError
        It cannot be read, or a line is no record; the message has its number.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise RunsError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise RunsError(f"{path}: not text in UTF-8, so not a file of records") from None
    runs = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            runs.append(RecordedRun.from_json(json.loads(line)))
        except RunsError as error:
            raise RunsError(f"{path}, line {number}: {error}") from None
        except (ValueError, RecursionError) as error:
            why = " ".join(str(error).split())[:80]
            raise RunsError(
                f"{path}, line {number}: not JSON ({why}); mend the line, or take it out"
            ) from None
    return runs


def append_run(path: str | os.PathLike, run: RecordedRun) -> None:
    """Add a record to a file, in one write, so that several processes may do so, and on a line of its own."""
    with open(path, "ab+", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        torn = b"" if file.read(1) in (b"", b"\n") else b"\n"  # the last line was not ended
        file.write(torn + json.dumps(run.to_json(), allow_nan=False).encode() + b"\n")


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


def _without_nan(value: Any) -> Any:
    """JSON has no NaN; null stands for it."""
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:60] + "..."
