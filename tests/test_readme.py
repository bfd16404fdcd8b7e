"""What the README says: its figures are those of the recorded runs, its files are there, its code and configs are right."""

import ast
import importlib
import json
import re
import shlex
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import yaml

from nni_nasoa.figures.block_drawing import CLASSIC_BLOCKS
from nni_nasoa.plugin.class_args import EvolutionArgs
from nni_nasoa.search.front import pareto_front, read_front, read_records

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
DATA = ROOT / "examples" / "benchmarks" / "data"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def rows(heading):
    """The cells of the table whose first heading cells are these."""
    lines = iter(TEXT.splitlines())
    next(line for line in lines if line.startswith(f"| {heading} |"))
    next(lines)
    table = []
    while (line := next(lines)).startswith("|"):
        table.append([cell.strip(" *`") for cell in line.strip("|").split("|")])
    return table


def test_the_front_is_that_of_the_recorded_search():
    front = read_front(ROOT / "examples" / "search_digits" / "front.json")
    records = read_records(ROOT / "examples" / "search_digits" / "results.csv")
    assert [record["architecture"] for record in pareto_front(records)] == [
        record["architecture"] for record in front
    ]
    said = [(row[1], row[2], row[4], row[5], row[6]) for row in rows("# | accuracy | relative speed")]
    assert said == [
        (
            f"{100 * one['accuracy']:.2f} %",
            f"{one['relative_speed']:.2f}",
            f"{one['params_m']:.3f} M",
            f"{one['gmacs']:.4f}",
            one["architecture"],
        )
        for one in front
    ]
    assert f"{len(records)} networks in" in TEXT


def test_at_the_speed_of_each_well_known_block_the_front_is_more_accurate():
    records = read_records(ROOT / "examples" / "search_digits" / "results.csv")
    front = pareto_front(records)
    known = [
        one for one in records if one["architecture"].partition("_")[0] in CLASSIC_BLOCKS and one not in front
    ]
    assert len(known) >= 3
    for one in known:
        assert any(
            best["relative_speed"] >= one["relative_speed"] and best["accuracy"] > one["accuracy"]
            for best in front
        )


def test_search_quality_is_as_measured():
    strategies = json.loads((DATA / "search_quality.json").read_text())["strategies"]
    marks = (20, 40, 60, 80, 100, 150)
    measured = [[f"{run['median'][mark - 1]:.3f}" for mark in marks] for run in strategies.values()]
    assert [row[1:] for row in rows("evaluated networks | 20")] == measured
    ours, *others = (run["median"] for run in strategies.values())
    behind = [n for n, values in enumerate(zip(ours, *others), start=1) if values[0] <= max(values[1:])]
    assert [n for n in behind if n >= 37] == [65]  # as the README says
    final, *finals = (run["final"] for run in strategies.values())
    assert min(sum(a > b for a, b in zip(final, other)) for other in finals) >= 17
    assert ours[-1] > max(median[-1] for median in others)  # what the search is for


def test_speeds_beside_other_work_are_as_measured():
    measured = {
        one["architecture"]: one for one in json.loads((DATA / "relative_speed.json").read_text())["networks"]
    }
    for name, raw, relative in rows("network | raw training step"):
        for text, figure in ((raw, "raw_step_ms"), (relative, "relative_speed")):
            quiet, loaded, change = re.fullmatch(
                r"([\d.]+) to ([\d.]+)(?: ms)? \(([+-][\d.]+) %\)", text
            ).groups()
            medians = [measured[name]["medians"][state][figure] for state in ("quiet", "loaded")]
            assert [float(quiet), float(loaded)] == pytest.approx(medians, rel=0.005)
            assert float(change) == pytest.approx(measured[name]["change_percent"][figure], abs=1)
        assert (
            abs(measured[name]["change_percent"]["relative_speed"])
            < 10
            < abs(measured[name]["change_percent"]["raw_step_ms"])
        )


def test_other_figures_are_as_measured():
    ratio = json.loads((DATA / "trial_start.json").read_text())["ratio_of_medians"]
    assert (
        f"takes {ratio['elapsed']:.2f} of the time\n({ratio['processor']:.2f} of the processor time)" in TEXT
        and max(ratio.values()) <= 0.6
    )
    times = {
        one["name"]: one for one in json.loads((DATA / "step_time_cpu_small.json").read_text())["networks"]
    }
    for name, words in (
        ("et-nas-e", r"ET-NAS-E \(([\d.]+) % on ImageNet\) ([\d.]+) s"),
        ("resnet50", r"ResNet-50 \(([\d.]+) %\) ([\d.]+) s"),
        ("regnet_y_800mf", r"RegNetY-800MF \(([\d.]+) %\) takes\s([\d.]+) s"),
    ):
        top1, seconds = map(float, re.search(words, TEXT).groups())
        assert top1 == pytest.approx(times[name]["imagenet_top1"], abs=0.051)
        assert seconds == pytest.approx(times[name]["train_fp32"]["step_time_ms"] / 1e3, abs=0.0051)


