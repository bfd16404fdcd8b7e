"""How well the time model foretells runs that it has not seen.

Each run is predicted before it is learned from. Told is the error of the wall clock of the epochs that a run
did, and of the epochs that fitted into its budget; a run that fills its budget takes that, so that the epochs
are what counts. Both with and without what was learned from earlier runs. Runs during which other processes
took more of the processor than a share are counted and left out, where that is known:

    python examples/benchmarks/time_model.py --runs 40              # make and keep runs of the nano family
    python examples/benchmarks/time_model.py --store experience.db  # those that a store has of this device
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torchvision.models  # noqa: F401  (what a process imports does not count)
from outputs import output_file
from rich.console import Console
from rich.table import Table

from nni_nasoa.advisor import ExperienceStore, RunRecord
from nni_nasoa.advisor.candidates import random_regime
from nni_nasoa.advisor.time.step_times import step_times_for
from nni_nasoa.advisor.time.time_model import TimeModel
from nni_nasoa.data import open_dataset
from nni_nasoa.data.tasks import list_tasks
from nni_nasoa.device.device import resolve
from nni_nasoa.experience.records import positive
from nni_nasoa.finetune import FineTuneError, StopReason, finetune, record_of
from nni_nasoa.training.speed import environment
from nni_nasoa.zoo import list_models

OWN = "own_processor"  # in a record's profile: the run's share of the processor's time
KINDS = {
    "all": lambda _: True,
    "no stages frozen": lambda run: run["kind"] == 0,
    "some frozen": lambda run: run["kind"] == 1,
    "only the head": lambda run: run["kind"] == 2,
    "second half": lambda run: run["late"],
}


def make_runs(
    store: ExperienceStore,
    count: int,
    budgets: tuple[float, float],
    seed: int,
    least_own: float,
    minutes: float,
) -> None:
    """Carry out runs of random regimes on random small tasks.

    It ends when so many had the processor to themselves, or time is up.
    """
    rng, models = np.random.default_rng(seed), list_models("nano")
    tasks = ["digits", *(f"task:{name}" for name in list_tasks(held_out=False))]
    end, done = time.monotonic() + 60 * minutes, 0
    while done < count and time.monotonic() < end:
        regime, task, budget = (
            random_regime(rng, models),
            str(rng.choice(tasks)),
            float(rng.uniform(*budgets)),
        )
        split = open_dataset(task, input_size=regime.input_size)
        begin, processor = time.perf_counter(), time.process_time()
        try:
            result = finetune(split, regime, budget / 60, device="cpu", seed=seed)
        except FineTuneError as error:
            Console().print(f"left out: {error}")
            continue
        own = (time.process_time() - processor) / (time.perf_counter() - begin) / resolve("cpu").threads
        profile = {"train_images": len(split.train), "val_images": len(split.val)}
        record = record_of(result, profile=profile | {OWN: round(own, 3)})
        store.add(record)
        done += own >= least_own
        Console().print(
            f"{done:3} {task} {regime.model}, {result.frozen_stages} frozen, "
            f"{result.seconds:.2f} of {budget:.2f} s, "
            f"{result.epochs:.2f} epochs, processor {own:.0%}",
            highlight=False,
        )


def own_share(record: RunRecord) -> float:
    """How much of the wall clock a run's process computed in; NaN where nobody has noted it."""
    return positive(record.profile, OWN) or np.nan


def predicted(model: TimeModel, records: list[RunRecord]) -> list[dict]:
    """What was expected of each run before it was seen."""
    plain, rows = TimeModel(model.step_times, model.device_key), []
    for record in records:
        kind = model.kind_of(record)
        if kind is None or not record.epochs:
            continue
        expected = {
            name: {"seconds": each.seconds_for(record), "epochs": each.epochs_for(record)}
            for name, each in (("uncorrected", plain), ("corrected", model))
        }
        filled = record.outcome.reason is StopReason.BUDGET
        if model.observe(record):
            rows.append(
                {
                    "task": record.task,
                    "model": record.model,
                    "kind": kind,
                    "budget": record.budget_seconds,
                    "seconds": record.seconds,
                    "epochs": record.epochs,
                    "filled": filled,
                    **expected,
                }
            )
    for number, row in enumerate(rows):
        row["late"] = number >= len(rows) / 2
    return rows


