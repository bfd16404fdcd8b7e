"""The advisor's benchmarks, on grids that were made up."""

import dataclasses
import gzip
import json
from itertools import chain, product

import numpy as np
import pytest

from nni_nasoa.advisor.accuracy.predictor import AccuracyPredictor, prior_records
from nni_nasoa.advisor.task.profiles import TaskProfile
from nni_nasoa.data.profile import DatasetProfile
from nni_nasoa.experience.old_records import upgraded_record
from nni_nasoa.experience.records import StepTime
from nni_nasoa.training.outcome import Outcome, StopReason

MODELS, DEVICE = ("nano-a", "nano-c"), "a processor, 1 thread"


def step_times(model, stages=4):
    """Of a model that takes 0.1 ms for an image of 48 pixels, and thrice that to train on it."""
    for size, batch in product((32, 96), (8, 64)):
        seconds = 1e-4 * (size / 48) ** 2 * batch
        for frozen in range(stages + 1):
            yield StepTime(
                DEVICE, model, size, batch, frozen, "train", 1e-4 + 3 * seconds * (1 - frozen / stages)
            )
            if frozen:
                yield StepTime(DEVICE, model, size, batch, frozen, "features", seconds * frozen / stages)


@pytest.fixture
def grid(script, tmp_path):
    """A grid's file: nano-c is better, the more so the less is frozen; on the last task, nano-a is."""
    common, grids = script("advisor_common"), script("advisor_grid")
    regimes, plain = grids.grid_regimes(MODELS, 12), tmp_path / "grid.jsonl"
    for row in chain.from_iterable(map(step_times, MODELS)):
        common.append_line(plain, {"step_time": dataclasses.asdict(row)})
    for number, task in enumerate(("one", "two", "three")):
        profile = TaskProfile(
            DatasetProfile(task, task, classes=10, train_images=500 + 100 * number, val_images=200)
        )
        for name in (task, f"{task}@0"):
            common.append_line(plain, {"task": name, "profile": profile.to_json()})
            for regime in regimes if name == task else regimes[:5]:
                good = (
                    0.3 * (regime.model == ("nano-a" if task == "three" else "nano-c"))
                    + 0.1 * (3 - regime.frozen_stages) / 3
                )
                accuracy = 0.5 + good + 0.001 * regimes.index(regime)
                job = {"task": name, "regime": regime.to_json(), "budget": 4.0, "seed": 0}
                common.append_line(
                    plain,
                    {
                        "job": job,
                        "status": "ok",
                        "seconds": 3.9,
                        "accuracy": accuracy,
                        "val_accuracy": accuracy,
                        "epochs": 20.0,
                        "curve": [[1.0, accuracy / 2], [3.9, accuracy]],
                        "device": "a processor",
                        "threads": 1,
                        "versions": {},
                        "notes": [],
                    },
                )
    common.pack(plain, tmp_path / "grid.jsonl.gz")
    return tmp_path / "grid.jsonl.gz"


def test_grid_fills_the_space(script):
    grids = script("advisor_grid")
    regimes = grids.grid_regimes(("nano-a", "nano-b", "nano-f"), 48)
    assert (
        len(regimes) == len(set(regimes)) == 48
        and grids.grid_regimes(("nano-a", "nano-b", "nano-f"), 48) == regimes
    )
    assert [sum(regime.model == model for regime in regimes) for model in ("nano-a", "nano-b", "nano-f")] == [
        16,
        16,
        16,
    ]
    for name, least in {
        "learning_rate": 8,
        "frozen_stages": 4,
        "batch_size": 4,
        "augmentation": 4,
        "input_size": 4,
    }.items():
        assert len({getattr(regime, name) for regime in regimes}) >= least


def test_a_file_that_was_cut_off_goes_on(script, tmp_path):
    common, path = script("advisor_common"), tmp_path / "runs.jsonl"
    common.append_line(path, {"job": 1})
    with path.open("ab") as file:
        file.write(b'{"job": 2, "accu')
    assert common.read_lines(path) == [{"job": 1}]
    common.append_line(path, {"job": 3})
    assert common.read_lines(path) == [{"job": 1}, {"job": 3}]
    common.pack(path, tmp_path / "runs.jsonl.gz")
    assert gzip.decompress((tmp_path / "runs.jsonl.gz").read_bytes()).count(b"\n") == 2
    path.write_text('{"job": 1}\nrubbish\n{"job": 3}\n')
    with pytest.raises(SystemExit, match="line 2"):
        common.read_lines(path)


