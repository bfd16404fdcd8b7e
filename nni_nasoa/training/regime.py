"""How to fine-tune: a model and the settings of one run, as a value (NASOA, arXiv 2108.03434, section 3.2)."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

AUGMENTATIONS = ("none", "crop", "crop-flip", "full")
OPTIMIZERS = ("sgd", "adamw")
MAX_BATCH, MAX_INPUT_SIZE, MAX_STAGES = 65536, 2048, 1000


class RegimeError(ValueError):
    """A regime that cannot be followed. The message is one line that names the field and what would be right."""


@dataclass(frozen=True)
class FineTuneRegime:
    """A model and how to fine-tune it.

    Parameters
    ----------
    model
        A name of the zoo, a network of a front file (`front.json#1`), or an ET-NAS encoding.
    learning_rate
        At its peak, for a batch of `batch_size`.
    weight_decay
        Of weights; biases and normalisation are not decayed. With SGD it is added to the gradient, with AdamW decoupled.
    frozen_stages
        The first stages that stay as they are: 0 trains everything, the number of stages (or more) the head alone.
    batch_size
        Images a step, over all processes.
    input_size
        Height and width of the images in pixels; None is the size that the model was pretrained at.
    augmentation
        "none"; "crop" shifts by up to an eighth; "crop-flip" also mirrors; "full" is a random resized crop, mirrored, with
        varied colours. Nothing is mirrored in a dataset where a mirrored image means something else.
    mixup
        Alpha of mixup (Zhang et al., arXiv 1710.09412); 0 mixes nothing.
    label_smoothing
        Of the cross-entropy, from 0 to below 1.
    optimizer
        "sgd" (Nesterov momentum 0.9) or "adamw".

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
    label_smoothing: float = 0.1
    optimizer: str = "sgd"

    def __post_init__(self):
        if not isinstance(self.model, str) or not self.model.strip():
            raise RegimeError(f"model: {self.model!r} is not the name of a model")
        self._number("learning_rate", 0, 100, open_below=True)
        self._number("weight_decay", 0, 1)
        self._number("mixup", 0, 100)
        self._number("label_smoothing", 0, 1, open_above=True)
        self._whole("frozen_stages", 0, MAX_STAGES)
        self._whole("batch_size", 2, MAX_BATCH)  # BatchNorm needs two images
        if self.input_size is not None:
            self._whole("input_size", 1, MAX_INPUT_SIZE)
        self._one_of("augmentation", AUGMENTATIONS)
        self._one_of("optimizer", OPTIMIZERS)

    def _number(
        self, field: str, low: float, high: float, open_below: bool = False, open_above: bool = False
    ) -> None:
        value = getattr(self, field)
        number = isinstance(value, Real) and not isinstance(value, bool)
        if (
            not number
            or not low <= value <= high
            or (open_below and value == low)
            or (open_above and value == high)
        ):
            limits = f"{'above' if open_below else 'from'} {low} {'to below' if open_above else 'to'} {high}"
            raise RegimeError(f"{field}: {_shown(value)} is not a number {limits}")
        object.__setattr__(self, field, float(value))

    def _whole(self, field: str, low: int, high: int) -> None:
        value = getattr(self, field)
        if isinstance(value, bool) or not isinstance(value, Integral) or not low <= value <= high:
            raise RegimeError(f"{field}: {_shown(value)} is not a whole number from {low} to {high}")
        object.__setattr__(self, field, int(value))

    def _one_of(self, field: str, allowed: tuple[str, ...]) -> None:
        if getattr(self, field) not in allowed:
            raise RegimeError(f"{field}: {_shown(getattr(self, field))} is not one of {', '.join(allowed)}")

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
            raise RegimeError(f"regime: {_shown(data)} is not an object with the fields {', '.join(_FIELDS)}")
        for key in data:
            if key not in _FIELDS:
                close = difflib.get_close_matches(str(key), _FIELDS, n=1)
                raise RegimeError(
                    f"regime: no field {_shown(key)}; "
                    + (f"did you mean '{close[0]}'?" if close else f"there are {', '.join(_FIELDS)}")
                )
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
        import yaml

        try:
            data = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError) as error:
            raise RegimeError(f"regime: not YAML ({' '.join(str(error).split())[:150]})") from None
        if isinstance(data, dict):
            data = {key: _number(value) if key in _NUMBERS else value for key, value in data.items()}
        return cls.from_json(data)

    @classmethod
    def load(cls, path) -> FineTuneRegime:
        """Read a .json or YAML file; errors as in `from_json`, with the file's name."""
        try:
            text = Path(path).read_text(encoding="utf-8")
            return cls.from_json(json.loads(text)) if str(path).endswith(".json") else cls.from_yaml(text)
        except OSError as error:
            raise RegimeError(f"{path}: cannot be read ({error.strerror})") from None
        except RegimeError as error:
            raise RegimeError(f"{path}: {error}") from None
        except UnicodeDecodeError:
            raise RegimeError(f"{path}: not text in UTF-8") from None
        except (ValueError, RecursionError) as error:
            raise RegimeError(f"{path}: not JSON ({str(error).splitlines()[0][:100]})") from None


_FIELDS = tuple(field.name for field in dataclasses.fields(FineTuneRegime))
_NUMBERS = ("learning_rate", "weight_decay", "mixup", "label_smoothing")


def _number(value: object) -> object:
    """The number that a YAML text means by 1e-4, which is a text to YAML 1.1."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _shown(value: object) -> str:
    return repr(value) if len(repr(value)) <= 60 else repr(value)[:60] + "..."
