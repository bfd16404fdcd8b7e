"""The regimes to choose from: a grid over everything that can be chosen, as columns of numbers (section 3.2 of the paper).

Rates of AdamW are a thirtieth of those of SGD: its steps do not depend on the size of the gradient. Sizes of images go from
two thirds of what a small network was pretrained at to twice that, and from four sevenths to all of a large one's: what a
network has learned of scales holds in that range.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from nni_nasoa.experience.records import figures_of
from nni_nasoa.training.regime import AUGMENTATIONS, OPTIMIZERS, FineTuneRegime

RATES = {
    "sgd": (0.003, 0.0065, 0.014, 0.03, 0.065, 0.14, 0.3),
    "adamw": (0.0002, 0.0005, 0.001, 0.0022, 0.005),
}
DECAYS = {"sgd": (1e-4, 2e-3), "adamw": (0.01, 0.1)}
BATCHES = (16, 32, 64, 128)
SMOOTHINGS = (0.0, 0.1)
SMALL, LARGE = (2 / 3, 1, 4 / 3, 2), (4 / 7, 5 / 7, 6 / 7, 1)  # input sizes relative to the pretraining's
LARGE_FROM = 128  # pixels of the pretraining
DEFAULT_INPUT_SIZE = 224
DEFAULT_STAGES = 4  # of a network whose stages nobody has counted; more than there are means all of them
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
        Names; the column `model` holds places in it, as `augmentation` and `optimizer` do in AUGMENTATIONS and OPTIMIZERS.
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

    def take(self, rows) -> Candidates:
        """Those of an array of indices or a mask."""
        return Candidates(self.models, **{name: column[rows] for name, column in self.columns().items()})

    def regime(self, i: int) -> FineTuneRegime:
        """A candidate as a regime."""
        return FineTuneRegime(
            self.models[self.model[i]],
            learning_rate=float(self.learning_rate[i]),
            weight_decay=float(self.weight_decay[i]),
            frozen_stages=int(self.frozen_stages[i]),
            batch_size=int(self.batch_size[i]),
            input_size=int(self.input_size[i]),
            augmentation=AUGMENTATIONS[self.augmentation[i]],
            label_smoothing=float(self.label_smoothing[i]),
            optimizer=OPTIMIZERS[self.optimizer[i]],
        )

    @classmethod
    def of_regimes(
        cls, regimes: Sequence[FineTuneRegime], figures: Mapping[str, Mapping[str, Any]]
    ) -> Candidates:
        """Regimes as columns; an input size that is left open is the one in the model's figures."""
        models = tuple(dict.fromkeys(regime.model for regime in regimes))
        rows = [
            (
                models.index(regime.model),
                regime.frozen_stages,
                OPTIMIZERS.index(regime.optimizer),
                regime.learning_rate,
                regime.weight_decay,
                regime.batch_size,
                regime.input_size or own_size(figures.get(regime.model, {})),
                AUGMENTATIONS.index(regime.augmentation),
                regime.label_smoothing,
            )
            for regime in regimes
        ]
        return cls(models, *(np.array(column) for column in zip(*rows)))


def stages_of(model: str, figures: Mapping[str, Any] | None = None) -> int:
    """How many stages a model has: what its figures say, else its encoding, else the four that most networks have.

    Parameters
    ----------
    figures
        As `records.figures_of` gives them, with "stages" where those were counted.
    """
    figures = figures_of(model) if figures is None else figures
    if isinstance(figures.get("stages"), int) and figures["stages"] > 0:
        return figures["stages"]
    if figures.get("encoding"):
        from nni_nasoa.architecture import Architecture

        return len(Architecture.parse(figures["encoding"]).macro.stages)
    return DEFAULT_STAGES


def own_size(figures: Mapping[str, Any]) -> int:
    """The size of images that a model was pretrained at, in pixels; what most were, where the figures do not say."""
    return int(figures.get("input_size") or DEFAULT_INPUT_SIZE)


def input_sizes(figures: Mapping[str, Any]) -> tuple[int, ...]:
    """Sizes of images for a model, in pixels, smallest first: none below its stride."""
    own = own_size(figures)
    step, shares = (32, LARGE) if own >= LARGE_FROM else (4, SMALL)
    sizes = sorted({max(step, round(own * share / step) * step) if share != 1 else own for share in shares})
    if figures.get("encoding"):
        from nni_nasoa.architecture import Architecture

        least = Architecture.parse(figures["encoding"]).total_stride
        sizes = [size for size in sizes if size >= least] or [least]
    return tuple(sizes)


def candidates(
    figures: Mapping[str, Mapping[str, Any]], mirrored: bool = True, most: int = MOST
) -> Candidates:
    """The whole grid for some models.

    Parameters
    ----------
    figures
        What is known of each model, by its name; see `stages_of`.
    mirrored
        Whether images of the dataset mean the same when mirrored: else "crop-flip" is the same as "crop", and left out.
    most
        Where the grid has more candidates, an even sample of every model's part; the same one each time.
    """
    share = max(1, most // max(1, len(figures)))
    parts = []
    for place, (model, known) in enumerate(figures.items()):
        part = _grid(stages_of(model, known), input_sizes(known), mirrored)
        rows = len(part["learning_rate"])
        if rows > share:
            keep = np.sort(np.random.default_rng(0).choice(rows, share, replace=False))
            part = {name: column[keep] for name, column in part.items()}
        parts.append({"model": np.full(min(rows, share), place)} | part)
    return Candidates(
        tuple(figures),
        **{name: np.concatenate([part[name] for part in parts]) for name in ("model", *_COLUMNS)},
    )


def _grid(stages: int, sizes: tuple[int, ...], mirrored: bool) -> dict[str, np.ndarray]:
    rates = [
        (OPTIMIZERS.index(kind), rate, decay)
        for kind in RATES
        for rate, decay in product(RATES[kind], DECAYS[kind])
    ]
    augmentations = [place for place, name in enumerate(AUGMENTATIONS) if mirrored or name != "crop-flip"]
    axes = (range(stages + 1), range(len(rates)), BATCHES, sizes, augmentations, SMOOTHINGS)
    frozen, rate, batch, size, augmentation, smoothing = (
        axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")
    )
    optimizer, learning_rate, decay = (np.array(column)[rate] for column in zip(*rates))
    return dict(
        zip(_COLUMNS, (frozen, optimizer, learning_rate, decay, batch, size, augmentation, smoothing))
    )


def random_regime(rng: np.random.Generator, models: Iterable[str]) -> FineTuneRegime:
    """A regime of the grid at random, for runs to learn from: learning rates in the middle more often than those at the ends.

    Raises
    ------
    ValueError
        There is no such model in the zoo.
    """
    from nni_nasoa.zoo import get

    model = get(str(rng.choice(list(models)))).name
    figures = figures_of(model)
    optimizer = str(rng.choice(OPTIMIZERS))
    rates = RATES[optimizer]
    middle = np.minimum(np.arange(1, len(rates) + 1), np.arange(len(rates), 0, -1))
    return FineTuneRegime(
        model,
        learning_rate=float(rng.choice(rates, p=middle / middle.sum())),
        weight_decay=float(rng.choice(DECAYS[optimizer])),
        frozen_stages=int(rng.integers(stages_of(model, figures) + 1)),
        batch_size=int(rng.choice(BATCHES)),
        input_size=int(rng.choice(input_sizes(figures))),
        augmentation=str(rng.choice(AUGMENTATIONS)),
        label_smoothing=float(rng.choice(SMOOTHINGS)),
        optimizer=optimizer,
    )
