"""Weights that are downloaded before an advice: which, how much, and what could not be had in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from nni_nasoa.zoo import ModelInfo
from nni_nasoa.zoo.available import download_of
from nni_nasoa.zoo.downloading import Download, DownloadError, offline, unreachable
from nni_nasoa.zoo.shortlist import recommended

from .models import AdviceError

# Shares of a budget that may go to downloads of networks that nobody has asked for, and, where downloads
# count in the budget, of those that were asked for.
SHARE, ASKED_SHARE = 0.15, 0.5
LEAST_MINUTES = 2.0  # a shorter run trains only what is here
MEGABYTES_A_SECOND = 5.0  # assumed of the network until a download has shown what it does

Tell = Callable[[str], object]


def silent(_line: str) -> None:
    """Say nothing."""


def with_recommended(
    models: Sequence[ModelInfo],
    *,
    budget: float,
    device: str,
    fits: Callable[[ModelInfo], bool],
    tell: Tell = silent,
) -> tuple[list[ModelInfo], list[str]]:
    """The models, and some that are worth a download, which have been fetched; notes on those that failed.

    Parameters
    ----------
    models
        What is here.
    budget
        Of a run, in seconds. Downloads get a share of it, and there are none where it is too short.
    device
        "cpu", "cuda", ...: networks are chosen that it has the time for.
    fits
        Whether a network is within the limits.
    tell
        What is given a line about what will be downloaded, before it is.
    """
    if budget < 60 * LEAST_MINUTES or offline() is not None:
        return list(models), []
    there, left = {model.name for model in models}, SHARE * budget * MEGABYTES_A_SECOND
    wanted: list[tuple[ModelInfo, Download]] = []
    for model in recommended(budget / 60, device):
        if model.name in there or not fits(model) or (download := download_of(model)) is None:
            continue
        if download.megabytes is not None and download.megabytes <= left:
            wanted.append((model, download))
            left -= download.megabytes
    fetched, notes = _fetched(wanted, SHARE * budget, tell)
    return [*models, *fetched], notes


def with_weights(
    models: Sequence[ModelInfo], *, seconds: float | None, tell: Tell = silent
) -> tuple[list[ModelInfo], list[str]]:
    """The models that were asked for, their weights fetched where they are not here; notes on those left out.

    Parameters
    ----------
    models
        In the order in which they are fetched.
    seconds
        For all downloads; None gives each as long as it takes.
    tell
        As in `with_recommended`.

    Raises
    ------
    AdviceError
        None of them can be had. One line.
    """
    wanted = [(model, download) for model in models if (download := download_of(model)) is not None]
    if not wanted:
        return list(models), []
    fetched, notes = _fetched(wanted, seconds, tell)
    lost = {model.name for model, _ in wanted} - {model.name for model in fetched}
    kept = [model for model in models if model.name not in lost]
    if not kept:
        raise AdviceError(notes[0])
    return kept, notes


def _fetched(
    wanted: Sequence[tuple[ModelInfo, Download]], seconds: float | None, tell: Tell
) -> tuple[list[ModelInfo], list[str]]:
    """Those that came in time, and a line for each reason why others did not."""
    fetched: list[ModelInfo] = []
    lost: dict[str, list[str]] = {}
    speed, begin = MEGABYTES_A_SECOND, time.monotonic()
    if any(unreachable(download.url) is None for _, download in wanted):
        tell(_announced([download for _, download in wanted], seconds))
    for model, download in wanted:
        left = None if seconds is None else seconds - (time.monotonic() - begin)
        size = download.megabytes or 0.0
        try:
            if left is not None and (left <= 0 or (fetched and size > speed * left)):
                raise DownloadError("there is no time for it")
            took = download.fetch(left)
        except DownloadError as error:
            lost.setdefault(str(error), []).append(model.name)
        else:
            fetched.append(model)
            speed = max(size, 1e-3) / took
    return fetched, [
        f"{', '.join(names)}: not here, and could not be downloaded ({why})" for why, names in lost.items()
    ]


def _announced(downloads: Iterable[Download], seconds: float | None) -> str:
    listed = ", ".join(
        one.model if one.megabytes is None else f"{one.model} ({one.megabytes:.0f} MB)" for one in downloads
    )
    return f"downloading {listed}" + ("" if seconds is None else f", in at most {seconds:.0f} s")
