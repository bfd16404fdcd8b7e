"""Measure step times of ET-NAS beside the networks of torchvision on the device at hand, and keep them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nni_nasoa import zoo
from nni_nasoa.files import read_json, write_text
from nni_nasoa.values import NUMBER, shown, suggestion

from .published import Network, short_name

if TYPE_CHECKING:
    import torch

PEERS = {
    "ResNet": ("resnet18", "resnet50", "resnet101"),
    "ResNeXt": ("resnext50_32x4d",),
    "MobileNet": ("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"),
    "RegNetY": (
        "regnet_y_400mf",
        "regnet_y_800mf",
        "regnet_y_1_6gf",
        "regnet_y_3_2gf",
        "regnet_y_8gf",
        "regnet_y_16gf",
    ),
    "EfficientNet": ("efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3"),
}
"""The networks of torchvision that stand beside ET-NAS, by series."""
SMALL = frozenset(
    {
        *(f"et-nas-{letter}" for letter in "abcdef"),
        "resnet18",
        "resnet50",
        "mobilenet_v2",
        "mobilenet_v3_small",
        "mobilenet_v3_large",
        "regnet_y_400mf",
        "regnet_y_800mf",
        "efficientnet_b0",
        "efficientnet_b1",
    }
)
"""The smaller half, for processors."""
FLOAT32 = "fp32"


def networks(small: bool, only: Collection[str] = ()) -> list[tuple[str, str]]:
    """(series, name) of the networks to measure: those named in `only`, else all or the smaller half."""
    all_series = {"ET-NAS": zoo.list_models("et-nas"), **PEERS}
    wanted = only or (SMALL if small else None)
    return [
        (series, name)
        for series, names in all_series.items()
        for name in names
        if wanted is None or name in wanted
    ]


def imagenet_top1(series: str, name: str) -> float | None:
    """Published accuracy in percent.

    torchvision's is that of its first weights, from the plain recipes of the papers' time.
    """
    if series == "ET-NAS":
        return zoo.get(name).imagenet_top1
    from torchvision.models import get_model_weights

    return get_model_weights(name)["IMAGENET1K_V1"].meta["_metrics"]["ImageNet-1K"]["acc@1"]


def measure_network(
    series: str,
    name: str,
    device: torch.device,
    settings: Mapping[str, Any],
    precisions: Mapping[str, torch.dtype | None],
) -> dict[str, Any]:
    """One record: what is known of a network, and its times.

    Parameters
    ----------
    series, name
        As `networks` gives them.
    device
        The device to measure on.
    settings
        What `training_step_time` takes: input_size, batch_size, ...
    precisions
        Types of autocast by name: there are `train_NAME` and `infer_NAME` in the record for each.
    """
    import torch
    from torchvision.models import get_model

    from nni_nasoa.training.speed import count_macs, count_parameters, inference_time, training_step_time

    network = zoo.create_model(name) if series == "ET-NAS" else get_model(name, weights=None)
    record: dict[str, Any] = {
        "series": series,
        "name": name,
        "imagenet_top1": imagenet_top1(series, name),
        "params_m": round(count_parameters(network) / 1e6, 2),
        "gmacs": round(count_macs(network, settings["input_size"]) / 1e9, 3),
    }
    steps: dict[str, Callable[..., Any]] = {"train": training_step_time, "infer": inference_time}
    for precision, autocast in precisions.items():
        for kind, step_time in steps.items():
            try:
                measured = step_time(network, device=device, autocast=autocast, **settings)
                record[f"{kind}_{precision}"] = {
                    key: value and round(value, 3) for key, value in vars(measured).items()
                }
            except torch.cuda.OutOfMemoryError:
                record[f"{kind}_{precision}"] = {"error": "out of memory"}
            if device.type == "cuda":
                torch.cuda.empty_cache()
    return record


def measure(
    path: str | os.PathLike,
    device: str = "auto",
    *,
    input_size: int | None = None,
    batch_size: int | None = None,
    only: Collection[str] = (),
) -> Iterator[dict[str, Any]]:
    """Measure one network after the other, in float32, and write all that there is into a file after each.

    Parameters
    ----------
    path
        The JSON file to write.
    device
        The device to measure on, such as "cpu" or "cuda:0".
    input_size, batch_size
        Pixels and images of a step; by default 224 and 64 on a GPU, where all networks are measured, and 64
        and 8 on a processor, where the smaller half takes about a minute.
    only
        The names of the networks to measure, where it is not all of them.

    Yields
    ------
    The record of each network, when it is written.
    """
    from nni_nasoa.device.allocation import keep_freed_memory
    from nni_nasoa.device.device import resolve_device
    from nni_nasoa.training.speed import environment

    keep_freed_memory()
    resolved = resolve_device(device)
    gpu = resolved.type == "cuda"
    settings = {
        "input_size": input_size or (224 if gpu else 64),
        "batch_size": batch_size or (64 if gpu else 8),
        **(
            {"repeats": 20, "warmup": 5, "max_seconds": 5.0}
            if gpu
            else {"repeats": 7, "warmup": 1, "max_seconds": 1.0}
        ),
    }
    result: dict[str, Any] = {"environment": environment(resolved), **settings, "networks": []}
    for series, name in networks(small=not gpu, only=only):
        result["networks"].append(measure_network(series, name, resolved, settings, {FLOAT32: None}))
        write_text(path, json.dumps(result, indent=1) + "\n")
        yield result["networks"][-1]


@dataclass(frozen=True)
class Measured:
    """What was measured: where, in words, and the networks that have an accuracy and times."""

    where: str
    networks: tuple[Network, ...]


def step_ms(record: Mapping[str, Any], kind: str) -> float | None:
    """The time of a record's step of a kind, "train" or "infer", in float32; None where memory was short."""
    return record[f"{kind}_{FLOAT32}"].get("step_time_ms")


def check_networks(names: Iterable[str]) -> None:
    """Raise ValueError of one line where a name is none of the networks that can be measured."""
    known = [name for _, name in networks(small=False)]
    for name in names:
        if name not in known:
            hint = suggestion(name, known, f"there are {', '.join(known)}")
            raise ValueError(f"network: {shown(name)} is none of those that are measured; {hint}")


def read_step_times(path: str | os.PathLike) -> Measured:
    """Read what `measure` has written.

    Raises
    ------
    ValueError
        The file is none of measured step times.
    """
    try:
        read = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return step_times_of(read, str(path))


def step_times_of(read: Any, place: str) -> Measured:
    """What is in a value as `measure` writes it; `place` is what an error names.

    Raises
    ------
    ValueError
        It is another value.
    """
    try:
        size, made = read["input_size"], read["environment"]
        where = (
            f"{made['device']}, {made['threads']} thread{'s' * (made['threads'] != 1)}, "
            f"{size} × {size} pixels, batch {read['batch_size']}, {made['date'][:10]}, torch {made['torch']}"
        )
        found = tuple(
            Network(
                record["series"],
                record["name"],
                short_name(record["series"], record["name"]),
                record["imagenet_top1"],
                step_ms(record, "train"),
                step_ms(record, "infer"),
            )
            for record in read["networks"]
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{place}: it is no file of step times, as --measure writes it ({type(error).__name__}: {error})"
        ) from None
    for network in found:
        for value in (network.imagenet_top1, network.train_ms, network.infer_ms):
            if value is not None and not (NUMBER.allows(value) and value > 0):
                raise ValueError(f"{place}: {network.name}: {shown(value)} is no accuracy or time above 0")
    return Measured(where, found)
