"""Records of fine-tuning runs, as values that are right or do not exist.

Nothing else gets into the store or the predictor.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from nni_nasoa.training.outcome import Outcome, OutcomeError, StopReason
from nni_nasoa.training.regime import MAX_BATCH, MAX_STAGES, FineTuneRegime, RegimeError
from nni_nasoa.values import (
    ID,
    INPUT_SIZE,
    MAX_NUMBER,
    POSITIVE,
    POSITIVE_SECONDS,
    SCALAR,
    SECONDS,
    SHARE,
    TEXT,
    TIME,
    WRONG,
    InputError,
    Rule,
    check_fields,
    check_given,
    check_names,
    list_of,
    mapping,
    now,
    number,
    one_line,
    one_of,
    or_none,
    shown,
    whole,
)

from .old_records import upgraded_record

STATUSES = ("ok", "failed", "killed")
SOURCES = ("finetune", "advise", "nni", "collect", "import")
PREDICTED = ("seconds", "accuracy", "accuracy_low", "accuracy_high")
COUNTS = ("train_images", "val_images")  # what a profile has to say for a run
MAX_POINTS, MAX_NOTES, MAX_THREADS = 1000, 100, 100_000


class RecordError(ValueError):
    """A record that is not one. The message is one line: the field, what is wrong, what would be right."""


def _as_predicted(place: str, value: Any) -> Any:
    if not isinstance(value, (dict, Mapping)) or set(value) != set(PREDICTED):
        return WRONG
    kept = {
        key: (SECONDS if key == "seconds" else SHARE)(f"{place}, '{key}'", value[key]) for key in PREDICTED
    }
    return kept if kept["accuracy_low"] <= kept["accuracy"] <= kept["accuracy_high"] else WRONG


def _as_regime(place: str, value: Any) -> Any:
    try:
        regime = FineTuneRegime.from_json(value).to_json()
    except RegimeError as error:
        raise InputError(f"{place}: {one_line(error)}") from None
    return regime | {"model": TEXT(f"{place}, 'model'", regime["model"])}


def _as_outcome(place: str, value: Any) -> Any:
    try:
        return value if isinstance(value, Outcome) else Outcome.from_json(value)
    except OutcomeError as error:
        raise InputError(f"{place}: {error}") from None


def _as_point(place: str, value: Any) -> Any:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return WRONG
    point = SECONDS.convert(place, value[0]), SHARE.convert(place, value[1])
    return point if WRONG not in point else WRONG


_POINT = Rule("a pair of seconds, 0 or more, and accuracy, from 0 to 1", _as_point)
_POINTS = list_of(
    _POINT, f"a list of at most {MAX_POINTS} pairs of seconds and accuracy, in order of time", most=MAX_POINTS
)


def _as_curve(place: str, value: Any) -> Any:
    curve = _POINTS.convert(place, value)
    if curve is not WRONG and any(first[0] > second[0] for first, second in pairwise(curve)):
        return WRONG
    return curve


_RULES: dict[str, Rule] = {
    "id": ID,
    "created": TIME,
    "task": TEXT,
    "profile": mapping(SCALAR),
    "model": TEXT,
    "model_figures": mapping(SCALAR),
    "regime": Rule("an object with the fields of a regime", _as_regime),
    "device": TEXT,
    "threads": whole(1, MAX_THREADS),
    "budget_seconds": POSITIVE_SECONDS,
    "predicted": or_none(
        Rule(f"an object of {', '.join(PREDICTED)}, the accuracy between the other two", _as_predicted)
    ),
    "status": one_of(STATUSES),
    "outcome": Rule("an object with the fields of an outcome", _as_outcome),
    "seconds": or_none(SECONDS),
    "accuracy": or_none(SHARE),
    "epochs": or_none(number(0, MAX_NUMBER, "a number of epochs, 0 or more")),
    "curve": Rule(_POINTS.what, _as_curve),
    "versions": mapping(TEXT),
    "source": one_of(SOURCES),
    "notes": list_of(TEXT, f"a list of at most {MAX_NOTES} texts", most=MAX_NOTES),
}
_ENDED = (StopReason.BUDGET, StopReason.SATURATED, StopReason.FITTED, StopReason.DIVERGED)
# The reasons that a status can have; the first is that of a record that does not say.
_REASONS = {
    "ok": (*_ENDED, StopReason.UNKNOWN),
    "failed": (StopReason.FAILED, *_ENDED, StopReason.UNKNOWN),
    "killed": (StopReason.INTERRUPTED, StopReason.UNKNOWN),
}


@dataclass(frozen=True)
class RunRecord:
    """One run of fine-tuning: what was known before, what was done, what came of it.

    Parameters
    ----------
    task
        Name of the dataset.
    model
        A name of the zoo, or an encoding.
    regime
        As `FineTuneRegime.to_json` gives it.
    device, threads
        Name of the device, and how many threads of the processor the run had.
    budget_seconds
        The time it was given.
    status
        "ok"; "failed" (no accuracy came of it); "killed" (it was ended from outside).
    seconds, accuracy
        The time it took, and its validation accuracy, 0 to 1; None unless the status is "ok".
    outcome
        What it ended with; by default what the status says of that.
    epochs
        Passes over the training images; None where that is not known.
    curve
        (seconds since the start, validation accuracy) along the run, in order of time.
    profile
        The dataset's profile, numbers and texts by name; empty where there is none.
    model_figures
        What is known of the model: params_m, gmacs, family, encoding, ...
    predicted
        What was expected: seconds, accuracy, and the range of the latter, accuracy_low and accuracy_high.
    versions
        Versions of the packages it ran with.
    source
        Who ran it: "finetune", "advise", "nni", "collect", or "import" for records that were made elsewhere.
    notes
        What went differently from what was asked for, a line each, for people.
    id, created
        A UUID, and the time in UTC as ISO 8601; new ones unless given.

    Raises
    ------
    RecordError
        A field is not what it has to be.
    """

    task: str
    model: str
    regime: Mapping[str, Any]
    device: str
    threads: int
    budget_seconds: float
    status: str
    seconds: float | None = None
    accuracy: float | None = None
    epochs: float | None = None
    curve: tuple[tuple[float, float], ...] = ()
    profile: Mapping[str, Any] = field(default_factory=dict)
    model_figures: Mapping[str, Any] = field(default_factory=dict)
    predicted: Mapping[str, float] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    source: str = "finetune"
    notes: tuple[str, ...] = ()
    outcome: Outcome = None  # type: ignore[assignment]  # never None once the record is made
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: str = field(default_factory=now)

    def __post_init__(self) -> None:
        if self.outcome is None and self.status in STATUSES:
            object.__setattr__(self, "outcome", Outcome(_REASONS[self.status][0]))
        check_fields(self, _RULES, RecordError)
        if self.outcome.reason not in _REASONS[self.status]:
            right = ", ".join(reason.value for reason in _REASONS[self.status])
            raise RecordError(
                f"outcome: reason '{self.outcome.reason.value}' in a run of status '{self.status}'; "
                f"one of {right} would be right"
            )
        for name in ("seconds", "accuracy"):
            if (getattr(self, name) is None) == (self.status == "ok"):
                right = _RULES[name].what.partition(",")[0] if self.status == "ok" else "null"
                raise RecordError(
                    f"{name}: {shown(getattr(self, name))} in a run of status '{self.status}'; "
                    f"{right} would be right"
                )

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        data = {name: getattr(self, name) for name in _RULES}
        return data | {
            "curve": [list(point) for point in self.curve],
            "notes": list(self.notes),
            "outcome": self.outcome.to_json(),
        }

    @classmethod
    def from_json(cls, data: Any) -> RunRecord:
        """The inverse of `to_json`, also for what earlier releases wrote; see `old_records`.

        Raises
        ------
        RecordError
            Not a mapping, a field that is missing or that there is not, or one that is not what it has to be.
        """
        if not isinstance(data, Mapping):
            raise RecordError(f"record: {shown(data)} is not an object with the fields of a run")
        data = upgraded_record(data)
        check_names("record", data, _RULES, RecordError)
        check_given(data, _RULES, RecordError)
        _RULES["outcome"]("outcome", data["outcome"], RecordError)  # None is none, as it says nothing
        return cls(**data)


def positive(values: Mapping[str, Any], name: str) -> float | None:
    """A number above 0 in a record's profile or model_figures; None for what others may have put there."""
    value = values.get(name)
    return value if POSITIVE.allows(value) else None


