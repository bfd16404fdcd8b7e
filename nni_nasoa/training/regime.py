"""How to fine-tune: a model and the settings of a run, as a value (NASOA, arXiv 2108.03434, section 3.2)."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nni_nasoa.data.rendering import GEOMETRIES
from nni_nasoa.files import parse_yaml, read_json
from nni_nasoa.values import (
    INPUT_SIZE,
    above,
    below,
    check_fields,
    check_names,
    number,
    one_of,
    or_none,
    reason,
    shown,
    text,
    whole,
)

ADVISED_AUGMENTATIONS = ("none", "crop", "crop-flip", "full")  # what advice chooses among
AUGMENTATIONS = (*ADVISED_AUGMENTATIONS, "trivial")
OPTIMIZERS = ("sgd", "adamw")
HEADS = ("stages", "last")
MEASURES = ("accuracy", "balanced")
BALANCED_FIELDS: dict[str, Any] = {"logit_adjustment": 1.0, "select_by": "balanced"}  # weighs classes alike
MAX_BATCH, MAX_STAGES = 65536, 1000


_RULES = {
    "model": text("the name of a model"),
    "learning_rate": number(above(0), 100, "a number above 0 to 100"),
    "weight_decay": number(0, 1),
    "frozen_stages": whole(0, MAX_STAGES),
    "batch_size": whole(2, MAX_BATCH),  # BatchNorm needs two images
    "input_size": or_none(INPUT_SIZE),
    "augmentation": one_of(AUGMENTATIONS),
    "mixup": number(0, 100),
    "cutmix": number(0, 100),
    "erasing": number(0, 1),
    "label_smoothing": number(0, below(1), "a number from 0 to below 1"),
    "optimizer": one_of(OPTIMIZERS),
    "layer_decay": number(above(0), 1, "a number above 0 to 1"),
    "clip_grad": number(0, 1e6),
    "weight_averaging": number(0, 1),
    "head": one_of(HEADS),
    "geometry": or_none(one_of(GEOMETRIES)),
    "logit_adjustment": number(0, 10),
    "select_by": one_of(MEASURES),
}


def advised_augmentation(name: str) -> str:
    """The augmentation among ADVISED_AUGMENTATIONS that is most like another, in cost and in strength."""
    return "full" if name == "trivial" else name


class RegimeError(ValueError):
    """A regime that cannot be followed.

    The message is one line that names the field and what would be right.
    """


@dataclass(frozen=True)
class FineTuneRegime:
    """A model and how to fine-tune it.

    Parameters
    ----------
    model
        A name of the zoo, a network of a front file (`front.json#1`), or an ET-NAS encoding.
    learning_rate
        The rate at its peak, for a batch of `batch_size`.
    weight_decay
        The decay of weights; biases and normalisation are not decayed. With SGD it is added to the gradient,
        with AdamW decoupled.
    frozen_stages
        The first stages that stay as they are: 0 trains everything, the number of stages (or more) the head
        alone.
    batch_size
        Images a step, over all processes.
    input_size
        Height and width of the images in pixels; None is the size that the model was pretrained at.
    augmentation
        "none"; "crop" shifts by up to an eighth; "crop-flip" also mirrors; "full" is a random resized crop,
        mirrored, with varied colours; "trivial" is "crop-flip", then TrivialAugment (arXiv 2103.10158).
        Nothing is mirrored in a dataset where a mirrored image means something else.
    mixup
        Alpha of mixup (Zhang et al., arXiv 1710.09412); 0 mixes nothing.
    cutmix
        Alpha of cutmix (Yun et al., arXiv 1905.04899), where all stages are trained; 0 mixes nothing. With
        mixup, a batch is mixed in one way or the other, half of them each.
    erasing
        Probability that a part of an image is erased (Zhong et al., arXiv 1708.04896).
    label_smoothing
        What the cross-entropy gives to all classes alike, from 0 to below 1.
    optimizer
        "sgd" (Nesterov momentum 0.9) or "adamw".
    layer_decay
        The learning rate of each stage, as a share of that of the stage behind it, the last of which is the
        head; 1 is the same rate for all.
    clip_grad
        The norm that the gradients of a step are scaled down to, where theirs is larger; 0 leaves them.
    weight_averaging
        Weights are averaged over about the latest share of the steps, and the average is what is evaluated
        and saved (polynomial-decay averaging, Shamir and Zhang, ICML 2013); 0 averages nothing.
    head
        What the head sees: "stages", what all stages of a pretrained network give (`zoo.stage_pooling`), or
        "last", the features of the last one alone. Without pretrained weights, in several processes, and for
        a network of one's own it is the last one's.
    geometry
        How a square comes of an oblong image of a folder: "crop", "pad" or "squish", see
        `data.rendering.Rendering`. None is the dataset's, which goes by how oblong its images are.
    logit_adjustment
        How far the loss makes up for classes of different numbers of images, see
        `class_balance.logit_offsets`: 0 not at all, 1 wholly.
    select_by
        By what the best state is chosen: "accuracy", in which each validation image counts alike, or
        "balanced" accuracy, in which each class does.

    Raises
    ------
    RegimeError
        A field is out of its range.
    """

    model: str
    learning_rate: float = 0.02
    weight_decay: float = 1e-4
    frozen_stages: int = 0
    batch_size: int = 64
    input_size: int | None = None
    augmentation: str = "crop-flip"
    mixup: float = 0.0
    cutmix: float = 0.0
    erasing: float = 0.0
    label_smoothing: float = 0.1
    optimizer: str = "sgd"
    layer_decay: float = 1.0
    clip_grad: float = 0.0
    weight_averaging: float = 0.0
    head: str = "stages"
    geometry: str | None = None
    logit_adjustment: float = 0.0
    select_by: str = "accuracy"

    def __post_init__(self) -> None:
        check_fields(self, _RULES, RegimeError)
        if self.cutmix and self.frozen_stages:
            raise RegimeError(
                f"cutmix: {self.cutmix:g} with {self.frozen_stages} frozen stages, behind which there are no "
                "images to mix; give frozen_stages 0, or mixup"
            )

    @property
    def is_balanced(self) -> bool:
        """Whether it makes up for uneven classes, in the loss or in what it selects by."""
        return self.logit_adjustment > 0 or self.select_by != MEASURES[0]

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FineTuneRegime:
        """The inverse of `to_json`; fields that are not given have their defaults.

        Raises
        ------
        RegimeError
            Not a mapping, no model, a field that there is not, or a value out of its range.
        """
        if not isinstance(data, Mapping):
            raise RegimeError(f"regime: {shown(data)} is not an object with the fields {', '.join(_RULES)}")
        check_names("regime", data, _RULES, RegimeError)
        if "model" not in data:
            raise RegimeError("regime: no model is given")
        return cls(**data)

    def to_yaml(self) -> str:
        """The fields as YAML text."""
        import yaml

        return yaml.safe_dump(self.to_json(), sort_keys=False)

    @classmethod
    def from_yaml(cls, text: str) -> FineTuneRegime:
        """Read YAML text (JSON is YAML too); errors as in `from_json`."""
        try:
            data = parse_yaml(text)
        except ValueError as error:
            raise RegimeError(f"regime: {error}") from None
        if isinstance(data, dict):
            data = {key: _number(value) if key in _NUMBERS else value for key, value in data.items()}
        return cls.from_json(data)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FineTuneRegime:
        """Read a .json or YAML file; errors as in `from_json`, with the file's name."""
        try:
            if str(path).endswith(".json"):
                return cls.from_json(read_json(path))
            return cls.from_yaml(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise RegimeError(f"{path}: cannot be read ({reason(error)})") from None
        except UnicodeDecodeError:
            raise RegimeError(f"{path}: not text in UTF-8") from None
        except ValueError as error:
            raise RegimeError(f"{path}: {error}") from None


_NUMBERS = (
    "learning_rate",
    "weight_decay",
    "mixup",
    "cutmix",
    "erasing",
    "label_smoothing",
    "layer_decay",
    "clip_grad",
    "weight_averaging",
    "logit_adjustment",
)


def _number(value: object) -> object:
    """The number that a YAML text means by 1e-4, which is a text to YAML 1.1."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
