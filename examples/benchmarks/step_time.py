"""Training and inference step times of ET-NAS beside torchvision's networks.

In float32 and in bfloat16 autocast: the counterpart of the paper's figure 3 on the device at hand: a table, a
JSON data file and a picture. On a GPU, all networks at 224 pixels and batch 64; on a CPU, `--small` takes the
smaller half, at a smaller batch.

    python examples/benchmarks/step_time.py
    python examples/benchmarks/step_time.py --device cpu --small
"""

from __future__ import annotations

import argparse
import json
import re
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from nni_nasoa.device.device import device_name
from nni_nasoa.figures.step_times import FLOAT32, measure_network, networks
from nni_nasoa.training.speed import environment

COLORS = {
    "ET-NAS": "tab:red",
    "ResNet": "tab:blue",
    "ResNeXt": "tab:cyan",
    "MobileNet": "tab:orange",
    "RegNetY": "tab:green",
    "EfficientNet": "tab:purple",
}
STEPS = ("train", "infer")
PRECISIONS = {FLOAT32: None, "bf16": torch.bfloat16}


def print_table(result: dict) -> None:
    measures = [(kind, precision) for precision in PRECISIONS for kind in STEPS]
    title = f"{result['environment']['device']}: {result['input_size']} pixels, batch {result['batch_size']}"
    table = Table(
        "network",
        "top-1, %",
        "params, M",
        "GMACs",
        *(f"{kind} {precision}, ms" for kind, precision in measures),
        title=title,
    )
    for record in result["networks"]:
        times = [record[f"{kind}_{precision}"] for kind, precision in measures]
        table.add_row(
            record["name"],
            f"{record['imagenet_top1']:.1f}",
            f"{record['params_m']:.1f}",
            f"{record['gmacs']:.2f}",
            *(time_["error"] if "error" in time_ else f"{time_['step_time_ms']:.1f}" for time_ in times),
        )
    Console(width=130).print(table)


def draw(result: dict, path: Path) -> None:
    """Accuracy against step time, a line for each series; a panel for each kind of step and precision."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure, axes = pyplot.subplots(
        len(PRECISIONS), len(STEPS), figsize=(12, 9), sharey=True, layout="constrained"
    )
    for row, precision in zip(axes, PRECISIONS):
        for axis, kind in zip(row, STEPS):
            for series, color in COLORS.items():
                records = [
                    record
                    for record in result["networks"]
                    if record["series"] == series and "error" not in record[f"{kind}_{precision}"]
                ]
                points = [
                    (record[f"{kind}_{precision}"]["step_time_ms"], record["imagenet_top1"], record["name"])
                    for record in records
                ]
                if not points:
                    continue
                points.sort(key=lambda point: point[1])
                ours = series == "ET-NAS"
                times, accuracies, _ = zip(*points)
                axis.plot(
                    times,
                    accuracies,
                    marker="s" if ours else "o",
                    label=series,
                    color=color,
                    linewidth=2 if ours else 1,
                    zorder=3 if ours else 2,
                )
                for time_ms, top1, name in points:
                    label = re.sub(
                        r"^(et-nas-|resnet|resnext|mobilenet_|regnet_y_|efficientnet_)|_32x4d$", "", name
                    ).upper()
                    axis.annotate(
                        label, (time_ms, top1), xytext=(3, -9), textcoords="offset points", fontsize=7
                    )
            axis.set_xscale("log")
            # Plain numbers, and not so many that they run into each other.
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.xaxis.set_minor_formatter(NullFormatter())
            axis.set_title(f"{'training' if kind == 'train' else 'inference'} step, {precision}")
            axis.set_xlabel(f"ms for {result['batch_size']} images of {result['input_size']} pixels")
            axis.grid(True, which="both", alpha=0.3)
        row[0].set_ylabel("ImageNet top-1, % (published)")
    axes[0][0].legend()
    figure.suptitle(f"{result['environment']['device']}, torch {result['environment']['torch']}")
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--small", action="store_true", help="the smaller half of the networks")
    parser.add_argument("--only", nargs="+", default=[], metavar="NETWORK", help="these networks alone")
    parser.add_argument("--input-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, help="default: 64 on a GPU, 4 on a CPU")
    parser.add_argument("--threads", type=int, help="threads of a CPU; default: what torch takes")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).parent / "data",
        help="folder for the data file and the picture",
    )
    arguments = parser.parse_args()

    device = torch.device(arguments.device)
    gpu = device.type == "cuda"
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    settings = {
        "input_size": arguments.input_size,
        "batch_size": arguments.batch_size or (64 if gpu else 4),
        **(
            {"repeats": 20, "warmup": 5, "max_seconds": 5.0}
            if gpu
            else {"repeats": 7, "warmup": 1, "max_seconds": 1.0}
        ),
    }
    result = {
        "environment": environment(device),
        **settings,
        "networks": [],
        "tf32_convolutions": gpu and torch.backends.cudnn.allow_tf32,
    }
    start = time.monotonic()
    for series, name in networks(arguments.small, arguments.only):
        result["networks"].append(measure_network(series, name, device, settings, PRECISIONS))
        print(f"{time.monotonic() - start:6.1f} s  {name}", flush=True)
    result["seconds"] = round(time.monotonic() - start, 1)

    print_table(result)
    where = re.sub(r"[^a-z0-9]+", "_", device_name(device).lower()).strip("_") if gpu else "cpu"
    stem = f"step_time_{where}{'_small' if arguments.small else ''}"
    arguments.out.mkdir(parents=True, exist_ok=True)
    data, picture = arguments.out / f"{stem}.json", arguments.out / f"{stem}.png"
    data.write_text(json.dumps(result, indent=1) + "\n")
    draw(result, picture)
    print(f"written: {data}, {picture}")


if __name__ == "__main__":
    main()
