"""Whether the accuracy that advice promises comes true: runs on real images, each folder left out in turn.

    python examples/benchmarks/real_images.py DEST
    nasoa experience collect --store runs.db --zoo lite --folder DEST/flags --folder DEST/clipart ...
    python examples/benchmarks/promises.py --record runs.db
    python examples/benchmarks/promises.py

The third line adds the runs of a store, with the profiles of what they were on, to the data file; a run that
is there already stays. The last one asks, of every run of a folder, what would have been expected of it by
probes alone; by probes of other networks of its kind alone, as where there was no time for its own; and by a
predictor that has learned from the package's prior and from the runs on all other folders (which takes some
minutes). Each run was judged by images that it had not seen. A range for 80 % should hold 70 to 90 % of the
runs, and the mean absolute error (MAE) should be 6 points at most. Two constants of what probes let expect,
FAMILY_DEVIATION and TOO_FEW_LOSS of `probe_estimate.py`, were chosen by some of the recorded runs, which
flatters what is told of these; "untouched" are the others.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from nni_nasoa.advisor import ExperienceStore
from nni_nasoa.advisor.accuracy.features import features_of
from nni_nasoa.advisor.accuracy.predictor import learnable, make_prior, prior_records
from nni_nasoa.advisor.accuracy.probe_estimate import probe_estimates
from nni_nasoa.advisor.task.profiles import TaskProfile
from nni_nasoa.experience.records import RunRecord
from nni_nasoa.files import write_bytes, write_text

FOLDER = Path(__file__).with_name("data")
DATA, RESULT = FOLDER / "promises.jsonl.gz", FOLDER / "promises.json"


@dataclass(frozen=True)
class Run:
    """A run, and the profile of what it was on.

    Parameters
    ----------
    tuned
        Whether constants of what probes let expect were chosen by it, among others.
    """

    record: RunRecord
    profile: TaskProfile
    tuned: bool = False

    @property
    def folder(self) -> str:
        """Name of the folder of which it was on a part."""
        return self.record.task.partition("#")[0]

    @property
    def trained(self) -> float:
        """Share of the network's stages that were trained; 0 for a head alone."""
        stages = self.profile.model_figures(self.record.model).stages
        frozen = stages if self.record.outcome.cut_to_head else self.record.regime["frozen_stages"]
        return 1 - min(frozen / stages, 1)


class Expected(NamedTuple):
    """Accuracies that are expected of n runs, and both ends of ranges for 80 %, (n,) each."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


Method = Callable[[Sequence[Run], Sequence[Run]], Expected]
"""What to expect of runs, by other ones: the runs that are known, and those that are asked about."""


# -- the data file --


def read(path: Path) -> list[Run]:
    """The runs of a data file that something can be learned from."""
    lines = gzip.decompress(path.read_bytes()).decode().splitlines() if path.is_file() else []
    profiles: dict[str, TaskProfile] = {}
    runs = []
    for line in map(json.loads, lines):
        if "profile" in line:
            profiles[line["task"]] = TaskProfile.from_json(line["profile"])
        else:
            record = RunRecord.from_json(line["record"])
            runs.append(Run(record, profiles[record.task], line.get("tuned", False)))
    return [run for run in runs if learnable(run.record)]


def add(path: Path, location: str) -> int:
    """Add what a store has of collected runs; how many there are then."""
    found = {run.record.id: run for run in read(path)}
    with ExperienceStore(location, create=False) as store:
        for record in store.records():
            kept = store.profile(record.profile.get("fingerprint", ""))
            if record.source == "collect" and kept is not None and record.id not in found:
                found[record.id] = Run(record, TaskProfile.from_json(kept))
    tasks: dict[str, TaskProfile] = {}
    for run in found.values():  # stores may have probed other networks
        known = tasks.get(run.record.task, run.profile)
        tasks[run.record.task] = known.with_more(run.profile.probes, run.profile.landmarks)
    lines = [{"task": task, "profile": profile.to_json()} for task, profile in sorted(tasks.items())]
    lines += [
        {"record": found[name].record.to_json() | {"curve": []}, "tuned": found[name].tuned}
        for name in sorted(found)
    ]
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    write_bytes(path, gzip.compress(text.encode(), mtime=0))
    return len(found)


# -- what is expected --


def by_probes(_known: Sequence[Run], asked: Sequence[Run], *, own: bool = True) -> Expected:
    """By probes alone, as the advice has it of networks and data that no run tells of.

    Parameters
    ----------
    asked
        The runs.
    own
        Whether the network itself was probed.
    """
    rows = []
    for run in asked:
        record = run.record
        probes = {
            name: found
            for name, found in run.profile.probes.items()
            if own or name.partition("@")[0] != record.model
        }
        figures = run.profile.model_figures(record.model)
        rows.append(
            probe_estimates(
                probes,
                figures,
                np.array([record.regime["input_size"] or figures.own_size]),
                float(run.profile.dataset.train_images or 1),
                np.array([np.nan if record.epochs is None else record.epochs]),
                np.array([run.trained]),
            )[:, 0]
        )
    return Expected(*np.transpose(rows))


def by_predictor(known: Sequence[Run], asked: Sequence[Run]) -> Expected:
    """By a predictor that begins with the package's prior and what is known."""
    predictor = make_prior([*prior_records(), *(run.record for run in known)], members=2, coverage=0.8)
    return Expected(*predictor.predict(np.concatenate([features_of(run.record) for run in asked])))


