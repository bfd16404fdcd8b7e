"""How a tuner's process ends: with one line on an error, with NNI's manager, and when all is done."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

_logger = logging.getLogger(__name__)
_PATIENCE = 20.0  # seconds for an answer of the manager, as NNI itself has


@contextmanager
def clear_errors(name: str, *, starting: bool = False) -> Iterator[None]:
    """Turn a ValueError into one line for the user and the status ERROR of the experiment, at once.

    NNI 3.0 would hang on it (an error while the search space is read), or wait and say that the tuner did not
    connect (an error in the constructor). Outside of the dispatcher the error is raised as it is.

    Parameters
    ----------
    name
        Who speaks.
    starting
        Whether this is the constructor: the dispatcher is not connected to NNI's manager yet.
    """
    try:
        yield
    except ValueError as error:
        if os.environ.get("SDK_PROCESS") != "dispatcher":
            raise
        _end_experiment(f"{name}: {error}", starting)


def _end_experiment(line: str, starting: bool) -> None:
    """Say why to the terminal (with `--foreground`) or nnictl_stderr.log, and to the manager, and leave."""
    from nni.runtime.tuner_command_channel import CommandType, TunerCommandChannel

    _logger.error(line)
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
    try:
        channel = TunerCommandChannel(os.environ["NNI_TUNER_COMMAND_CHANNEL"])
        channel.connect()
        if starting:
            channel._receive()  # the manager listens to errors only from its first command on
        channel._send(CommandType.Error, line)
        channel.disconnect()
    except Exception as error:  # the manager will find out by itself that this process is gone
        _logger.warning("could not report it to NNI's manager: %s", error)
    os._exit(1)  # this may be a worker thread, whose exceptions NNI keeps to itself


def end_with_manager() -> None:
    """Let this process end as soon as NNI's manager is gone.

    Else it would go on for ten seconds trying to reach a manager on the same port, and would get in the way
    of the tuner of an experiment that is resumed meanwhile.
    """
    child = _child_of_manager()
    if child is not None:
        Thread(target=_watch, args=(child,), daemon=True).start()


def _child_of_manager() -> psutil.Process | None:
    """The process that the manager started, this one or the shell around it; None without a manager."""
    if os.environ.get("SDK_PROCESS") != "dispatcher":
        return None
    import psutil

    child = psutil.Process()
    try:
        for parent in child.parents():
            if any(part.endswith("main.js") for part in parent.cmdline()):
                return child
            child = parent
    except psutil.Error:
        pass
    return None


def in_foreground() -> bool:
    """Whether this is the tuner of an `nnictl create --foreground`, whose user reads what it prints."""
    if (child := _child_of_manager()) is None:
        return False
    import psutil

    try:
        manager = child.parent()
        command = [] if manager is None else manager.cmdline()
    except psutil.Error:
        return False
    return (
        command[command.index("--foreground") + 1 :][:1] == ["true"] if "--foreground" in command else False
    )


def _watch(child: psutil.Process) -> None:
    import psutil

    try:
        manager = child.ppid()
        while child.ppid() == manager:
            time.sleep(0.2)
    except psutil.Error:
        pass
    os._exit(1)


def end_when_done() -> None:
    """Let the experiment end once the trials that were asked for have: there will be no more.

    Of a tuner that has no more trials, NNI 3.0's manager takes note, and waits for ever. What it does heed is
    the number of trials, which its own API changes. Outside of the dispatcher nothing happens; an API that
    does not answer is logged.
    """
    if os.environ.get("SDK_PROCESS") == "dispatcher":
        Thread(target=_limit_trials, args=(os.environ["NNI_TUNER_COMMAND_CHANNEL"],), daemon=True).start()


def ask_manager(path: str) -> None:
    """GET something of the manager's API for what the manager does then; its answer is of no interest.

    Outside of the dispatcher nothing happens; an API that does not answer is logged.
    """
    if os.environ.get("SDK_PROCESS") != "dispatcher":
        return
    from urllib.request import urlopen

    port, prefix = _address(os.environ["NNI_TUNER_COMMAND_CHANNEL"])
    url = "/".join(filter(None, (f"http://localhost:{port}", prefix, "api/v1/nni", path)))
    try:
        with urlopen(url, timeout=_PATIENCE) as answer:
            answer.read()
    except OSError as error:
        _logger.warning("NNI's manager was asked for %s in vain: %s", path, error)


def _address(channel: str) -> tuple[int | None, str | None]:
    """The port of NNI's manager, and its URLs' prefix if there is one.

    `channel` is ws://localhost:PORT/PREFIX/tuner.
    """
    from urllib.parse import urlsplit

    address = urlsplit(channel)
    return address.port, address.path.strip("/").rpartition("tuner")[0].strip("/") or None


def _limit_trials(channel: str) -> None:
    """Set the maximal number of trials to the number that there are."""
    from nni.experiment import rest

    port, prefix = _address(channel)
    try:
        trials = len(rest.get(port, "/trial-jobs", prefix))
        profile = rest.get(port, "/experiment", prefix)
        profile["params"]["maxTrialNumber"] = max(1, trials)
        rest.put(port, "/experiment?update_type=MAX_TRIAL_NUM", profile, prefix)
    except Exception as error:  # requests has errors of its own, and the API may answer something else
        _logger.warning(
            "NNI's manager could not be told that the experiment is done (%s); stop it with nnictl stop",
            error,
        )
