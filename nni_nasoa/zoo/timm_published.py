"""Published figures of timm's pretrained networks, for what is to be known of one before it is downloaded.

`timm_published.csv` has a row for each name with a pretrained tag. How images are normalised, the input size
and the file under which earlier releases of timm kept the weights are from timm's own registry. Parameters,
multiply-accumulates, top-1 accuracy and training speed (images a second on an NVIDIA RTX 3090, amp, channels
last) are from the folder `results` of huggingface/pytorch-image-models (Apache 2.0), where they are
published. `table` makes the file again from one that joins those results:

    python -c "from nni_nasoa.zoo.timm_published import table; print(table('timm_results.csv'), end='')"
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .light_import import imported

_TABLE = Path(__file__).with_name("timm_published.csv")
COUNTED = (  # networks of features, without a published result on ImageNet: what can be counted is
    "vit_small_patch14_dinov2.lvd142m",
    "vit_small_patch14_reg4_dinov2.lvd142m",
    "vit_base_patch14_dinov2.lvd142m",
    "vit_base_patch14_reg4_dinov2.lvd142m",
)
USUAL = 224  # pixels of most pretraining: DINOv2 ended at 518, but is evaluated at these, and far faster
# Modules of timm whose networks take images of many sizes if they are asked to when they are built: positions
# are interpolated, windows padded.
RESIZABLE = (
    "deit",
    "eva",
    "swin_transformer",
    "swin_transformer_v2",
    "swin_transformer_v2_cr",
    "vision_transformer",
    "vision_transformer_hybrid",
    "vitamin",
)
LEAST_PATCH = 4  # that of the windows of Swin, whose stages halve what is left
_PATCH, _STRIDE = re.compile(r"patch(\d+)"), 32
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class TimmFigures:
    """What is known of a network with a pretrained tag; a figure is None where nobody has published it.

    Parameters
    ----------
    name
        As timm has it, such as `resnet50.a1_in1k`.
    input_size
        Height and width that it was pretrained at, in pixels.
    size_step
        As in `ModelInfo`.
    mean, std
        What its images are normalised by, with pixels from 0 to 1.
    params_m, gmacs_224, imagenet_top1
        As in `ModelInfo`; multiply-accumulates published at another size are brought to 224 pixels by the
        number of pixels.
    train_speed
        Images a second in training on an NVIDIA RTX 3090.
    file
        Name of the file in torch.hub's folder, where timm has ever downloaded one.
    repository
        Where Hugging Face keeps the weights; None where it has none.
    """

    name: str
    input_size: int
    size_step: int | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    params_m: float | None
    gmacs_224: float | None
    imagenet_top1: float | None
    train_speed: float | None
    file: str | None
    repository: str | None


@cache
def published() -> Mapping[str, TimmFigures]:
    """What is known, by name, in timm's order."""
    with _TABLE.open(newline="", encoding="utf-8") as file:
        return {row["name"]: _figures(row) for row in csv.DictReader(file)}


def _figures(row: Mapping[str, str]) -> TimmFigures:
    numbers = {
        key: float(row[key]) if row[key] else None
        for key in ("params_m", "gmacs_224", "imagenet_top1", "train_speed")
    }
    mean, std = (_by_channel(row[key], own) for key, own in zip(("mean", "std"), _IMAGENET))
    return TimmFigures(
        row["name"],
        int(row["input_size"]),
        int(row["size_step"]) if row["size_step"] else None,
        mean,
        std,
        **numbers,
        file=row["file"] or None,
        repository=None if row["hub"] == "-" else row["hub"] or f"timm/{row['name']}",
    )


def _by_channel(text: str, otherwise: tuple[float, float, float]) -> tuple[float, float, float]:
    """Three numbers; a single one stands for all channels."""
    if not text:
        return otherwise
    red, green, blue = map(float, text.split() if " " in text else [text] * 3)
    return red, green, blue


def table(results: str | os.PathLike[str]) -> str:
    """The csv, for the timm that is installed.

    Parameters
    ----------
    results
        A csv with the columns model, top1, param_m, gmacs, gmacs_size, train_img_per_s_rtx3090_amp.
    """
    from timm import list_pretrained
    from timm.models import get_pretrained_cfg

    with Path(results).open(newline="", encoding="utf-8") as file:
        known = {row["model"]: row for row in csv.DictReader(file)}
    known |= {name: _counted(name) for name in COUNTED}
    rows = [row_of(name, get_pretrained_cfg(name), known.get(name, {})) for name in list_pretrained()]
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _counted(name: str) -> dict[str, str]:
    """Parameters and multiply-accumulates of a transformer that takes images of any size."""
    import timm
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    network = timm.create_model(name, num_classes=1000, dynamic_img_size=True).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, 224, 224))
    return {
        "param_m": f"{sum(p.numel() for p in network.parameters()) / 1e6:.2f}",
        "gmacs": f"{counter.get_total_flops() / 2e9:.4g}",
        "gmacs_size": "224",
    }


def is_resizable(name: str) -> bool:
    """Whether a network can be built such that it takes images of many sizes, though it has a fixed one."""
    return imported("timm.models").is_model_in_modules(name.partition(".")[0], RESIZABLE)


def size_step(name: str, fixed: bool) -> int | None:
    """What the sizes of a network's images are multiples of; see `ModelInfo`.

    Parameters
    ----------
    name
        Of the network; that of a transformer tells how large its patches are.
    fixed
        Whether timm notes that it takes only images of its own size.
    """
    if not fixed:
        return None
    if not is_resizable(name):
        return 0
    patch = _PATCH.search(name)
    return int(patch[1]) if patch and int(patch[1]) > LEAST_PATCH else _STRIDE


def row_of(name: str, noted: Any, known: Mapping[str, str]) -> dict[str, str]:
    """A row of the table, of what timm notes of a network's weights and of what is published of it."""
    step = size_step(name, bool(noted.fixed_input_size))
    hub = noted.hf_hub_id or "-"
    area = (224 / float(known["gmacs_size"])) ** 2 if known.get("gmacs") else 0.0
    mean, std = (
        "" if tuple(values) == own else " ".join(map(str, values if len(set(values)) > 1 else values[:1]))
        for values, own in zip((noted.mean, noted.std), _IMAGENET)
    )
    return {
        "name": name,
        "input_size": str(USUAL if "_dinov2." in name else noted.input_size[-1]),
        "size_step": "" if step is None else str(step),
        "params_m": known.get("param_m", ""),
        "gmacs_224": f"{float(known['gmacs']) * area:.4g}" if area else "",
        "imagenet_top1": known.get("top1", ""),
        "train_speed": known.get("train_img_per_s_rtx3090_amp", ""),
        "mean": mean,
        "std": std,
        "file": (noted.url or "").rpartition("/")[2],
        "hub": "" if hub in ("timm/", f"timm/{name}") else hub,
    }
