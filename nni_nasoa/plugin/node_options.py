"""Files that NNI's manager, a program of node, loads before it begins, as the environment says.

They change what it does where NNI 3.0 has no setting for it: loopback.cjs (see listening.py), and
broken_connections.cjs, with which a machine whose ssh connection breaks does not take the whole experiment
with it.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path

BROKEN_CONNECTIONS = "broken_connections.cjs"


def load_into_manager(name: str, environ: MutableMapping[str, str]) -> None:
    """Let managers that are started with an environment load a file of this folder, once."""
    path = str(Path(__file__).with_name(name)).replace("\\", "\\\\").replace('"', '\\"')
    option, options = f'--require "{path}"', environ.get("NODE_OPTIONS", "")
    if option not in options:
        environ["NODE_OPTIONS"] = f"{options} {option}".strip()
