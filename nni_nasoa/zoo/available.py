"""The models that can be had on this machine without a download."""

from __future__ import annotations

from .downloading import Download
from .family import ModelInfo
from .registry import families

AUTO = "auto"  # what stands for them where a family could stand
ORDER = ("lite", "searched", "nano", "et-nas", "torchvision", "timm")


def available_models() -> list[str]:
    """Names of the models whose weights are here, those of other libraries last.

    A family that has a method `available` says itself which of its models are here: the files are looked for
    by their names, and neither read nor is torch loaded for them. Others are left out.
    """
    known = families()
    names = [*(name for name in ORDER if name in known), *(name for name in known if name not in ORDER)]
    return [
        model
        for name in names
        if (available := getattr(known[name], "available", None)) is not None
        for model in available()
    ]


def is_missing(info: ModelInfo) -> bool:
    """Whether a model's pretrained weights are not here, and can be had by no download."""
    family = families().get(info.family)
    available = getattr(family, "available", None)
    return available is not None and not hasattr(family, "download") and info.name not in available()


def download_of(info: ModelInfo) -> Download | None:
    """What has to be downloaded for the pretrained weights of a model; None where nothing has or can be."""
    download = getattr(families().get(info.family), "download", None)
    return None if download is None else download(info)
