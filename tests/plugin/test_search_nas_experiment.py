"""examples/search_nas_experiment.py, for real."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from nni_nasoa.architecture import Architecture
from nni_nasoa.zoo import read_front

SCRIPT = Path(__file__).parents[2] / "examples" / "search_nas_experiment.py"


def run(folder, *arguments, timeout):
    """Run the script with a home of its own; NNI's manager, in the same session, is ended with it."""
    env = {
        **os.environ,
        "HOME": str(folder),
        "NNI_CONFIG_DIR": str(folder / "nni-config"),
        "NASOA_CACHE": str(folder / "cache"),
        "TMPDIR": str(folder),
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
    }
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments],
        cwd=folder,
        env=env,
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        output, _ = process.communicate(timeout=timeout)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
    return process.returncode, output


def test_explains_itself(tmp_path):
    code, output = run(tmp_path, "--help", timeout=300)
    assert code == 0 and "--concurrency" in output


@pytest.mark.slow
def test_searches_and_prints_the_front(tmp_path, find_free_port):
    for _ in range(5):
        options = ("--trials", "4", "--epochs", "1", "--input-size", "16", "--port", str(find_free_port()))
        code, output = run(tmp_path, *options, timeout=800)
        if (
            "Create experiment failed" not in output
        ):  # NNI gives its server 4 s to start, which a busy machine may miss
            break
    assert code == 0, output
    assert "4 networks evaluated, 0 failed. The front:" in output
    assert all(f"[Result    {number}]" in output for number in range(1, 5))
    front = read_front(tmp_path / "front.json")
    assert 1 <= len(front) <= 4
    for record in front:
        assert record["architecture"] in output.rpartition("The front:")[2]
        assert record["params_m"] == pytest.approx(
            Architecture.parse(record["architecture"]).parameters(10) / 1e6
        )
        assert record["dataset"] == "digits" and record["relative_speed"] > 0 and 0 < record["accuracy"] <= 1
    accuracies = [record["accuracy"] for record in front]
    assert accuracies == sorted(accuracies, reverse=True)
