"""What an NNI experiment stored on this machine: where it is, its trials, their results.

Works while it runs, too. NNI hands parameters to trials in the order in which they ask, not in which they
were submitted, so a trial's record may show the parameters of another one (microsoft/nni issue 5726). The
parameter id that comes with a metric is right: here a result always stands beside the parameters that it was
got with.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nni_nasoa.files import parse_json, read_json
from nni_nasoa.values import shown

from .journal import Journal
from .result_context import with_context
from .search_journal import last_space

FAILED, LOST = "FAILED", "USER_CANCELED"  # NNI's words for how trials ended; see `read_without_result`
_BY_USER = "USER_TO_CANCEL"
_FINISHED = ("SUCCEEDED", FAILED, "EARLY_STOPPED", LOST, "SYS_CANCELED", _BY_USER)


class ExperimentError(ValueError):
    """The experiment is not known here, or its folder is not one of NNI's."""


@dataclass(frozen=True)
class FinalResult:
    """A final result of a trial.

    Parameters
    ----------
    trial_id, sequence
        NNI's id of the trial, and its number in the web UI (None where it was not recorded).
    parameter_id, parameters
        The parameters that the trial really had; None if NNI did not record them.
    metrics
        The reported dict, with what a trial told of it before (see `result_context`); a plain number is
        {"default": number}.
    """

    trial_id: str
    sequence: int | None
    parameter_id: int | None
    parameters: Any
    metrics: Mapping[str, Any]


def find_experiment(experiment: str | Path) -> Path:
    """Return the folder of an experiment.

    Parameters
    ----------
    experiment
        An experiment id, "latest" for the one that ran last (viewed it may have been since), or the folder
        itself.

    Raises
    ------
    ExperimentError
        There is no such experiment; the message lists those that there are.
    """
    home = Path.home() / "nni-experiments"
    known = _manifest(home / ".experiment")
    if experiment == "latest" and known:
        experiment = max(known, key=lambda name: _last_event(_base(home, known[name]) / name, known[name]))
    name = str(experiment)
    for folder in (_base(home, known.get(name, {})) / name, Path(name)):
        if _database(folder).is_file():
            return folder.resolve()
    listed = ", ".join(sorted(known)) or f"none ({home} has no list of experiments)"
    raise ExperimentError(f"experiment {shown(name)}: not found; known experiments: {listed}")


def known_experiments() -> list[str]:
    """The ids of all experiments of this machine's user that NNI has a note of."""
    return sorted(_manifest(Path.home() / "nni-experiments" / ".experiment"))


def read_trials(folder: str | Path) -> list[FinalResult]:
    """Return the final results of an experiment, in the order in which they came.

    Only the first result of a trial counts, or, where results name their architectures, the first of each: a
    resumed experiment may run a trial again with other parameters than it had. A result that is word for word
    an earlier one is left out, too, where it names its architecture.
    """
    with open_database(folder) as database:
        reported = database.execute(
            "select trialJobId, parameterId, timestamp, data, type from MetricData order by rowid"
        ).fetchall()
        events = database.execute(
            "select trialJobId, timestamp, sequenceId, data from TrialJobEvent order by rowid"
        ).fetchall()
    sequences = {trial: sequence for trial, _, sequence, _ in reversed(events) if sequence is not None}
    submitted: dict[
        int, list[tuple[int, Any]]
    ] = {}  # (time, parameters) by parameter id; a resumed experiment uses ids again
    for _, time, _, data in events:
        form = _json(data)
        if isinstance(form, Mapping) and isinstance(form.get("parameter_id"), int):
            submitted.setdefault(form["parameter_id"], []).append((time, form.get("parameters")))

    results: dict[tuple[str, str], FinalResult] = {}
    of_architecture: dict[str, list[dict]] = {}
    # NNI does not wait for one row before it writes the next: a final result may stand before what its trial
    # told on the way to it.
    on_the_way: dict[str, list[Any]] = {}
    for trial, _, _, data, kind in reported:
        if kind != "FINAL":
            on_the_way.setdefault(trial, []).append(_json(data))
    for trial, parameter_id, time, data, kind in reported:
        if kind != "FINAL":
            continue
        metrics = metrics_of(_json(data))
        key = trial, str(metrics.get("architecture"))
        known = of_architecture.setdefault(key[1], [])
        if key in results or ("architecture" in metrics and metrics in known):
            continue
        known.append(metrics)
        found = with_context(metrics, on_the_way.get(trial, ()))
        number = int(parameter_id) if str(parameter_id).isdigit() else None
        of_number = submitted.get(number, []) if number is not None else []
        forms = [parameters for submission, parameters in of_number if submission <= time]
        results[key] = FinalResult(trial, sequences.get(trial), number, forms[-1] if forms else None, found)
    return list(results.values())


