"""What a trial of the advisor made of its assignment: a record, and a classifier; and how NNI carries it."""

from __future__ import annotations

import json
import math
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nni_nasoa.files import parse_json
from nni_nasoa.training.regime import FineTuneRegime
from nni_nasoa.values import MINUTES, SECONDS, SHARE, check_fields, or_none, text

from .assignment import Assignment

if TYPE_CHECKING:
    from nni_nasoa.experience.records import RunRecord
    from nni_nasoa.finetune import FineTuneResult

_RULES = {
    "run": text("the name of a run"),
    "dataset": text("the name of a dataset"),
    "minutes": MINUTES,
    "accuracy": or_none(SHARE),
    "seconds": SECONDS,
    "classifier": text("the place of a classifier"),
}


@dataclass(frozen=True)
class TrialResult:
    """What came of an assignment.

    Parameters
    ----------
    run, dataset, minutes
        As the assignment has them.
    accuracy, seconds
        The validation accuracy of the classifier, None where there was no time to measure it, and the time of
        the run: also those of a run that was interrupted, of which a record has neither.
    classifier
        Its place, a path, or host:path where the trial was not on the user's machine.
    record
        Of the run.

    Raises
    ------
    ValueError
        A field is not what it has to be. One line.
    """

    run: str
    dataset: str
    minutes: float
    accuracy: float | None
    seconds: float
    classifier: str
    record: RunRecord

    def __post_init__(self) -> None:
        check_fields(self, _RULES, ValueError)

    @classmethod
    def of(cls, result: FineTuneResult, assignment: Assignment) -> TrialResult:
        """The result of an assignment that was carried out on this machine."""
        from nni_nasoa.finetune import record_of

        accuracy = result.accuracy if math.isfinite(result.accuracy) else None
        place, record = place_of(str(result.folder)), record_of(result, source="nni")
        return cls(
            assignment.run, assignment.dataset, assignment.minutes, accuracy, result.seconds, place, record
        )

    def to_metrics(self) -> dict[str, Any]:
        """What is reported to NNI: JSON values without NaN that its web page can draw; the record as text."""
        return {
            "default": self.accuracy or 0.0,
            **self.summary(),
            "record": json.dumps(self.record.to_json(), allow_nan=False),
        }

    def summary(self) -> dict[str, Any]:
        """What a person wants to know of it, without depth; the regime's settings are among it."""
        record = self.record
        return {
            **{name: getattr(self, name) for name in _RULES},
            **record.regime,
            "epochs": record.epochs,
            "outcome": record.outcome.reason.value,
            "device": record.device,
            "threads": record.threads,
        }

    @classmethod
    def from_metrics(cls, metrics: Mapping[str, Any], assignment: Assignment) -> TrialResult:
        """The inverse of `to_metrics`, checked against what was to be done.

        Raises
        ------
        ValueError
            It is none, or of something else; one line.
        """
        record = record_in(metrics)
        if not _follows(record.regime, assignment.regime):
            raise ValueError("the record is of another regime than was asked for")
        if not math.isclose(record.budget_seconds, assignment.budget, rel_tol=1e-6):
            raise ValueError(
                f"the record is of a budget of {record.budget_seconds:g} s, not of {assignment.budget:g} s"
            )
        reported: dict[str, Any] = {name: metrics.get(name) for name in _RULES}
        return cls(**reported, record=record)


def record_in(metrics: Mapping[str, Any]) -> RunRecord:
    """The record in what was reported, by a trial of this release or of an earlier one.

    Raises
    ------
    ValueError
        There is none, it is not one, or its accuracy is another one; one line.
    """
    from nni_nasoa.experience.records import RunRecord

    data = metrics.get("record")
    if not isinstance(data, str):
        raise ValueError("the result has no record")
    record = RunRecord.from_json(parse_json(data))
    if record.status == "ok" and metrics.get("accuracy") != record.accuracy:
        raise ValueError("the record has another accuracy than the result")
    return record


def _follows(regime: Mapping[str, Any], asked: FineTuneRegime | None) -> bool:
    """Whether a regime is the one asked for, with its input size filled in."""
    if asked is None:
        return False
    filled = replace(asked, input_size=regime["input_size"]) if asked.input_size is None else asked
    return FineTuneRegime.from_json(regime) == filled


def place_of(folder: str, environ: Mapping[str, str] = os.environ) -> str:
    """Where a folder of this machine is, for the user; host:path where theirs is another machine."""
    if environ.get("NNI_PLATFORM", "local") == "local":
        return folder
    # The client's address and port, then this machine's (ssh(1)).
    connection = environ.get("SSH_CONNECTION", "").split()
    host = connection[2] if len(connection) == 4 else socket.gethostname()
    return f"[{host}]:{folder}" if ":" in host else f"{host}:{folder}"