def test_the_worth_of_pretraining_is_as_measured():
    runs = json.loads((DATA / "nano_pretrained.json").read_text())["runs"]

    def accuracy(**where):
        at_rates = {}
        for run in runs:
            if where.items() <= run.items():
                at_rates.setdefault(run["learning_rate"], []).append(run)
        best = max(at_rates.values(), key=lambda group: median(run["val_accuracy"] for run in group))
        return f"{100 * median(run['test_accuracy'] for run in best):.1f}"

    table = rows("task | seconds | nano-a")
    better = []
    for task, budget, *cells in table:
        for model, cell in zip(("nano-a", "nano-c", "nano-e"), cells, strict=True):
            where = {"task": re.match(r"\w+", task)[0], "budget": float(budget), "model": model}
            scratch, pretrained = (accuracy(side=side, **where) for side in ("scratch", "pretrained"))
            assert cell == f"{scratch} → {pretrained}"
            better.append(float(pretrained) > float(scratch))
    assert len(better) == 30 and sum(better) > 20  # worth it on most tasks


def test_accuracies_at_equal_wall_clock_are_as_measured():
    measured = json.loads((DATA / "finetune_vs_plain.json").read_text())
    for task, *cells in rows("task | 3 seconds | 10 seconds"):
        for budget, cell in zip((3, 10), cells, strict=True):
            (of_task,) = (
                one for one in measured["results"] if task.startswith(one["task"]) and one["budget"] == budget
            )
            plain, ours = (median(run[side] for run in of_task["runs"]) for side in ("plain", "ours"))
            assert (
                len(of_task["runs"]) == 5 and cell == f"{100 * plain:.1f} → **{100 * ours:.1f}"
            )  # rows() takes the last stars
            assert ours > plain


def test_what_kept_features_save_is_as_measured():
    measured = {
        (one["frozen_stages"], one["augmentation"]): one
        for one in json.loads((DATA / "frozen_features.json").read_text())["results"]
    }
    for frozen, *cells in rows("frozen stages | no augmentation"):
        for augmentation, speed, accuracy in (("none", *cells[:2]), ("crop", *cells[2:])):
            one = measured[int(frozen[0]), augmentation]
            epochs, of = (
                one["epochs_per_second"],
                {side: 100 * value for side, value in one["accuracy"].items()},
            )
            assert speed == f"{epochs['computed']:.2f} → **{epochs['kept']:.1f}** ({one['ratio']:.1f}x)"
            assert (
                accuracy == f"{of['computed']:.1f} → {of['kept']:.1f}"
                and abs(of["kept"] - of["computed"]) < 2
            )
    assert min(one["ratio"] for (frozen, _), one in measured.items() if frozen == 4) >= 10


def test_runs_end_on_time_as_measured():
    runs = json.loads((DATA / "finetune_deadlines.json").read_text())["results"]
    shares = [100 * run["share"] for run in runs]
    assert (
        len(runs) == 30
        and all(run["in_time"] for run in runs)
        and len({run["regime"]["model"] for run in runs}) == 8
    )
    assert f"used {min(shares):.1f} to {max(shares):.1f} % of their time" in TEXT and min(shares) >= 90


def test_images_per_second_are_as_measured():
    measured = json.loads((DATA / "finetune_throughput.json").read_text())
    ours, loader = (f"{median(measured['images_per_second'][name]):.0f}" for name in ("finetune", "loader"))
    assert (
        f"on {ours} images a second" in TEXT and f"on {loader}: {measured['ratio']:.1f} times as many" in TEXT
    )
    assert (
        f"took {measured['cache_seconds']:.1f} s" in TEXT
        and measured["arguments"]["images"] == "5000"
        and measured["ratio"] >= 1.5
    )


def tenths(value):
    """With one digit, and no sign before 0.0."""
    return f"{round(value, 1) + 0.0:.1f}"


def test_regrets_are_as_measured():
    result = json.loads((DATA / "advisor_regret.json").read_text())
    keys = dict(
        zip(
            (row[0] for row in rows("regret, points | median")),
            ("own_cold", "own_seen", "cold", "seen", "defaults", "average", "random"),
            strict=True,
        )
    )
    for name, *cells in rows("regret, points | median"):
        assert cells == [tenths(result["summary"][keys[name]][what]) for what in ("median", "mean", "worst")]
    assert result["summary"]["own_cold"]["median"] <= 2 and result["summary"]["own_seen"]["median"] <= 1
    cold, seen = (tenths(result["against_recorded"][method]) for method in ("own_cold", "own_seen"))
    assert f"medians are {cold} and {seen}" in TEXT and f"{result['speed']:.1f} times as many epochs" in TEXT
    assert (
        f"{len(result['tasks'])} tasks" in TEXT
        and f"for {result['budget']:g} seconds" in TEXT
        and result["tasks_seen"] == 20
    )
    assert (
        f"{result['regimes']} regimes were run twice" in TEXT
        and result["regimes"] >= 40
        and result["seeds"] == 2
    )


