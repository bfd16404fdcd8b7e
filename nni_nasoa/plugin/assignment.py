"""What the advisor's tuner gives a trial to do, and what the trial reports."""

from __future__ import annotations

import json
import math
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nni_nasoa.training.regime import FineTuneRegime
from nni_nasoa.values import MINUTES, check_fields, one_of, text

if TYPE_CHECKING:
    from nni_nasoa.experience.records import RunRecord
    from nni_nasoa.finetune import FineTuneResult


_RULES = {
    "run": text("a text"),
    "dataset": text("a text"),
    "minutes": MINUTES,
    "weights": one_of(("default", "none")),
}


@dataclass(frozen=True)
class Assignment:
    """NNI's parameters of a trial.

    Parameters
    ----------
    run
        Its name, unique in the experiment.
    dataset
        The source of a `Dataset`, on the trial's machine.
    minutes
        The budget, from the start of the trial's process.
    regime
        How to fine-tune; None where a survey is wanted.
    survey
        Names of models: the dataset is profiled and these are timed, in place of a run.
    weights
        What the network starts from: "default", its pretrained ones, or "none".
    device, threads, output, root
        Where to run, and where the classifier and torchvision's datasets are; what is None (0 for threads) is left to the trial.

    Raises
    ------
    ValueError
        There is no run, no dataset, no minutes, or nothing to do.
    """

    run: str
    dataset: str
    minutes: float
    regime: FineTuneRegime | None = None
    survey: tuple[str, ...] | None = None
    weights: str = "default"
    device: str | None = None
    threads: int = 0
    output: str | None = None
    root: str | None = None

    def __post_init__(self) -> None:
        check_fields(self, _RULES)
        if (self.regime is None) == (self.survey is None):
            raise ValueError("regime: there has to be one, or a survey")

    @property
    def budget(self) -> float:
        """In seconds."""
        return 60 * self.minutes

    def to_parameters(self) -> dict[str, Any]:
        """As JSON values; what is left open is left out."""
        parameters = {
            name: value
            for name, value in vars(self).items()
            if value != self.__dataclass_fields__[name].default
        }
        if self.regime is not None:
            parameters["regime"] = self.regime.to_json()
        if self.survey is not None:
            parameters["survey"] = list(self.survey)
        return parameters

    @classmethod
    def from_parameters(cls, parameters: Any) -> Assignment:
        """The inverse of `to_parameters`.

        Raises
        ------
        ValueError
            The parameters are not an assignment.
        """
        if not isinstance(parameters, Mapping) or not {"run", "dataset", "minutes"} <= set(parameters):
            raise ValueError(
                "the parameters are not those of an OnlineAdvisor, with run, dataset, minutes and regime"
            )
        unknown = set(parameters) - set(cls.__dataclass_fields__)
        if unknown:
            raise ValueError(
                f"the parameters have {', '.join(sorted(map(repr, unknown)))}, which no OnlineAdvisor gives"
            )
        given = dict(parameters)
        if given.get("regime") is not None:
            given["regime"] = FineTuneRegime.from_json(given["regime"])
        if given.get("survey") is not None:
            given["survey"] = tuple(given["survey"])
        return cls(**given)


def result_of(result: FineTuneResult, assignment: Assignment) -> dict[str, Any]:
    """What a trial reports of a run: JSON values without NaN.

    `default` and `accuracy` are the validation accuracy (0 and None where there was no time to measure it); `seconds`, `epochs`,
    `outcome` (the reason of its end), the regime's settings, `dataset`, `minutes`, `device`, `run`; `classifier` is its place, a path, or host:path where
    the trial is not on the user's machine; `record` is the RunRecord as JSON text.
    """
    from nni_nasoa.finetune import record_of

    record = record_of(result, source="nni")
    accuracy = result.accuracy if math.isfinite(result.accuracy) else None
    return {
        "default": accuracy or 0.0,
        "accuracy": accuracy,
        "seconds": result.seconds,
        "epochs": result.epochs,
        **result.regime.to_json(),
        "run": assignment.run,
        "dataset": assignment.dataset,
        "minutes": assignment.minutes,
        "device": record.device,
        "threads": record.threads,
        "outcome": result.outcome.reason.value,
        "classifier": place_of(str(result.folder)),
        "record": json.dumps(record.to_json(), allow_nan=False),
    }


def place_of(folder: str, environ: Mapping[str, str] = os.environ) -> str:
    """Where a folder of this machine is, for the user: the path, and the host before it where that is not the user's machine."""
    if environ.get("NNI_PLATFORM", "local") == "local":
        return folder
    connection = environ.get(
        "SSH_CONNECTION", ""
    ).split()  # the client's address and port, then this machine's (ssh(1))
    host = connection[2] if len(connection) == 4 else socket.gethostname()
    return f"[{host}]:{folder}" if ":" in host else f"{host}:{folder}"


def read_record(metrics: Mapping[str, Any], assignment: Assignment | None) -> RunRecord:
    """The record in a result, checked against what was to be done.

    Raises
    ------
    ValueError
        There is none, it is not one, or it is of something else; one line.
    """
    from nni_nasoa.experience.records import RunRecord

    text = metrics.get("record")
    if not isinstance(text, str):
        raise ValueError("the result has no record")
    try:
        record = RunRecord.from_json(json.loads(text))
    except RecursionError:
        raise ValueError("the record is nested too deeply") from None
    if assignment is not None:
        if record.regime["model"] != assignment.regime.model or not _follows(
            record.regime, assignment.regime
        ):
            raise ValueError("the record is of another regime than was asked for")
        if not math.isclose(record.budget_seconds, assignment.budget, rel_tol=1e-6):
            raise ValueError(
                f"the record is of a budget of {record.budget_seconds:g} s, not of {assignment.budget:g} s"
            )
    if record.status == "ok" and metrics.get("accuracy") != record.accuracy:
        raise ValueError("the record has another accuracy than the result")
    return record


def _follows(regime: Mapping[str, Any], asked: FineTuneRegime) -> bool:
    """Whether a regime is the one asked for, with its input size filled in."""
    filled = replace(asked, input_size=regime["input_size"]) if asked.input_size is None else asked
    return FineTuneRegime.from_json(regime) == filled