def test_halves_of_classes(script):
    common = script("advisor_common")
    whole, halves = (
        common.open_task("digits", 16),
        [common.open_task(f"digits@{half}", 16) for half in (0, 1)],
    )
    assert sorted(halves[0].classes + halves[1].classes) == sorted(whole.classes)
    assert sum(len(half.train) for half in halves) == len(whole.train)
    for half in halves:
        first = np.flatnonzero(half.train.labels == 2)[0]
        of_class = whole.train.images[whole.train.labels == whole.classes.index(half.classes[2])]
        assert (half.train.images[first] == of_class[0]).all()


def test_regret(script, grid, tmp_path, capsys):
    regret = script("advisor_regret", "--grid", grid, "--output", tmp_path, "--orders", 2, "--runs", 3)
    regret.main()
    result = json.loads((tmp_path / "advisor_regret.json").read_text())
    grids = regret.whole_grids(regret.read_grid(grid))
    assert (
        set(result["tasks"]) == {"one", "two", "three"}
        and result["tasks_seen"] == 4
        and result["regimes"] == 12
    )
    for name, task in result["tasks"].items():
        accuracies = np.array(grids[name].accuracies)
        assert (
            task["best"] == accuracies.max()
            and np.shape(task["along"]) == (2, 5)
            and task["seen"] == pytest.approx([curve[-1] for curve in task["along"]], abs=1e-3)
        )
        assert task["random"] == pytest.approx(100 * (accuracies.max() - accuracies.mean()))
        assert all(
            0 <= value <= 100 * np.ptp(accuracies) + 1e-9
            for method in regret.METHODS
            for value in np.atleast_1d(task[method])
        )
    assert result["summary"]["seen"]["median"] == pytest.approx(
        np.median([task["seen"] for task in result["tasks"].values()])
    )
    assert (
        result["tasks"]["one"]["average"] < 20 < result["tasks"]["three"]["average"]
    )  # the others' best network is wrong there
    assert (tmp_path / "advisor_regret.png").stat().st_size > 10_000 and "median" in capsys.readouterr().out


def test_what_is_advised_is_run_beside_the_best_of_the_grid(script, grid, tmp_path, monkeypatch):
    common, runs = script("advisor_common"), script("advisor_regret_runs")
    regret = script(
        "advisor_regret", "--grid", grid, "--output", tmp_path, "--orders", 2, "--runs", 3, "--own"
    )
    grids, made = regret.whole_grids(regret.read_grid(grid)), []

    def run(jobs, work, path, processes):
        """In place of training: the grid's third best reaches 0.7, its others 0.6, what is not in it 0.9."""
        there = [line["job"] for line in regret.read_lines(path)]
        for job in jobs:
            if job not in there:
                task = grids[job["task"]]
                regimes = [task.regimes[i].to_json() for i in np.argsort(task.regrets(), kind="stable")]
                accuracy = (
                    0.9 if job["regime"] not in regimes else 0.7 if job["regime"] == regimes[2] else 0.6
                )
                made.append(job)
                common.append_line(path, {"job": job, "val_accuracy": accuracy, "epochs": 30.0})

    # The grid's tasks are made up, and to train on real ones would take hours.
    monkeypatch.setattr(runs, "in_processes", run)
    monkeypatch.setattr(runs, "open_task", lambda task, size: None)
    common.append_line(
        tmp_path / "advisor_own.jsonl",
        {"job": {"task": "one", "regime": {}, "budget": 4.0, "seed": 1}, "val_accuracy": 1.0},
    )
    regret.main()
    result = json.loads((tmp_path / "advisor_regret.json").read_text())
    for name, task in result["tasks"].items():
        best = np.argsort(grids[name].regrets())[: regret.AGAIN]
        of_task = [job["regime"] for job in made if job["task"] == name]
        assert (
            all(grids[name].regimes[i].to_json() in of_task for i in best)
            and task["own_cold_regime"] in of_task
        )
        assert len(task["own_seen"]) == 2 and all(regime in of_task for regime in task["own_seen_regimes"])
        assert task["again"] == 0.7 and task["own_cold"] == pytest.approx(
            100 * (0.7 - task["own_cold_accuracy"])
        )
    assert {job["seed"] for job in made} == {1} and result["speed"] == 1.5
    assert result["against_recorded"]["own_cold"] == pytest.approx(
        np.median([100 * (task["best"] - task["own_cold_accuracy"]) for task in result["tasks"].values()])
    )
    lines, count = regret.read_lines(tmp_path / "advisor_own.jsonl.gz"), len(made)
    assert [line["job"] for line in lines] == made and not (tmp_path / "advisor_own.jsonl").exists()
    regret.main()
    assert len(made) == count and regret.read_lines(tmp_path / "advisor_own.jsonl.gz") == lines


