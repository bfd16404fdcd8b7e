"""`nasoa-advise` as a user meets it, on the digits."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from importlib.metadata import entry_points

import pytest
from click.testing import CliRunner
from fixtures.commands import command_in, parsed, run_by_a_process
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nni_nasoa.advisor import ExperienceStore
from nni_nasoa.advisor.accuracy.predictor import AccuracyPredictor
from nni_nasoa.cli import main
from nni_nasoa.cli.advise import advise
from nni_nasoa.cli.advised_command import RECIPE
from nni_nasoa.finetune import load_classifier
from nni_nasoa.finetune.output_folder import reserved

ZOO = "nano-a,nano-b"


@pytest.fixture(scope="module")
def one_thread():
    """One thread, here and in processes that are started: step times of so many are always kept,
    however busy the machine is.
    """
    import torch

    before = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def profiled(tmp_path_factory, one_thread):
    """A store in which the digits, two networks and this machine are known; `seen` is
    what was printed on the way.
    """
    path = tmp_path_factory.mktemp("profiled") / "experience.db"
    done = CliRunner().invoke(
        advise,
        ["--dataset", "digits", "--minutes", "0.5", "--zoo", ZOO, "--store", str(path), "--device", "cpu"],
    )
    assert done.exit_code == 0, done.output
    return path


@pytest.fixture
def store(profiled, tmp_path):
    """A copy of it."""
    shutil.copy(profiled, tmp_path / "experience.db")
    return tmp_path / "experience.db"


@pytest.fixture
def ask(store, tmp_path, monkeypatch, process_just_started):
    """A function that runs the command in an empty folder, as if its process had just been started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments, dataset="digits", minutes=0.5, zoo=ZOO, device="cpu", command=advise):
        options = {
            "--dataset": dataset,
            "--minutes": minutes,
            "--zoo": zoo,
            "--store": store,
            "--device": device,
        }
        words = [
            str(word) for option, value in options.items() if value is not None for word in (option, value)
        ]
        result = CliRunner().invoke(command, [*words, *map(str, arguments)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


def test_a_table_reasons_and_a_command(ask):
    result = ask("--top-k", 2)
    assert result.exit_code == 0, result.output
    table, _, rest = result.output.partition("\n- ")
    assert max(map(len, table.splitlines())) <= 80
    assert (
        "digits in 30 s on " in table
        and len(re.findall(r"nano-[ab] +0\.\d+ (?:sgd|adamw) +\d of 4 +\d+ +\d+ ", table)) == 2
    )
    assert re.search(r"\d+ \(\d+-\d+\) +\d", table) and re.search(
        r"^- .*\d+ runs", result.output, re.MULTILINE
    )
    params = parsed(command_in(rest))
    assert (
        params["dataset"] == "digits"
        and params["minutes"] == 0.5
        and params["model"] in ZOO.split(",")
        and params["device"] == "cpu"
    )


def test_it_is_nasoa_advise_too(ask, store):
    words = [
        "advise",
        "--dataset",
        "digits",
        "--minutes",
        "0.5",
        "--zoo",
        ZOO,
        "--store",
        str(store),
        "--device",
        "cpu",
    ]
    assert CliRunner().invoke(main, words).output == ask().output
    (script,) = [script for script in entry_points(group="console_scripts") if script.name == "nasoa-advise"]
    assert script.load() is advise


def test_json_says_all_of_it_and_the_commands_do_what_it_says(ask, store):
    result = ask("--json", "--top-k", 4)
    data = json.loads(result.stdout)
    assert data["dataset"] == "digits" and data["budget_seconds"] == 30.0 and data["profile"]["classes"] == 10
    assert 1 <= len(data["choices"]) <= 4 and len(data["commands"]) == len(data["choices"])
    for choice, command in zip(data["choices"], data["commands"]):
        assert {"regime", "epochs", "seconds", "accuracy", "low", "high", "params_m", "why"} <= set(choice)
        assert 0 <= choice["low"] <= choice["accuracy"] <= choice["high"] <= 1
        params = parsed(shlex.split(command))
        params |= {name: params[name] or 0.0 for name in RECIPE}
        assert {name: params[name] for name in choice["regime"]} == choice["regime"]
        assert params["store"] == str(store) and params["minutes"] == 0.5


def test_words_with_spaces_are_quoted(ask, tmp_path, monkeypatch):
    folder = tmp_path / "my $pictures' (new)"
    from PIL import Image

    for name, colour in (("red", (200, 0, 0)), ("blue", (0, 0, 200))):
        (folder / name).mkdir(parents=True)
        for i in range(12):
            Image.new("RGB", (40, 30), tuple(value + 4 * i for value in colour)).save(
                folder / name / f"{i}.png"
            )
    (folder / "labels.csv").touch()
    result = ask("--group-by", r"(\d+)\.png", dataset=str(folder), zoo="nano-a")
    assert result.exit_code == 0, result.output
    told = parsed(command_in(result.output))
    assert told["dataset"] == str(folder) and told["group_by"] == r"(\d+)\.png"
    assert "passed over as no images by their names: 1 file (1 .csv)" in result.stderr
    pasted = next(line for line in result.output.splitlines() if line.startswith("nasoa finetune ")).replace(
        "nasoa finetune", "printf '%s\\n'", 1
    )
    assert subprocess.run(
        ["bash", "-c", pasted], capture_output=True, text=True, check=True
    ).stdout.splitlines()[1] == str(folder)


def test_the_printed_command_carries_it_out_and_records_it(ask, store, tmp_path, monkeypatch):
    words = command_in(ask(minutes=0.1).output)
    done = CliRunner().invoke(main, [*words[1:], "-o", "out"])
    assert done.exit_code == 0 and "written to out" in done.output, done.output
    (record,) = ExperienceStore(store).records()
    assert (
        record.source == "finetune"
        and record.status == "ok"
        and record.regime["model"] == load_classifier("out").regime.model
    )
    assert (
        record.profile["classes"] == 10 and record.profile["separability_nearest_mean"] > 0.3
    )  # known from the advice
    assert (
        AccuracyPredictor.from_store(ExperienceStore(store)).seen == AccuracyPredictor.from_prior().seen + 1
    )
    assert "run is not recorded" not in done.output


def test_no_record_is_made_where_none_is_wanted_and_a_broken_store_loses_nothing(ask, store, tmp_path):
    words = command_in(ask(minutes=0.06).output)
    assert CliRunner().invoke(main, [*words[1:], "-o", "out", "--no-record"]).exit_code == 0
    assert ExperienceStore(store).count() == 0
    (tmp_path / "broken.db").write_text("this is not a database, and never was one")
    done = CliRunner().invoke(main, [*words[1:], "-o", "out", "--store", "broken.db"])
    assert (
        done.exit_code == 0
        and load_classifier("out")
        and "note: the run is not recorded (broken.db" in done.output
    )


@pytest.mark.alone
def test_run_carries_it_out_within_the_minutes_and_records_it_with_what_was_expected(store, tmp_path):
    done = run_by_a_process(ZOO, store, tmp_path / "out")
    assert (
        "expected" in done.stdout
        and "validation accuracy" in done.stdout
        and f"written to {tmp_path / 'out'}" in done.stdout
    )
    assert not [line for line in done.stdout.splitlines() if line.startswith("nasoa finetune")]
    (record,) = ExperienceStore(store).records()
    assert (
        record.source == "advise"
        and record.status == "ok"
        and record.predicted["accuracy_low"] <= record.predicted["accuracy"]
    )
    assert record.budget_seconds < 30  # the advice took its part
    assert record.accuracy > 0.5 and load_classifier(tmp_path / "out").regime.model == record.model
    assert load_classifier(tmp_path / "out").about["advice"] == record.predicted
    assert (
        AccuracyPredictor.from_store(ExperienceStore(store)).seen == AccuracyPredictor.from_prior().seen + 1
    )


@pytest.mark.alone
def test_an_unknown_dataset_is_profiled_on_the_run_s_own_time(tmp_path):
    log = tmp_path / "log"
    run_by_a_process("nano-a", tmp_path / "new.db", tmp_path / "out", "--log-to", f"tensorboard:{log}")
    lines = (tmp_path / "out" / "evaluations.jsonl").read_text().splitlines()
    told = EventAccumulator(str(log)).Reload().Scalars("val_accuracy")
    assert [one.value for one in told] == pytest.approx([json.loads(line)["val_accuracy"] for line in lines])
    (record,) = ExperienceStore(tmp_path / "new.db").records()
    assert record.status == "ok" and record.budget_seconds < 30 and record.profile["classes"] == 10


def test_a_known_dataset_is_answered_without_torch_and_without_reading_the_runs(store):
    report = (
        "import sys, json; from nni_nasoa.experience.store import ExperienceStore; "
        "ExperienceStore.records = None\n"
        "from nni_nasoa.cli.advise import advise\n"
        f"advise(['--dataset', 'digits', '--minutes', '0.5', '--zoo', {ZOO!r}, '--device', 'cpu', "
        f"'--store', {str(store)!r}], standalone_mode=False)\n"
        "print('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "nasoa finetune" in done.stdout and not loaded & {
        "torch",
        "torchvision",
        "nni",
        "scipy",
        "pandas",
        "matplotlib",
        "PIL",
    }


def test_help_is_light():
    code = (
        "import sys; from nni_nasoa.cli.advise import advise; "
        "advise(['--help'], standalone_mode=False); print(sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (
        "--max-latency-ms" in done.stdout
        and "'numpy'" not in done.stdout
        and "'sqlalchemy'" not in done.stdout
    )


@pytest.mark.parametrize(
    "arguments, options, right",
    [
        (
            [],
            {"dataset": "digit"},
            "Error: dataset: 'digit' is neither a folder nor a known name; did you mean 'digits'?",
        ),
        ([], {"dataset": None}, "Missing option '--dataset'"),
        ([], {"minutes": None}, "Missing option '--minutes'"),
        ([], {"minutes": 0}, "Error: minutes: 0.0 is not a number of minutes above 0"),
        ([], {"minutes": "nan"}, "Error: minutes: nan is not"),
        (
            [],
            {"minutes": 1e308},
            "Error: minutes: 1e+308 is not a number of minutes above 0, up to 525600 (a year)",
        ),
        ([], {"minutes": "soon"}, "'soon' is not a valid float"),
        ([], {"minutes": 1e-4}, "Error: minutes: nothing can be trained in 0.006 s"),
        ([], {"zoo": "nan"}, "did you mean 'nano"),
        ([], {"zoo": "none.json"}, "Error: none.json: no such file"),
        ([], {"zoo": ","}, "Error: zoo: ',' names no model"),
        ([], {"device": "toaster"}, "toaster"),
        ([], {"device": "meta"}, "device: 'meta' is not one of"),
        (["--top-k", 0], {}, "--top-k"),
        (["--max-params", 0.001], {}, "max_params_m: no network has 0.001 million"),
        (["--max-params", -1], {}, "max_params_m: -1.0 is not a positive number"),
        (["--max-latency-ms", 1e-6], {}, "max_latency_ms: no network takes 1e-06 ms"),
        (["--max-memory", 0], {}, "max_memory_mib: 0.0 is not"),
        (["--run", "--json"], {}, "--json, --run and --nni: give one of them"),
        (["--report", "a.html"], {}, "--report: give --run, too"),
        (["--log-to", "mlflow"], {}, "--log-to: give --run, too"),
        (["--run", "--report", "none/a.html"], {}, "none/a.html: cannot be written"),
        (["--run", "--nni", "x.yml"], {}, "--json, --run and --nni: give one of them"),
        (["--val-fraction", 2], {}, "val_fraction: 2.0 is not between 0 and 1"),
        (["--store", "http://x"], {}, "Error: http://x: is neither a file nor PostgreSQL"),
        (["--store", "."], {}, "is a folder"),
        (["--nni", "none.yml"], {}, "none.yml"),
        (["--modle", "nano-a"], {}, "No such option"),
    ],
)
def test_every_wrong_input_is_one_clear_line(ask, arguments, options, right):
    result = ask(*arguments, **options)
    assert result.exit_code != 0 and right in result.output, result.output
    said = result.stderr.splitlines()
    assert len(said) == 1 and said[0].startswith("Error: ") and not result.stdout


def test_an_output_that_cannot_be_written_is_said_before_the_dataset_is_looked_at(ask, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "letter.txt").write_text("mine")
    result = ask("--run", "-o", tmp_path / "notes", dataset="no such dataset")
    assert (
        result.exit_code == 1
        and "holds no classifier" in result.stderr
        and (tmp_path / "notes" / "letter.txt").read_text() == "mine"
    )


def test_a_folder_without_an_image_that_can_be_read_is_no_dataset(ask, tmp_path):
    for label in ("a", "b"):
        (tmp_path / "broken" / label).mkdir(parents=True)
        for i in range(5):
            (tmp_path / "broken" / label / f"{i}.png").write_bytes(b"no image")
    for _ in range(2):  # nothing is kept of it
        result = ask(dataset=str(tmp_path / "broken"))
        assert (
            result.exit_code == 1
            and result.stderr.count("\n") == 1
            and "10 of 10 images cannot be read" in result.stderr
        )


@pytest.mark.alone
def test_a_run_ends_on_time_whatever_the_store_does(ask, store, tmp_path):
    """Another process writes to the store until long after the deadline."""
    minutes, over = 0.15, threading.Event()

    def write():
        with closing(sqlite3.connect(store, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            over.wait(60)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    begin = time.monotonic()
    result = ask("--run", "-o", tmp_path / "out", minutes=minutes)
    took = time.monotonic() - begin
    over.set()
    writer.join()
    assert result.exit_code == 0 and "note: the run is not recorded (" in result.output
    assert took <= 60 * minutes and "after its deadline" not in result.output


def test_a_folder_that_is_a_file_and_an_output_that_cannot_be(ask, tmp_path):
    (tmp_path / "file").write_text("x")
    assert "is a file" in ask(dataset=str(tmp_path / "file")).output
    result = ask("--run", "-o", tmp_path / "file")
    assert result.exit_code != 0 and "file" in result.output


def test_an_output_that_another_run_saves_in_is_told_at_once(ask, tmp_path):
    begin = time.monotonic()
    with reserved(tmp_path / "out"):
        result = ask("--run", "-o", tmp_path / "out")
    assert result.exit_code == 1 and "another run is saving in" in result.stderr
    assert result.stderr.count("\n") == 1 and time.monotonic() - begin < 3


@pytest.mark.slow
def test_a_store_s_password_is_neither_printed_nor_in_the_json(ask, store, postgresql_url):
    assert "se%3Acr%2Fet" in postgresql_url
    with closing(sqlite3.connect(store)) as file:
        profiles = file.execute("SELECT fingerprint, profile FROM nasoa_profiles").fetchall()
    server = ExperienceStore(postgresql_url)
    for fingerprint, profile in profiles:
        server.set_profile(fingerprint, json.loads(profile))
    server.set_step_times(ExperienceStore(store).step_times())
    for more in ([], ["--json"]):
        result = ask("--store", postgresql_url, *more)
        assert result.exit_code == 0 and "postgresql://team@/test_" in result.stdout
        assert "cr%2Fet" not in result.output and "cr/et" not in result.output
        assert "the store's password is not in the command: set PGPASSWORD" in result.stderr


def test_options_that_have_to_be_repeated_are_in_the_command(ask, tmp_path):
    words = command_in(ask("--val-fraction", 0.3, "--root", tmp_path).output)
    assert parsed(words)["val_fraction"] == 0.3 and parsed(words)["root"] == str(tmp_path)
