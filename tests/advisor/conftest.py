from __future__ import annotations

import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from nni_nasoa.advisor import RunRecord
from nni_nasoa.finetune import FineTuneRegime

CHILD = """
import sys
from nni_nasoa.advisor import ExperienceStore, RunRecord
store = ExperienceStore(sys.argv[1])
regime = {"model": "nano-1"}
def record(task):
    return RunRecord(task=task, model="nano-1", regime=regime, device="cpu", threads=1, budget_seconds=3, status="failed")
"""


@pytest.fixture
def make_record():
    """A function that makes a record of a run that went well, but for what is given."""
    def make(**changes):
        fields = dict(task="digits", model="nano-1", regime=FineTuneRegime("nano-1").to_json(), device="a processor", threads=2,
                      budget_seconds=30.0, status="ok", seconds=29.5, accuracy=0.9, epochs=12.5, curve=((0.5, 0.2), (20.0, 0.9)),
                      profile={"images": 1797, "kind": "digits"}, model_figures={"params_m": 0.1, "family": "nano", "encoding": None},
                      predicted={"seconds": 29.0, "accuracy": 0.85, "accuracy_low": 0.7, "accuracy_high": 0.95},
                      versions={"torch": "2.4.0"}, source="advise", notes=("only the head was trained",))
        return RunRecord(**{**fields, **changes})
    return make


@pytest.fixture
def in_processes():
    """A function that starts processes, each with code that has `store`, open, and `record(task)`; they are ended with the test."""
    started = []

    def start(url, *codes):
        for code in codes:
            started.append(subprocess.Popen([sys.executable, "-c", CHILD + code, str(url)], stdout=subprocess.PIPE, text=True))
        return started[-len(codes):]
    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="session")
def postgresql_server():
    """The URL of a PostgreSQL server of our own, which listens on a socket in its folder and on no port."""
    programs = os.path.dirname(shutil.which("initdb") or max(glob.glob("/usr/lib/postgresql/*/bin/initdb"), default=""))
    assert programs, "PostgreSQL's initdb is not installed"
    # It refuses to run as root; and the path of a socket must be short.
    owner = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="nasoa-pg-", dir="/tmp"))
    settings = {"cwd": folder, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C"}, **owner}
    try:
        (folder / "password").write_text("se:cr/et")
        if owner:
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres", "postgres")
        subprocess.run([f"{programs}/initdb", "-D", "data", "-U", "team", "--auth=scram-sha-256", "--pwfile=password", "--no-sync",
                        "--encoding=UTF8"], check=True, capture_output=True, **settings)
        server = subprocess.Popen([f"{programs}/postgres", "-D", "data", "-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off"],
                                  stderr=subprocess.DEVNULL, **settings)
        try:
            url = f"postgresql://team:se%3Acr%2Fet@/{{}}?host={folder}"
            _wait_for(url.format("postgres"), server)
            yield url
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: the data are not needed any more
            server.wait(60)
    finally:
        shutil.rmtree(folder)


def _wait_for(url: str, server: subprocess.Popen) -> None:
    while True:
        assert server.poll() is None, "PostgreSQL did not start"
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            time.sleep(0.1)


@pytest.fixture
def postgresql_url(postgresql_server):
    """The URL of a database of the test's own."""
    with psycopg.connect(postgresql_server.format("postgres"), autocommit=True) as connection:
        (count,) = connection.execute("SELECT count(*) FROM pg_database").fetchone()
        connection.execute(f"CREATE DATABASE test_{count}")
    return postgresql_server.format(f"test_{count}")