def test_accuracies_within_a_time_limit_are_as_measured():
    result = json.loads((DATA / "advisor_budgets.json").read_text())
    table = rows("advised, above")
    for row, (kind, name) in zip(
        table, product(("advised", "advised, profile known"), result["series"]), strict=True
    ):
        of = result["difference"][kind][name]
        assert row[0] == ("profile known: " if "," in kind else "") + name
        assert row[1:] == [
            f"{value:+.1f}" for value in (*of["by_budget"], of["mean"], of["least"], of["most"])
        ]
    assert (
        len(result["tasks"]) >= 6
        and len(result["budgets"]) == 4
        and f"on {len(result['tasks'])} held-out tasks" in TEXT
    )


def test_time_to_the_advised_accuracy_is_as_measured():
    result = json.loads((DATA / "advisor_vs_tuners.json").read_text())
    for name, *cells in rows("tuner | median"):
        of = result["ratio"][name]
        assert cells == [f"{of[key]:.1f}" for key in ("median", "mean", "least", "most")]


def test_what_the_predictor_learns_is_as_measured():
    mae = json.loads((DATA / "predictor.json").read_text())["mae"]
    table = {name: cells for name, *cells in rows("mean absolute error | first third")}
    for name, cells in table.items():
        assert cells == [f"{100 * sum(each) / len(each):.2f}" for each in zip(*mae[name])]
    assert table.keys() == mae.keys()


def test_times_are_foretold_as_measured():
    prior, *live = (
        json.loads((DATA / f"advisor_time_model{which}.json").read_text())["runs"]
        for which in ("", "_live", "_live_2")
    )
    for (name, *cells), runs in zip(rows("runs | wall clock"), (prior, *live, sum(live, [])), strict=True):

        def errors(which, what):
            return np.array(
                [abs(run[which][what] / run[what] - 1) for run in runs if what == "seconds" or run["filled"]]
            )

        medians = [
            f"{100 * np.median(errors(which, what)):.1f}"
            for which in ("corrected", "uncorrected")
            for what in ("seconds", "epochs")
        ]
        medians.insert(1, f"{100 * np.quantile(errors('corrected', 'seconds'), 0.9):.0f}")
        assert cells == medians and f"{len(runs)} " in f"{name} "


def test_the_files_that_it_names_are_there():
    named = {
        *re.findall(r"\]\((?!http)([^)]+)\)", TEXT),
        *re.findall(r"(?:experiment_configs|examples)/[\w/.-]*\w", TEXT),
    }
    named |= {f"experiment_configs/{name}" for name in re.findall(r"\bsearch\w*\.yml", TEXT)}
    assert len(named) > 8 and [name for name in named if not (ROOT / name).exists()] == []


def test_its_python_imports_what_there_is():
    found = 0
    for block in blocks("python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("nni_nasoa"):
                found += len(
                    [getattr(importlib.import_module(node.module), name.name) for name in node.names]
                )
    assert found >= 4


def test_its_tuner_is_one_that_the_tuner_accepts():
    (tuner,) = (yaml.safe_load(block)["tuner"] for block in blocks("yaml") if "tuner:" in block)
    assert tuner["className"] == "nni_nasoa.plugin.evolution_tuner.EvolutionTuner"
    EvolutionArgs.parse(tuner["classArgs"])
    documented = {name for row in rows("classArgs | default") for name in re.findall(r"\w+", row[0])}
    assert documented == set(EvolutionArgs.__dataclass_fields__)


def test_two_commands_of_one_line_do_the_set_up():
    first, second = (block for block in blocks("bash") if "pip install" in block)
    assert first.count("\n") == second.count("\n") == 1 and TEXT.index(first) < TEXT.index(second)
    steps = [shlex.split(step) for step in first.split("&&")]
    assert [
        "nnictl",
        "create",
        "--config",
        "experiment_configs/search.yml",
        "--foreground",
    ] in steps and steps[-1] == ["nasoa", "report"]
    assert "'.[test]'" in second and second.strip().endswith("pytest")
    # CI installs what the second one does.
    for package in re.search(r"apt-get install -y ([\w -]+?) &&", second)[1].split():
        assert package in (ROOT / ".ci" / "run").read_text(), package
