"""NNI's web server has no password: whoever starts a search on one machine opens it to nobody else."""

from __future__ import annotations

import subprocess
import urllib.request
from pathlib import Path

import nni_node
import psutil
import pytest
import yaml

from nni_nasoa.plugin.experiments import read_status
from nni_nasoa.plugin.listening import OPEN, listen_locally

CLASS = "nni_nasoa.plugin.evolution_tuner.EvolutionTuner"
NODE = Path(nni_node.__path__[0]) / "node"


def test_the_options_that_node_has_are_kept_and_ours_is_there_once():
    environ = {"NODE_OPTIONS": "--no-warnings"}
    assert listen_locally(environ) and listen_locally(environ)
    kept, ours = environ["NODE_OPTIONS"].split(" ", 1)
    assert kept == "--no-warnings" and ours.startswith('--require "') and ours.endswith('loopback.cjs"')


@pytest.mark.parametrize("setting, local", [("", True), ("local", True), ("all", False)])
def test_nasoa_listen_says_who_is_let_in(setting, local):
    environ = {"NASOA_LISTEN": setting}
    assert listen_locally(environ) == local == ("NODE_OPTIONS" in environ)


def test_another_setting_is_one_line():
    with pytest.raises(ValueError, match="NASOA_LISTEN: 'everyone' is not possible; all opens"):
        listen_locally({"NASOA_LISTEN": "everyone"})


# What NNI's manager does, and other programs of node.
SERVER = """
const server = require('http').createServer().listen(0, () => {
    console.log(server.address().address);
    server.close();
});
"""


@pytest.mark.parametrize(
    "script, mode, address",
    [
        ("nni_node/main.js", "local", "127.0.0.1"),
        ("nni_node/main.js", "remote", "::"),
        ("nni_node/main.js", "hybrid", "::"),
        ("site/main.js", "local", "::"),
        ("nni_node/other.js", "local", "::"),
    ],
)
def test_only_managers_of_local_trials_are_closed(tmp_path, script, mode, address):
    path = tmp_path / "a folder" / script
    path.parent.mkdir(parents=True)
    path.write_text(SERVER)
    environ = {}
    listen_locally(environ)
    if address == "::" and not Path("/proc/net/if_inet6").exists():
        address = "0.0.0.0"
    command = [NODE, path, "--port", "0", "--mode", mode, "--log-level", "info"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == address


def addresses(experiment) -> set[str]:
    """Where the manager and all that it started listen."""
    processes = [experiment.manager, *experiment.manager.children(recursive=True)]
    return {
        socket.laddr.ip
        for process in processes
        for socket in process.net_connections()
        if socket.status == psutil.CONN_LISTEN
    }


@pytest.mark.slow
def test_a_local_search_is_for_this_machine_alone_and_runs_to_its_end(nnictl, plain_config, tmp_path):
    tuner = {"className": CLASS, "codeDirectory": str(tmp_path)}
    experiment = nnictl.create(plain_config(tuner))
    assert addresses(experiment) == {"127.0.0.1"}
    with urllib.request.urlopen(f"http://127.0.0.1:{experiment.port}/oview", timeout=20) as page:
        assert b"root" in page.read()
    experiment.wait_done()
    assert read_status(experiment.folder)["succeeded"] == 4
    experiment.stop()
    experiment = nnictl.resume(experiment)
    assert addresses(experiment) == {"127.0.0.1"}


@pytest.mark.slow
def test_it_is_open_where_the_user_says_so(nnictl, plain_config, tmp_path):
    nnictl.env["NASOA_LISTEN"] = "all"
    experiment = nnictl.create(plain_config({"className": CLASS, "codeDirectory": str(tmp_path)}))
    assert addresses(experiment) <= {"::", "0.0.0.0"} and addresses(experiment)


@pytest.mark.slow
def test_with_trials_elsewhere_it_is_open_and_nnictl_says_so_once(
    nnictl, reduced_config, tmp_path, find_free_port
):
    config = reduced_config("search_remote.yml", tmp_path, nniManagerIp="127.0.0.1")
    key = tmp_path / "key"
    key.touch()
    nobody = {"host": "127.0.0.1", "port": find_free_port(), "user": "nobody", "sshKeyFile": str(key)}
    config["trainingService"]["machineList"] = [nobody]
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    port = find_free_port()
    output = nnictl("create", "--config", tmp_path / "config.yml", "--port", port).stdout
    assert output.splitlines().count(OPEN) == 1
    listening = [socket for socket in psutil.net_connections("tcp") if socket.laddr.port == port]
    assert {socket.laddr.ip for socket in listening if socket.status == psutil.CONN_LISTEN} <= {
        "::",
        "0.0.0.0",
    }


@pytest.mark.slow
def test_a_setting_that_is_wrong_starts_nothing(nnictl, plain_config, tmp_path, find_free_port):
    nnictl.env["NASOA_LISTEN"] = "everyone"
    config = plain_config({"className": CLASS, "codeDirectory": str(tmp_path)})
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    ended = nnictl("create", "--config", tmp_path / "config.yml", "--port", find_free_port(), check=False)
    assert ended.returncode == 1 and ended.stdout.startswith("NASOA_LISTEN: 'everyone' is not possible")
    assert len(ended.stdout.splitlines()) == 1 and not (nnictl.home / "nni-experiments").exists()
