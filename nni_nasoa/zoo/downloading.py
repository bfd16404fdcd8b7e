"""Downloads of weights: what one would be, whether there is a network, and one that ends in time.

A download runs in a process of its own, so that it can be given up at any moment: what has come by then is
not lost where Hugging Face's library keeps it. Whether a server answers is asked once, before anything else,
in a short time, since libraries try for long.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from nni_nasoa.values import MAX_REASON, one_line

OFFLINE = ("NASOA_OFFLINE", "HF_HUB_OFFLINE")  # environment variables that forbid downloads, unless they say
NO = ("", "0", "false", "no", "off")
ANSWER_SECONDS = 2.5  # a server has so long to answer at all
KNOWN_SECONDS = 60.0  # it stays known so long whether it does
SILENT_SECONDS = 10  # a download has failed after so long without a byte
BYTES_A_PARAMETER = 4


class DownloadError(OSError):
    """What could not be downloaded. The message is the reason, in one line."""


@dataclass(frozen=True)
class Download:
    """A file of weights that is not here yet.

    Parameters
    ----------
    model
        Whose weights they are.
    url
        Of the file; for one of Hugging Face's repositories `repository` and `name`, and the server.
    megabytes
        About how large it is, None where nobody knows.
    path
        Where the file goes; None where Hugging Face's library decides.
    repository, name
        As its library takes them.
    """

    model: str
    url: str
    megabytes: float | None
    path: Path | None = None
    repository: str = ""
    name: str = ""

    def fetch(self, seconds: float | None = None) -> float:
        """Download it; the seconds that it took.

        Parameters
        ----------
        seconds
            After which it is given up; None waits as long as bytes come.

        Raises
        ------
        DownloadError
            There is no network, no such file, or no time.
        """
        begin = time.monotonic()
        if (why := unreachable(self.url)) is not None:
            raise DownloadError(why)
        where = (
            ["hub", self.repository, self.name] if self.path is None else ["file", self.url, str(self.path)]
        )
        quiet = {
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DOWNLOAD_TIMEOUT": str(SILENT_SECONDS),
            "HF_HUB_ETAG_TIMEOUT": str(SILENT_SECONDS),
        }
        with subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.fetching", *map(str, where)],
            env={**os.environ, **quiet},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                left = None if seconds is None else max(0.0, seconds - (time.monotonic() - begin))
                _, said = process.communicate(timeout=left)
            except subprocess.TimeoutExpired:
                raise DownloadError(f"given up after {seconds:.3g} s") from None
            finally:
                process.kill()
        if process.returncode:
            lines = said.strip().splitlines() or [f"exit status {process.returncode}"]
            raise DownloadError(one_line(lines[-1], MAX_REASON))
        return time.monotonic() - begin


def hub_endpoint() -> str:
    """The server of Hugging Face, or the one in its place that HF_ENDPOINT names."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def offline() -> str | None:
    """The environment variable that forbids downloads; None where none does."""
    return next((name for name in OFFLINE if os.environ.get(name, "").lower() not in NO), None)


_known: dict[str, tuple[float, str | None]] = {}  # why a server cannot be reached, and until when that holds


def unreachable(url: str) -> str | None:
    """Why nothing can be downloaded from a server, in one line; None where it answers, whatever it says."""
    if (variable := offline()) is not None:
        return f"{variable} is set"
    scheme, _, rest = url.partition("://")
    server = f"{scheme}://{rest.partition('/')[0]}"
    until, why = _known.get(server, (0.0, None))
    if time.monotonic() >= until:
        why = _in_time(lambda: _no_answer(server), f"no answer from {server} in {ANSWER_SECONDS:g} s")
        _known[server] = time.monotonic() + KNOWN_SECONDS, why
    return why


def _no_answer(server: str) -> str | None:
    try:
        urlopen(Request(server, method="HEAD"), timeout=ANSWER_SECONDS).close()
    except HTTPError:  # that is an answer, too
        return None
    except (OSError, ValueError) as error:
        return one_line(getattr(error, "reason", None) or error, MAX_REASON)
    return None


def _in_time(ask: Callable[[], str | None], otherwise: str) -> str | None:
    """An answer, or what is given otherwise where it takes too long: no timeout covers looking a name up."""
    answers: list[str | None] = []

    def answer() -> None:
        with suppress(Exception):  # one that is too late interests nobody
            answers.append(ask())

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    return answers[0] if answers else otherwise
