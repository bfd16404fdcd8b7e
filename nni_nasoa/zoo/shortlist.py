"""Which networks to fetch and to try, by published figures alone, before anything is downloaded."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from .family import ModelInfo
from .registry import get, list_models
from .timm_published import published

MOST = 8  # the most models of a family that is too large to be tried
MOST_PARAMS_M = 100.0  # millions of parameters that each of them has at most: 400 MB to download
SHORTLISTED = ("torchvision", "timm")
# Strong networks of very different cost: between them, about the best published for little training.
# DINOv2 has no result on ImageNet in timm's tables; its features reach 81.1 % there with a linear head (Oquab
# et al., arXiv 2304.07193).
RECOMMENDED = (
    "timm/mobilenetv3_large_100.ra_in1k",
    "timm/efficientnet_b0.ra_in1k",
    "timm/resnet18.a1_in1k",
    "timm/convnext_nano.in12k_ft_in1k",
    "timm/regnety_032.ra_in1k",
    "timm/resnet50.a1_in1k",
    "timm/tf_efficientnetv2_s.in21k_ft_in1k",
    "timm/convnext_tiny.in12k_ft_in1k",
    "timm/vit_small_patch14_dinov2.lvd142m",
)
TOP1 = {"timm/vit_small_patch14_dinov2.lvd142m": 81.1}
# What a processor has the time for: with 10 minutes, networks of 4 billion multiply-accumulates.
CPU_GMACS_A_MINUTE = 0.4


def recommended(minutes: float, device: str) -> list[ModelInfo]:
    """Networks worth a download, the most accurate first of those that a device has the time to train.

    Parameters
    ----------
    minutes
        The budget of a run.
    device
        "cpu", "cuda", ...
    """
    most = CPU_GMACS_A_MINUTE * minutes if device == "cpu" else math.inf
    models = [model for model in map(get, RECOMMENDED) if (model.gmacs_224 or math.inf) <= most]
    return sorted(models, key=lambda model: -_top1(model))


def _top1(model: ModelInfo) -> float:
    return model.imagenet_top1 or TOP1.get(model.name, 0.0)


def shortlist(family: str, fits: Callable[[ModelInfo], bool], most: int = MOST) -> list[ModelInfo]:
    """Those of a large family that are worth a try, by published figures; fastest first.

    They are those that no other one beats in both training speed and accuracy; of more than there may be,
    some whose costs are evenly spread. Of timm's the training speed on a GPU counts, of torchvision's the
    multiply-accumulates, as no speeds are published. Networks of more than MOST_PARAMS_M are left out.

    Parameters
    ----------
    family
        One of SHORTLISTED.
    fits
        Whether a model is within limits.
    most
        How many, at most.
    """
    names = list_models(family) if family == "torchvision" else [f"timm/{name}" for name in published()]
    models = [
        model for model in map(get, names) if (model.params_m or math.inf) <= MOST_PARAMS_M and fits(model)
    ]
    costs = {model: cost for model in models if model.imagenet_top1 and (cost := _cost(model)) is not None}
    front: list[ModelInfo] = []
    for model in sorted(costs, key=lambda model: (costs[model], -_top1(model))):
        if not front or _top1(model) > _top1(front[-1]):
            front.append(model)
    return _spread(front, [math.log(costs[model]) for model in front], most)


def _cost(model: ModelInfo) -> float | None:
    """Of training on an image, in any unit, the same for all models of a family."""
    known = published().get(model.name.removeprefix("timm/"))
    if known is None:
        return model.gmacs_224
    return None if known.train_speed is None else 1 / known.train_speed


def _spread(front: Sequence[ModelInfo], costs: Sequence[float], most: int) -> list[ModelInfo]:
    """The ends, and between them those nearest to even steps of the cost."""
    if len(front) <= most:
        return list(front)
    steps = [costs[0] + (costs[-1] - costs[0]) * i / (most - 1) for i in range(most)]
    places = {min(range(len(front)), key=lambda i: abs(costs[i] - step)) for step in steps}
    return [front[i] for i in sorted(places)]
