from __future__ import annotations

import signal
import socket
import sys

import pytest
from click.testing import CliRunner
from fixtures.servers import serving

from nni_nasoa.cli import main


def refused(*words):
    done = CliRunner().invoke(main, ["serve", *map(str, words)])
    assert done.exit_code == 1 and done.stdout == "" and done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_as_it_ends_a_run(classifier_folder, picture, number):
    with serving(classifier_folder) as server:
        assert server.url.startswith("http://127.0.0.1:") and not server.url.endswith(":0/")
        assert server.predict({"a.png": picture(0)})[0] == 200
        server.process.send_signal(number)
        out, said = server.process.communicate(timeout=30)
        assert server.process.returncode == 128 + number and out == "" and said == ""


@pytest.mark.slow
def test_it_says_when_others_can_reach_it(classifier_folder, picture):
    with serving(classifier_folder, "--host", "0.0.0.0") as server:
        port = server.url.rsplit(":", 1)[1]
        server.url = f"http://127.0.0.1:{port}"
        assert server.predict({"a.png": picture(0)}, host="workstation.example")[0] == 200
        assert server.predict({"a.png": picture(0)}, origin="http://evil.example")[0] == 403
        server.process.terminate()
        said = server.process.communicate(timeout=30)[1]
    assert said == "note: whoever reaches 0.0.0.0 can use it, as it asks for no password\n"


@pytest.mark.slow
def test_names_of_a_proxy_can_be_allowed(classifier_folder, picture):
    with serving(classifier_folder, "--allow-host", "Flowers.example", "--host", "localhost") as server:
        asked = {"host": "flowers.example", "origin": "https://flowers.example"}
        assert server.predict({"a.png": picture(0)}, **asked)[0] == 200
        assert server.predict({"a.png": picture(0)}, host="evil.example")[0] == 403


def test_a_port_in_use_is_a_line(classifier_folder):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refused(classifier_folder, "--port", port)
    assert said == f"Error: port {port} of 127.0.0.1 is in use; give another one, or 0 for one that is free\n"


@pytest.mark.parametrize(
    "host, words",
    [
        ("192.0.2.1", "'192.0.2.1' is not an address of this machine"),
        ("no.such.host.invalid", "is not an address ("),
        ("a..b", "is not an address ("),
    ],
)
def test_a_host_that_is_not_here_is_a_line(classifier_folder, host, words):
    assert words in refused(classifier_folder, "--port", 0, "--host", host)


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "python_multipart"])
def test_a_missing_package_is_a_line_that_names_the_extra(classifier_folder, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert "pip install 'nni-nasoa[serve]'" in refused(classifier_folder)


def test_a_damaged_classifier_is_a_line(classifier_folder, tmp_path):
    assert "no classifier here" in refused(tmp_path, "--port", 0)
    whole = (classifier_folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:100])
    assert "model.safetensors: damaged" in refused(tmp_path, "--port", 0)


@pytest.mark.parametrize("option", ["--max-megabytes", "--max-megapixels", "--max-images", "--port"])
def test_a_limit_that_is_none_is_a_line(classifier_folder, option):
    done = CliRunner().invoke(main, ["serve", str(classifier_folder), option, "-1"])
    assert done.exit_code == 2 and option in done.stderr and done.stderr.count("\n") == 1
