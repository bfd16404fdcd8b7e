"""`nasoa-advise --nni CONFIG.yml`: the advice on a dataset, carried out by NNI.

The training service is the one that the config describes.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nni_nasoa.experience.location import without_password
from nni_nasoa.files import parse_yaml
from nni_nasoa.values import reason

from .classifiers import read_list, shown_accuracy
from .experiments import read_status

if TYPE_CHECKING:
    from nni.experiment import Experiment
    from nni.experiment.config import ExperimentConfig

    from nni_nasoa.advisor.advice import Limits
    from nni_nasoa.data import Dataset

TUNER = "nni_nasoa.plugin.advisor_tuner.OnlineAdvisor"
TRIAL_MODULE = "nni_nasoa.plugin.finetune_trial"
# The part of the user's config that the experiment keeps.
KEPT = (
    "trainingService",
    "trialCommand",
    "trialCodeDirectory",
    "trialConcurrency",
    "trialGpuNumber",
    "nniManagerIp",
    "logLevel",
    "experimentWorkingDirectory",
    "sharedStorage",
    "debug",
)
# The class arguments that it keeps, too, where that config is one of the advisor's.
OURS = ("device", "threads", "output")
PORT, PORTS = 8080, 100  # the first one to try, and how many
POLL_SECONDS = 1.0


class AdviceExperimentError(ValueError):
    """The experiment cannot be made or has failed; one line."""


def run(
    config: str | Path,
    dataset: Dataset,
    minutes: float,
    *,
    zoo: str = "auto",
    store: str | None = None,
    top_k: int = 1,
    limits: Limits | None = None,
    port: int | None = None,
) -> dict[str, Any]:
    """Carry out the advice on NNI, wait for it, and say what came of it and where the classifier is.

    Parameters
    ----------
    config
        An experiment config of NNI: its training service, and what trials need there (`KEPT`), are taken from
        it.
    dataset
        What it is about, on the trials' machine.
    minutes, zoo, store, limits
        As `advise` takes them.
    top_k
        How many runs: the first is the advice, the others are what most can be learned from besides.
    port
        Of NNI's web page; by default the first free one from 8080 on.

    Returns
    -------
    The best run's entry in the experiment's list of classifiers.

    Raises
    ------
    ValueError
        The config cannot be read, or has no training service; no run gave a classifier. One line.
    KeyboardInterrupt
        Ctrl-C; the experiment has been stopped.
    """
    if store is not None and (password := without_password(store)[1]):
        os.environ["PGPASSWORD"] = password  # The tuner's process has it from this one.
    made = experiment_config(
        config, dataset, minutes, zoo=zoo, store=store, alternatives=top_k - 1, limits=limits
    )
    from nni.experiment import Experiment
    from requests import RequestException

    experiment, doing = Experiment(made), "start"
    logging.getLogger("nni").setLevel(logging.WARNING)
    try:
        experiment.start(_free_port(PORT) if port is None else port)
        folder = Path(made.canonical_copy().experiment_working_directory) / experiment.id
        doing = "follow"
        click.echo(f"experiment {experiment.id}: http://127.0.0.1:{experiment.port}")
        done = _watch(experiment, folder)
    except (RuntimeError, RequestException) as error:
        raise AdviceExperimentError(
            f"could not {doing} the experiment on NNI: {' '.join(str(error).split())}"
        ) from None
    except KeyboardInterrupt:
        click.echo(f"stopped; nnictl resume {experiment.id} would go on", err=True)
        raise
    finally:
        experiment.stop()
    return _tell(folder, done)


def _store(store: str) -> str:
    """A store's location as it stands in a config, which NNI shows to everyone."""
    return without_password(store)[0] if "://" in store else str(Path(store).expanduser().absolute())


