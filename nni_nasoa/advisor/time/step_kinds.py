"""The kinds of steps that a run of any regime is put together from: the modes of a `StepTime`.

- `train`: a training step from what enters the first trained stage (images, or kept features) to new weights,
  by SGD, on images as they are. `frozen_stages` says where it begins; with all stages frozen, the head alone
  is trained.
- `features`: what the first `frozen_stages` stages make of images, the images drawn and normalised; all
  stages: inference.
- `draw:none`, `draw:crop`, ...: drawing, augmenting and normalising images, for any model (`IMAGES`).
- `optimizer:sgd`, `optimizer:adamw`: the optimiser's step alone, of which there is one for any batch.
- `views:one`, `views:several`: a training step of the head where images have one kept view each, or one of
  several is drawn.

Of models that were not measured, the modes begin with `rough:`.
"""

from __future__ import annotations

from nni_nasoa.training.regime import ADVISED_AUGMENTATIONS as AUGMENTATIONS
from nni_nasoa.training.regime import OPTIMIZERS

IMAGES = "images"  # the model of what does not depend on one
TRAIN, FEATURES, ROUGH = "train", "features", "rough:"
VIEW_MODES = ("views:one", "views:several")


def draw_mode(augmentation: str) -> str:
    """The mode of drawing images."""
    return f"draw:{augmentation}"


def optimizer_mode(kind: str) -> str:
    """The mode of an optimiser's steps."""
    return f"optimizer:{kind}"


DRAW_MODES = tuple(map(draw_mode, AUGMENTATIONS))
OPTIMIZER_MODES = tuple(map(optimizer_mode, OPTIMIZERS))