def figures_of(model: str, encoding: str | None = None) -> dict[str, Any]:
    """What the zoo knows of a model; where it knows none, the encoding that is given, if any.

    That is its family, encoding, params_m (1000 classes), gmacs (224 pixels) and input_size, and where
    there is something to say size_step, imagenet_top1 and stages (see `ModelInfo`).
    """
    from nni_nasoa.zoo import get

    try:
        info = get(model)
    except ValueError:
        return {} if encoding is None else {"encoding": encoding}
    optional = {"size_step": info.size_step, "imagenet_top1": info.imagenet_top1, "stages": info.stages}
    return {
        "family": info.family,
        "encoding": info.encoding or encoding,
        "params_m": info.params_m,
        "gmacs": info.gmacs_224,
        "input_size": info.input_size,
    } | {name: value for name, value in optional.items() if value is not None}


@dataclass(frozen=True)
class StepTime:
    """How long a step of a model takes on a device.

    Parameters
    ----------
    device
        Its name; with the number of threads, where that matters.
    mode
        What a step is, such as "train" or "eval".
    seconds
        Time of one step of `batch_size` images, `input_size` pixels square, with the first `frozen_stages`
        stages frozen.
    measured_at
        The time in UTC as ISO 8601; by default now.

    Raises
    ------
    RecordError
        A field is not what it has to be.
    """

    device: str
    model: str
    input_size: int
    batch_size: int
    frozen_stages: int
    mode: str
    seconds: float
    measured_at: str = field(default_factory=now)

    def __post_init__(self) -> None:
        rules = {
            "device": TEXT,
            "model": TEXT,
            "input_size": INPUT_SIZE,
            "batch_size": whole(1, MAX_BATCH),
            "frozen_stages": whole(0, MAX_STAGES),
            "mode": TEXT,
            "seconds": POSITIVE_SECONDS,
            "measured_at": TIME,
        }
        check_fields(self, rules, RecordError)
