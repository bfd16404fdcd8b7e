"""Real NNI experiments for tests, each with a home of its own, all gone at the end."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml
from fixtures.processes import end, family, free_port

pytest_plugins = [
    "fixtures.browser",
    "fixtures.dataset_forms",
    "fixtures.training",
    "fixtures.experience",
    "fixtures.figures",
    "fixtures.machine",
    "fixtures.servers",
    "fixtures.sshd",
    "fixtures.started",
    "fixtures.weights",
]

CONFIGS = Path(__file__).parent.parent / "experiment_configs"
# nnictl, with a minute's patience for its server to start: NNI's own 3 s are too few on a busy machine.
NNICTL = (
    "import nni.experiment.launcher as launcher; launcher._check_rest_server.__defaults__ = (60, None); "
    "from nni.tools.nnictl.nnictl import parse_args; parse_args()"
)


# One thread each, as several processes run tests at a time: threads that wait for each other on
# processors that others use, too, made the advisor's small networks ten times as slow. Before
# numpy and torch are loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Whether a machine has a network makes no difference to a test; those of downloads have servers of their own.
os.environ["NASOA_OFFLINE"] = "1"

# Each worker has its own place for device locks, so that nobody waits for another's measurements.
WORKER = os.environ.get("PYTEST_XDIST_WORKER")
if WORKER is not None:
    os.environ["TMPDIR"] = tempfile.mkdtemp(prefix=f"{WORKER}-")
    atexit.register(shutil.rmtree, os.environ["TMPDIR"], ignore_errors=True)
    tempfile.tempdir = None  # looked up anew

# A process that a shell has started in the background ignores Ctrl-C, and so would all that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def not_under_nohup():
    """A closed terminal is noticed, also by tests that were started with nohup, which ignores SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(autouse=True)
