"""What the advisor's tuner gives a trial to do, and how NNI carries it.

NNI's web page draws an axis for each parameter. So the parameters are the run, what the advisor has chosen
for it, and one text with all the rest: see `result_context` for the same of results.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from nni_nasoa.advisor.candidates import Candidates
from nni_nasoa.files import parse_json
from nni_nasoa.training.regime import FineTuneRegime
from nni_nasoa.values import MINUTES, check_fields, one_of, text

from .result_context import CONTEXT

CHOSEN = tuple(field.name for field in fields(Candidates) if field.name != "models")
_RULES = {
    "run": text("a text"),
    "dataset": text("a text"),
    "minutes": MINUTES,
    "weights": one_of(("default", "none")),
}


@dataclass(frozen=True)
class Assignment:
    """What a trial is to do.

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
        """As NNI's parameters of a trial."""
        rest = self.to_json()
        run, regime = rest.pop("run"), rest.pop("regime", None) or {}
        chosen = {name: regime.pop(name) for name in CHOSEN if name in regime}
        if regime:
            rest["regime"] = regime
        return {"run": run, **chosen, CONTEXT: json.dumps(rest)}

    @classmethod
    def from_parameters(cls, parameters: Any) -> Assignment:
        """The inverse of `to_parameters`; those of earlier releases are what `to_json` gives.

        Raises
        ------
        ValueError
            The parameters are not an assignment.
        """
        if not isinstance(parameters, Mapping) or CONTEXT not in parameters:
            return cls.from_json(parameters)
        rest = parse_json(parameters[CONTEXT]) if isinstance(parameters[CONTEXT], str) else None
        if not isinstance(rest, Mapping):
            raise ValueError(f"the parameters have no text of JSON values under {CONTEXT!r}")
        given = {name: value for name, value in parameters.items() if name != CONTEXT}
        chosen = {name: given.pop(name) for name in CHOSEN if name in given}
        others = rest.get("regime", {})
        if chosen and isinstance(others, Mapping):
            given["regime"] = {**others, **chosen}
        return cls.from_json({**rest, **given})

    def to_json(self) -> dict[str, Any]:
        """As JSON values; what is left open is left out."""
        values = {
            name: value
            for name, value in vars(self).items()
            if value != self.__dataclass_fields__[name].default
        }
        if self.regime is not None:
            values["regime"] = self.regime.to_json()
        if self.survey is not None:
            values["survey"] = list(self.survey)
        return values

    @classmethod
    def from_json(cls, values: Any) -> Assignment:
        """The inverse of `to_json`.

        Raises
        ------
        ValueError
            The values are not an assignment.
        """
        if not isinstance(values, Mapping) or not {"run", "dataset", "minutes"} <= set(values):
            raise ValueError(
                "the parameters are not those of an OnlineAdvisor, with run, dataset, minutes and regime"
            )
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown:
            raise ValueError(
                f"the parameters have {', '.join(sorted(map(repr, unknown)))}, which no OnlineAdvisor gives"
            )
        given = dict(values)
        if given.get("regime") is not None:
            given["regime"] = FineTuneRegime.from_json(given["regime"])
        if given.get("survey") is not None:
            given["survey"] = tuple(given["survey"])
        return cls(**given)
