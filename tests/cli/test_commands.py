import json
import sqlite3
import subprocess
import sys

import pytest
from click.testing import CliRunner
from PIL import Image

from nni_nasoa import __version__
from nni_nasoa.cli import main
from nni_nasoa.search.front import pareto_front, read_front, read_records, write_records

LONG = "23311-a02c12_64_211-2111-21111111111111111111111-211"
RECORDS = [
    {
        "accuracy": accuracy,
        "relative_speed": speed,
        "step_time_ms": 20 / speed,
        "reference_step_time_ms": 20.0,
        "params_m": params,
        "gmacs": 0.0123,
        "architecture": architecture,
        "device": "CPU [x86] 2.0 GHz",
        "dataset": "digits",
        "batch_size": 64,
    }
    for architecture, accuracy, speed, params in [
        ("020-_16_1-2-2", 0.90, 0.8, 0.5),
        ("10001-_32_2-12-2", 0.91, 1.0, 1.5),
        (LONG, 0.9512, 0.16, 130.4),
        ("2-_32_2-1-21", 0.8, 1.6, 0.3),
    ]
]


@pytest.fixture
def nasoa(tmp_path, monkeypatch):
    """Run the command in an empty folder that is the home, too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        result = CliRunner().invoke(main, list(map(str, arguments)))
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


def experiment(home, id_, trials, *, tuner=None):
    """Store what NNI 3.0 stores; trials are (trial id, event, parameters, final metrics or None)."""
    folder = home / "nni-experiments" / id_
    (folder / "db").mkdir(parents=True)
    manifest = home / "nni-experiments" / ".experiment"
    known = json.loads(manifest.read_text()) if manifest.exists() else {}
    manifest.write_text(
        json.dumps(known | {id_: {"id": id_, "startTime": len(known) + 1, "logDir": str(folder.parent)}})
    )
    with sqlite3.connect(folder / "db" / "nni.sqlite") as database:
        database.execute(
            "create table TrialJobEvent (timestamp integer, trialJobId text, event text, data text, "
            "logPath text, sequenceId integer, message text, environmentId text)"
        )
        database.execute(
            "create table MetricData (timestamp integer, trialJobId text, parameterId text, type text, "
            "sequence integer, data text)"
        )
        database.execute(
            "create table ExperimentProfile (params text, id text, execDuration integer, "
            "startTime integer, endTime integer, logDir text, nextSequenceId integer, revision integer)"
        )
        database.execute(
            "insert into ExperimentProfile (params, id, revision) values (?, ?, 1)",
            (json.dumps({"experimentName": "a test", "tuner": tuner}), id_),
        )
        for number, (trial, event, parameters, metrics) in enumerate(trials):
            form = json.dumps({"parameter_id": number, "parameters": parameters})
            for what, data in (("WAITING", form), (event, None)):
                database.execute(
                    "insert into TrialJobEvent (timestamp, trialJobId, event, data, sequenceId) "
                    "values (?, ?, ?, ?, ?)",
                    (number, trial, what, data, number),
                )
            if metrics is not None:
                database.execute(
                    "insert into MetricData values (?, ?, ?, 'FINAL', 0, ?)",
                    (number, trial, str(number), json.dumps(json.dumps(metrics))),
                )
    database.close()
    return folder


def search(home, id_="search01", **options):
    trials = [(f"tri{number}", "SUCCEEDED", {}, record) for number, record in enumerate(RECORDS)]
    return experiment(
        home, id_, [*trials, ("trix", "FAILED", {}, None), ("triy", "RUNNING", {}, None)], **options
    )


def test_version(nasoa):
    assert nasoa("--version").output == f"nasoa, version {__version__}\n"


def test_report_of_an_experiment(nasoa, tmp_path):
    search(tmp_path)
    result = nasoa("report", "search01", "--output", "out")
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    assert read_front(out / "front.json") == pareto_front(read_records(out / "results.csv"))
    assert json.loads((out / "front.json").read_text())["experiment"] == "search01"
    assert [
        {key: record[key] for key in RECORDS[0]} for record in read_records(out / "results.csv")
    ] == RECORDS
    assert sorted(path.name for path in out.iterdir()) == [
        "block_1.png",
        "block_2.png",
        "block_3.png",
        "front.json",
        "front.png",
        "results.csv",
    ]
    assert Image.open(out / "front.png").width == 1200

    assert "4 evaluated, 3 on the front; trials: 4 succeeded, 1 failed, 1 unfinished" in result.output
    assert "CPU [x86] 2.0 GHz" in result.output  # brackets are not markup
    assert "written to out: front.json, results.csv, front.png, block_1.png to block_3.png" in result.output
    rows = [line.split() for line in result.output.splitlines()]
    assert ["2", "91.00", "1.000", "20.00", "1.500", "0.0123", "10001-_32_2-12-2"] in rows
    assert ["3", "80.00", "1.600", "12.50", "0.300", "0.0123", "2-_32_2-1-21"] in rows


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_table_fits_the_terminal(nasoa, tmp_path, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    search(tmp_path)
    table = nasoa("report").output.split("4 evaluated")[0].splitlines()
    assert max(map(len, table)) <= columns
    start = next(line.index("encoding") for line in table if "encoding" in line)
    folded = [
        line[start:].strip() for line in table if len(line) > start and not line.strip().startswith("─")
    ]
    assert all(
        record["architecture"] in "".join(folded) for record in pareto_front(RECORDS)
    )  # nothing is lost
    assert (LONG in folded) == (columns == 200)


def test_report_of_its_own_results_is_the_same(nasoa, tmp_path):
    search(tmp_path)
    first = nasoa("report", "latest", "-o", "one").output
    second = nasoa("report", "one/results.csv", "-o", "two").output
    assert first.splitlines()[1:8] == second.splitlines()[1:8]
    assert read_front("one/front.json") == read_front("two/front.json")
    third = nasoa("report", "one/front.json", "-o", "three")
    assert third.exit_code == 0 and "3 evaluated, 3 on the front" in third.output
    again = nasoa("report", "one/results.csv", "-o", "one")  # reading and writing the same file
    assert again.exit_code == 0 and read_records("one/results.csv") == read_records("two/results.csv")


def test_an_earlier_longer_front_leaves_no_drawings(nasoa, tmp_path):
    write_records("four.csv", RECORDS)
    write_records("one.csv", RECORDS[:1])
    nasoa("report", "four.csv", "-o", "out")
    (tmp_path / "out" / "block_mine.png").touch()
    nasoa("report", "one.csv", "-o", "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("block*")) == [
        "block_1.png",
        "block_mine.png",
    ]


def test_block_of_any_kind_can_be_drawn_instead(nasoa, tmp_path):
    write_records("results.csv", RECORDS)
    result = nasoa("report", "results.csv", "--block", "14441-", "--block", LONG, "-o", "out")
    assert result.exit_code == 0 and len(list((tmp_path / "out").glob("block_*.png"))) == 2
    result = nasoa("report", "results.csv", "--block", "9-", "-o", "new")
    assert (
        result.exit_code == 1
        and result.stderr == "Error: block layer 1: op '9' is not one of 0-6\n"
        and not (tmp_path / "new").exists()
    )


def test_objectives_and_limits_of_the_experiment_count(nasoa, tmp_path):
    arguments = {
        "objectives": ["accuracy", {"name": "params_m", "mode": "minimize"}],
        "limits": {"params_m": {"max": 5}},
    }
    search(
        tmp_path,
        tuner={"className": "nni_nasoa.plugin.evolution_tuner.EvolutionTuner", "classArgs": arguments},
    )
    assert nasoa("report", "-o", "out").exit_code == 0
    content = json.loads((tmp_path / "out" / "front.json").read_text())
    assert content["objectives"] == [
        {"name": "accuracy", "mode": "maximize"},
        {"name": "params_m", "mode": "minimize"},
    ]
    assert [record["architecture"] for record in content["networks"]] == [
        "10001-_32_2-12-2",
        "020-_16_1-2-2",
        "2-_32_2-1-21",
    ]


def test_objective_option(nasoa, tmp_path):
    search(tmp_path)
    result = nasoa("report", "--objective", "params_m:min", "-o", "out")
    assert result.exit_code == 0 and "4 evaluated, 1 on the front" in result.output
    assert read_front("out/front.json")[0]["architecture"] == "2-_32_2-1-21"
    for wrong in (["params_m:low"], [":min"], ["accuracy", "--objective", "accuracy:min"]):
        result = nasoa("report", "--objective", *wrong)
        assert result.exit_code == 2 and "give NAME, NAME:max or NAME:min" in result.stderr


def test_report_of_another_space(nasoa, tmp_path):
    trials = [
        (f"tri{k}", "SUCCEEDED", {"lr": 0.1 * k, "opt": {"_name": "sgd"}}, metric)
        for k, metric in enumerate([0.5, {"default": 0.7, "loss": 2}, {"default": 0.6, "loss": 1}])
    ]
    experiment(tmp_path, "other", trials)
    result = nasoa("report", "other", "-o", "out")
    assert result.exit_code == 0 and "3 evaluated, 1 on the front" in result.output
    assert (
        '{"lr": 0.1, "opt": {"_name": "sgd"}}' in " ".join(result.output.split()) and "tri1" in result.output
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "front.json",
        "front.png",
        "results.csv",
    ]
    assert read_records("out/front.json")[0]["parameters"] == {"lr": 0.1, "opt": {"_name": "sgd"}}
    two = nasoa("report", "out/results.csv", "--objective", "default", "--objective", "loss:min", "-o", "two")
    assert two.exit_code == 0 and "2 evaluated, 2 on the front" in two.output


def test_report_of_the_advisors_runs(nasoa, tmp_path):
    run = {"dataset": "digits", "model": "nano-a", "seconds": 23.5, "record": "{}"}
    trials = [
        (
            "tria",
            "SUCCEEDED",
            {"run": "1-digits-survey-1"},
            {"default": 0.0, "run": "1-digits-survey-1", "survey": "{}"},
        ),
        (
            "trib",
            "SUCCEEDED",
            {"run": "1-digits-1"},
            {**run, "default": 0.9, "run": "1-digits-1", "classifier": "10.0.0.2:/there/one"},
        ),
        (
            "tric",
            "SUCCEEDED",
            {"run": "1-digits-2"},
            {**run, "default": 0.8, "run": "1-digits-2", "classifier": "10.0.0.2:/there/two"},
        ),
    ]
    experiment(tmp_path, "advised", trials)
    result = nasoa("report", "advised", "-o", "out")
    assert result.exit_code == 0 and "3 evaluated, 1 on the front" in result.output
    row = next(line.split() for line in result.output.splitlines() if "/there/" in line)
    assert row == ["1", "1-digits-1", "nano-a", "23.5", "0.9", "10.0.0.2:/there/one"]
    assert (
        "record" not in read_records("out/front.json")[0]
        and nasoa("report", "out/results.csv", "-o", "two").exit_code == 0
    )


@pytest.mark.parametrize(
    "source, message",
    [
        ("nothere", "Error: experiment 'nothere': not found; known experiments: empty"),
        ("nothere.csv", "Error: nothere.csv: cannot be read (No such file or directory)"),
        ("broken.json", "Error: broken.json: not JSON"),
        ("broken", "Error: file is not a database"),
        ("empty", "Error: experiment empty: no results yet (trials: 0 succeeded, 0 failed, 1 unfinished)"),
        ("odd.csv", "Error: odd.csv: none of its 1 results has default as numbers; there are: score"),
    ],
)
def test_errors_are_one_line(nasoa, tmp_path, source, message):
    experiment(tmp_path, "empty", [("tri0", "RUNNING", {}, None)])
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "broken" / "db").mkdir(parents=True)
    (tmp_path / "broken" / "db" / "nni.sqlite").write_text("nonsense " * 100)
    (tmp_path / "odd.csv").write_text("score\n3\n")
    result = nasoa("report", source)
    assert result.exit_code == 1 and result.stderr.startswith(message) and result.stderr.count("\n") == 1
    assert not (tmp_path / "nasoa-report").exists()


@pytest.mark.parametrize("key", ["device", "dataset", "epochs", "params_m", "reference_step_time_ms"])
@pytest.mark.parametrize("value", [[1], {"a": 1}, True, 10**400, float("nan"), None])
def test_odd_values_beside_the_objectives_are_shown_as_they_are(nasoa, tmp_path, key, value):
    (tmp_path / "odd.json").write_text(json.dumps([RECORDS[0] | {key: value}, *RECORDS[1:]]))
    result = nasoa("report", "odd.json", "-o", "out")
    assert result.exit_code == 0 and "4 evaluated, 3 on the front" in result.output


def test_a_tuner_of_the_same_class_name_has_arguments_of_its_own(nasoa, tmp_path):
    search(
        tmp_path,
        tuner={
            "className": "nni.algorithms.hpo.evolution_tuner.EvolutionTuner",
            "classArgs": {"optimize_mode": "maximize"},
        },
    )
    assert nasoa("report", "-o", "out").exit_code == 0


def test_no_experiment_at_all(nasoa):
    result = nasoa("report")
    assert result.exit_code == 1 and result.stderr.startswith(
        "Error: experiment 'latest': not found; known experiments: none"
    )


def test_output_that_is_a_file(nasoa, tmp_path):
    search(tmp_path)
    (tmp_path / "file").touch()
    result = nasoa("report", "-o", "file/below")
    assert result.exit_code == 1 and result.stderr.count("\n") == 1


def test_networks_without_step_times(nasoa, tmp_path):
    write_records(
        "results.csv",
        [{key: record[key] for key in ("architecture", "accuracy", "relative_speed")} for record in RECORDS],
    )
    result = nasoa("report", "results.csv", "-o", "out")
    assert result.exit_code == 0 and Image.open(tmp_path / "out" / "front.png").width == 1200
    assert ["2", "91.00", "1.000", "-", "-", "-", "10001-_32_2-12-2"] in [
        line.split() for line in result.output.splitlines()
    ]


TRIAL = """
import nni, time
parameters = nni.get_next_parameter()
nni.report_final_result({"default": 0.9, "accuracy": 0.9, "relative_speed": 1.5, "step_time_ms": 2.0,
                         "reference_step_time_ms": 3.0, "architecture": f"10001-_32_{parameters['depth']}"})
