import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import psutil
import pytest
from click.testing import CliRunner

from nni_nasoa.advisor import ExperienceStore
from nni_nasoa.advisor.task.look import task_profile
from nni_nasoa.advisor.task.profiles import TaskProfile
from nni_nasoa.cli import main
from nni_nasoa.data import Dataset
from nni_nasoa.data.tasks import get_task
from nni_nasoa.making.collecting import collect, missing
from nni_nasoa.making.collecting_jobs import JobError, Patience
from nni_nasoa.making.collecting_plan import (
    Plan,
    make_plan,
)
from nni_nasoa.zoo import list_models

TASKS, MODELS = ("segments-few", "materials-grey-few"), ("nano-a", "nano-b")


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASOA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def profiled(tmp_path_factory):
    """A store that has the tasks' profiles and no run, as bytes of its file."""
    path = tmp_path_factory.mktemp("store") / "store.db"
    store = ExperienceStore(path)
    for task in TASKS:
        task_profile(Dataset(f"task:{task}"), store, list_models("nano"))
    return path.read_bytes()


@pytest.fixture
def location(tmp_path, profiled):
    path = tmp_path / "store.db"
    path.write_bytes(profiled)
    return str(path)


@pytest.mark.slow
def test_collect(location):
    plan, seen = Plan(TASKS, MODELS, (0.5, 1.0)), []
    assert (
        sum(collect(plan, location, 4, on_record=lambda run, record: seen.append((run, record))).values())
        == 4
    )
    store = ExperienceStore(location)
    records = {record.id: record for record in store.records()}
    assert set(records) == {run.id for run in plan.runs(4)} == {run.id for run, _ in seen}
    for run, record in seen:
        assert records[run.id] == record and (record.task, record.source, record.threads) == (
            f"task:{run.task}",
            "collect",
            1,
        )
        assert (
            record.status == "ok"
            and record.budget_seconds == run.budget
            and record.curve
            and record.versions["torch"]
        )
        assert {**record.regime, "input_size": run.regime.input_size} == run.regime.to_json()
        profile = TaskProfile.from_json(store.profile(record.profile["fingerprint"]))
        assert (
            record.profile == profile.flat()
            and record.profile["train_images"] == get_task(run.task).train_images
        )
        assert (
            record.model_figures == profile.model_figures(run.regime.model).of_run()
            and record.model_figures["probe_nearest_mean"] > 0
        )
    assert sum(collect(plan, location, 4).values()) == 0  # all there
    assert len(missing(plan, store, 6)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_stopped_and_resumed(location, number):
    command = [
        sys.executable,
        "-m",
        "nni_nasoa.cli",
        "experience",
        "collect",
        "--tasks",
        ",".join(TASKS),
        "--budgets",
        "1",
        "--store",
        location,
        "--runs",
    ]
    process = subprocess.Popen([*command, "100"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        store = ExperienceStore(location)
        while store.count() < 1:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        workers = psutil.Process(process.pid).children()
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
        process.wait()
    assert len(workers) == 2 and not psutil.wait_procs(workers, timeout=60)[1]
    done = {record.id: record for record in store.records()}
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert (
            process.returncode == 130
            and said == f"Stopped after {len(done)} of 100 runs; the same command goes on from there.\n"
        )
    runs = str(len(done) + 2)
    finished = subprocess.run([*command, runs], capture_output=True, text=True, check=False)
    assert finished.returncode == 0 and f"{runs} runs in {location}" in finished.stdout
    assert re.search(rf"^{runs} of {runs} runs$", finished.stderr, re.MULTILINE)
    records = {record.id: record for record in store.records()}
    plan = make_plan(TASKS, budgets=(1.0,))
    assert {run.id for run in plan.runs(int(runs))} <= set(records) and records.items() >= done.items()
    assert all(record.status == "ok" for record in records.values())


@pytest.mark.slow
def test_twenty_kills_at_any_moment_cost_no_run_that_was_recorded(location):
    words = [
        *"experience collect --budgets 0.5 --runs 300 --tasks".split(),
        ",".join(TASKS),
        "--store",
        location,
    ]
    rng, known = random.Random(3), set()
    for _ in range(20):
        process = subprocess.Popen([sys.executable, "-m", "nni_nasoa.cli", *words], stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.5, 8))
        workers = psutil.Process(process.pid).children()
        process.kill()
        process.wait()
        assert not psutil.wait_procs(workers, timeout=60)[1]
        with closing(sqlite3.connect(location)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        with ExperienceStore(location) as store:
            records = {record.id for record in store.records()}
        assert records >= known
        known = records
    plan = make_plan(TASKS, budgets=(0.5,))
    assert known and known <= {run.id for run in plan.runs(300)}


def test_a_worker_that_dies_is_started_anew(location):
    killed = []

    def kill(_run, _record):
        if not killed:
            time.sleep(0.3)  # it is at the next run by then
            killed.extend(
                child
                for child in psutil.Process().children()
                if "nni_nasoa.making.collecting_worker" in child.cmdline()
            )
            assert len(killed) == 1
            killed[0].kill()

    plan = Plan(TASKS, MODELS, (2.0,))
    assert collect(plan, location, 3, jobs=1, on_record=kill) == {"ok": 2, "failed": 1}
    store = ExperienceStore(location)
    (failed,) = store.records(status="failed")
    assert failed.id == plan[1].id and failed.notes == ("the process of the run ended: SIGKILL",)
    (device,) = {record.device for record in store.records()}
    assert device and failed.threads == 1 and failed.versions == next(store.records(status="ok")).versions
    assert failed.regime == plan[1].regime.to_json() and failed.budget_seconds == 2


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A function that puts a shell script in the place of the worker."""

    def put(script):
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    return put


ABOUT = """read setup; echo '{"device": "a processor", "threads": 1, "versions": {}}'; read run; """


@pytest.mark.parametrize(
    "script, how",
    [("exit 3", "exit status 3"), ("echo nonsense; exit 0", "exit status 0"), ("exec sleep 600", "SIGKILL")],
)
def test_processes_that_die_or_hang(location, program, script, how):
    program(ABOUT + script)
    patience = Patience(budgets=0.0, seconds=0.5)
    assert collect(Plan(TASKS, MODELS), location, 2, jobs=1, patience=patience) == {"failed": 2}
    assert {record.notes for record in ExperienceStore(location).records()} == {
        (f"the process of the run ended: {how}",)
    }


@pytest.mark.parametrize(
    "script, words",
    [
        (
            "echo some lines >&2; echo 'ImportError: no torch' >&2; exit 1",
            "the process for the runs does not start: ImportError: no torch",
        ),
        ("exit 5", "does not start: exit status 5"),
        (ABOUT + """echo '{"trouble": "no room"}'; read more""", "^no room$"),
    ],
)
def test_processes_that_cannot_work(location, program, script, words):
    program(script)
    with pytest.raises(JobError, match=words):
        collect(Plan(TASKS, MODELS), location, 2)
    assert ExperienceStore(location).count() == 0
    assert not [child for child in psutil.Process().children() if child.name() == "program"]


def test_a_task_that_cannot_be_opened(tmp_path, location):
    (tmp_path / "file").touch()
    environment = {**os.environ, "NASOA_CACHE": str(tmp_path / "file" / "cache")}
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "nni_nasoa.cli",
            "experience",
            "collect",
            "--runs",
            "2",
            "--jobs",
            "1",
            "--store",
            location,
            "--tasks",
            TASKS[0],
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (
        result.returncode == 1
        and result.stderr.startswith("Error: image cache: cannot ")
        and result.stderr.count("\n") == 1
    )
    assert ExperienceStore(location).count() == 0


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--tasks", "plants"], "'plants' is held out"),
        (["--tasks", "huse"], "did you mean 'hues'"),
        (["--budgets", "3,0"], "0.0 is not"),
        (["--budgets", "3,x"], "'3,x' is not a list of seconds"),
        (["--zoo", "nano-"], "no family 'nano-'"),
        (["--store", "/"], "is a folder"),
    ],
)
def test_errors_are_one_line(tmp_path, arguments, words):
    result = CliRunner().invoke(
        main, ["experience", "collect", "--store", str(tmp_path / "store.db"), *arguments]
    )
    assert (
        result.exit_code == 1
        and words in result.stderr
        and result.stderr.startswith("Error: ")
        and result.stderr.count("\n") == 1
    )
