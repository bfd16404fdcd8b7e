from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json, os, sys
import torch
from nni_nasoa.data import open_dataset
from nni_nasoa.finetune import FineTuneRegime, finetune
torch.set_num_threads(1)
digits = open_dataset("digits", input_size=16)
regime = FineTuneRegime(sys.argv[2], 0.1, frozen_stages=int(sys.argv[3]), batch_size=64, augmentation="crop")
result = finetune(digits, regime, 10 / 60, weights=None, device="cpu", output=sys.argv[1])
state = result.classifier.network.state_dict()
report = json.dumps({"accuracy": result.accuracy, "images": result.images, "steps": result.steps,
                  "seconds": result.seconds, "evaluations": [e["val_accuracy"] for e in result.evaluations], "folder": result.folder is not None,
                  "state": sum(float(v.double().abs().sum()) for v in state.values())})
open(f"{sys.argv[1]}-{os.environ['RANK']}.json", "w").write(report)
"""


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [0, 3])
def test_two_processes_train_one_network(tmp_path, tiny, frozen):
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(tmp_path / "script.py"),
               str(tmp_path / "out"), tiny, str(frozen)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"out-{rank}.json").read_text()) for rank in (0, 1))
    for key in ("accuracy", "images", "steps", "evaluations"):
        assert first[key] == second[key]
    # Parameters are common to both; BatchNorm's statistics are broadcast before each step, and lack the last one's update.
    assert first["state"] == pytest.approx(second["state"], rel=1e-3)
    assert first["images"] == pytest.approx(64 * first["steps"]) and first["accuracy"] > (0.5 if not frozen else 0.2)
    assert max(first["seconds"], second["seconds"]) <= 10 and first["folder"] and not second["folder"]
    assert sorted(os.listdir(tmp_path / "out")) == ["classifier.json", "evaluations.jsonl", "model.safetensors"]
