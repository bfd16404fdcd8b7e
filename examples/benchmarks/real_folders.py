"""Test accuracy on folders of real images in the same wall clock: the advice, and ten lines of scikit-learn.

Each run of the advice is a process of its own, `nasoa-advise --run`, with a cold store and a cold cache; its
time is from the start of the process to its end. The ten lines (`baselines/ten_lines.py`) are run with each
network of the lite family; for a budget, the best of those counts that end in time, by their test accuracy,
which is more than one could know. Where none does, the fastest network gets as many images as there is time
for. The plain loop (`baselines/plain_folder_loop.py`) fine-tunes lite0 in the same time; the start of its
process does not count.
The classifiers are asked about the test parts afterwards, which nothing has seen before. With `--busy`, the
advice is carried out once more beside another process that computes on two threads all the time. With
`--autogluon`, the Python of an environment that has autogluon.multimodal, AutoGluon has the same budgets for
fine-tuning lite0 (`baselines/autogluon_folder.py`); what it ends too late is nothing.

    python examples/benchmarks/real_images.py DEST
    python examples/benchmarks/real_folders.py DEST --minutes 0.25 --minutes 0.5 --minutes 1 --minutes 2

Each result is a line of the output file as soon as it is there; what is there is not run again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import click
from real_images import FOLDERS, made
from rich.console import Console
from rich.table import Table

from nni_nasoa.training.speed import environment

BASELINES = Path(__file__).with_name("baselines")
DATA = Path(__file__).with_name("data") / "real_folders.jsonl"
NETWORKS = ("lite0", "lite1", "lite2")
FILLED = 0.9  # of a budget, by images or steps whose time was told beforehand
LEAST_IMAGES = 20
LOOP, AUTOGLUON = "plain loop", "AutoGluon"
BESIDE = "advice beside a busy process"
_BUSY = """
import torch
torch.set_num_threads(2)
one = torch.rand(1000, 1000)
while True:
    one @ one
