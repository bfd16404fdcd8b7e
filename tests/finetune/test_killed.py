"""Runs that are killed at random moments leave a whole classifier or none."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from nni_nasoa.finetune.classifier import ClassifierError, load_classifier

# Imports once and forks, so that a kill hits the run and not the imports.
SCRIPT = """
import os, random, signal, sys, time
import torch
from nni_nasoa.data import open_dataset
from nni_nasoa.finetune import FineTuneRegime, finetune, classifier, trainer
torch.set_num_threads(1)
folder, encoding, random = sys.argv[1], sys.argv[2], random.Random(0)
for number in range(20):
    child = os.fork()
    if not child:
        digits = open_dataset("digits", input_size=16)
        while True:  # saves often, so that kills hit it
            finetune(digits, FineTuneRegime(encoding, 0.05, augmentation="none"), 0.6 / 60, weights=None, device="cpu", output=folder, seed=number)
    time.sleep(0.3 + 1.5 * random.random())
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print(number, flush=True)
    sys.stdin.readline()
"""


@pytest.mark.slow
def test_no_kill_leaves_a_broken_classifier(tmp_path, tiny, digits):
    (tmp_path / "script.py").write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, str(tmp_path / "script.py"), str(tmp_path / "out"), tiny], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    whole = 0
    try:
        for number in range(20):
            assert process.stdout.readline().strip() == str(number)
            try:
                classifier = load_classifier(tmp_path / "out")
            except ClassifierError as error:
                assert "no classifier here" in str(error) and not whole
            else:
                whole += 1
                assert np.isfinite(classifier.probabilities(digits.val.images[:8])).all()
                assert classifier.classes == digits.classes and 0 <= classifier.metrics["val_accuracy"] <= 1
            process.stdin.write("\n")
            process.stdin.flush()
        assert process.wait(60) == 0 and whole >= 5
    finally:
        process.kill()
        process.wait()
