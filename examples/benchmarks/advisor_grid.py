"""The grid of regimes that was recorded on every task, and what the advisor chooses of it.

`advisor_regret.py --record` makes it; `advisor_common` says what its file looks like.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from advisor_common import DATA, KEPT, SOURCE, read_lines

from nni_nasoa.advisor.accuracy.predictor import AccuracyPredictor, make_prior, prior_records
from nni_nasoa.advisor.candidates import (
    BATCHES,
    DECAYS,
    RATES,
    SMOOTHINGS,
    Candidates,
)
from nni_nasoa.advisor.fitting import fitting
from nni_nasoa.advisor.models import ModelFigures
from nni_nasoa.advisor.scored_candidates import scored
from nni_nasoa.advisor.task.profiles import VERSION, TaskProfile
from nni_nasoa.advisor.time.time_model import TimeModel
from nni_nasoa.experience.old_records import upgraded_record
from nni_nasoa.experience.records import RunRecord, StepTime
from nni_nasoa.training.regime import ADVISED_AUGMENTATIONS, FineTuneRegime

GRID = DATA / "advisor_grid.jsonl.gz"


def grid_regimes(models: Sequence[str], count: int, seed: int = 0) -> list[FineTuneRegime]:
    """Regimes that fill the space of candidates evenly: models' defaults and Latin samples, `count` in all.

    Every value of each setting comes as often as any other. The lowest and the highest rates of the
    candidates are left out: few runs of seconds get far with them.
    """
    rng, rows = np.random.default_rng(seed), count - len(models)
    rates = [(kind, rate) for kind, all_rates in RATES.items() for rate in all_rates[1:-1]]

    def column(values: Sequence) -> list:
        return [values[i] for i in rng.permutation(np.arange(max(rows, 0)) % len(values))]

    columns = zip(
        np.resize(models, max(rows, 0)).tolist(),
        column(rates),
        column(range(2)),
        column(BATCHES),
        column(ADVISED_AUGMENTATIONS),
        column(SMOOTHINGS),
        column(np.linspace(0, 1, 5)),
        column(np.linspace(0, 1, 4)),
    )
    figures = {model: ModelFigures.of_zoo(model) for model in models}
    made = [FineTuneRegime(model, input_size=figures[model].known.get("input_size")) for model in models]
    for model, (optimizer, rate), decay, batch, augmentation, smoothing, frozen, size in columns:
        sizes = figures[model].input_sizes
        made.append(
            FineTuneRegime(
                model,
                learning_rate=rate,
                weight_decay=DECAYS[optimizer][decay],
                optimizer=optimizer,
                batch_size=batch,
                augmentation=augmentation,
                label_smoothing=smoothing,
                frozen_stages=round(frozen * figures[model].stages),
                input_size=sizes[round(size * (len(sizes) - 1))],
            )
        )
    return list(dict.fromkeys(made))[: max(count, len(models))]


@dataclass
class Advisor:
    """What the advisor knows, of accuracies and of times."""

    predictor: AccuracyPredictor
    time_model: TimeModel

    def learn(self, record: RunRecord) -> None:
        """Learn from a run."""
        self.predictor.learn(record)
        self.time_model.observe(record)

    def copy(self) -> Advisor:
        """One that learns by itself."""
        times = self.time_model
        return Advisor(
            AccuracyPredictor.from_bytes(self.predictor.to_bytes()),
            TimeModel.from_bytes(times.to_bytes(), times.step_times, times.device_key),
        )


@dataclass
class TaskGrid:
    """What was recorded of a task: its profile, and runs of the same budget.

    Parameters
    ----------
    regimes, records
        The n regimes, and for each the record of its first run.
    accuracies
        For each its accuracy on all validation images, the mean of its runs with several seeds.
    seeds
        So many runs of each there are, at least.
    """

    name: str
    budget: float
    profile: TaskProfile
    regimes: list[FineTuneRegime] = field(default_factory=list)
    records: list[RunRecord] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    seeds: int = 1

    def advised(self, advisor: Advisor) -> int:
        """Which of the recorded regimes the advisor chooses, as it would among all candidates."""
        figures = {regime.model: self.profile.model_figures(regime.model) for regime in self.regimes}
        return self.regimes.index(self.choice(advisor, Candidates.of_regimes(self.regimes, figures)))

    def choice(self, advisor: Advisor, among: Candidates | None = None) -> FineTuneRegime:
        """What the advisor chooses here, of the recorded models; by default among all candidates."""
        from nni_nasoa.zoo import get

        models = [get(name) for name in dict.fromkeys(regime.model for regime in self.regimes)]
        fit = fitting(self.profile, models, advisor.time_model, self.budget, source=SOURCE, regimes=among)
        among = scored(fit, advisor.predictor)
        return among.regimes.regime(among.order(1)[0])

    def regrets(self) -> np.ndarray:
        """How far each run is behind the best, in points of accuracy, (n,)."""
        return 100 * (max(self.accuracies) - np.array(self.accuracies))


def _recorded(profile: dict[str, Any]) -> TaskProfile:
    """The profile of a recording, whose probes may be those of an earlier release."""
    return TaskProfile.from_json({"looked_for": {}, **profile, "version": VERSION})


def read_grid(path: Path) -> dict[str, TaskGrid]:
    """The grids of a data file by task; SystemExit where there are none."""
    lines = read_lines(path)
    profiles = {line["task"]: _recorded(line["profile"]) for line in lines if "profile" in line}
    grids: dict[str, TaskGrid] = {}
    accuracies: dict[tuple[str, FineTuneRegime], list[float]] = {}
    for line in lines:
        if "job" in line:
            job = line["job"]
            regime, profile = FineTuneRegime.from_json(job["regime"]), profiles[job["task"]]
            accuracies.setdefault((job["task"], regime), []).append(line["val_accuracy"])
            if len(accuracies[job["task"], regime]) > 1:
                continue
            kept = upgraded_record(line)
            unknown = RunRecord(
                job["task"], regime.model, job["regime"], "cpu", 1, job["budget"], "failed", source=SOURCE
            )
            grid = grids.setdefault(job["task"], TaskGrid(job["task"], job["budget"], profile))
            grid.regimes.append(regime)
            grid.records.append(
                RunRecord.from_json(
                    {
                        **unknown.to_json(),
                        **{name: kept[name] for name in KEPT},
                        "profile": profile.flat(),
                        "model_figures": profile.model_figures(regime.model).of_run(),
                    }
                )
            )
    if not grids:
        raise SystemExit(f"{path}: no recorded runs; 'advisor_regret.py --record' makes them")
    for name, grid in grids.items():
        runs = [accuracies[name, regime] for regime in grid.regimes]
        grid.accuracies, grid.seeds = [float(np.mean(of_regime)) for of_regime in runs], min(map(len, runs))
    return grids


def cold_advisor(
    path: Path, without: Collection[str] = (), records: Iterable[RunRecord] | None = None
) -> Advisor:
    """What the advisor knows before its first run: the package's prior, and the step times in a data file.

    SystemExit where the file has none. With names of kinds, the prior is made anew of what there is of other
    ones in `records`, which are the prior's own unless they are given.
    """
    rows = [StepTime(**line["step_time"]) for line in read_lines(path) if "step_time" in line]
    if not rows:
        raise SystemExit(f"{path}: no step times; 'advisor_regret.py --record' measures them")
    if without:
        known = prior_records() if records is None else records
        prior = make_prior(record for record in known if kind_of(record.task) not in without)
    else:
        prior = AccuracyPredictor.from_prior()
    return Advisor(prior, TimeModel(rows, rows[0].device))


def kind_of(task: str) -> str:
    """Of a task that is drawn: "letters", "counting", ...; of another dataset, or a half of one, its name."""
    from nni_nasoa.data.tasks import get_task

    prefix, _, name = task.partition(":")
    return get_task(name).kind if prefix == "task" and "@" not in name else task


def whole_grids(grids: Mapping[str, TaskGrid]) -> dict[str, TaskGrid]:
    """Those of whole tasks, all with the same regimes in the same order.

    Of tasks that are not complete, they are what all have.
    """
    whole = {name: grid for name, grid in grids.items() if "@" not in name}
    common = [
        regime
        for regime in next(iter(whole.values())).regimes
        if all(regime in grid.regimes for grid in whole.values())
    ]
    seeds = min(grid.seeds for grid in whole.values())
    return {
        name: replace(_only(grid, [grid.regimes.index(regime) for regime in common]), seeds=seeds)
        for name, grid in whole.items()
    }


def _only(grid: TaskGrid, rows: Iterable[int]) -> TaskGrid:
    rows = list(rows)
    columns = ([values[i] for i in rows] for values in (grid.regimes, grid.records, grid.accuracies))
    return TaskGrid(grid.name, grid.budget, grid.profile, *columns)
