"""What examples/benchmarks/README.md tells is what was measured: all tables and figures are of its data."""

import json
import re
from collections import Counter
from itertools import product
from statistics import median

import numpy as np
import pytest
from documents import MEASURED, ROOT

from nni_nasoa.figures.measured import shipped

SCRIPTS = ROOT / "examples" / "benchmarks"
DATA = SCRIPTS / "data"
NANO_WEIGHTS = ROOT / "nni_nasoa" / "zoo" / "nano_weights"


def test_search_quality_is_as_measured():
    strategies = json.loads((DATA / "search_quality.json").read_text())["strategies"]
    marks = (20, 40, 60, 80, 100, 150)
    curves = [run["median"] for run in strategies.values()]
    measured = [[f"{one[mark - 1]:.3f}" if mark <= len(one) else "" for mark in marks] for one in curves]
    assert [row[1:] for row in MEASURED.rows("evaluated networks | 20")] == measured
    ours, *others = (run["median"] for name, run in strategies.items() if "at a time" not in name)
    for suffix in (", 4 at a time", ", 8 at a time"):
        with_one = strategies[f"NasoaEvolution{suffix}"]["median"]
        without = strategies[f"NasoaEvolution (surrogate: false){suffix}"]["median"]
        assert all(a >= b for a, b in zip(with_one[19:], without[19:]))
    behind = {
        n: max(rest) - one for n, (one, *rest) in enumerate(zip(ours, *others), start=1) if one < max(rest)
    }
    assert [n for n in behind if n >= 20] == [97, 98] and max(
        behind[97], behind[98]
    ) < 0.001  # as is said there
    assert ours[40 - 1] >= others[0][80 - 1]


