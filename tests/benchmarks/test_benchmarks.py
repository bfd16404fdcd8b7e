"""The benchmarks of the search, each run on a small part of what it measures."""

import json

import numpy as np
import pytest


def test_step_time(script, tmp_path, capsys):
    step_time = script(
        "step_time",
        "--device",
        "cpu",
        "--small",
        "--only",
        "et-nas-a",
        "mobilenet_v3_small",
        "--input-size",
        32,
        "--batch-size",
        2,
        "--threads",
        1,
        "--out",
        tmp_path,
    )
    step_time.main()
    result = json.loads((tmp_path / "step_time_cpu_small.json").read_text())
    assert {"device", "torch", "date"} <= set(result["environment"]) and (
        result["input_size"],
        result["batch_size"],
    ) == (32, 2)
    for record in result["networks"]:
        assert all(
            record[f"{kind}_{precision}"]["step_time_ms"] > 0
            for kind in ("train", "infer")
            for precision in ("fp32", "bf16")
        )
    assert (
        result["networks"][0]["imagenet_top1"] == pytest.approx(62.06)
        and (tmp_path / "step_time_cpu_small.png").stat().st_size > 10_000
    )
    assert "mobilenet_v3_small" in capsys.readouterr().out


def test_block_search_goes_on_where_it_was(script, tmp_path, capsys):
    results = tmp_path / "blocks.jsonl"
    search = script("block_search", "--networks", 1, "--epochs", 1, "--output", results)
    search.main()
    script("block_search", "--networks", 9, "--epochs", 1, "--output", results).main()
    records = [json.loads(line) for line in results.read_text().splitlines()]
    classic = [search.encoded(block, width) for block, widths in search.CLASSIC.items() for width in widths]
    assert [record["architecture"] for record in records[: len(classic)]] == classic
    found = {record["architecture"] for record in records[len(classic) :]}
    assert len(found) == 2 and all(name.endswith(f"_{search.WIDTH}_{search.STAGES}") for name in found)
    assert {"device", "torch", "date"} <= set(records[0]["environment"])
    assert "9 of 9" in capsys.readouterr().out


def test_relative_speed(script, tmp_path):
    relative_speed = script(
        "relative_speed", "--networks", "2-_16_1-2", "--rounds", 1, "--out", tmp_path / "speed.json"
    )
    relative_speed.main()
    (network,) = json.loads((tmp_path / "speed.json").read_text())["networks"]
    assert all(
        network["medians"][state][figure] > 0
        for state in ("quiet", "loaded")
        for figure in relative_speed.FIGURES
    )


@pytest.mark.filterwarnings("ignore:.*is found to be not a nn.Module:RuntimeWarning")
def test_search_quality(script, tmp_path):
    search_quality = script("search_quality")
    search_table = script("search_table")
    table = search_table.read_table(search_table.TABLE)
    networks = search_table.all_networks(search_table.SPACE)
    assert set(table) == set(map(str, networks))  # the whole space was recorded
    names = [*search_quality.strategies(), "NasoaEvolution, 4 at a time"]
    result = search_quality.compare(table, budget=16, seeds=2, only=names)
    assert list(result["strategies"]) == names and set(names) < set(search_quality.searches())
    for run in result["strategies"].values():
        assert (
            len(run["median"]) == 16 and run["median"] == sorted(run["median"]) and 0 < run["median"][-1] <= 1
        )
    search_quality.plot(result, tmp_path / "quality.png")
    assert (tmp_path / "quality.png").stat().st_size > 10_000


def test_searches_among_networks_that_were_trained_on_real_images(script, tmp_path):
    search_real = script("search_real")
    rng = np.random.default_rng(0)
    rows = {
        str(one): dict(zip(("brief_accuracy", "accuracy", "relative_speed"), rng.uniform(0.1, 1, 3)))
        for one in search_real.drawn(30)
    }
    assert list(rows)[:10] == list(map(str, search_real.drawn(10)))
    table = search_real.Table(rows)
    for network in table.networks:
        assert table.nearest(network, {}) == network != table.nearest(network, {str(network): None})
    found = search_real.compare(table, list(search_real.SEARCHES), seeds=1, budget=6)
    for name, run in found.items():
        middle = run["median"]
        assert len(middle) == 6 and middle == sorted(middle) and middle[-1] <= 1, name
        assert middle[0] == 0 or "brief" not in name  # what was trained briefly does not count
    search_real.plot(
        {"networks": 30, "seeds": 1, "dataset": "none", "searches": found}, tmp_path / "real.png"
    )
    assert (tmp_path / "real.png").stat().st_size > 10_000
    # All networks are found in the end, at the price of each once, or of a brief try besides.
    everything = search_real.curve(
        table, search_real.SEARCHES["NasoaEvolution (brief_epochs: 1)"](table, 0), 38
    )
    assert everything[5] < 1 == pytest.approx(everything[-1])


@pytest.mark.slow
def test_the_table_of_real_images_goes_on_where_it_was_stopped(script, tmp_path, flags):
    search_real, path = script("search_real"), tmp_path / "table.json.gz"
    search_real.record(flags / "flags" / "train", path, 2, 1)
    first = search_real.Table.read(path).rows
    search_real.record(flags / "flags" / "train", path, 3, 2)
    rows = search_real.Table.read(path).rows
    assert len(rows) == 3 and rows | first == rows
    assert all(0 <= row["brief_accuracy"] <= 1 and row["relative_speed"] > 0 for row in rows.values())
    with pytest.raises(SystemExit, match="was recorded under other settings"):
        search_real.record(tmp_path / "other" / "train", path, 3, 1)


def test_search_problems(script, tmp_path):
    arguments = ("--problem", "mixed", "--seeds", 2, "--output", tmp_path / "problems.json")
    search_problems = script("search_problems", *arguments, "--limit", 30)
    search_problems.main()
    result = json.loads((tmp_path / "problems.json").read_text())
    found = result["evaluations"]["mixed"]
    assert list(found) == list(search_problems.SEARCHES) and all(len(one) == 2 for one in found.values())
    assert result["limits"] == {"mixed": dict.fromkeys(found, 30)}
    assert (tmp_path / "problems.png").stat().st_size > 10_000
    for make in search_problems.PROBLEMS.values():
        problem = make()
        whole = search_problems.evaluations(problem, iter(problem.front), len(problem.front))
        assert 1 < whole <= len(problem.front)  # the front itself has all of its volume
        assert search_problems.evaluations(problem, iter(problem.front + 0.5), 100) is None


@pytest.mark.parametrize(
    "name, output, right",
    [
        ("time_model", "", "is a folder; this is the name of a file"),
        ("time_model", "none/times.json", "there is no folder"),
        ("search_quality", "none", "there is no folder"),
    ],
)
def test_where_nothing_can_be_written_nothing_is_measured(script, tmp_path, capsys, name, output, right):
    with pytest.raises(SystemExit) as ended:
        script(name, *(["--runs", 1] if name == "time_model" else []), "--output", tmp_path / output).main()
    assert ended.value.code == 2 and right in capsys.readouterr().err.splitlines()[-1]
