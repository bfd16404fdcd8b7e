"""Ways to make a training step of a network of depthwise convolutions cheaper on a processor.

A step is forward, backward and SGD with momentum, of EfficientNet-Lite0 with a head of ten classes on 32
images of 128 pixels, and of ResNet-18 beside it. The ways take turns, round by round, in one process; what is
told is the median of the ratios to a plain step of the same round. Compiling comes last and tells how long
it took until the first step was done.

    python examples/benchmarks/depthwise_steps.py
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import click
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.fusion import fuse_conv_bn_weights

from nni_nasoa.device.allocation import keep_freed_memory
from nni_nasoa.training.speed import environment
from nni_nasoa.zoo import create_model

DATA = Path(__file__).with_name("data") / "depthwise_steps.json"
NETWORKS = ("lite0", "resnet18")
IMAGES, SIZE, CLASSES, STEPS = 32, 128, 10, 3
Step = Callable[[], Any]


def network(name: str) -> nn.Module:
    """The network, to be trained; its weights make no difference to the time."""
    return create_model(name, num_classes=CLASSES).train()


def step_of(module: nn.Module, *, dtype: torch.dtype | None = None, channels_last: bool = True) -> Step:
    """A training step, on images that stay the same."""
    form = torch.channels_last if channels_last else torch.contiguous_format
    module.to(memory_format=form)
    images = torch.randn(IMAGES, 3, SIZE, SIZE).contiguous(memory_format=form)
    labels = torch.randint(0, CLASSES, (IMAGES,))
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(parameters, 0.01, 0.9, foreach=True)

    def step() -> None:
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            loss = cross_entropy(module(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def without_statistics(module: nn.Module) -> nn.Module:
    """The network with batch normalisation by its kept statistics, whose scales and shifts are trained."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()
    return module


def folded(module: nn.Module) -> nn.Module:
    """The network with each batch normalisation folded into the convolution that stands before it."""
    before: nn.Conv2d | None = None
    for parent in [*module.modules()]:
        for name, part in [*parent.named_children()]:
            if isinstance(part, nn.BatchNorm2d) and before is not None:
                assert part.running_mean is not None and part.running_var is not None
                before.weight, before.bias = fuse_conv_bn_weights(
                    before.weight,
                    before.bias,
                    part.running_mean,
                    part.running_var,
                    part.eps,
                    part.weight,
                    part.bias,
                )
                # timm's has the activation in it.
                setattr(parent, name, getattr(part, "act", nn.Identity()))
            before = part if isinstance(part, nn.Conv2d) else None
    return module


def ways(name: str) -> dict[str, Step]:
    """The ways that need no compiler."""
    half = torch.bfloat16
    return {
        "plain": step_of(network(name)),
        "images not channels last": step_of(network(name), channels_last=False),
        "bfloat16": step_of(network(name), dtype=half),
        "normalised by kept statistics": step_of(without_statistics(network(name))),
        "normalised by kept statistics, bfloat16": step_of(without_statistics(network(name)), dtype=half),
        "normalisation folded into convolutions": step_of(folded(network(name))),
        "normalisation folded into convolutions, bfloat16": step_of(folded(network(name)), dtype=half),
    }


def seconds_of(step: Step) -> float:
    """Seconds of a step, the mean of some."""
    begin = time.perf_counter()
    for _ in range(STEPS):
        step()
    return (time.perf_counter() - begin) / STEPS


def compared(steps: dict[str, Step], rounds: int) -> dict[str, dict[str, float]]:
    """Of each way the milliseconds an image, and how many times as fast it is as the first one."""
    for step in steps.values():
        step(), step()
    found = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            found[name].append(seconds_of(step))
    plain = next(iter(found.values()))
    return {
        name: {
            "ms_an_image": 1000 * median(seconds) / IMAGES,
            "times_as_fast": median(first / own for first, own in zip(plain, seconds)),
        }
        for name, seconds in found.items()
    }


@click.command(help=__doc__)
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True)
@click.option("--compile/--no-compile", "compiling", default=True, show_default=True)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), default=DATA, show_default=True)
def main(rounds: int, compiling: bool, output: Path) -> None:
    keep_freed_memory()
    torch.manual_seed(0)
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for name in NETWORKS:
        rows[name] = compared(ways(name), rounds)
        if compiling:
            begin, step = time.perf_counter(), step_of(torch.compile(network(name)))
            step()
            taken = time.perf_counter() - begin
            both = {"plain": step_of(network(name)), "torch.compile": step}
            rows[name]["torch.compile"] = compared(both, rounds)["torch.compile"] | {"compiling_s": taken}
    output.write_text(json.dumps({**environment(), "rounds": rounds, "rows": rows}, indent=1) + "\n")
    for name, found in rows.items():
        for way, row in found.items():
            extra = f", compiled in {row['compiling_s']:.0f} s" if "compiling_s" in row else ""
            click.echo(
                f"{name:9} {way:50} {row['ms_an_image']:6.2f} ms an image, "
                f"{row['times_as_fast']:.2f} times as fast{extra}"
            )


if __name__ == "__main__":
    main()
