"""The custom training service: a real experiment whose trials it starts."""

from __future__ import annotations

import os

import pytest
import yaml
from documents import ROOT

from nni_nasoa.plugin.experiments import read_results

FOLDER = ROOT / "examples" / "training_service"
pytestmark = pytest.mark.slow


def test_trials_are_begun_through_the_prefix(nnictl, tmp_path):
    nnictl.env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(FOLDER), os.environ.get("PYTHONPATH")]))
    assert "registered prefixed" in nnictl("trainingservice", "register", "--package", "prefixed").stdout
    code = tmp_path / "code"
    code.mkdir()
    (code / "notes.txt").write_text("NNI does not copy an empty folder")
    config = yaml.safe_load((FOLDER / "search_prefixed.yml").read_text())
    config["trainingService"]["prefix"] = "env NASOA_BEGUN_BY=the-prefix"
    config["trialCommand"] = "echo begun by $NASOA_BEGUN_BY; " + config["trialCommand"] + " --epochs 1"
    config["trialCodeDirectory"] = config["tuner"]["codeDirectory"] = str(code)
    experiment = nnictl.create(config | {"maxTrialNumber": 2})
    experiment.wait_done(400)
    results = read_results(experiment.folder)
    assert len(results) == 2 and all(0 < one["accuracy"] <= 1 for one in results)
    said = "".join(path.read_text() for path in experiment.folder.rglob("trialrunner_stdout"))
    assert said.count("begun by the-prefix") == 2
    nnictl("trainingservice", "unregister", "--package", "prefixed")
