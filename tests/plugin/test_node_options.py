"""What NNI's manager loads before it begins."""

from __future__ import annotations

import subprocess
from pathlib import Path

import nni_node
import pytest

from nni_nasoa.plugin.node_options import BROKEN_CONNECTIONS, load_into_manager

NODE = Path(nni_node.__path__[0]) / "node"

# A connection that stands, and then breaks as ssh2 tells it, or something else that goes wrong.
BREAKS = """
const connection = new (require('events').EventEmitter)();
setTimeout(() => {
    connection.emit('error', Object.assign(new Error('read ECONNRESET'), { level: LEVEL }));
}, 10);
setTimeout(() => { console.log('goes on'); }, 50);
"""


@pytest.mark.parametrize(
    "script, level, goes_on",
    [
        ("nni_node/main.js", "'client-socket'", True),
        ("nni_node/main.js", "'client-timeout'", True),
        ("nni_node/main.js", "undefined", False),
        ("site/main.js", "'client-socket'", False),
    ],
)
def test_a_connection_that_breaks_does_not_end_a_manager(tmp_path, script, level, goes_on):
    path = tmp_path / script
    path.parent.mkdir(parents=True)
    path.write_text(BREAKS.replace("LEVEL", level))
    environ: dict[str, str] = {}
    load_into_manager(BROKEN_CONNECTIONS, environ)
    done = subprocess.run([NODE, path], env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode == 0, done.stdout) == (goes_on, "goes on\n" if goes_on else "")
    assert ("The connection to a machine broke: read ECONNRESET" in done.stderr) == goes_on


def test_the_options_that_node_has_are_kept_and_each_file_is_there_once():
    environ = {"NODE_OPTIONS": "--no-warnings"}
    for name in (BROKEN_CONNECTIONS, "loopback.cjs", BROKEN_CONNECTIONS):
        load_into_manager(name, environ)
    assert environ["NODE_OPTIONS"].startswith('--no-warnings --require "')
    assert environ["NODE_OPTIONS"].count("--require") == 2