def experiment_config(
    path: str | Path,
    dataset: Dataset,
    minutes: float,
    *,
    zoo: str,
    store: str | None,
    alternatives: int,
    limits: Limits | None,
) -> ExperimentConfig:
    """The experiment of an advice, on the training service of another config; NNI's ExperimentConfig.

    Raises
    ------
    ValueError
        The file is no config of NNI; one line.
    """
    from dataclasses import asdict

    from nni.experiment.config import ExperimentConfig

    from .advisor_args import AdvisorArgs

    path = Path(path)
    given = _read(path)
    experiment_name = f"nasoa advice, {dataset.spelled}"
    if _is_local(given["trainingService"]):
        dataset = dataset.absolute()
    ours = given.get("tuner", {}).get("classArgs") if _is_ours(given.get("tuner")) else None
    args = {
        "dataset": dataset.spelled,
        "minutes": minutes,
        "zoo": zoo,
        "alternatives": alternatives,
        "root": None if dataset.root is None else str(dataset.root),
        "store": None if store is None else _store(store),
        "limits": {name: value for name, value in asdict(limits).items() if value is not None}
        if limits
        else None,
    }
    args |= {name: ours[name] for name in OURS if isinstance(ours, Mapping) and name in ours}
    args = {name: value for name, value in args.items() if value is not None}
    AdvisorArgs.parse(args)
    command = given.get("trialCommand")
    made = {name: given[name] for name in KEPT if name in given}
    made |= {
        "experimentName": experiment_name,
        "searchSpace": {},
        "trialConcurrency": given.get("trialConcurrency", 1),
        "trialCommand": command if TRIAL_MODULE in str(command) else _trial_command(command),
        "trialCodeDirectory": given.get("trialCodeDirectory", "."),
        "tuner": {"className": TUNER, "codeDirectory": ".", "classArgs": args},
    }
    from nni.experiment.config import utils

    try:
        utils.set_base_path(path.absolute().parent)
        try:
            config = ExperimentConfig(**made)
        finally:
            utils.unset_base_path()
        config.validate()
    except (ValueError, TypeError, AttributeError, AssertionError) as error:
        raise AdviceExperimentError(f"{path}: {' '.join(str(error).split())}") from None
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        given = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AdviceExperimentError(
            f"{path}: cannot be read ({reason(error)}); give an experiment config of NNI"
        ) from None
    except UnicodeDecodeError:
        raise AdviceExperimentError(f"{path}: not text in UTF-8") from None
    except ValueError as error:
        raise AdviceExperimentError(f"{path}: {error}") from None
    if not isinstance(given, dict) or not isinstance(given.get("trainingService"), (dict, list)):
        raise AdviceExperimentError(
            f"{path}: has no trainingService, such as {{platform: local}}; give an experiment config of NNI"
        )
    return given


def _is_ours(tuner: Any) -> bool:
    return isinstance(tuner, Mapping) and (
        tuner.get("className") == TUNER or str(tuner.get("name")).lower() == "nasoaadvisor"
    )


def _is_local(service: Any) -> bool:
    return isinstance(service, Mapping) and service.get("platform") == "local"


def _trial_command(command: Any) -> str:
    """The trial, with the python that another trial's command begins with.

    On other machines that is the one to be used.
    """
    import shlex

    words = shlex.split(command) if isinstance(command, str) else []
    python = words[0] if words and Path(words[0]).name.startswith("python") else "python"
    return f"{shlex.quote(python)} -m {TRIAL_MODULE}"


def _free_port(first: int) -> int:
    """A port that is free together with the one after it, which the remote training service takes too."""
    import socket

    for port in range(first, first + PORTS):
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("", port))
                other.bind(("", port + 1))
                return port
            except OSError:
                continue
    raise AdviceExperimentError(f"no port is free from {first} to {first + PORTS - 1} for NNI's web page")


def _watch(experiment: Experiment, folder: Path) -> bool:
    """Wait for the end, and say what comes; whether it ended well."""
    told = 0
    while True:
        status = experiment.get_status()
        entries = read_list(folder)
        for entry in entries[told:]:
            click.echo(
                f"{entry['run']}: {entry['model']}, {shown_accuracy(entry)} in {entry['seconds']:.1f} s"
            )
        told = len(entries)
        if status in ("DONE", "STOPPED", "ERROR"):
            return status != "ERROR"
        time.sleep(POLL_SECONDS)


def _tell(folder: Path, done: bool) -> dict[str, Any]:
    entries = [entry for entry in read_list(folder) if entry["accuracy"] is not None]
    if not entries:
        raise AdviceExperimentError(f"no run gave a classifier: {_reason(folder, done)}")
    best = max(entries, key=lambda entry: entry["accuracy"])
    click.echo(f"{shown_accuracy(best)}; the classifier is in {best['classifier']}")
    if "fetch" in best:
        click.echo(f"fetch it with: {best['fetch']}")
    return best


def _reason(folder: Path, done: bool) -> str:
    """What the tuner said, or else where to look."""
    log = folder / "log" / "nnictl_stderr.log"
    if not done and log.is_file():
        lines = [
            line
            for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
            if line.startswith("OnlineAdvisor: ")
        ]
        if lines:
            return lines[-1]
    status = read_status(folder)
    return f"{status['failed']} of {status['trials']} trials failed; their stderr is in {folder}/environments"
