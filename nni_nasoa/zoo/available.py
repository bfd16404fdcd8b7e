"""The models that can be had on this machine without a download."""

from __future__ import annotations

from .downloading import Download
from .family import ModelInfo
from .registry import create_model, families

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


def why_missing(info: ModelInfo) -> ValueError | None:
    """Why a model's pretrained weights cannot be had: they are not here, and there is no download.

    None of those that can. Nothing is loaded for it: what makes the model fails at once.
    """
    family = families().get(info.family)
    available = getattr(family, "available", None)
    if available is None or hasattr(family, "download") or info.name in available():
        return None
    try:
        create_model(info.name, weights="default")
    except ValueError as error:
        return error
    return None


def download_of(info: ModelInfo) -> Download | None:
    """What has to be downloaded for the pretrained weights of a model; None where nothing has or can be."""
    download = getattr(families().get(info.family), "download", None)
    return None if download is None else download(info)
