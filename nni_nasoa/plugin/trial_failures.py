"""Why trials of an experiment have no result, in a line for each reason.

A trial says so on its standard error, of which NNI keeps a file: in the experiment's folder for trials on
this machine, on the machines themselves for others. From there NNI's manager fetches it as long as it runs,
so a tuner has it do so when a trial has failed; whoever reads the experiment finds all files in its folder.
"""

from __future__ import annotations

import re
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from nni_nasoa.values import one_line

from .dispatcher import ask_manager
from .experiments import FAILED, read_config, read_without_result

_MOST_REASONS = 5  # lines on different ones
_LONGEST = 400  # characters of a reason
_LAST_BYTES = 2**16  # of what a trial wrote, where its last words are
_OURS = re.compile(r"^(search_trial|finetune_trial): ")
# What a trial's line says first is which network or run it was.
_WHICH = re.compile(r"^(search_trial|finetune_trial): \S+: ")
_MISSING = re.compile(r"No module named '?([\w.]+)")
_NO_SERVICE = re.compile(r"Training srevice initialize failed: *(.+)")  # NNI's own spelling


class TrialFailure(NamedTuple):
    """A trial that has no result.

    Parameters
    ----------
    trial
        NNI's id.
    host
        The machine that it ran on, as the config names it; None for this one.
    reason
        Why it failed, in a line; None where it was ended in the middle by nobody whom NNI knows of.
    """

    trial: str
    host: str | None
    reason: str | None


def read_failures(folder: str | Path) -> list[TrialFailure]:
    """Return why trials have no result; those that a user or an assessor has stopped are left out."""
    command = str(read_config(folder).get("trialCommand") or "")
    return [
        TrialFailure(trial, host, _reason(Path(folder), trial, command) if event == FAILED else None)
        for trial, event, host in read_without_result(folder)
    ]


def failure_lines(folder: str | Path) -> list[str]:
    """Return a line for each reason for which trials of an experiment failed, the most frequent one first."""
    alike: dict[tuple[str | None, str | None], list[TrialFailure]] = defaultdict(list)
    for failure in read_failures(folder):
        alike[failure.host, failure.reason and _WHICH.sub("", failure.reason)].append(failure)
    groups = sorted(alike.values(), key=len, reverse=True)
    lines = [_line(failures) for failures in groups[:_MOST_REASONS]]
    if rest := groups[_MOST_REASONS:]:
        lines.append(f"{sum(map(len, rest))} trials failed for other reasons")
    return lines


def no_service_line(folder: str | Path) -> str | None:
    """Why NNI could not begin on the machines of an experiment; None where it could."""
    with suppress(OSError):
        log = (Path(folder) / "log" / "nnimanager.log").read_text(encoding="utf-8", errors="replace")
        if found := _NO_SERVICE.findall(log):
            return f"NNI could not begin on a machine: {one_line(found[-1], _LONGEST)}"
    return None


def reason_in(written: str, command: str = "") -> str:
    """Return the line that says why a trial failed.

    Parameters
    ----------
    written
        What it wrote to its standard error.
    command
        The trial command of the config.
    """
    lines = [line.strip() for line in written.splitlines() if line.strip()]
    if not lines:
        return "it wrote nothing"
    ours = next((line for line in reversed(lines) if _OURS.match(line)), None)
    if ours is None and (missing := _MISSING.search(lines[-1])):
        python = next((word for word in command.split() if "python" in word.rpartition("/")[2]), "its Python")
        return (
            f"{python} has no module {missing[1]!r} there; install the package for it, or name another "
            "Python in trialCommand"
        )
    return one_line(ours or lines[-1], _LONGEST)


class ErrorFiles:
    """Has NNI's manager fetch what failed trials wrote on other machines, each once.

    Parameters
    ----------
    folder
        The experiment's; None outside of one, where there is nothing to fetch.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder, self._asked = folder, set[str]()

    def fetch(self) -> None:
        """Fetch what is missing. It waits for that, as the experiment may be about to end."""
        if self._folder is None:
            return
        for trial, event, host in read_without_result(self._folder):
            if event == FAILED and host and trial not in self._asked and not _file(self._folder, trial):
                self._asked.add(trial)
                ask_manager(f"trial-file/{trial}/stderr")


def _file(folder: Path, trial: str) -> Path | None:
    """What a trial wrote to its standard error, where that is on this machine."""
    fetched = folder / "trials" / trial / "trial.stderr"
    here = folder.glob(f"environments/*/trials/{trial}/trial.stderr")
    return next((file for file in (fetched, *here) if file.is_file()), None)


def _reason(folder: Path, trial: str, command: str) -> str:
    file = _file(folder, trial)
    if file is None:
        return "what it wrote lies where it ran, and could not be fetched"
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - _LAST_BYTES))
            written = opened.read().decode("utf-8", "replace")
    except OSError as error:
        return f"what it wrote cannot be read ({one_line(error, _LONGEST)})"
    return reason_in(written, command)


def _line(failures: list[TrialFailure]) -> str:
    """A line on trials that have failed in the same way on the same machine."""
    first, count = failures[0], len(failures)
    trials = f"{count} trial{'s' * (count > 1)}"
    on = f" on {first.host}" if first.host else ""
    if first.reason is None:
        machine = "the machine went down, or " if first.host else ""
        return f"{trials}{on} ended in the middle: {machine}somebody killed the process"
    several = len({failure.reason for failure in failures}) > 1
    return f"{trials} failed{on}{'; the first' if several else ''}: {first.reason}"