def test_accuracy_of_a_regime_is_the_mean_of_its_runs(script, grid):
    common, recorded, plain = script("advisor_common"), script("advisor_grid"), grid.with_suffix("")
    before = recorded.whole_grids(recorded.read_grid(grid))
    regime = before["one"].regimes[3]
    line = next(
        line for line in common.read_lines(plain) if line.get("job", {}).get("regime") == regime.to_json()
    )
    common.append_line(plain, {**line, "job": {**line["job"], "seed": 1}, "val_accuracy": 0.25})
    after = recorded.whole_grids(recorded.read_grid(plain))
    assert after["one"].regimes == before["one"].regimes
    assert [record.accuracy for record in after["one"].records] == [
        record.accuracy for record in before["one"].records
    ]
    assert after["one"].accuracies[3] == pytest.approx((before["one"].accuracies[3] + 0.25) / 2)
    assert [*after["one"].accuracies[:3], *after["one"].accuracies[4:]] == [
        *before["one"].accuracies[:3],
        *before["one"].accuracies[4:],
    ]
    assert after["one"].seeds == 1
    for name in before:
        for regime in before[name].regimes:
            common.append_line(
                plain, {**line, "job": {**line["job"], "task": name, "regime": regime.to_json(), "seed": 2}}
            )
    assert {grid.seeds for grid in recorded.whole_grids(recorded.read_grid(plain)).values()} == {2}


def test_regret_falls_where_other_tasks_say_what_is_good(script, grid):
    regret = script("advisor_regret")
    grids = regret.whole_grids(regret.read_grid(grid))
    nothing = regret.Advisor(AccuracyPredictor(), regret.cold_advisor(grid).time_model)
    along = regret.regrets_along(nothing, grids["one"], [grids["two"]] * 6, np.random.default_rng(0), runs=12)
    assert along[-1] < np.mean(grids["one"].regrets()) / 2


def test_the_advisor_learns_the_times_too_and_its_copy_by_itself(script, grid):
    recorded = script("advisor_grid")
    cold, run = recorded.cold_advisor(grid), recorded.read_grid(grid)["one"].records[0]
    learner = cold.copy()
    learner.learn(run)
    assert (
        learner.time_model.seen == 1
        and learner.predictor.seen == cold.predictor.seen + 1
        and cold.time_model.seen == 0
    )
    empty = grid.parent / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(SystemExit, match="no step times"):
        recorded.cold_advisor(empty)


def test_kinds_are_left_out_of_the_prior(script, grid):
    recorded, some = script("advisor_grid"), prior_records()[:40]
    kinds = {recorded.kind_of(run.task) for run in some}
    left_out = {recorded.kind_of(some[0].task)}
    assert recorded.cold_advisor(grid, left_out, some).predictor.seen == sum(
        recorded.kind_of(run.task) not in left_out for run in some
    )
    assert left_out < kinds and [
        recorded.kind_of(name) for name in ("digits", "task:counts", "one", "one@0")
    ] == ["digits", "counting", "one", "one@0"]


def test_what_does_not_fit_is_not_advised(script, grid):
    recorded = script("advisor_grid")
    task, cold = recorded.read_grid(grid)["one"], recorded.cold_advisor(grid)
    slow = [
        dataclasses.replace(row, seconds=1e5 * row.seconds if row.frozen_stages < 4 else row.seconds)
        for row in cold.time_model.step_times
    ]
    cold.time_model = recorded.TimeModel(slow, cold.time_model.device_key)
    assert task.regimes[task.advised(cold)].frozen_stages == 4


