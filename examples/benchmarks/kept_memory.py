"""What it is worth that a process keeps the memory that it frees (`nni_nasoa/device/allocation.py`).

Each of the two ways is a process of its own, by turns, several times; the medians are compared. What is
timed is EfficientNet-Lite0: forward passes of 32 images as the ten lines make them, those of a fine-tuning
run, the same in bfloat16, and training steps.

    python examples/benchmarks/kept_memory.py
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import click

from nni_nasoa.training.speed import environment

DATA = Path(__file__).with_name("data") / "kept_memory.json"
IMAGES, PASSES = 32, 6


def timed(what: Callable[[], object]) -> dict[str, float]:
    """Milliseconds an image, the share of them in the system, and pages that were got from it."""
    what(), what()
    before, begin = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    for _ in range(PASSES):
        what()
    seconds, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF)
    system, user = after.ru_stime - before.ru_stime, after.ru_utime - before.ru_utime
    return {
        "ms_an_image": 1000 * seconds / PASSES / IMAGES,
        "in_the_system": system / (system + user),
        "pages": after.ru_minflt - before.ru_minflt,
    }


def measured(keep: bool) -> dict[str, dict[str, float]]:
    """All of it, in this process."""
    if keep:
        from nni_nasoa.device.allocation import keep_freed_memory

        keep_freed_memory()
    import torch
    from torch.nn.functional import cross_entropy

    from nni_nasoa.zoo import create_model
    from nni_nasoa.zoo.stage_pooling import PooledStages
    from nni_nasoa.zoo.staged import staged

    network = create_model("lite0", weights="default").eval()
    view = PooledStages(staged(network, "lite0").to(memory_format=torch.channels_last), 10, 224).eval()
    images = torch.randn(IMAGES, 3, 224, 224)
    ours = images.contiguous(memory_format=torch.channels_last)
    found = {}
    with torch.inference_mode():
        found["forward, timm's network as it is, 224 pixels"] = timed(lambda: network(images))
        found["forward, a run's, 224 pixels"] = timed(lambda: view.forward_stages(ours))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found["forward, a run's, in bfloat16, 224 pixels"] = timed(lambda: view.forward_stages(ours))
    view.train()
    small = torch.randn(IMAGES, 3, 128, 128).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (IMAGES,))

    def step() -> None:
        cross_entropy(view(small), labels).backward()
        for parameter in view.parameters():
            parameter.grad = None

    found["forward and backward, a run's, 128 pixels"] = timed(step)
    return found


@click.command(help=__doc__)
@click.option("--runs", type=click.IntRange(1), default=5, show_default=True, help="Processes of each way.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), default=DATA, show_default=True)
@click.option("--way", type=click.Choice(["kept", "given back"]), hidden=True)
def main(runs: int, output: Path, way: str | None) -> None:
    if way is not None:
        click.echo(json.dumps(measured(way == "kept")))
        return
    found: dict[str, list[dict]] = {"kept": [], "given back": []}
    for _ in range(runs):
        for name, of_way in found.items():
            run = subprocess.run(
                [sys.executable, __file__, "--way", name], capture_output=True, text=True, check=True
            )
            of_way.append(json.loads(run.stdout))
    rows = {
        what: {
            name: {field: median(run[what][field] for run in of_way) for field in of_way[0][what]}
            for name, of_way in found.items()
        }
        for what in found["kept"][0]
    }
    output.write_text(json.dumps({**environment(), "runs": runs, "rows": rows}, indent=1) + "\n")
    for what, row in rows.items():
        kept, back = row["kept"], row["given back"]
        click.echo(
            f"{what:45} {back['ms_an_image']:6.2f} -> {kept['ms_an_image']:6.2f} ms an image, "
            f"{back['ms_an_image'] / kept['ms_an_image']:.2f} times as fast; in the system "
            f"{100 * back['in_the_system']:.0f} -> {100 * kept['in_the_system']:.0f} %"
        )


if __name__ == "__main__":
    main()
