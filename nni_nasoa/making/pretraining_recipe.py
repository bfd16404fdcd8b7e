"""How networks are pretrained on fractal images, as a value."""

from __future__ import annotations

from dataclasses import dataclass

MEAN, STD = (0.5, 0.5, 0.5), (0.33, 0.33, 0.33)  # fractal images have about these


class PretrainError(RuntimeError):
    """A pretraining run that cannot go on. The message is one line."""


@dataclass(frozen=True)
class PretrainRecipe:
    """How networks are pretrained.

    Parameters
    ----------
    classes, instances, val_instances, size, seed
        Of the images, see `data.fractals.open_fractals`; the seed is that of initial weights, order and
        augmentation, too.
    epochs, batch_size
        Passes over all images, and images a step.
    learning_rate, weight_decay, label_smoothing
        Of AdamW, and of the cross-entropy; the rate is the peak. SGD hardly gets off the ground with so many
        classes.
    warmup
        Share of all steps in which the learning rate rises; half a cosine brings it down to 0.
    """

    classes: int = 500
    instances: int = 200
    val_instances: int = 2
    size: int = 48
    epochs: int = 6
    batch_size: int = 64
    learning_rate: float = 0.01
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    warmup: float = 0.05
    seed: int = 0


DEFAULT_RECIPE = PretrainRecipe()
