from __future__ import annotations

import glob
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psycopg
import pytest

from nni_nasoa.advisor import RunRecord
from nni_nasoa.advisor.candidates import random_regime
from nni_nasoa.advisor.probing import ACCURACIES
from nni_nasoa.advisor.profiles import TaskProfile, sized_probes
from nni_nasoa.data.profile import DatasetProfile
from nni_nasoa.finetune import FineTuneRegime
from nni_nasoa.zoo import get, list_models

CHILD = """
import sys
from nni_nasoa.advisor import ExperienceStore, RunRecord
store = ExperienceStore(sys.argv[1])
regime = {"model": "nano-1"}
def record(task):
    return RunRecord(task=task, model="nano-1", regime=regime, device="cpu", threads=1, budget_seconds=3, status="failed")
"""

# Interrupts at the start of each function in turn, where Python looks for signals. Prints the moments at which something else
# than a KeyboardInterrupt comes of it, and how many there are.
INTERRUPTED = """
import io, logging, signal
said = io.StringIO()
logging.basicConfig(stream=said)

def calls(interrupted=None):
    count = 0
    def see(_frame, event, _argument):
        nonlocal count
        if event == "call":
            count += 1
            if count == interrupted:
                signal.raise_signal(signal.SIGINT)
    sys.setprofile(see)
    try:
        store.set_profile("abc", {"images": 5})
        store.profile("abc")
    finally:
        sys.setprofile(None)
    return count

calls()  # what is imported or cached at first
for moment in range(1, 1 + calls()):
    try:
        if calls(moment) >= moment:
            said.write("went on")
    except KeyboardInterrupt:
        pass
    except BaseException as error:
        said.write(repr(error))
    if said.tell():
        print(moment, said.getvalue())
        said.seek(said.truncate(0))
print(moment)
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


@pytest.fixture
def interrupted(in_processes):
    """A function that interrupts a store's work at many moments, in a process; the lines of INTERRUPTED."""
    return lambda url: in_processes(url, INTERRUPTED)[0].communicate()[0].splitlines()


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


class World:
    """Datasets and runs made up by formulas: the best rate of SGD is 0.06, of AdamW a thirtieth; larger networks learn more, slowly."""

    models = tuple(list_models("nano"))

    def profile(self, number: int, **changes) -> TaskProfile:
        """A dataset's."""
        rng = np.random.default_rng(number)
        classes, per_class, ease = int(rng.integers(2, 30)), int(rng.integers(10, 80)), rng.normal(0, 0.7)
        images = classes * per_class
        known = dict(name=f"made-{number}", fingerprint=f"made-{number}", images=images, train_images=int(0.8 * images),
                     val_images=images - int(0.8 * images), classes=classes, class_mean=per_class, class_std=1.0, class_min=per_class - 1,
                     mirrored=True, red_mean=0.5, green_mean=0.5, blue_mean=0.5, red_std=0.2, green_std=0.2, blue_std=0.2, grey_share=0.0)
        probes = {model: {**dict.fromkeys(ACCURACIES, share), "distance": 0.3, "images": 500, "stages": 4 - (place > 2)}
                  for place, model in enumerate(self.models) for share in [1 / (1 + math.exp(1 - ease - 0.15 * place))]}
        for place, name in enumerate(sized_probes(self.models)):
            own = probes[name.partition("@")[0]]
            probes[name] = {**own, "linear": (0.6 if place == 0 else 0.9 - 0.02 * place) * own["linear"]}
        return TaskProfile(DatasetProfile(**{**known, **changes}), probes)

    def accuracy(self, profile: TaskProfile, regime: FineTuneRegime, epochs: float) -> float:
        """That a run would reach."""
        best = 0.06 if regime.optimizer == "sgd" else 0.002
        frozen = min(1, regime.frozen_stages / profile.model_figures(regime.model)["stages"])
        probe = profile.probes[regime.model]["nearest_mean"]
        logit = math.log(probe / (1 - probe)) + 1.5 * (1 - 0.7 * frozen) * math.log10(epochs + 1) - 1.5 * math.log10(regime.learning_rate / best) ** 2
        return 1 / (1 + math.exp(-logit))

    def knows(self, model: str) -> bool:
        """As a time model."""
        return model in self.models

    def latency(self, model: str, input_size: np.ndarray) -> np.ndarray:
        """As a time model: seconds."""
        return 1e-4 * (1 + self.models.index(model)) * np.asarray(input_size) / 48

    def start_up(self, source: str) -> float:
        """As a time model."""
        return 0.0

    def estimate(self, model: str, *, frozen_stages, batch_size, input_size, train_images, val_images, budget, start_up=0.0, **options):
        """As a time model."""
        seconds = 2e-4 * (1 + 2 * self.models.index(model)) * (np.asarray(input_size) / 48) ** 2 / (1 + np.asarray(frozen_stages))
        epochs = np.maximum(budget - 1 - start_up, 0) / (seconds * np.maximum(1, train_images))
        return SimpleNamespace(epochs=epochs, seconds=np.full(len(epochs), float(budget)), feasible=epochs > 0.05)

    def record(self, number: int, task: int, budget: float = 10.0, **changes) -> RunRecord:
        """Of a random run on a dataset."""
        rng, profile = np.random.default_rng((number, task)), self.profile(task)
        regime = random_regime(rng, self.models)
        dataset = profile.dataset
        epochs = float(self.estimate(regime.model, frozen_stages=[regime.frozen_stages], batch_size=[regime.batch_size], budget=budget,
                                     input_size=[regime.input_size], train_images=dataset.train_images, val_images=0).epochs[0])
        accuracy = min(1.0, max(0.0, self.accuracy(profile, regime, epochs) + rng.normal(0, 0.01)))
        fields = dict(task=dataset.name, model=regime.model, regime=regime.to_json(), device="a processor", threads=1, budget_seconds=budget,
                      status="ok", seconds=budget, accuracy=accuracy, epochs=epochs, profile=profile.flat(),
                      model_figures=profile.model_figures(regime.model))
        return RunRecord(**{**fields, **changes})

    def infos(self):
        """Of the zoo."""
        return [get(model) for model in self.models]


@pytest.fixture(scope="session")
def world():
    """See `World`."""
    return World()


@pytest.fixture(scope="session")
def experienced(world):
    """The bytes of a predictor that has learned from runs on made datasets."""
    from nni_nasoa.advisor.predictor import make_prior

    return make_prior([world.record(number, number % 25) for number in range(250)], passes=2).to_bytes()
