"""Runs under torchrun, two processes on the CPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from nni_nasoa.finetune import load_classifier

# The last argument is what goes wrong in the second process's gradients.
SCRIPT = """
import json, os, sys
import torch
from nni_nasoa.data import open_dataset
from nni_nasoa.finetune import FineTuneRegime, finetune
from nni_nasoa.finetune.stepping import Stepper

def out_of_memory(gradient):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

gradients, calls = Stepper.gradients, 0

def troubled(self, cheap):
    global calls
    calls += 1
    if os.environ["RANK"] != "1" or calls != 5:
        return gradients(self, cheap)
    parameters = list(self.optimizer.parameters())
    if trouble == "memory before":
        out_of_memory(None)
    if trouble == "memory":  # in the midst of the backward pass
        handle = parameters[len(parameters) // 2].register_hook(out_of_memory)
        try:
            return gradients(self, cheap)
        finally:
            handle.remove()
    loss = gradients(self, cheap)
    for parameter in parameters if trouble == "nan" else ():
        parameter.grad *= torch.nan
    return loss * torch.nan if trouble == "nan" else loss

Stepper.gradients = troubled
torch.set_num_threads(1)
folder, encoding, frozen, seconds, trouble = sys.argv[1:]
regime = FineTuneRegime(encoding, 0.1, frozen_stages=int(frozen), batch_size=64, augmentation="crop")
result = finetune(open_dataset("digits", input_size=16), regime, float(seconds) / 60, weights=None, device="cpu", output=folder)
state = result.classifier.network.state_dict()
report = {"accuracy": result.accuracy, "images": result.images, "steps": result.steps, "stopped": result.stopped, "notes": list(result.notes),
          "evaluations": [e["val_accuracy"] for e in result.evaluations], "state": sum(float(v.double().abs().sum()) for v in state.values()),
          "in_time": result.seconds <= result.budget, "saved": result.folder is not None}
open(f"{folder}-{os.environ['RANK']}.json", "w").write(json.dumps(report))
"""


@pytest.fixture
def torchrun(tmp_path, tiny):
    (tmp_path / "script.py").write_text(SCRIPT)
    started = []

    def start(*, frozen=0, seconds=8, trouble="none"):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(tmp_path / "script.py"),
                   str(tmp_path / "out"), tiny, str(frozen), str(seconds), trouble]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        env={**os.environ, "OMP_NUM_THREADS": "1"}))
        return started[-1]
    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()  # torchrun ends its workers
            process.wait(60)


def reports_of_both(process, tmp_path, returncode=0):
    """What both processes say of the run, which has to be the same."""
    output, _ = process.communicate(timeout=300)
    assert (process.returncode == 0) == (returncode == 0), output
    first, second = (json.loads((tmp_path / f"out-{rank}.json").read_text()) for rank in (0, 1))
    for key in ("accuracy", "images", "steps", "evaluations", "state", "stopped"):
        assert first[key] == second[key], key
    assert first["saved"] and not second["saved"]
    assert load_classifier(tmp_path / "out").metrics["val_accuracy"] == first["accuracy"]
    return first, second


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [0, 2, 3])
def test_two_processes_train_one_network(torchrun, tmp_path, frozen):
    result, _ = reports_of_both(torchrun(frozen=frozen, seconds=12), tmp_path)
    assert result["in_time"] and result["images"] == 64 * result["steps"] and result["accuracy"] > (0.4 if not frozen else 0.2)
    assert sorted(os.listdir(tmp_path / "out")) == ["classifier.json", "evaluations.jsonl", "model.safetensors"]


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["memory", "memory before"])
def test_a_process_out_of_memory_halves_the_batch_of_all(torchrun, tmp_path, trouble):
    for result in reports_of_both(torchrun(trouble=trouble), tmp_path):
        assert [note for note in result["notes"] if "memory" in note] == [
            "out of memory: batch size 32 from here on, and the learning rate in proportion"]
        assert result["steps"] > 4 and result["images"] == 4 * 64 + 32 * (result["steps"] - 4) and result["stopped"] == "budget"


@pytest.mark.slow
def test_nan_in_one_process_steps_back_in_all(torchrun, tmp_path):
    for result in reports_of_both(torchrun(trouble="nan"), tmp_path):
        assert [note for note in result["notes"] if "loss was nan" in note and "0.1 of the rate" in note]
        assert result["steps"] > 5 and result["stopped"] == "budget"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_torchrun_saves_the_best_so_far(torchrun, tmp_path, number):
    process = torchrun(seconds=300)
    while not (tmp_path / "out" / "classifier.json").exists() and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(number)
    result, _ = reports_of_both(process, tmp_path, returncode=1)
    assert result["stopped"] == f"interrupted: {number.name}"