def test_evaluations_until_the_front_is_found_are_as_measured():
    measured = json.loads((DATA / "search_problems.json").read_text())

    def cell(counts, limit):
        """The median and the extremes, those that were given up above all others."""
        texts = [f"> {limit}" if count is None else str(count) for count in counts]
        low, *_, high = ordered = [
            text for _, text in sorted(zip([count or np.inf for count in counts], texts))
        ]
        middle = ordered[len(ordered) // 2]
        return middle if low == high else f"{middle} ({low} to {high})"

    table = MEASURED.rows("evaluations until 95 %")
    searches = ["NasoaEvolution", "NasoaEvolution (surrogate: false)", "NSGA-II", "TPE"]
    assert [row[1:] for row in table] == [
        [
            cell(measured["evaluations"][problem][search], measured["limits"][problem][search])
            for problem in ("ZDT1", "DTLZ2", "mixed")
        ]
        for search in searches
    ]
    assert all(
        len(counts) == 5 for rows in measured["evaluations"].values() for counts in rows.values()
    )  # as is said there
    with_one, without, *_ = (measured["evaluations"]["ZDT1"][search] for search in searches)
    assert 10 * median(with_one) < median(count or np.inf for count in without)
    for problem in ("DTLZ2", "mixed"):
        assert not any(measured["evaluations"][problem]["NasoaEvolution"])


def test_speeds_beside_other_work_are_as_measured():
    measured = {
        one["architecture"]: one for one in json.loads((DATA / "relative_speed.json").read_text())["networks"]
    }
    for name, raw, relative in MEASURED.rows("network | raw training step"):
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
    ratios = json.loads((DATA / "trial_start.json").read_text())["ratio_of_medians"]
    for name, most in (("nasoa", 0.6), ("warm", 0.2)):
        ratio = ratios[name]
        told = f"takes {ratio['elapsed']:.2f} of the time ({ratio['processor']:.2f} of the processor time)"
        assert told in MEASURED.words and max(ratio.values()) <= most
    times = {
        one["name"]: one for one in json.loads((DATA / "step_time_cpu_small.json").read_text())["networks"]
    }
    for name, words in (
        ("et-nas-e", r"ET-NAS-E \(([\d.]+) % on ImageNet\) ([\d.]+) s"),
        ("resnet50", r"ResNet-50 \(([\d.]+) %\) ([\d.]+) s"),
        ("regnet_y_800mf", r"RegNetY-800MF \(([\d.]+) %\) takes ([\d.]+) s"),
    ):
        top1, seconds = map(float, re.search(words, MEASURED.words).groups())
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

    table = MEASURED.rows("task | seconds | nano-a")
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
    for task, *cells in MEASURED.rows("task | 3 seconds | 10 seconds"):
        for budget, cell in zip((3, 10), cells, strict=True):
            (of_task,) = (
                one for one in measured["results"] if task.startswith(one["task"]) and one["budget"] == budget
            )
            plain, ours = (median(run[side] for run in of_task["runs"]) for side in ("plain", "ours"))
            assert (
                len(of_task["runs"]) == 5 and cell == f"{100 * plain:.1f} → **{100 * ours:.1f}"
            )  # MEASURED.rows() takes the last stars
            assert ours > plain


def test_what_kept_features_save_is_as_measured():
    measured = {
        (one["frozen_stages"], one["augmentation"]): one
        for one in json.loads((DATA / "frozen_features.json").read_text())["results"]
    }
    for frozen, *cells in MEASURED.rows("frozen stages | no augmentation"):
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
    assert (
        f"used {min(shares):.1f} to {max(shares):.1f} % of their time" in MEASURED.words and min(shares) >= 90
    )


def test_images_per_second_are_as_measured():
    measured = json.loads((DATA / "finetune_throughput.json").read_text())
    ours, loader = (f"{median(measured['images_per_second'][name]):.0f}" for name in ("finetune", "loader"))
    assert (
        f"on {ours} images a second" in MEASURED.words
        and f"on {loader}: {measured['ratio']:.1f} times as many" in MEASURED.words
    )
    assert (
        f"took {measured['cache_seconds']:.1f} s" in MEASURED.words
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
            (row[0] for row in MEASURED.rows("regret, points | median")),
            ("own_cold", "own_seen", "cold", "seen", "defaults", "average", "random"),
            strict=True,
        )
    )
    for name, *cells in MEASURED.rows("regret, points | median"):
        assert cells == [tenths(result["summary"][keys[name]][what]) for what in ("median", "mean", "worst")]
    assert result["summary"]["own_cold"]["median"] <= 2 and result["summary"]["own_seen"]["median"] <= 1
    cold, seen = (tenths(result["against_recorded"][method]) for method in ("own_cold", "own_seen"))
    assert (
        f"medians are {cold} and {seen}" in MEASURED.words
        and f"{result['speed']:.1f} times as many epochs" in MEASURED.words
    )
    assert (
        f"{len(result['tasks'])} tasks" in MEASURED.words
        and f"for {result['budget']:g} seconds" in MEASURED.words
        and result["tasks_seen"] == 20
    )
    assert (
        f"{result['regimes']} regimes were run twice" in MEASURED.words
        and result["regimes"] >= 40
        and result["seeds"] == 2
    )


def test_blocks_that_were_found_are_as_measured():
    blocks = shipped()["blocks"]
    assert MEASURED.rows("classic block, first channels") == [
        [
            f"{one['block']}, {one['network'].split('_')[1]}",
            f"{100 * one['accuracy']:.1f} %",
            f"{100 * one['best_as_fast']:.1f} %",
        ]
        for one in blocks["classic"]
    ]
    assert (
        f"{blocks['networks']} blocks and widths, each trained for {blocks['epochs']} epochs"
        in MEASURED.words
    )


def test_accuracies_within_a_time_limit_are_as_measured():
    result = json.loads((DATA / "advisor_budgets.json").read_text())
    table = MEASURED.rows("advised, above")
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
        and f"on {len(result['tasks'])} held-out tasks" in MEASURED.words
    )
    means = [
        np.mean([one["mean"] for one in result["difference"][kind].values()])
        for kind in ("advised", "advised, profile known")
    ]
    assert "that is {:+.1f} points, and {:+.1f} with the profile known".format(*means) in MEASURED.words


