"""The models that an advice may choose from, and what is known of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nni_nasoa.experience.records import figures_of, positive
from nni_nasoa.values import shown
from nni_nasoa.zoo import ModelInfo, UnknownNameError, get, list_models
from nni_nasoa.zoo.available import AUTO, available_models
from nni_nasoa.zoo.shortlist import SHORTLISTED, shortlist

if TYPE_CHECKING:
    from nni_nasoa.architecture import Architecture

MOST_MODELS = 60  # each is probed on the user's data
DEFAULT_INPUT_SIZE = 224
DEFAULT_STAGES = 4  # taken where nobody has counted a network's stages; more than there are means all of them
# Input sizes relative to the pretraining's: what a network has learned of scales holds in that range.
SMALL, LARGE = (2 / 3, 1, 4 / 3, 2), (2 / 7, 3 / 7, 4 / 7, 5 / 7, 6 / 7, 1)
LARGE_FROM = 128  # pixels of the pretraining


class AdviceError(ValueError):
    """A question that there is no advice on. The message is one line: why, and what would be right."""


Fits = Callable[[ModelInfo], bool]


def anything(_model: ModelInfo) -> bool:
    """Whether a model is within the limits, where there are none."""
    return True


def models_of(zoo: str, fits: Fits = anything) -> list[ModelInfo]:
    """The models that a text means.

    Parameters
    ----------
    zoo
        A family, the path of a front file, names of models, or "auto" for those that can be had on this
        machine without a download; with commas between them. Of torchvision's and of timm's models a
        shortlist is taken, by their published figures.
    fits
        Whether a model is within limits. Where none is, the smallest one stands for them all.

    Raises
    ------
    ValueError
        There is no such family or model, or it is a family too large to choose from.
    """
    if not isinstance(zoo, str) or not zoo.strip():
        raise AdviceError(
            "zoo: give auto, a family such as nano, names of models with commas, or a front file (front.json)"
        )
    names = [name.strip() for name in zoo.split(",") if name.strip()]
    if not names:
        raise AdviceError(f"zoo: {shown(zoo)} names no model")
    found = list(dict.fromkeys(model for name in names for model in _models(name, fits)))
    if not found:
        raise AdviceError(f"zoo: there are no models in {shown(zoo)}")
    if len(found) > MOST_MODELS:
        raise AdviceError(
            f"zoo: {len(found)} models in {shown(zoo)}, of which at most {MOST_MODELS} can be tried; "
            "name those to choose from, with commas between them"
        )
    models = [get(model) for model in found]
    smallest = min(models, key=lambda model: model.params_m or math.inf)
    return [model for model in models if fits(model)] or [smallest]


def _models(name: str, fits: Fits) -> list[str]:
    if name == AUTO:
        return available_models()[:MOST_MODELS]
    if name in SHORTLISTED:
        return [model.name for model in shortlist(name, fits)]
    try:
        return list_models(name)
    except UnknownNameError as error:
        unknown_family = error
    try:
        return [get(name).name]
    except UnknownNameError as unknown_model:
        raise unknown_model if unknown_model.close or not unknown_family.close else unknown_family from None


def has_weights(model: ModelInfo) -> bool:
    """Whether a model comes with pretrained weights: all but the networks of a front file do."""
    return not model.family.endswith(".json")


@dataclass(frozen=True)
class ModelFigures:
    """What is known of a model before a run of it.

    Parameters
    ----------
    model
        Its name.
    known
        By the names under which records keep it: what the zoo says (family, encoding, params_m, gmacs,
        input_size), and where a dataset was looked at what probes have found (stages, probe_linear, ...).
        What is missing or None is not known.
    """

    model: str
    known: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_zoo(cls, model: str) -> ModelFigures:
        """What the zoo says; nothing of a model that it has not."""
        return cls(model, figures_of(model))

    @property
    def gmacs(self) -> float | None:
        """Billions of multiply-accumulates for an image of 224 pixels."""
        return self.known.get("gmacs")

    @property
    def probed(self) -> float | None:
        """How well a linear head on the network as it is separates the dataset's classes, from 0 to 1."""
        return self.known.get("probe_linear")

    @property
    def counted_stages(self) -> int | None:
        """How many stages it has, where those were counted or its encoding tells."""
        stages = self.known.get("stages")
        if isinstance(stages, int) and stages > 0:
            return stages
        architecture = self._architecture
        return None if architecture is None else len(architecture.macro.stages)

    @property
    def stages(self) -> int:
        """How many stages it has: the four that most networks have, where nobody knows."""
        return self.counted_stages or DEFAULT_STAGES

    @property
    def own_size(self) -> int:
        """The size of images that it was pretrained at, in pixels; what most were, where nobody knows."""
        return int(positive(self.known, "input_size") or DEFAULT_INPUT_SIZE)

    @property
    def size_step(self) -> int | None:
        """What the sizes of images have to be multiples of; see `ModelInfo`."""
        step = self.known.get("size_step")
        return step if isinstance(step, int) and step >= 0 else None

    @property
    def is_transformer(self) -> bool:
        """Whether it is taken for a transformer: as those do, it has positions for images of some sizes."""
        return self.size_step is not None

    @property
    def input_sizes(self) -> tuple[int, ...]:
        """Sizes of images to fine-tune on, in pixels, smallest first; the network takes them all."""
        own, architecture, step = self.own_size, self._architecture, self.size_step
        if step == 0:
            return (own,)
        step, shares = (step or 32, LARGE) if own >= LARGE_FROM else (step or 4, SMALL)
        sizes = {own if share == 1 else max(step, round(own * share / step) * step) for share in shares}
        least = 0 if architecture is None else architecture.total_stride
        return tuple(sorted(size for size in sizes if size >= least)) or (least,)

    def parameters_m(self, classes: int | None) -> float | None:
        """Millions of parameters, with a head for the classes where the encoding tells; else as published."""
        architecture = self._architecture
        if architecture is None:
            return self.known.get("params_m")
        return architecture.parameters(classes or 1000) / 1e6

    def of_run(self, weights: str = "default") -> dict[str, Any]:
        """What the record of a run keeps.

        Parameters
        ----------
        weights
            What the run begins with: "default", the model's own ones, or something else in a word.
        """
        return {**self.known, **({} if weights == "default" else {"weights": weights})}

    @property
    def _architecture(self) -> Architecture | None:
        from nni_nasoa.architecture import Architecture

        with suppress(ValueError):  # others may have put anything into a record
            return Architecture.parse(self.known["encoding"]) if self.known.get("encoding") else None
        return None
