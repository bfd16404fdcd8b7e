"""The server as a process: the packages that it needs, its socket, and the signals that end it."""

from __future__ import annotations

import errno
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from nni_nasoa.values import reason, shown

if TYPE_CHECKING:
    from types import FrameType

PACKAGES = ("fastapi", "uvicorn", "python_multipart")
BACKLOG = 1024  # connections that may wait to be accepted
GRACE_SECONDS = 5  # in which requests that are being answered may be done at the end


class ServingError(ValueError):
    """What a server needs is not there. The message is one line."""


def require_packages() -> None:
    """Raise ServingError where a package that the server needs is missing."""
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        name = missing[0].replace("_", "-")
        raise ServingError(f"serving needs the package {name}: pip install 'nni-nasoa[serve]'")


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; connections wait from then on.

    Parameters
    ----------
    host
        An address of this machine, or a name of one.
    port
        0 takes one that is free.

    Raises
    ------
    ServingError
        The host is no address of this machine, the port is in use, or not for this user.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise ServingError(f"host: {shown(host)} is not an address ({reason(error)})") from None
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # one that has just ended is no obstacle
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise ServingError(
                f"port {port} of {host} is in use; give another one, or 0 for one that is free"
            ) from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise ServingError(f"host: {shown(host)} is not an address of this machine") from None
        raise ServingError(f"port {port} of {host}: cannot be listened on ({reason(error)})") from None
    return listening


def is_local(listening: socket.socket) -> bool:
    """Whether a socket is reached from this machine alone."""
    return ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback


def url_of(listening: socket.socket) -> str:
    """The address of the page at a socket."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def serve(app: Any, listening: socket.socket) -> int:
    """Answer requests until SIGINT or SIGTERM comes; its number.

    Requests that are being answered then are done first, for some seconds.
    """
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="critical",  # errors are answered, and told in a line
        access_log=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    with _noted() as came:
        uvicorn.Server(config).run(sockets=[listening])
    return came[0] if came else 0


@contextmanager
def _noted() -> Iterator[list[int]]:
    """The numbers of signals that come; uvicorn ends by them, and has them called again at its end."""
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
