"""Where the classifiers of an experiment are: a list beside its database, one JSON object a line."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nni_nasoa.experience.old_records import outcome_of
from nni_nasoa.files import append_line, read_lines

from .trial_result import TrialResult

LIST = "classifiers.jsonl"  # the file lies in the experiment's folder


def entry_of(result: TrialResult, config: Mapping[str, Any]) -> dict[str, Any]:
    """The line of a run's result: what it was, where the classifier is, and how it is fetched from there.

    Parameters
    ----------
    result
        Of the run.
    config
        Of the experiment, as NNI keeps it.
    """
    command = fetching_command(result.classifier, config)
    return result.summary() if command is None else {**result.summary(), "fetch": command}


def fetching_command(place: str, config: Mapping[str, Any]) -> str | None:
    """How a classifier comes to this machine; None where it is on it.

    The user, port and key of the machine are those in the experiment's list of machines, if that has it.
    """
    host, separator, path = place.rpartition(":")
    if not separator or place.startswith("/"):
        return None
    address = host.strip("[]")
    for machine in _machines(config):
        if address in _addresses(str(machine.get("host"))):
            options = ["-P", str(machine["port"])] if machine.get("port") not in (None, 22) else []
            options += ["-i", str(machine["sshKeyFile"])] if machine.get("sshKeyFile") else []
            host = f"{machine['user']}@{host}" if machine.get("user") else host
            return shlex.join(
                [
                    "scp",
                    "-r",
                    *options,
                    f"{host}:{path}",
                    Path(path).parent.name + "-classifier"
                    if Path(path).name == "classifier"
                    else Path(path).name,
                ]
            )
    return shlex.join(["scp", "-r", place, Path(path).name])


def _machines(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    services = config.get("trainingService") or []
    for service in services if isinstance(services, list) else [services]:
        yield from service.get("machineList") or []


def _addresses(host: str) -> set[str]:
    found = {host}
    with suppress(OSError):
        found |= {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    return found


def add_to_list(folder: Path | None, entry: Mapping[str, Any]) -> None:
    """Append a line, on the disk before this returns; nothing where there is no folder."""
    if folder is not None:
        append_line(folder / LIST, entry, durable=True)


def read_list(folder: str | Path) -> list[dict[str, Any]]:
    """The list of an experiment's folder, each run once; empty where there is none. A torn line is left out.

    Of lines of earlier releases, what they told in words is put into an outcome.
    """
    entries: dict[str, dict[str, Any]] = {}
    with suppress(OSError):
        for _, entry in read_lines(Path(folder) / LIST, damaged=lambda *_: None):
            if isinstance(entry, dict) and isinstance(entry.get("run"), str):
                entries[entry["run"]] = _upgraded(entry)
    return list(entries.values())


def _upgraded(entry: dict[str, Any]) -> dict[str, Any]:
    """A line as this release writes it."""
    if "stopped" not in entry:
        return entry
    outcome = outcome_of(str(entry["stopped"]), ())["reason"]
    return {name: value for name, value in entry.items() if name != "stopped"} | {"outcome": outcome}


def shown_accuracy(entry: Mapping[str, Any]) -> str:
    """The accuracy of an entry, in words."""
    return (
        "no accuracy" if entry["accuracy"] is None else f"validation accuracy {100 * entry['accuracy']:.2f} %"
    )
