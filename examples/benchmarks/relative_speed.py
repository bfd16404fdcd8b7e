"""How much another busy process disturbs a measured training speed: raw step time against `relative_speed`.

Each network is measured five times with a process that burns one core beside it, and five times without,
in turns. The raw training step time moves with the load; the ratio to the reference network, which the
search uses, hardly does.

    python examples/benchmarks/relative_speed.py
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from nni_nasoa.networks import ETNet
from nni_nasoa.training.speed import environment, relative_speed, training_step_time

NETWORKS = (
    "10001-_32_1-21-2",
    "42001-a02_32_11-21-2",
    "031-_32_1-1-221-11121",
)  # bottlenecks, depthwise ones, ET-NAS-B
FIGURES = ("raw_step_ms", "relative_speed")


@contextmanager
def busy_process(wanted: bool):
    """A process that burns one core, if wanted."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if wanted else None
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()


def measure_network(encoding: str, input_size: int, batch_size: int, rounds: int) -> dict:
    """Measure one network in turns without and with load."""
    network = ETNet(encoding, 10)
    samples = {state: {figure: [] for figure in FIGURES} for state in ("quiet", "loaded")}
    for _ in range(rounds):
        for state in samples:
            with busy_process(state == "loaded"):
                raw = training_step_time(network, input_size, batch_size, repeats=5, max_seconds=5)
                ratio = relative_speed(network, input_size, batch_size, repeats=9, max_seconds=5)
            samples[state]["raw_step_ms"].append(round(raw.step_time_ms, 2))
            samples[state]["relative_speed"].append(round(ratio.relative_speed, 4))
    medians = {
        state: {figure: statistics.median(values) for figure, values in figures.items()}
        for state, figures in samples.items()
    }
    change = {
        figure: round(100 * (medians["loaded"][figure] / medians["quiet"][figure] - 1), 1)
        for figure in FIGURES
    }
    return {"architecture": encoding, "medians": medians, "change_percent": change, "samples": samples}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS, metavar="ENCODING")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--input-size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data" / "relative_speed.json")
    arguments = parser.parse_args()

    torch.set_num_threads(2)
    table = Table(
        "network",
        "raw step, ms",
        "loaded",
        "change",
        "relative speed",
        "loaded",
        "change",
        title=f"Training on a CPU, medians of {arguments.rounds}, beside a process that burns one core",
    )
    networks = []
    for encoding in arguments.networks:
        found = measure_network(encoding, arguments.input_size, arguments.batch_size, arguments.rounds)
        networks.append(found)
        cells = [
            cell
            for figure in FIGURES
            for cell in (
                *(f"{found['medians'][state][figure]:.4g}" for state in ("quiet", "loaded")),
                f"{found['change_percent'][figure]:+.1f}%",
            )
        ]
        table.add_row(encoding, *cells)
    Console(width=120).print(table)
    result = {
        "environment": environment("cpu"),
        "input_size": arguments.input_size,
        "batch_size": arguments.batch_size,
        "networks": networks,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written: {arguments.out}")


if __name__ == "__main__":
    main()