"""
_PREDICT = """
import json, sys, warnings
from pathlib import Path
from PIL import Image
from nni_nasoa.finetune import load_classifier
Image.MAX_IMAGE_PIXELS = None
warnings.simplefilter("ignore")
files = sorted(Path(sys.argv[2]).glob("*/*"))
found = load_classifier(sys.argv[1]).predict(files)
print(sum(best[0].label == file.parent.name for best, file in zip(found, files)) / len(files))
"""


@contextmanager
def busy() -> Iterator[None]:
    """The context in which another process computes on two threads."""
    process = subprocess.Popen([sys.executable, "-c", _BUSY])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def advised(folder: Path, minutes: float) -> dict[str, Any]:
    """What comes of `nasoa-advise --run`, with what it had expected."""
    from nni_nasoa.advisor import ExperienceStore

    with tempfile.TemporaryDirectory() as place:
        store, output = Path(place, "store.db"), Path(place, "classifier")
        own = {"NASOA_STORE": str(store), "NASOA_CACHE": str(Path(place, "cache"))}
        command = ["-m", "nni_nasoa.cli", "advise", "--dataset", str(folder / "train"), "--run"]
        command += ["--minutes", str(minutes), "-o", str(output)]
        begin = time.monotonic()
        run = subprocess.run(
            [sys.executable, *command], env=os.environ | own, capture_output=True, text=True, check=False
        )
        seconds = time.monotonic() - begin
        if run.returncode:
            return {"seconds": seconds, "accuracy": 0.0, "error": run.stderr.strip().splitlines()[-1]}
        predicted = subprocess.run(
            [sys.executable, "-c", _PREDICT, str(output), str(folder / "test")],
            capture_output=True,
            text=True,
            check=True,
        )
        with ExperienceStore(store) as opened:
            records = opened.records()
        found = {"seconds": seconds, "accuracy": float(predicted.stdout)}
        if not records:  # On a machine that was too busy for it: the run went on, its record was given up.
            return found | {"validated": None, "expected": None, "regime": None}
        (record,) = records
        return found | {
            "validated": record.accuracy,
            "expected": dict(record.predicted or {}),
            "regime": dict(record.regime),
        }


def ten_lines(folder: Path, network: str, images: int | None = None) -> dict[str, Any]:
    """What comes of the ten lines."""
    words = [folder / "train", folder / "test", network]
    return baseline("ten_lines.py", *words, *([] if images is None else [images]))


def plain_loop(folder: Path, minutes: float) -> dict[str, Any]:
    """What comes of the plain loop, whose number of steps is found beforehand."""
    return baseline("plain_folder_loop.py", folder, NETWORKS[0], FILLED * 60 * minutes)


def autogluon(python: str, folder: Path, minutes: float, cache: Path) -> dict[str, Any]:
    """What comes of AutoGluon, whose weights are in a cache."""
    if not cache.exists():
        subprocess.run([sys.executable, str(BASELINES / "hub_cache.py"), str(cache)], check=True)
    offline = {"HF_HOME": str(cache), "HF_HUB_OFFLINE": "1"}
    return baseline("autogluon_folder.py", folder, 60 * minutes, python=python, environment=offline)


def baseline(
    script: str, *words: object, python: str = sys.executable, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What a script of `baselines/` says."""
    run = subprocess.run(
        [python, str(BASELINES / script), *map(str, words)],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(run.stdout.splitlines()[-1])


class Results:
    """Lines of a file, by what they are the results of."""

    def __init__(self, path: Path):
        self.path = path
        lines = path.read_text().splitlines() if path.is_file() else []
        self.lines = [json.loads(line) for line in lines]

    def of(self, **asked: Any) -> Iterator[dict[str, Any]]:
        """Those of some fields."""
        return (line for line in self.lines if asked.items() <= line.items())

    def add(self, result: dict[str, Any], **asked: Any) -> None:
        """Keep one more."""
        self.lines.append({**asked, **result})
        with self.path.open("a") as file:
            file.write(json.dumps(self.lines[-1]) + "\n")


def best_of_ten_lines(results: Results, folder: str, minutes: float) -> float | None:
    """The best accuracy of ten lines that end within a budget; None where that was not measured."""
    whole = [line for line in results.of(who="ten lines", folder=folder) if "minutes" not in line]
    in_time = [line for line in whole if line["seconds"] <= 60 * minutes]
    cut = [*results.of(who="ten lines", folder=folder, minutes=minutes)]
    return max((line["accuracy"] for line in in_time or cut), default=None)


def best_in_time(results: Results, who: str, folder: str, minutes: float) -> float | None:
    """Accuracy of the plain loop, or of AutoGluon, in a budget.

    None where that was not measured, 0 where it ended too late.
    """
    found = [*results.of(who=who, folder=folder, minutes=minutes)]
    in_time = [line["accuracy"] for line in found if line["seconds"] <= 60 * minutes]
    return max(in_time, default=0.0) if found else None


def measure_baselines(results: Results, folder: Path, name: str, minutes: float, loop: bool) -> None:
    """What the ten lines, and the plain loop, come to in a budget, where that is not known yet."""
    if best_of_ten_lines(results, name, minutes) is None:
        fastest = min(results.of(who="ten lines", folder=name), key=lambda line: line["seconds"])
        images = int(FILLED * fastest["images"] * 60 * minutes / fastest["seconds"])
        found = ten_lines(folder, fastest["network"], max(LEAST_IMAGES, images))
        results.add(found, who="ten lines", folder=name, network=fastest["network"], minutes=minutes)
    if loop and best_in_time(results, LOOP, name, minutes) is None:
        results.add(plain_loop(folder, minutes), who=LOOP, folder=name, minutes=minutes)


@click.command(help=__doc__)
@click.argument("dest", type=click.Path(file_okay=False, path_type=Path))
@click.option("--only", multiple=True, type=click.Choice(list(FOLDERS)), help="Folders; by default all.")
@click.option("--minutes", multiple=True, type=float, default=(0.25, 0.5, 1.0, 2.0), show_default=True)
@click.option("--runs", "runs", type=click.IntRange(1), default=3, show_default=True, help="Runs of each.")
@click.option("--loop/--no-loop", default=True, show_default=True, help="Run the plain loop, too.")
@click.option("--autogluon", "python", metavar="PYTHON", help="Run AutoGluon, too, by this interpreter.")
@click.option("--busy", "beside", is_flag=True, help="Run the advice beside a busy process, too.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=DATA,
    show_default=True,
)
def main(
    dest: Path,
    only: tuple[str, ...],
    minutes: tuple[float, ...],
    runs: int,
    loop: bool,
    python: str | None,
    beside: bool,
    output: Path,
) -> None:
    results = Results(output)
    if not results.lines:
        results.add(environment(), who="environment")
    names = only or tuple(FOLDERS)
    for name in names:
        folder = made(name, dest)
        for network in NETWORKS:
            if not any(
                "minutes" not in line for line in results.of(who="ten lines", folder=name, network=network)
            ):
                results.add(ten_lines(folder, network), who="ten lines", folder=name, network=network)
        for budget in minutes:
            measure_baselines(results, folder, name, budget, loop)
            if python and best_in_time(results, AUTOGLUON, name, budget) is None:
                found = autogluon(python, folder, budget, dest / ".hub")
                results.add(found, who=AUTOGLUON, folder=name, minutes=budget)
            for run in range(runs):
                if not any(results.of(who="advice", folder=name, minutes=budget, run=run)):
                    found = advised(folder, budget)
                    results.add(found, who="advice", folder=name, minutes=budget, run=run)
                if beside and not any(results.of(who=BESIDE, folder=name, minutes=budget, run=run)):
                    with busy():
                        found = advised(folder, budget)
                    results.add(found, who=BESIDE, folder=name, minutes=budget, run=run)
    compared = compare(results, names, minutes)
    show(compared)
    draw(compared, output.with_suffix(".png"))


class Compared(NamedTuple):
    """What there was to be had on a folder in some minutes."""

    folder: str
    minutes: float
    ours: list[dict[str, Any]]  # runs of the advice, by their accuracy
    theirs: float  # accuracy of the ten lines
    loop: float | None = None  # of the plain loop
    peer: float | None = None  # of AutoGluon
    beside: float | None = None  # of ours beside a busy process, the median

    @property
    def middle(self) -> dict[str, Any]:
        """The run of median accuracy; of two, the better one."""
        return self.ours[len(self.ours) // 2]

    @property
    def accuracy(self) -> float:
        """The median of ours."""
        return median(line["accuracy"] for line in self.ours)


def compare(results: Results, names: Iterable[str], minutes: Iterable[float]) -> list[Compared]:
    """Where both sides were measured."""
    found = []
    for budget in sorted(minutes):
        for name in names:
            ours = sorted(
                results.of(who="advice", folder=name, minutes=budget), key=lambda line: line["accuracy"]
            )
            theirs = best_of_ten_lines(results, name, budget)
            if ours and theirs is not None:
                loop, peer = (best_in_time(results, who, name, budget) for who in (LOOP, AUTOGLUON))
                beside = [line["accuracy"] for line in results.of(who=BESIDE, folder=name, minutes=budget)]
                found.append(
                    Compared(name, budget, ours, theirs, loop, peer, median(beside) if beside else None)
                )
    return found


def in_words(expected: dict[str, float] | None) -> str:
    """What the advice had expected, in per cent, with its range for 80 %."""
    if not expected:
        return "-"
    mean, low, high = (100 * expected[f"accuracy{end}"] for end in ("", "_low", "_high"))
    return f"{mean:.0f} ({low:.0f}-{high:.0f})"


def show(compared: Iterable[Compared]) -> None:
    """A table of test accuracies in per cent: the advice's median, what it expected, and the baselines'."""
    table = Table(
        "folder", "seconds", "advice", "expected", "took", "busy", "ten lines", "plain loop", "AutoGluon"
    )
    for each in compared:
        others = each.beside, each.theirs, each.loop, each.peer
        table.add_row(
            each.folder,
            f"{60 * each.minutes:g}",
            f"{100 * each.accuracy:.1f}",
            in_words(each.middle.get("expected")),
            f"{median(line['seconds'] for line in each.ours):.1f}",
            *("-" if one is None else f"{100 * one:.1f}" for one in others),
        )
    Console().print(table)


def draw(compared: Sequence[Compared], path: Path) -> None:
    """A picture of the same: a panel for each budget, a line for each folder."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    budgets = sorted({each.minutes for each in compared})
    if not budgets:
        return
    names = list(dict.fromkeys(each.folder for each in compared))
    columns = min(2, len(budgets))
    rows_of_panels = -(-len(budgets) // columns)
    figure, axes = pyplot.subplots(
        rows_of_panels,
        columns,
        figsize=(1.5 + 4.5 * columns, 0.8 + rows_of_panels * (0.9 + 0.38 * len(names))),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat[len(budgets) :]:
        axis.set_visible(False)
    for place, (axis, budget) in enumerate(zip(axes.flat, budgets)):
        here = [each for each in compared if each.minutes == budget]
        rows = [names.index(each.folder) for each in here]
        for row, each in zip(rows, here):
            if expected := each.middle.get("expected"):
                ends = [100 * expected[f"accuracy_{end}"] for end in ("low", "high")]
                axis.plot(ends, [row, row], color="#bbbbbb", linewidth=7, solid_capstyle="butt", zorder=1)
        theirs, ours = (
            [100 * value for value in side] for side in zip(*((e.theirs, e.accuracy) for e in here))
        )
        axis.scatter(theirs, rows, color="#0072b2", marker="D", s=34, zorder=2, label="ten lines")
        axis.scatter(ours, rows, color="#d55e00", s=52, zorder=3, label="the advice, carried out")
        loops = [(100 * e.loop, row) for e, row in zip(here, rows) if e.loop is not None]
        if loops:
            axis.scatter(*zip(*loops), color="#009e73", marker="^", s=34, zorder=2, label="a plain loop")
        axis.plot([], [], color="#bbbbbb", linewidth=7, label="what it had promised (80 %)")
        axis.set_title(f"{60 * budget:g} seconds", fontsize=11)
        if place >= len(budgets) - columns:
            axis.set_xlabel("accuracy on the test part, %")
            axis.tick_params(axis="x", labelbottom=True)
        axis.grid(axis="x", color="#eeeeee")
        axis.set_axisbelow(True)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(axis="y", length=0)
    axes[0][0].set_yticks(range(len(names)), names)
    axes[0][0].invert_yaxis()
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