def test_time_to_the_advised_accuracy_is_as_measured():
    result = json.loads((DATA / "advisor_vs_tuners.json").read_text())
    for name, *cells in MEASURED.rows("tuner | median"):
        of = result["ratio"][name]
        assert cells == [f"{of[key]:.1f}" for key in ("median", "mean", "least", "most")]


def test_what_the_predictor_learns_is_as_measured():
    mae = json.loads((DATA / "predictor.json").read_text())["mae"]
    table = {name: cells for name, *cells in MEASURED.rows("mean absolute error | first third")}
    for name, cells in table.items():
        assert cells == [f"{100 * sum(each) / len(each):.2f}" for each in zip(*mae[name])]
    assert table.keys() == mae.keys()


def test_times_are_foretold_as_measured():
    prior, *live = (
        json.loads((DATA / f"advisor_time_model{which}.json").read_text())["runs"]
        for which in ("", "_live", "_live_2")
    )
    for (name, *cells), runs in zip(
        MEASURED.rows("runs | wall clock"),
        (prior, *live, [run for series in live for run in series]),
        strict=True,
    ):

        def errors(which, what, runs=runs):
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


def test_the_shipped_networks_classify_unseen_fractals_as_their_cards_say():
    cards = [json.loads(path.read_text()) for path in sorted(NANO_WEIGHTS.glob("*.json"))]
    accuracies = [100 * card["accuracy"] for card in cards]
    assert len(cards) == 6 and {card["recipe"]["classes"] for card in cards} == {500}
    assert f"classify {min(accuracies):.0f} to {max(accuracies):g} % of unseen fractals" in MEASURED.words


def test_each_script_that_measures_is_listed():
    scripts = {path.name for path in SCRIPTS.glob("*.py") if "def main(" in path.read_text()}
    listed = {row[1] for row in MEASURED.rows("question | script")}
    assert len(listed) >= 14 and scripts == listed


def test_each_figure_that_was_drawn_is_shown():
    shown = set(re.findall(r"\]\((data/[^)]+\.png)\)", MEASURED.text))
    assert shown == {f"data/{path.name}" for path in DATA.glob("*.png")}


def test_image_files_are_as_measured():
    found = json.loads((DATA / "image_files.json").read_text())
    kinds = {kind: Counter(number) for kind, number in found["kinds"].items()}
    rows = {row[0]: row[1:] for row in MEASURED.rows("suffix | files | read")}
    kinds["all"] = sum(kinds.values(), Counter())
    kinds["others"] = sum((kinds[kind] for kind in kinds if kind not in rows), Counter())
    for kind, (*numbers, as_pillow, as_libvips) in rows.items():
        one = kinds[kind]
        expected = [one[name] for name in ("files", "ours", "pillow", "libvips")]
        assert [int(number) for number in numbers] == expected
        assert as_pillow == f"{one['as_pillow']} of {one['both_pillow']}"
        assert as_libvips == f"{one['as_libvips']} of {one['both_libvips']}"
    assert f"the {len(found['missed'])} that others read and we do not" in MEASURED.words


def test_settings_on_real_folders_are_as_measured():
    lines = map(json.loads, (DATA / "regime_settings.jsonl").read_text().splitlines())
    runs = [line for line in lines if line["who"] == "run"]

    def measured(key, **asked):
        return f"{100 * np.mean([run[key] for run in runs if asked.items() <= run.items()]):.1f}"

    for folder, *shown in MEASURED.rows("geometry, folder | crop"):
        values = ("crop", "squish", "pad")
        assert shown == [
            measured("accuracy", field="geometry", folder=folder, value=value) for value in values
        ]
    keys = ("accuracy", "balanced_accuracy")
    for folder, *shown in MEASURED.rows("long tail, folder | plain"):
        asked = {"field": "balanced", "folder": folder, "long_tail": 50}
        assert shown == [measured(key, **asked, value=value) for value in (False, True) for key in keys]