def read_results(folder: str | Path) -> list[dict[str, Any]]:
    """Return the final metrics of a folder's trials, each with `trial_id`, `sequence` and `parameter_id`."""
    return [
        {
            **result.metrics,
            "trial_id": result.trial_id,
            "sequence": result.sequence,
            "parameter_id": result.parameter_id,
        }
        for result in read_trials(folder)
    ]


def find_context(folder: str | Path, final: Mapping[str, Any]) -> dict[str, Any] | None:
    """A run's final result with what its trial told of it before; None where that is not there.

    It goes by the run that both name, as NNI does not always say which trial it was.
    """
    with open_database(folder) as database:
        told = database.execute(
            "select data from MetricData where type = 'PERIODICAL' and instr(data, ?) order by rowid",
            [str(final.get("run"))],
        ).fetchall()
    found = with_context(final, [_json(data) for (data,) in told])
    return found if found.keys() > final.keys() else None


def read_unfinished(folder: str | Path) -> list[Any]:
    """Return the parameters of trials that have not ended: a resumed experiment runs these again itself."""
    with open_database(folder) as database:
        ended, submitted = _submitted(database)
    return [parameters for trial, parameters in submitted.items() if not ended[trial]]


def read_failed(folder: str | Path) -> list[Any]:
    """Return the parameters of the trials that ended without a final result: failed, stopped or canceled.

    Where such a trial was submitted with parameters that another one's result was got with, it had what that
    other one was submitted with. If no result tells yet, they are those that it was submitted with.
    """
    with open_database(folder) as database:
        ended, submitted = _submitted(database)
        finals = database.execute("select trialJobId from MetricData where type = 'FINAL'")
        with_result = {trial for (trial,) in finals}
    return _had(
        folder, submitted, [trial for trial in submitted if ended[trial] and trial not in with_result]
    )


def read_lost(folder: str | Path) -> list[Any]:
    """Return the parameters of the trials that other machines have lost, found as in `read_failed`."""
    with open_database(folder) as database:
        _, submitted = _submitted(database)
    lost = [trial for trial, event, host in read_without_result(folder) if event == LOST and host]
    return _had(folder, submitted, [trial for trial in lost if trial in submitted])


def _had(folder: str | Path, submitted: Mapping[str, Any], trials: Sequence[str]) -> list[Any]:
    """The parameters that trials without a result had, as far as the results of others tell."""
    had = [submitted[trial] for trial in trials]
    if not had:
        return []
    # By the parameters that a result was got with, those that its trial was submitted with.
    exchanged = {
        _key(result.parameters): submitted[result.trial_id]
        for result in read_trials(folder)
        if result.trial_id in submitted
    }
    for number in range(len(had)):
        while (key := _key(had[number])) in exchanged:
            had[number] = exchanged.pop(key)
    return had


def read_without_result(folder: str | Path) -> list[tuple[str, str, str | None]]:
    """Return the trials that have no result though nobody stopped them: id, FAILED or LOST, and machine.

    A trial is lost that was ended in the middle, as its machine went down or its process was killed. NNI
    writes of it that a user has canceled it; where one really has, it writes that, too. The machine is named
    as in the config, and None where it is this one.
    """
    with open_database(folder) as database:
        events = database.execute("select trialJobId, event, logPath from TrialJobEvent order by rowid")
        last: dict[str, str] = {}
        hosts: dict[str, str] = {}
        known = set()
        for trial, event, place in events:
            host, _, path = str(place or "").partition(":")
            if path and "/" not in host:
                hosts[trial] = host
            if event == _BY_USER:
                known.add(trial)
            last[trial] = event
        known |= {
            one for (one,) in database.execute("select trialJobId from MetricData where type = 'FINAL'")
        }
    return [
        (trial, event, hosts.get(trial))
        for trial, event in last.items()
        if event in (FAILED, LOST) and trial not in known
    ]


