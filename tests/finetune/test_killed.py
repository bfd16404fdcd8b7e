"""Runs that are killed at random moments, from their first moment to their last, leave a whole
cache and a whole classifier.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from nni_nasoa.data import open_dataset
from nni_nasoa.finetune.errors import ClassifierError
from nni_nasoa.finetune.loading import load_classifier

KILLS = 20

# Imports once and forks, so that a kill hits the run and not the imports. A line says: the cache, the output,
# the seconds until the kill (null: none), whether the processes that the run has started are killed, too. The
# answer is how long the run lasted.
RUNS = """
import json, os, signal, sys, time
import torch
from nni_nasoa.finetune import FineTuneRegime, finetune, classifier, trainer
torch.set_num_threads(1)
images, encoding = sys.argv[1:]
for line in sys.stdin:
    cache, output, seconds, all_of_them = json.loads(line)
    begin, child = time.monotonic(), os.fork()
    if not child:
        os.setsid()
        os.environ["NASOA_CACHE"] = cache
        regime = FineTuneRegime(encoding, 0.05, input_size=16, batch_size=16, augmentation="none")
        finetune(images, regime, 6 / 60, weights=None, device="cpu", output=output)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        try:
            (os.killpg if all_of_them else os.kill)(child, signal.SIGKILL)
        except ProcessLookupError:  # it has no group of its own yet
            os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print(json.dumps(time.monotonic() - begin), flush=True)
"""

# Forks, for each line, a process that saves one of two states after the other, over and over, and kills it
# the seconds of the line after it has saved for the first time.
SAVES = """
import os, signal, sys, time
import torch
from nni_nasoa.finetune.classifier import describe, save_classifier
from nni_nasoa.finetune import FineTuneRegime
from nni_nasoa.networks import ETNet
folder, encoding = sys.argv[1:]
network, jobs = ETNet(encoding, 2), []
for value in (1, 2):
    about = describe(classes=("a", "b"), dataset="d", regime=FineTuneRegime(encoding, input_size=16),
                     encoding=encoding, weights_of="network", mean=(0.5,) * 3, std=(0.5,) * 3,
                     metrics={"value": value})
    state = {name: torch.full_like(tensor, value) for name, tensor in network.state_dict().items()}
    jobs.append((state, about))
for line in sys.stdin:
    reader, writer = os.pipe()
    child = os.fork()
    while not child:
        for state, about in jobs:
            save_classifier(folder, state, about)
            os.write(writer, b".")
    os.read(reader, 1)
    time.sleep(float(line))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader), os.close(writer)
    print("killed", flush=True)
"""


def start(script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture
def images(tmp_path):
    """A folder of noise, so that how accurate a state is hardly repeats."""
    rng = np.random.default_rng(0)
    for label in "ab":
        (tmp_path / "images" / label).mkdir(parents=True)
        for i in range(60):
            Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(
                tmp_path / "images" / label / f"{i}.png"
            )
    return tmp_path / "images"


def assert_whole(folder, split) -> str | None:
    """The classifier in a folder does what it says of itself; its id, or None where there is none."""
    classifier, told = None, ""
    try:
        classifier = load_classifier(folder)
    except ClassifierError as error:
        told = str(error)
    if classifier is None:
        assert "no classifier here" in told
        return None
    metrics = classifier.metrics
    right = classifier.probabilities(split.val.images).argmax(1) == split.val.labels
    assert classifier.classes == ("a", "b") and len(right) == 24
    if metrics["val_images"] == len(
        right
    ):  # else the machine was too slow to decode, or to evaluate, all of them
        assert right.mean() == pytest.approx(metrics["val_accuracy"])
    return classifier.about["id"]


@pytest.mark.slow
def test_no_kill_leaves_a_broken_cache_or_classifier(tmp_path, tiny, images, monkeypatch):
    monkeypatch.setenv("NASOA_CACHE", str(tmp_path / "expected"))
    expected = open_dataset(images, input_size=16)
    moments, rng, seen, without_cache = (
        list(range(KILLS)),
        random.Random(0),
        {"nothing": 0, "old one": 0, "new one": 0},
        0,
    )
    rng.shuffle(moments)
    process = start(RUNS, images, tiny)

    def run(*job):
        process.stdin.write(json.dumps([*map(str, job[:2]), *job[2:]]) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    try:
        whole_run = run(tmp_path / "cache-whole", tmp_path / "old", None, True)
        old = assert_whole(tmp_path / "old", expected)
        assert old
        for number, moment in enumerate(moments):
            cache, over_an_old_one = tmp_path / f"cache-{number}", moment % 2
            output = tmp_path / ("old" if over_an_old_one else f"new-{number}")
            share = (
                (moment + rng.random()) / KILLS
            ) ** 2  # over the whole run, but more often early, when all is made
            run(cache, output, whole_run * share, number % 4 < 2)
            entries = [
                entry
                for entry in (cache / "images").glob("*")
                if entry.is_dir() and not entry.name.endswith(".partial")
            ]
            found = assert_whole(output, expected)
            assert found or not over_an_old_one
            seen["nothing" if not found else "old one" if found == old else "new one"] += 1
            without_cache += not entries
            old = found if over_an_old_one else old
            monkeypatch.setenv("NASOA_CACHE", str(cache))
            for part in ("train", "val"):  # of a later run
                one, other = (
                    getattr(split, part) for split in (expected, open_dataset(images, input_size=16))
                )
                assert (one.images == other.images).all() and (one.labels == other.labels).all()
        assert all(seen.values()) and 0 < without_cache < KILLS, (seen, without_cache)
        process.stdin.close()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_no_kill_while_saving_leaves_a_mixture(tmp_path):
    rng, in_the_midst, values = random.Random(0), 0, set()
    process = start(
        SAVES, tmp_path / "c", "2-_64_2-11-21"
    )  # large enough that writing it takes most of the time
    try:
        for _ in range(4 * KILLS):
            process.stdin.write(f"{0.05 * rng.random()}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "killed\n"
            in_the_midst += bool(list((tmp_path / "c").glob(".*.partial")))
            classifier = load_classifier(tmp_path / "c")
            values.add(classifier.metrics["value"])
            assert all(
                (tensor == classifier.metrics["value"]).all()
                for tensor in classifier.network.state_dict().values()
            )
        process.stdin.close()
        assert process.wait(60) == 0 and in_the_midst and values == {1, 2}
    finally:
        process.kill()
        process.wait()
