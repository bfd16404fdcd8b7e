"""Who can reach NNI's web server, which has no password: this machine alone, unless the user says otherwise.

NNI 3.0 has no setting for it. Its manager loads a file that gives the server the loopback address
(loopback.cjs, see node_options.py). Trials on this machine do not notice; those on other machines have to
reach the manager, so there the port stays open.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from nni_nasoa.values import shown

from .node_options import load_into_manager

SETTING = "NASOA_LISTEN"
OPEN = (
    "NNI's web server has no password and listens on every network interface, as trials on other machines "
    "have to reach it: close its ports to everybody else"
)
_FILE = "loopback.cjs"


def listen_locally(environ: MutableMapping[str, str] = os.environ) -> bool:
    """Let managers of NNI that this process starts listen on 127.0.0.1 alone, where their trials are local.

    Returns
    -------
    Whether they will; not with NASOA_LISTEN=all.

    Raises
    ------
    ValueError
        NASOA_LISTEN is something else.
    """
    setting = environ.get(SETTING) or "local"
    if setting not in ("local", "all"):
        raise ValueError(
            f"{SETTING}: {shown(setting)} is not possible; all opens NNI's web server to the network, and "
            "without it it is for this machine alone"
        )
    if setting == "local":
        load_into_manager(_FILE, environ)
    return setting == "local"