def environment_as_it_was():
    """What a test has done to the environment is gone when the next one starts processes."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@dataclass
class RunningExperiment:
    """An experiment that `nnictl` started."""

    id: str
    port: int
    folder: Path
    nnictl: Nnictl

    def rest(self, path: str):
        """GET something from the web server's API."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/nni{path}", timeout=20) as answer:
            return json.load(answer)

    @property
    def status(self) -> str:
        return self.rest("/check-status")["status"]

    @property
    def manager(self) -> psutil.Process:
        return psutil.Process(self.nnictl.manifest()[self.id]["pid"])

    def wait(self, condition, timeout: float = 180.0):
        """Wait until condition() is true, and return it; fails at once when the experiment
        is in status ERROR or gone.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                if value := condition():
                    return value
                status = self.status
            except urllib.error.URLError as error:
                raise AssertionError(f"{error}: {self.log()}") from None
            assert status != "ERROR" and time.monotonic() < deadline, (
                f"status {status} (waited up to {timeout} s): {self.log()}"
            )
            time.sleep(0.5)

    def wait_done(self, timeout: float = 180.0) -> None:
        self.wait(lambda: self.status == "DONE", timeout)

    def log(self) -> str:
        """The end of each log, and what the trials wrote to stderr."""
        files = [*self.folder.glob("log/*.log"), *self.folder.glob("environments/*/trials/*/trial.stderr")]
        return "\n".join(
            f"--- {file.name}\n{file.read_text(errors='replace')[-3000:]}"
            for file in files
            if file.stat().st_size
        )

    @property
    def dispatcher(self) -> psutil.Process:
        """The process that the tuner runs in."""
        for child in self.manager.children(recursive=True):
            with suppress(psutil.Error):  # A trial may just have ended.
                if "--exp_params" in child.cmdline():
                    return child
        raise LookupError("no process has --exp_params")

    def kill_manager(self) -> None:
        """kill -9 of the NNI manager; its children live on."""
        manager = self.manager
        self.nnictl.left_over += manager.children(recursive=True)
        manager.send_signal(signal.SIGKILL)
        manager.wait(10)

    def stop(self) -> None:
        self.nnictl("stop", self.id)


class Nnictl:
    """nnictl with a home, an NNI config folder and a cache of its own. Calling it runs a command."""

    def __init__(self, home: Path):
        self.home = home
        self.left_over: list[psutil.Process] = []
        (home / "tmp").mkdir()
        # With a TMPDIR, where device locks are, of its own, no benchmark elsewhere on the
        # machine can hold trials up.
        self.env = {
            **os.environ,
            "HOME": str(home),
            "NNI_CONFIG_DIR": str(home / "nni-config"),
            "NASOA_CACHE": str(home / "cache"),
            "TMPDIR": str(home / "tmp"),
            "OMP_NUM_THREADS": "1",
            "PYTHONWARNINGS": "ignore",
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }

    def __call__(self, *arguments, check: bool = True, timeout: float = 120.0) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", NNICTL, *map(str, arguments)]
        process = subprocess.Popen(
            command,
            env=self.env,
            cwd=self.home,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            end(family(process.pid))
            raise AssertionError(
                f"nnictl {arguments[0]}: not done in {timeout} s: {process.communicate()[0]}"
            ) from None
        assert not check or process.returncode == 0, output
        return subprocess.CompletedProcess(command, process.returncode, output)

    def manifest(self) -> dict[str, dict]:
        """NNI's list of experiments."""
        path = self.home / "nni-experiments" / ".experiment"
        return json.loads(path.read_text()) if path.exists() else {}

    def create(self, config: dict | Path) -> RunningExperiment:
        """nnictl create, on a free port."""
        if isinstance(config, dict):
            path = self.home / f"config-{len(list(self.home.glob('config-*')))}.yml"
            # What the manager does is read in its log.
            path.write_text(yaml.safe_dump({**config, "logLevel": "info"}))
            config = path

        def create():
            known, port = set(self.manifest()), free_port()
            output = self("create", "--config", config, "--port", port, check=False).stdout
            new = set(self.manifest()) - known
            return output, *(
                RunningExperiment(id_, port, self.home / "nni-experiments" / id_, self) for id_ in new
            )

        return self._started(create)

    def resume(self, experiment: RunningExperiment) -> RunningExperiment:
        """nnictl resume, on the port that the experiment had."""

        def resume():
            made = self("resume", experiment.id, "--port", experiment.port, check=False)
            return (made.stdout, experiment) if made.returncode == 0 else (made.stdout,)

        return self._started(resume)

    def _started(self, start) -> RunningExperiment:
        """Start an experiment, again if need be.

        NNI gives the tuner 10 s to start, which a busy machine may miss.
        """
        for _ in range(5):
            output, *started = start()
            if not started:
                assert "Create experiment failed" in output, output
                continue
            (experiment,) = started
            while True:
                log = (
                    (experiment.folder / "log" / "nnimanager.log")
                    .read_text()
                    .rpartition("Start NNI manager")[2]
                )
                if "Add event listeners" in log:
                    return experiment
                if "to: ERROR" in log:
                    break
                time.sleep(0.2)
            assert "Tuner did not connect in 10 seconds" in log, experiment.log()
            experiment.stop()
        raise AssertionError(f"the experiment did not start: {output}")

    def close(self) -> None:
        """Stop what runs, and kill what is left of it."""
        end([process for process in self.left_over if process.is_running()])
        end([process for manager in self._managers() for process in family(manager.pid)])

    def _managers(self) -> list[psutil.Process]:
        """The managers that run in this home."""
        found = []
        for record in self.manifest().values():
            with suppress(psutil.Error, KeyError):
                manager = psutil.Process(record["pid"])
                if any(str(self.home) in part for part in manager.cmdline()):
                    found.append(manager)
        return found


@pytest.fixture(autouse=True)
def own_store(tmp_path_factory, monkeypatch):
    """Runs are recorded in a store that no other test and no user has."""
    monkeypatch.setenv("NASOA_STORE", str(tmp_path_factory.mktemp("store") / "experience.db"))


@pytest.fixture
def nnictl(tmp_path):
    """nnictl with a home of its own; whatever it started is ended afterwards."""
    home = tmp_path / "home"
    home.mkdir()
    runner = Nnictl(home)
    yield runner
    runner.close()


@pytest.fixture
def find_free_port():
    """A function that gives a port for NNI's server."""
    return free_port


@pytest.fixture
def reduced_config():
    """A function that gives one of the project's configs with fewer trials, say, for a short run.

    Its relative paths start at `folder`; `options` come after those of the trial command, so they count.
    """

    def reduced(name: str, folder: Path, *, options: str = "--epochs 1", **changes) -> dict:
        config = yaml.safe_load((CONFIGS / name).read_text())
        python, *command = config["trialCommand"].split()
        assert Path(python).name == "python"
        config["trialCommand"] = " ".join([sys.executable, *command, options])
        config["trialCodeDirectory"] = config["tuner"]["codeDirectory"] = str(folder)
        return {**config, **changes}

    return reduced
