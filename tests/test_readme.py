"""What the README says: the recorded front, the measured figures, and the lines that set all up."""

import json
import re
import shlex
from statistics import median

from documents import MEASURED, README, ROOT

from nni_nasoa.figures.block_drawing import CLASSIC_BLOCKS
from nni_nasoa.figures.claims import NOT_MEASURED, NOT_PUBLISHED, claims
from nni_nasoa.figures.measured import shipped as measured_here
from nni_nasoa.search.front import pareto_front, read_front, read_records

DATA = ROOT / "examples" / "benchmarks" / "data"
SEARCH = ROOT / "examples" / "search_digits"


def measured(name):
    return json.loads((DATA / f"{name}.json").read_text())


def compared(what):
    """The row of the comparison that begins so: what was measured, and of what."""
    (row,) = [row for row in README.rows("compared | measured") if row[0].startswith(what)]
    return row[1].replace("**", ""), row[2]


def test_it_is_a_page_and_no_book():
    assert README.text.count("\n") <= 200


def test_the_front_is_that_of_the_recorded_search():
    front = read_front(SEARCH / "front.json")
    records = read_records(SEARCH / "results.csv")
    assert [record["architecture"] for record in pareto_front(records)] == [
        record["architecture"] for record in front
    ]
    said = [(row[1], row[2], row[4], row[5], row[6]) for row in README.rows("# | accuracy | relative speed")]
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
    assert f"{len(records)} networks in" in README.text


def test_at_the_speed_of_each_well_known_block_the_front_is_more_accurate():
    records = read_records(SEARCH / "results.csv")
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


def test_the_advised_run_beats_the_series_by_so_much():
    result = measured("advisor_budgets")
    series = result["difference"]["advised"].values()
    mean = sum(one["mean"] for one in series) / len(series)
    least, most = min(one["least"] for one in series), max(one["most"] for one in series)
    assert compared("One advised run") == (
        f"{mean:+.1f} points on average, from {least:+.1f} to {most:+.1f}",
        f"{len(result['tasks'])} tasks, {min(result['budgets']):g} to {max(result['budgets']):g} seconds",
    )


def test_the_advice_is_so_far_behind_the_best():
    result = measured("advisor_regret")
    of = result["summary"]["own_cold"]
    assert compared(f"The advice, against the best of {result['regimes']} ") == (
        f"{abs(round(of['median'], 1)):.1f} points behind in the median, {of['worst']:.1f} at worst",
        f"{len(result['tasks'])} tasks, {result['budget']:g} seconds",
    )


def test_the_tuners_take_so_long():
    of = {name: one["median"] for name, one in measured("advisor_vs_tuners")["ratio"].items()}
    said, _ = compared("NNI's tuners")
    assert (
        said
        == f"{of['TPE']:.1f} (TPE), {of['random']:.1f} (random) and {of['BOHB']:.1f} (BOHB) times as long"
    )


def test_a_loop_written_by_hand_is_so_far_behind():
    gains = [
        100 * (median(run["ours"] for run in one["runs"]) - median(run["plain"] for run in one["runs"]))
        for one in measured("finetune_vs_plain")["results"]
        if one["budget"] == 10
    ]
    assert compared("finetune`, against a loop") == (
        f"{min(gains):+.1f} to {max(gains):+.1f} points",
        f"{len(gains)} tasks, 10 seconds",
    )


def test_runs_end_on_time():
    runs = measured("finetune_deadlines")["results"]
    shares = [100 * run["share"] for run in runs]
    said, of = compared("Runs of ")
    assert said == (
        f"{sum(run['in_time'] for run in runs)} of {len(runs)} end on time, "
        f"with {min(shares):.1f} to {max(shares):.1f} % of it used"
    )
    assert of == f"{len({run['regime']['model'] for run in runs})} networks"


def test_the_search_is_so_much_better():
    after_40 = {name: run["median"][40 - 1] for name, run in measured("search_quality")["strategies"].items()}
    ours = after_40["NasoaEvolution"]
    others = [share for name, share in after_40.items() if not name.startswith("NasoaEvolution")]
    said, _ = compared("The search, against")
    assert said == (
        f"{ours:.3f} of the hypervolume after 40 networks; {min(others):.3f} to {max(others):.3f}"
    )
    assert ours > max(others)


def claimed(rows, start):
    (claim,) = [row for row in rows if row.claim.startswith(start)]
    return claim


def test_the_papers_claims_are_told_with_what_was_measured():
    rows = README.rows("the paper says | its own points")
    known = claims()
    for said, published, here in rows:
        claim = claimed(known, said.removesuffix(" than the best of a series"))
        assert published == (
            "none at hand" if claim.published == NOT_PUBLISHED else claim.published.split(";")[0]
        )
        for figure in re.findall(r"[-+]?[\d.]+ (?:times|points|%)", here.partition(" to ")[0]):
            assert figure in claim.measured, (said, figure)
        assert ("not these two" in here) == (NOT_MEASURED in claim.measured)
        assert ("not so" in here) == claim.measured.startswith("not so")
    blocks = measured_here()["blocks"]["classic"]
    gains = [100 * (one["best_as_fast"] - one["accuracy"]) for one in blocks]
    assert (
        rows[-1][2] == f"{min(gains):+.1f} to {max(gains):+.1f} points over seven of them" and len(gains) == 7
    )
    shares = measured_here()["smallest_is_best"]["shares"]
    least, *_, most = shares
    assert rows[-2][2].endswith(
        f"{100 * shares[least]:.0f} % in {least} s, in {100 * shares[most]:.0f} % in {most} s"
    )


def test_what_is_less_than_the_paper_says_has_its_reason():
    regret = measured("advisor_regret")
    assert f"BOHB has {regret['regimes']} settings" in README.words
    of = measured("advisor_vs_tuners")["ratio"]
    assert of["random"]["median"] <= of["BOHB"]["median"]  # chance alone does as well


def test_what_speaks_against_the_figures_is_told_beside_their_tables():
    assert "](examples/benchmarks/README.md)" in README.text and "flatters the figures" in MEASURED.words


def test_two_commands_of_one_line_do_the_set_up():
    first, second = (block for block in README.blocks("bash") if "pip install" in block)
    assert first.count("\n") == second.count("\n") == 1 and README.text.index(first) < README.text.index(
        second
    )
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
