"""The regimes to choose from: a grid over all that can be chosen, as columns (section 3.2 of the paper).

Rates of AdamW are a thirtieth of those of SGD: its steps do not depend on the size of the gradient. Sizes of
images go from two thirds of what a small network was pretrained at to twice that, and from two sevenths to
all of a large one's: small images cost little, and lose little where the details do not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from nni_nasoa.training.regime import ADVISED_AUGMENTATIONS as AUGMENTATIONS
from nni_nasoa.training.regime import OPTIMIZERS, FineTuneRegime, advised_augmentation

from .models import ModelFigures

RATES = {
    "sgd": (0.003, 0.0065, 0.014, 0.03, 0.065, 0.14, 0.3),
    "adamw": (0.0002, 0.0005, 0.001, 0.0022, 0.005),
}
# Transformers learn at lower rates, and the lower, the closer to the image a stage is.
TRANSFORMER_RATES = RATES | {"adamw": (1e-5, 3e-5, 1e-4, 3e-4, 1e-3)}
TRANSFORMER_DECAY = 0.7
DECAYS = {"sgd": (1e-4, 2e-3), "adamw": (0.01, 0.1)}
BATCHES = (16, 32, 64, 128)
SMOOTHINGS = (0.0, 0.1)
HEAD_RATE, HEAD_BATCH = 0.03, 32  # what a regime says that trains the head alone
MOST = 100_000  # candidates that are scored at once

_COLUMNS = (
    "frozen_stages",
    "optimizer",
    "learning_rate",
    "weight_decay",
    "batch_size",
    "input_size",
    "augmentation",
    "label_smoothing",
)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Regimes as columns, arrays of shape (n,).

    Parameters
    ----------
    models
        Names; the column `model` holds places in it, as `augmentation` and `optimizer` do in AUGMENTATIONS
        and OPTIMIZERS.
    """

    models: tuple[str, ...]
    model: np.ndarray
    frozen_stages: np.ndarray
    optimizer: np.ndarray
    learning_rate: np.ndarray
    weight_decay: np.ndarray
    batch_size: np.ndarray
    input_size: np.ndarray
    augmentation: np.ndarray
    label_smoothing: np.ndarray

    def __len__(self) -> int:
        return len(self.model)

    def columns(self) -> dict[str, np.ndarray]:
        """All columns by name."""
        return {name: getattr(self, name) for name in ("model", *_COLUMNS)}

    def distinct(self, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Which candidates differ in some columns of whole numbers.

        Returns
        -------
        The first row of each kind, (kinds,), and for every candidate its kind, (n,).
        """
        columns = [getattr(self, name) for name in names]
        code = np.ravel_multi_index(columns, [column.max(initial=0) + 1 for column in columns])
        _, first, kind = np.unique(code, return_index=True, return_inverse=True)
        return first, kind

    def take(self, rows: np.ndarray | Sequence[int]) -> Candidates:
        """Those of an array of indices or a mask."""
        return Candidates(self.models, **{name: column[rows] for name, column in self.columns().items()})

    def regime(self, i: int) -> FineTuneRegime:
        """A candidate as a regime."""
        model = self.models[self.model[i]]
        return FineTuneRegime(
            model,
            learning_rate=float(self.learning_rate[i]),
            weight_decay=float(self.weight_decay[i]),
            frozen_stages=int(self.frozen_stages[i]),
            batch_size=int(self.batch_size[i]),
            input_size=int(self.input_size[i]),
            augmentation=AUGMENTATIONS[self.augmentation[i]],
            label_smoothing=float(self.label_smoothing[i]),
            optimizer=OPTIMIZERS[self.optimizer[i]],
            layer_decay=TRANSFORMER_DECAY if ModelFigures.of_zoo(model).is_transformer else 1.0,
        )

    @classmethod
    def of_regimes(cls, regimes: Sequence[FineTuneRegime], figures: Mapping[str, ModelFigures]) -> Candidates:
        """Regimes as columns; an input size that is left open is the one that the model was pretrained at."""
        models = tuple(dict.fromkeys(regime.model for regime in regimes))
        rows = [
            (
                models.index(regime.model),
                regime.frozen_stages,
                OPTIMIZERS.index(regime.optimizer),
                regime.learning_rate,
                regime.weight_decay,
                regime.batch_size,
                regime.input_size or figures.get(regime.model, ModelFigures(regime.model)).own_size,
                AUGMENTATIONS.index(advised_augmentation(regime.augmentation)),
                regime.label_smoothing,
            )
            for regime in regimes
        ]
        return cls(models, *(np.array(column) for column in zip(*rows)))


def candidates(models: Sequence[ModelFigures], mirrored: bool = True, most: int = MOST) -> Candidates:
    """The whole grid for some models.

    Parameters
    ----------
    models
        What is known of each.
    mirrored
        Whether images of the dataset mean the same when mirrored: else "crop-flip" is the same as "crop", and
        left out.
    most
        Where the grid has more candidates, an even sample of every model's part; the same one each time.
    """
    share = max(1, most // max(1, len(models)))
    parts = []
    for place, model in enumerate(models):
        part = _grid(rates_of(model), model.stages, model.input_sizes, mirrored)
        rows = len(part["learning_rate"])
        if rows > share:
            keep = _sample(part, share)
            part = {name: column[keep] for name, column in part.items()}
        parts.append({"model": np.full(min(rows, share), place)} | part)
    return Candidates(
        tuple(model.model for model in models),
        **{name: np.concatenate([part[name] for part in parts]) for name in ("model", *_COLUMNS)},
    )


def _sample(part: Mapping[str, np.ndarray], share: int) -> np.ndarray:
    """So many rows of a grid, sorted: those with usual settings first, then others at random."""
    usual = (part["label_smoothing"] == SMOOTHINGS[-1]) & (part["batch_size"] == HEAD_BATCH)
    usual &= (np.abs(part["learning_rate"] - HEAD_RATE) < 1e-9) & (part["weight_decay"] == DECAYS["sgd"][0])
    order = np.random.default_rng(0).permutation(len(usual))
    return np.sort(order[np.argsort(~usual[order], kind="stable")][:share])


def rates_of(model: ModelFigures) -> Mapping[str, tuple[float, ...]]:
    """Learning rates to choose from, by optimizer."""
    return TRANSFORMER_RATES if model.is_transformer else RATES


def _grid(
    of_kinds: Mapping[str, tuple[float, ...]], stages: int, sizes: tuple[int, ...], mirrored: bool
) -> dict[str, np.ndarray]:
    rates = [
        (OPTIMIZERS.index(kind), rate, decay)
        for kind, of_kind in of_kinds.items()
        for rate, decay in product(of_kind, DECAYS[kind])
    ]
    augmentations = [place for place, name in enumerate(AUGMENTATIONS) if mirrored or name != "crop-flip"]
    axes = (range(stages + 1), range(len(rates)), BATCHES, sizes, augmentations, SMOOTHINGS)
    frozen, rate, batch, size, augmentation, smoothing = (
        axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")
    )
    optimizer, learning_rate, decay = (np.array(column)[rate] for column in zip(*rates))
    # A head alone is fitted until it converges: nothing but the size of images makes a difference to it.
    once = (optimizer == OPTIMIZERS.index("sgd")) & (decay == DECAYS["sgd"][0]) & (batch == HEAD_BATCH)
    once &= (np.abs(learning_rate - HEAD_RATE) < 1e-9) & (augmentation == 0) & (smoothing == SMOOTHINGS[-1])
    columns = frozen, optimizer, learning_rate, decay, batch, size, augmentation, smoothing
    keep = (frozen < stages) | once
    return {name: column[keep] for name, column in zip(_COLUMNS, columns)}


def random_regime(rng: np.random.Generator, models: Iterable[str]) -> FineTuneRegime:
    """A regime of the grid at random, for runs to learn from.

    Learning rates in the middle come more often than those at the ends.

    Raises
    ------
    ValueError
        There is no such model in the zoo.
    """
    from nni_nasoa.zoo import get

    model = ModelFigures.of_zoo(get(str(rng.choice(list(models)))).name)
    optimizer = str(rng.choice(OPTIMIZERS))
    rates = rates_of(model)[optimizer]
    middle = np.minimum(np.arange(1, len(rates) + 1), np.arange(len(rates), 0, -1))
    return FineTuneRegime(
        model.model,
        learning_rate=float(rng.choice(rates, p=middle / middle.sum())),
        weight_decay=float(rng.choice(DECAYS[optimizer])),
        frozen_stages=int(rng.integers(model.stages + 1)),
        batch_size=int(rng.choice(BATCHES)),
        input_size=int(rng.choice(model.input_sizes)),
        augmentation=str(rng.choice(AUGMENTATIONS)),
        label_smoothing=float(rng.choice(SMOOTHINGS)),
        optimizer=optimizer,
        layer_decay=TRANSFORMER_DECAY if model.is_transformer else 1.0,
    )