METHODS: Mapping[str, Method] = {
    "probes": by_probes,
    "probes of others": partial(by_probes, own=False),
    "predictor": by_predictor,
}
USUAL = "probes", "probes of others"


# -- the comparison --


def left_out(runs: Sequence[Run], method: Method) -> Iterator[tuple[Sequence[Run], Expected]]:
    """Of each folder of images its runs, and what is expected of them by those on all others."""
    for folder in sorted({run.folder for run in runs if not run.folder.startswith("task:")}):
        asked = [run for run in runs if run.folder == folder]
        yield asked, method([run for run in runs if run.folder != folder], asked)


def figures_of(asked: Sequence[Run], expected: Expected) -> dict[str, float]:
    """How well it came true."""
    reached = np.array([run.record.accuracy for run in asked])
    inside = (expected.low <= reached) & (reached <= expected.high)
    return {
        "runs": len(asked),
        "mae": float(np.abs(expected.mean - reached).mean()),
        "bias": float((expected.mean - reached).mean()),
        "coverage": float(inside.mean()),
        "width": float((expected.high - expected.low).mean()),
    }


def compare(runs: Sequence[Run], names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """By method and folder the figures, and those of all folders, "all"; with what was expected."""
    result: dict[str, dict[str, Any]] = {}
    for name in names:
        asked: list[Run] = []
        parts: list[Expected] = []
        result[name] = {}
        for some, expected in left_out(runs, METHODS[name]):
            result[name][some[0].folder] = figures_of(some, expected)
            asked += some
            parts.append(expected)
        whole = Expected(*map(np.concatenate, zip(*parts)))
        result[name]["all"] = figures_of(asked, whole)
        for kind, chosen in kinds(asked).items():
            mine = Expected(*(column[chosen] for column in whole))
            result[name][kind] = figures_of([asked[row] for row in chosen], mine)
        result[name]["points"] = [
            [run.folder, *(round(float(value), 4) for value in (run.record.accuracy or 0, *row))]
            for run, row in zip(asked, zip(*whole))
        ]
    return result


def kinds(runs: Sequence[Run]) -> dict[str, np.ndarray]:
    """Rows of runs by kind: heads alone or stages, too; families of networks; what chose no constant."""
    heads = np.array([run.trained == 0 for run in runs])
    families = np.array([run.record.model_figures["family"] for run in runs])
    masks = {"heads": heads, "stages": ~heads} | {name: families == name for name in np.unique(families)}
    masks["untouched"] = np.array([not run.tuned for run in runs])
    return {str(name): np.flatnonzero(mine) for name, mine in masks.items() if mine.any()}


def show(result: Mapping[str, Mapping[str, Any]]) -> None:
    """A table of the figures."""
    table = Table("expected by", "folder", "runs", "MAE, points", "bias", "in the range", "its width")
    for name, folders in result.items():
        for folder, found in folders.items():
            if folder == "points":
                continue
            shares = (f"{100 * found[key]:.1f}" for key in ("mae", "bias", "coverage", "width"))
            table.add_row(name, folder, str(found["runs"]), *shares)
    Console().print(table)


def draw(result: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """A picture: what was reached against what was expected, a panel for each method."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, len(result), figsize=(5.2 * len(result), 5.2), sharey=True, squeeze=False, layout="constrained"
    )
    for axis, (name, found) in zip(axes[0], result.items()):
        axis.plot([0, 100], [0, 100], color="0.6", linewidth=1)
        for place, folder in enumerate(dict.fromkeys(point[0] for point in found["points"])):
            points = 100 * np.array([point[1:] for point in found["points"] if point[0] == folder])
            reached, mean, low, high = points.T
            axis.errorbar(
                mean,
                reached,
                xerr=[mean - low, high - mean],
                fmt="o",
                markersize=3.5,
                linewidth=0.4,
                alpha=0.75,
                color=f"C{place}",
                label=folder,
            )
        every = found["all"]
        axis.set_title(
            f"by {name}: {100 * every['mae']:.1f} points off, "
            f"{100 * every['coverage']:.0f} % in the range for 80 %",
            fontsize=10,
        )
        axis.set(xlabel="expected accuracy, %, with its range", xlim=(0, 100), ylim=(0, 100))
    axes[0][0].set_ylabel("accuracy on images that the run has not seen, %")
    axes[0][0].legend(fontsize=8, loc="upper left")
    figure.savefig(path, dpi=150)


@click.command()
@click.option("--record", metavar="STORE", help="Add the runs of this store to the data file, no more.")
@click.option("--by", multiple=True, type=click.Choice(list(METHODS)), help="How; by default by probes.")
@click.option("--data", type=click.Path(dir_okay=False, path_type=Path), default=DATA, help="The data file.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), default=RESULT)
def main(record: str | None, by: tuple[str, ...], data: Path, output: Path) -> None:
    """Tell whether expected accuracies come true on folders that no run was on."""
    if record is not None:
        click.echo(f"{data} has {add(data, record)} runs")
        return
    result = compare(read(data), by or USUAL)
    show(result)
    write_text(output, json.dumps(result) + "\n")
    draw(result, output.with_suffix(".png"))


if __name__ == "__main__":
    main()