def test_tuners_search_the_grid(script, grid, tmp_path):
    versus = script("advisor_vs_tuners", "--grid", grid, "--output", tmp_path, "--seeds", 2, "--most", 40)
    task = versus.whole_grids(versus.read_grid(grid))["one"]
    problem = versus.GridProblem(task)
    for run, regime in enumerate(task.regimes):
        sample = problem.described(regime)
        assert problem.nearest(sample) in [
            run,
            *(i for i, other in enumerate(task.regimes) if problem.described(other) == sample),
        ]
        assert all(sample[name] in values["_value"] for name, values in problem.search_space.items())
    assert (
        problem.accuracy(3, 1 / 3) == pytest.approx(task.accuracies[3] / 2) and problem.accuracy(3, 0.1) == 0
    )
    spent, reached = versus.search(problem, versus.random, 0, max(task.accuracies), 500)
    assert reached and 1 <= spent <= 500
    assert versus.search(problem, versus.random, 0, 1.0, 7) == (7.0, False)
    assert versus.search(problem, versus.tpe, 0, 0.0, 7) == (1.0, True)
    assert set(versus.tuners()) == {"TPE", "random", "BOHB"}
    for tuner in versus.tuners().values():
        first, second, other = (
            versus.search(problem, tuner, seed, max(task.accuracies), 500) for seed in (3, 3, 4)
        )
        assert first == second != other  # a seed is all that a search depends on
    versus.main()
    result = json.loads((tmp_path / "advisor_vs_tuners.json").read_text())
    assert (
        result["ratio"]["TPE"]["median"] >= 1 and (tmp_path / "advisor_vs_tuners.png").stat().st_size > 5_000
    )


def test_budgets(script, tmp_path):
    append_line = script("advisor_common").append_line
    budgets = script("advisor_budgets", "--show", "--output", tmp_path)
    series = {"resnet-like-a": "ResNet-like", "resnet-like-c": "ResNet-like", "regnet-like-a": "RegNet-like"}
    jobs = budgets.jobs_of(["one", "two"], [3.0, 6.0], series, 1)
    assert len(jobs) == 2 * 2 * (2 + len(series))
    accuracies = {None: 0.8, "resnet-like-a": 0.6, "resnet-like-c": 0.75, "regnet-like-a": 0.9}
    for job in jobs[:-1]:  # the last one has not been run yet, so its task and budget do not count
        append_line(
            tmp_path / "advisor_budgets.jsonl",
            {
                "job": job,
                "val_accuracy": accuracies[job["model"]]
                + 0.01 * (job["budget"] == 6.0 and job["series"] == budgets.ADVISED),
            },
        )
    budgets.main()
    result = json.loads((tmp_path / "advisor_budgets.json").read_text())
    found = result["difference"][budgets.ADVISED]
    assert found["ResNet-like"]["by_budget"] == pytest.approx([5, 6])
    assert found["RegNet-like"]["mean"] == pytest.approx((-10 - 10 - 9) / 3)
    assert result["difference"][budgets.PROFILED]["ResNet-like"]["mean"] == pytest.approx(5)
    assert (tmp_path / "advisor_budgets.png").stat().st_size > 10_000


def test_baselines_are_what_their_table_says(script):
    from nni_nasoa.architecture import Architecture

    rows = script("advisor_budgets").baselines()
    blocks = {"ResNet-like": "020-", "MobileNet-like": "14441-", "RegNet-like": "12321-"}
    for row in rows.values():
        architecture = Architecture.parse(row["encoding"])
        assert str(architecture.block) == blocks[row["series"]]
        assert float(row["params_m"]) == pytest.approx(architecture.parameters() / 1e6, abs=1e-4)
        assert float(row["gmacs_224"]) == pytest.approx(architecture.macs() / 1e9, abs=1e-4)


def test_recorded_runs_say_how_they_ended(script):
    """As their notes tell it, also in a recording of an earlier release, which has nothing but these."""
    common, recorded = script("advisor_common"), script("advisor_grid")
    files = sorted({*common.DATA.glob("advisor_*.jsonl"), *common.DATA.glob("advisor_*.jsonl.gz")})
    lines = [line for file in files for line in common.read_lines(file) if "job" in line]
    assert len(files) == 4 and len(lines) > 1900
    for line in lines:
        old = {name: value for name, value in line.items() if name != "outcome"}
        assert Outcome.from_json(upgraded_record(old)["outcome"]) == Outcome.from_json(line["outcome"])
    records = [record for grid in recorded.read_grid(recorded.GRID).values() for record in grid.records]
    assert {record.outcome.reason for record in records} == {StopReason.BUDGET, StopReason.SATURATED}
    assert any(record.outcome.cut_to_head for record in records)