def errors(rows: list[dict], what: str, which: str) -> dict[str, float]:
    """Median and 90th percentile of the relative errors."""
    rows = [row for row in rows if what == "seconds" or row["filled"]]
    found = np.array([abs(row[which][what] / row[what] - 1) for row in rows])
    return {"median": float(np.median(found)), "p90": float(np.quantile(found, 0.9))} if len(found) else {}


def evaluate(store: ExperienceStore, arguments: argparse.Namespace) -> None:
    """Make the runs that are asked for, predict all that there are, and tell and write the errors."""
    device, begin = resolve("cpu"), time.monotonic()
    fresh = TimeModel.from_store(store, step_times_for(list_models("nano"), device, store), device.key)
    measuring = time.monotonic() - begin
    if arguments.runs:
        make_runs(
            store,
            arguments.runs,
            tuple(arguments.budgets),
            arguments.seed,
            arguments.least_own,
            arguments.minutes,
        )
    records = list(store.records(status="ok", device=device.name))
    undisturbed = [record for record in records if not own_share(record) < arguments.least_own]
    rows = predicted(TimeModel(fresh.step_times, device.key), undisturbed)
    if not rows:
        raise SystemExit(f"{store.location}: no run of {device.key} that says something")
    table, results = Table("runs", "", "wall clock: median %", "90th %", "epochs: median %", "90th %"), {}
    for name, chosen in KINDS.items():
        part = [row for row in rows if chosen(row)]
        results[name] = {
            "runs": len(part),
            **{
                which: {what: errors(part, what, which) for what in ("seconds", "epochs")}
                for which in ("uncorrected", "corrected")
            },
        }
        for which in ("uncorrected", "corrected"):
            numbers = (
                results[name][which][what].get(figure)
                for what in ("seconds", "epochs")
                for figure in ("median", "p90")
            )
            table.add_row(
                f"{name} ({len(part)})",
                which,
                *(f"{100 * number:.1f}" if number is not None else "" for number in numbers),
            )
    Console().print(table)
    disturbed = len(records) - len(undisturbed)
    Console().print(
        f"{disturbed} of {len(records)} runs were disturbed and are left out; "
        f"{measuring:.1f} s for step times"
    )
    arguments.output.write_text(
        json.dumps(
            {
                "environment": environment("cpu"),
                "device": device.key,
                "least_own": arguments.least_own,
                "disturbed": disturbed,
                "seconds_measuring_or_reading_step_times": measuring,
                "results": results,
                "runs": rows,
            },
            indent=1,
        )
        + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--store", type=Path, default=None, help="records to read; with --runs, where they are kept"
    )
    parser.add_argument("--runs", type=int, default=0, help="how many to make")
    parser.add_argument(
        "--budgets",
        type=float,
        nargs=2,
        default=(2.0, 4.0),
        metavar="SECONDS",
        help="of runs, the shortest and the longest",
    )
    parser.add_argument("--minutes", type=float, default=30.0, help="after which no run is begun")
    parser.add_argument(
        "--least-own",
        type=float,
        default=0.9,
        help="share of the wall clock that a run's process has to compute in",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--output",
        type=output_file,
        metavar="FILE",
        default=Path(__file__).parent / "data" / "advisor_time_model.json",
    )
    arguments = parser.parse_args()
    if arguments.store is None and not arguments.runs:
        parser.error("give --runs, or a --store that has some")
    with (
        tempfile.TemporaryDirectory() as folder,
        ExperienceStore(
            arguments.store if arguments.store is not None else Path(folder) / "store.db"
        ) as store,
    ):
        evaluate(store, arguments)


if __name__ == "__main__":
    main()
