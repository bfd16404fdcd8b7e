"""Runs under torchrun, two processes on the CPU."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import ExitStack

import pytest

from nni_nasoa.finetune import load_classifier

pytestmark = pytest.mark.alone

# The last arguments are whether DDP is used (and loaded before the run or in it), what goes wrong in the
# second process's gradients, and in which step.
SCRIPT = """
import json, os, sys
import torch
from nni_nasoa.data import open_dataset
from nni_nasoa.finetune import FineTuneRegime, finetune
from nni_nasoa.training import data_parallel
from nni_nasoa.training.distributed import Together
from nni_nasoa.training.stepping import Stepper

folder, encoding, frozen, seconds, ddp, trouble, step = sys.argv[1:]
if ddp == "before":
    import torch._dynamo
elif ddp == "within":
    data_parallel.LOADING_SHARE = 1.0
data_parallel.BUCKET_MB = 0.0005  # so that there are several
counts = {"calls": 0, "sent": 0, "by hand": 0}

def counted(name, function):
    def call(*arguments):
        counts[name] += 1
        return function(*arguments)
    return call

data_parallel.allreduce_hook = counted("sent", data_parallel.allreduce_hook)
Together.average = counted("by hand", Together.average)

def out_of_memory(gradient):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

gradients = counted("calls", Stepper.gradients)

def troubled(self, cheap):
    if os.environ["RANK"] != "1" or counts["calls"] + 1 != int(step):
        return gradients(self, cheap)
    if trouble == "memory before":
        counts["calls"] += 1
        out_of_memory(None)
    parameters, sent = list(self.optimizer.parameters()), counts["sent"]
    # In the midst of the backward pass.
    handles = {"memory": lambda: [parameters[len(parameters) // 2].register_hook(out_of_memory)],
               "nan": lambda: [parameter.register_hook(lambda gradient: gradient * torch.nan)
                               for parameter in parameters]}[trouble]()
    try:
        return gradients(self, cheap) * torch.nan
    finally:
        for handle in handles:
            handle.remove()
        counts["sent in trouble"] = counts["sent"] - sent

Stepper.gradients = troubled
torch.set_num_threads(1)
regime = FineTuneRegime(encoding, 0.1, frozen_stages=int(frozen), batch_size=64, augmentation="crop")
digits = open_dataset("digits", input_size=16)
result = finetune(digits, regime, float(seconds) / 60, weights=None, device="cpu", output=folder)
state = result.classifier.network.state_dict()
report = {"accuracy": result.accuracy, "images": result.images, "steps": result.steps,
          "outcome": result.outcome.to_json(), "notes": list(result.notes),
          "evaluations": [e["val_accuracy"] for e in result.evaluations],
          "state": sum(float(v.double().abs().sum()) for v in state.values()),
          "in_time": result.seconds <= result.budget, "saved": result.folder is not None,
          "loaded": "torch._dynamo" in sys.modules, **counts}
open(f"{folder}-{os.environ['RANK']}.json", "w").write(json.dumps(report))
"""


@pytest.fixture
def torchrun(tmp_path, tiny, two_processes):
    (tmp_path / "script.py").write_text(SCRIPT)
    with ExitStack() as stack:

        def start(*, frozen=0, seconds=8, ddp="no", trouble="none", step=0):
            return stack.enter_context(
                two_processes(
                    tmp_path / "script.py", tmp_path / "out", tiny, frozen, seconds, ddp, trouble, step
                )
            )

        yield start


def reports_of_both(process, tmp_path, returncode=0):
    """What both processes say of the run, which has to be the same."""
    output, _ = process.communicate(timeout=300)
    assert (process.returncode == 0) == (returncode == 0), output
    first, second = (json.loads((tmp_path / f"out-{rank}.json").read_text()) for rank in (0, 1))
    for key in ("accuracy", "images", "steps", "evaluations", "state", "outcome"):
        assert first[key] == second[key], key
    assert first["saved"] and not second["saved"]
    assert load_classifier(tmp_path / "out").metrics["val_accuracy"] == first["accuracy"]
    return first, second


@pytest.mark.slow
@pytest.mark.parametrize(
    "frozen, ddp, seconds", [(0, "no", 12), (0, "within", 20), (2, "before", 12), (3, "before", 12)]
)
def test_two_processes_train_one_network(torchrun, tmp_path, frozen, ddp, seconds):
    for result in reports_of_both(torchrun(frozen=frozen, ddp=ddp, seconds=seconds), tmp_path):
        assert (
            result["in_time"]
            and result["images"] == 64 * result["steps"]
            and result["accuracy"] > (0.4 if not frozen else 0.2)
        )
        assert result["loaded"] == (ddp != "no")
        if ddp == "no" or frozen == 3:
            assert result["by hand"] == result["steps"] and result["sent"] == 0
        else:
            assert result["by hand"] == 0 and buckets(result, result["steps"] - 2) > 1
    assert sorted(os.listdir(tmp_path / "out")) == [
        "classifier.json",
        "evaluations.jsonl",
        "model.safetensors",
    ]


def buckets(result, steps):
    """How many buckets were sent in each of the steps."""
    each, rest = divmod(result["sent"], steps)
    assert rest == 0, result
    return each


@pytest.mark.slow
@pytest.mark.parametrize(
    "trouble, step, ddp", [("memory", 2, "before"), ("memory", 5, "before"), ("memory before", 5, "no")]
)
def test_a_process_out_of_memory_halves_the_batch_of_all(torchrun, tmp_path, trouble, step, ddp):
    first, second = reports_of_both(torchrun(trouble=trouble, step=step, ddp=ddp), tmp_path)
    before, after = step - 1, first["steps"] - (step - 1)
    for result in (first, second):
        assert [note for note in result["notes"] if "memory" in note] == [
            "out of memory: batch size 32 from here on, and the learning rate in proportion"
        ]
        assert after > 2 and result["images"] == 64 * before + 32 * after
        assert result["outcome"]["reason"] == "budget" and result["outcome"]["halved_batch"] == 32
        assert result["by hand"] == (result["steps"] if ddp == "no" else 0)
    if ddp != "no":  # the first one waited for buckets that the second one did not have
        each = buckets(first, max(0, step - 2) + after - 2)
        assert first["sent"] - second["sent"] == (each - second["sent in trouble"] if step > 2 else 0)
        assert 0 < second["sent in trouble"] < each if step > 2 else second["sent in trouble"] == 0 < each


@pytest.mark.slow
def test_nan_in_one_process_steps_back_in_all(torchrun, tmp_path):
    for result in reports_of_both(torchrun(trouble="nan", step=5, ddp="before"), tmp_path):
        assert [note for note in result["notes"] if "loss was nan" in note and "0.1 of the rate" in note]
        assert (
            result["steps"] > 5
            and result["outcome"]["reason"] == "budget"
            and buckets(result, result["steps"] - 2) > 1
        )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_torchrun_saves_the_best_so_far(torchrun, tmp_path, number):
    process = torchrun(seconds=300)
    while not (tmp_path / "out" / "classifier.json").exists() and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(number)
    result, _ = reports_of_both(process, tmp_path, returncode=1)
    assert (result["outcome"]["reason"], result["outcome"]["signal"]) == ("interrupted", number.name)
