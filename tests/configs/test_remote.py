from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nni_nasoa.plugin.experiments import read_results, read_status

pytestmark = pytest.mark.slow


def test_a_search_on_two_machines_by_ssh(nnictl, sshd, reduced_config, tmp_path):
    code = tmp_path / "code"
    code.mkdir()
    (code / "notes.txt").write_text("NNI does not upload an empty folder")
    login = {
        "port": sshd.port,
        "user": sshd.user,
        "sshKeyFile": str(sshd.key_file),
        "pythonPath": str(Path(sys.executable).parent),
    }
    machines = [{"host": host, **login} for host in ("127.0.0.1", "localhost")]
    config = reduced_config("search_remote.yml", code, maxTrialNumber=4, nniManagerIp="127.0.0.1")
    assert [set(machine) for machine in config["trainingService"]["machineList"]] == [
        set(machine) for machine in machines
    ]
    config["trainingService"]["machineList"] = machines
    experiment = nnictl.create(config)
    experiment.wait_done(400)
    results = read_results(experiment.folder)
    assert (
        len({result["architecture"] for result in results}) == 4
        and read_status(experiment.folder)["succeeded"] == 4
    )
    workers = list((sshd.home / "nni-experiments" / experiment.id / "environments").iterdir())
    assert len(workers) == 2 and all(list((worker / "trials").iterdir()) for worker in workers)
    experiment.stop()
