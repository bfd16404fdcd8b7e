"""What was found by fuzzing is read as it has to be, from now on; see fuzz.py."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from targets import TARGETS

HERE = Path(__file__).parent
FILES = [(name, path) for name in TARGETS for path in sorted((HERE / "corpus" / name).iterdir())]


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_that_was_found_breaks_a_target(name):
    files = [path for of, path in FILES if of == name]
    assert len(files) >= 5
    for path in files:
        TARGETS[name](path.read_bytes())


@pytest.mark.slow
def test_a_fuzzer_finds_what_breaks_a_target(tmp_path):
    """With a target that is broken: a record whose curve is long enough."""
    pytest.importorskip("atheris")
    for name in ("fuzz.py", "targets.py"):
        shutil.copy(HERE / name, tmp_path)
    shutil.copytree(HERE / "corpus" / "encoding", tmp_path / "corpus" / "encoding")
    with (tmp_path / "targets.py").open("a") as file:
        file.write('\nTARGETS["encoding"] = lambda data: encoding(data) or 1 / (len(data) != 3)\n')
    done = subprocess.run(
        [sys.executable, tmp_path / "fuzz.py", "encoding", "--seconds", "20"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "ZeroDivisionError" in done.stdout
    assert list((tmp_path / "corpus" / "encoding").glob("crash-*"))