"""


@pytest.mark.slow
def test_report_while_the_experiment_runs_and_after_it_stopped(nnictl, tmp_path):
    (tmp_path / "trial.py").write_text(TRIAL)
    running = nnictl.create(
        {
            "searchSpace": {"depth": {"_type": "choice", "_value": ["1", "11", "111"]}},
            "trialCommand": "python trial.py",
            "trialCodeDirectory": str(tmp_path),
            "trialConcurrency": 1,
            "maxTrialNumber": 500,
            "tuner": {"name": "Random"},
            "trainingService": {"platform": "local"},
        }
    )
    running.wait(lambda: running.rest("/metric-data?type=FINAL"), timeout=180)

    def report(source):
        command = [sys.executable, "-m", "nni_nasoa.cli", "report", source, "--output", str(tmp_path / "out")]
        done = subprocess.run(command, env=nnictl.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "10001-_32_1" in done.stdout and "90.00" in done.stdout
        return len(read_records(tmp_path / "out" / "results.csv"))

    found = report(running.id)
    assert found >= 1 and running.status == "RUNNING"
    running.stop()
    assert report("latest") >= found


def test_zoo(nasoa, tmp_path):
    rows = [line.split() for line in nasoa("zoo").output.splitlines()]
    assert ["et-nas-a", "2.60", "0.23", "62.06", "2-_32_2-11-112-1121112"] in rows
    search(tmp_path)
    nasoa("report", "-o", "out")
    assert "out/front.json#1" in nasoa("zoo", "--family", "out/front.json").output
    result = nasoa("zoo", "--family", "et-nos")
    assert result.exit_code == 1 and "did you mean 'et-nas'?" in result.stderr


def test_block_drawing(nasoa, tmp_path):
    result = nasoa("figures", "block", "23311-a02c12", "-o", "block.svg", "--width", "128")
    assert result.exit_code == 0 and result.output == "written to block.svg\n"
    assert (tmp_path / "block.svg").stat().st_size > 1000
    for arguments, message in (
        ("9-", "block layer 1: op '9'"),
        ("51-", "2 digits"),
        ("2- --width 3", "cannot turn 3 channels"),
        ("2- -o block.xyz", "xyz"),
    ):
        result = nasoa("figures", "block", *arguments.split())
        assert result.exit_code == 1 and message in result.stderr and result.stderr.count("\n") == 1