def read_status(folder: str | Path) -> dict[str, Any]:
    """Return `id`, `name`, and how many trials there are.

    As `succeeded`, `failed`, `unfinished` and `canceled`, and all as `trials`.
    """
    with open_database(folder) as database:
        events = database.execute("select trialJobId, event from TrialJobEvent order by rowid").fetchall()
    counts = Counter(
        {trial: event for trial, event in events if trial and event != "ADD_HYPERPARAMETER"}.values()
    )
    canceled = sum(counts[event] for event in _FINISHED[2:])
    return {
        "id": Path(folder).name,
        "name": read_config(folder).get("experimentName"),
        "trials": counts.total(),
        "succeeded": counts["SUCCEEDED"],
        "failed": counts["FAILED"],
        "canceled": canceled,
        "unfinished": counts.total() - counts["SUCCEEDED"] - counts["FAILED"] - canceled,
    }


def read_config(folder: str | Path) -> dict[str, Any]:
    """Return the experiment's config as NNI keeps it: the names of the yml, with absolute paths."""
    with open_database(folder) as database:
        row = database.execute(
            "select params from ExperimentProfile order by revision desc limit 1"
        ).fetchone()
    return json.loads(row[0]) if row else {}


def read_seconds(folder: str | Path) -> float:
    """Return for how long the experiment has run, as NNI last wrote it down."""
    with open_database(folder) as database:
        row = database.execute(
            "select execDuration from ExperimentProfile order by revision desc limit 1"
        ).fetchone()
    return row[0] or 0.0 if row else 0.0


def read_space_in_use(folder: str | Path) -> Any:
    """Return the `searchSpace` that an EvolutionTuner searches; None where it has not written it down."""
    journal = Journal(Path(folder) / "checkpoint" / "evolution.jsonl")
    journal.load()
    return last_space(journal.events)


def metrics_of(value: Any) -> dict[str, Any]:
    """Return a reported value as a dict of metrics; a plain number is NNI's `default`."""
    return dict(value) if isinstance(value, Mapping) else {"default": value}


def _submitted(database: sqlite3.Connection) -> tuple[dict[str, bool], dict[str, Any]]:
    """Whether each trial has ended, and the parameters that it was submitted with, in order of submission."""
    events = database.execute("select trialJobId, event, data from TrialJobEvent order by rowid").fetchall()
    ended, submitted = {}, {}
    for trial, event, data in events:
        if trial and event != "ADD_HYPERPARAMETER":
            ended[trial] = event in _FINISHED
            if trial not in submitted and isinstance(form := _json(data), Mapping):
                submitted[trial] = form.get("parameters")
    return ended, submitted


def _key(parameters: Any) -> str:
    return json.dumps(parameters, sort_keys=True)


def _base(home: Path, entry: Mapping[str, Any]) -> Path:
    return Path(entry["logDir"]) if entry.get("logDir") else home


def _last_event(folder: Path, entry: Mapping[str, Any]) -> float:
    """When something last happened to a trial, in milliseconds; before the first trial, the start.

    NNI renews the start of an experiment that is viewed.
    """
    with suppress(ExperimentError, sqlite3.Error), open_database(folder) as database:
        (time,) = database.execute("select max(timestamp) from TrialJobEvent").fetchone()
        if time is not None:
            return time
    return entry.get("startTime") or 0


def _manifest(path: Path) -> dict[str, dict]:
    try:
        return read_json(path)
    except (OSError, ValueError):  # absent, or being rewritten at this moment
        return {}


def _database(folder: str | Path) -> Path:
    return Path(folder) / "db" / "nni.sqlite"


def open_database(folder: str | Path) -> closing[sqlite3.Connection]:
    """An experiment's database, to be read; it cannot be written to.

    Raises
    ------
    ExperimentError
        There is none in the folder.
    """
    path = _database(folder)
    if not path.is_file():
        raise ExperimentError(f"{folder}: not the folder of an NNI experiment (it has no db/nni.sqlite)")
    # Not mode=ro: after a kill -9, SQLite must be able to roll back what was half written. query_only keeps
    # us from writing.
    database = sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=rw", uri=True, timeout=30)
    database.execute("pragma query_only = on")
    return closing(database)


def _json(text: Any) -> Any:
    """Decode JSON; NNI's metrics are JSON within JSON."""
    try:
        value = parse_json(text)
        return parse_json(value) if isinstance(value, str) else value
    except (TypeError, ValueError):
        return text
