"""An advice, as values: regimes with what is expected of each, and what they may cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from nni_nasoa.training.regime import FineTuneRegime
from nni_nasoa.values import POSITIVE, check_fields, or_none

from .models import AdviceError, ModelFigures

if TYPE_CHECKING:
    from nni_nasoa.zoo import ModelInfo

    from .task.profiles import TaskProfile

GMACS_A_MILLISECOND = 0.1  # a thread can do 32 multiply-accumulates a cycle at 3 GHz


@dataclass(frozen=True)
class Limits:
    """What a classifier may cost; None for no limit.

    Parameters
    ----------
    max_params_m
        Millions of parameters.
    max_latency_ms
        Milliseconds that it takes for an image, alone, on the device that is asked about.
    max_memory_mib
        MiB of memory that its training needs, as `memory` counts it.
    """

    max_params_m: float | None = None
    max_latency_ms: float | None = None
    max_memory_mib: float | None = None

    def __post_init__(self) -> None:
        check_fields(self, dict.fromkeys(asdict(self), or_none(POSITIVE)), AdviceError)

    @property
    def within(self) -> str:
        """The limits in words, as the end of a sentence; empty where there are none."""
        given = [f"{name} {value:g}" for name, value in asdict(self).items() if value is not None]
        return f" within {', '.join(given)}" if given else ""

    def may_fit(self, device: str, threads: int) -> Callable[[ModelInfo], bool]:
        """Whether a network may be within the limits, by what is published of it alone.

        Parameters
        ----------
        device, threads
            As in `Device`: no processor computes an image faster than its threads can multiply.
        """
        most_params_m, most_gmacs = self.max_params_m or math.inf, math.inf
        if device == "cpu" and self.max_latency_ms is not None:
            most_gmacs = self.max_latency_ms * threads * GMACS_A_MILLISECOND

        def may_fit(model: ModelInfo) -> bool:
            figures = ModelFigures.of_zoo(model.name)
            gmacs = (figures.gmacs or 0.0) * (figures.input_sizes[0] / 224) ** 2
            return (figures.parameters_m(1) or 0.0) <= most_params_m and gmacs <= most_gmacs

        return may_fit


NO_LIMITS = Limits()


@dataclass(frozen=True)
class Choice:
    """A regime that is advised.

    Parameters
    ----------
    regime
        The model, and how to fine-tune it.
    epochs, seconds
        Passes over the training images that are expected, and how long all of it takes.
    accuracy, low, high
        The validation accuracy that is expected, 0 to 1, and its range.
    params_m
        Millions of parameters; None where nobody has counted them.
    stages
        Of the network.
    weights
        "default", or None for a network that there are no pretrained weights for.
    why
        What the choice rests on, a line each.
    """

    regime: FineTuneRegime
    epochs: float
    seconds: float
    accuracy: float
    low: float
    high: float
    params_m: float | None
    stages: int
    weights: str | None
    why: tuple[str, ...]

    @property
    def predicted(self) -> dict[str, float]:
        """What was expected, as records keep it."""
        return {
            "seconds": self.seconds,
            "accuracy": self.accuracy,
            "accuracy_low": self.low,
            "accuracy_high": self.high,
        }

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self) | {"why": list(self.why)}


@dataclass(frozen=True)
class Advice:
    """Regimes for a dataset and a budget, the best first.

    Parameters
    ----------
    dataset
        Its name.
    budget
        In seconds.
    device
        The device that times are for.
    choices
        The best, and its alternatives.
    notes
        What could not be taken into account, a line each.
    profile
        Of the dataset.
    made
        When it was, by time.monotonic(): the budget begins then.
    """

    dataset: str
    budget: float
    device: str
    choices: tuple[Choice, ...]
    notes: tuple[str, ...]
    profile: TaskProfile
    made: float

    @property
    def best(self) -> Choice:
        """The first choice."""
        return self.choices[0]

    def but(self, **fields: Any) -> Advice:
        """The same advice, with other values of some fields in all its regimes."""
        choices = (replace(choice, regime=replace(choice.regime, **fields)) for choice in self.choices)
        return replace(self, choices=tuple(choices))

    def about(self, choice: Choice) -> dict[str, Any]:
        """What is known before a run of a choice, as fields of its `RunRecord`."""
        figures = self.profile.model_figures(choice.regime.model).of_run(choice.weights or "none")
        return {"profile": self.profile.flat(), "model_figures": figures, "predicted": choice.predicted}

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "dataset": self.dataset,
            "budget_seconds": self.budget,
            "device": self.device,
            "choices": [choice.to_json() for choice in self.choices],
            "notes": list(self.notes),
            "profile": self.profile.flat(),
        }
