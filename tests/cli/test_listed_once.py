"""A folder may have hundreds of thousands of files, on a disk of the network: a command lists them once.

It may be read-only, and nothing is written into it; nor into /dev/shm, which is small or full in containers.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from PIL import Image

# Every python process of a command imports this before anything else.
NOTING = """
import os, sys
def note(event, arguments):
    if event in ("os.scandir", "os.listdir") and arguments and isinstance(arguments[0], (str, os.PathLike)):
        here = os.path.realpath(arguments[0])
        if os.path.commonpath((here, {folder!r})) == {folder!r}:
            os.write(log, (os.path.relpath(here, {folder!r}) + "\\n").encode())
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT
    if event == "open" and isinstance(arguments[0], (str, os.PathLike)) and arguments[2] & writes:
        if os.path.realpath(arguments[0]).startswith(({folder!r}, "/dev/shm/")):
            os.write(log, f"written: {{arguments[0]}}\\n".encode())
log = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(log, b"a process\\n")
sys.addaudithook(note)
"""


ONCE = dict.fromkeys((".", "dark", "dark/deeper", "light", "light/deeper"), 1)


@pytest.fixture
def photos(tmp_path):
    """A folder of images in two classes, each with a folder in it."""
    rng = np.random.default_rng(0)
    for label in ("dark", "light"):
        (tmp_path / "photos" / label / "deeper").mkdir(parents=True)
        for number in range(30):
            pixels = rng.integers(0, 128, (40, 40, 3)) + (128 if label == "light" else 0)
            place = tmp_path / "photos" / label / ("deeper" if number % 2 else ".")
            Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def noted(photos, tmp_path):
    """A function that runs python; what its processes have listed of the folder, and how many they were."""
    (tmp_path / "noting").mkdir()
    log = tmp_path / "log"
    noting = NOTING.format(folder=os.path.realpath(photos), log=str(log))
    (tmp_path / "noting" / "sitecustomize.py").write_text(noting)
    path = os.pathsep.join(filter(None, (str(tmp_path / "noting"), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": path, "NASOA_CACHE": str(tmp_path / "cache")}

    def run(*arguments: object) -> Counter[str]:
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return Counter(log.read_text().splitlines())

    return run


def test_what_is_listed_is_noted_in_every_process(noted, photos):
    listing = f"import os; [*os.walk({str(photos)!r})]; os.listdir({str(photos / 'dark')!r})"
    twice = f"import subprocess, sys; {listing}; subprocess.run([sys.executable, '-c', {listing!r}])"
    assert noted("-c", twice) == {name: 2 * count for name, count in ONCE.items()} | {
        "dark": 4,
        "a process": 2,
    }


def test_what_is_written_there_is_noted(noted, photos):
    assert noted("-c", f"open({str(photos / 'new')!r}, 'w')") == {
        "a process": 1,
        f"written: {photos / 'new'}": 1,
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "command, processes",
    [
        (("finetune", "--model", "nano-a", "--minutes", 0.4, "--seed", 3), 2),
        (("advise", "--zoo", "nano-a", "--minutes", 0.5), 1),
        (
            ("advise", "--zoo", "nano-a", "--minutes", 0.6, "--run"),
            3,
        ),  # it decodes while it loads, and for the run
    ],
)
def test_a_command_lists_a_folder_once(noted, photos, tmp_path, command, processes):
    """For its fingerprint, its profile, a sample and the process that decodes; it writes nothing there."""
    there = ("--dataset", photos, "--store", tmp_path / "store.db", "--device", "cpu")
    output = () if command[0] == "advise" and processes == 1 else ("-o", tmp_path / "out")
    assert noted("-m", "nni_nasoa.cli", *command, *there, *output) == ONCE | {"a process": processes}
