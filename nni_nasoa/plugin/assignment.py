"""What the advisor's tuner gives a trial to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nni_nasoa.training.regime import FineTuneRegime
from nni_nasoa.values import MINUTES, check_fields, one_of, text

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
        Where to run, and where the classifier and torchvision's datasets are; what is None (0 for threads) is
        left to the trial.

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
