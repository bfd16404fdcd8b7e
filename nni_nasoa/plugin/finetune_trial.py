"""The trial of the online advisor: fine-tune a classifier within its minutes, and say where it is.

NNI runs it as `python -m nni_nasoa.plugin.finetune_trial`. The minutes count from the start of the process.
Validation accuracies are reported as the run evaluates; the final metric is a dict whose `default` is the
validation accuracy. The settings, the classifier's place, and the run's record for the experience store as
JSON text (see `TrialResult`) are told beside the last of the others: see `result_context`. Where the
advisor's tuner asks for a survey, the trial looks at the dataset and the machine in its place, and trains
nothing.

For a try without NNI: `--dataset digits --minutes 0.2 --regime FILE`; the result is printed. Ctrl-C and
SIGTERM save the best so far. A run that gives no classifier ends with one line on stderr and exit code 1.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from nni_nasoa.finetune.clock import default_margin, process_started
from nni_nasoa.training.regime import FineTuneRegime

from .assignment import Assignment
from .kept_results import KeptResults
from .result_context import CONTEXT, context_of, without_context
from .trial import TrialError, first_line, manager_needed, report_on_the_way, under_nni
from .trial_result import TrialResult, record_in

ENDING_SECONDS = 0.5  # the part of the budget that is kept for the report and the interpreter's end
LOOK_SECONDS = 0.3  # the time between two looks at the evaluations


@dataclass(frozen=True)
class FineTuneTrialSettings:
    """Where and on what a trial runs; what is None is as the tuner says, else as the trial's default."""

    threads: int | None = None
    device: str | None = None
    output: str | None = None
    root: str | None = None
    seed: int = 0


def run(
    assignment: Assignment,
    settings: FineTuneTrialSettings,
    *,
    waited: float = 0.0,
    on_evaluation: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Fine-tune, or survey, as the assignment says.

    Parameters
    ----------
    assignment, settings
        What to do, and where. What the settings leave open, the assignment says.
    waited
        Seconds since the start of the process that do not count.
    on_evaluation
        Called with each validation accuracy soon after it was measured, in another thread.

    Returns
    -------
    The result, JSON values without NaN.

    Raises
    ------
    ValueError, OSError, RuntimeError, MemoryError
        As `finetune` and `survey_by_trial` raise them.
    """
    import torch

    from nni_nasoa.data import Dataset

    threads = assignment.threads if settings.threads is None else settings.threads
    if threads:
        torch.set_num_threads(threads)
    device = settings.device or assignment.device or "auto"
    root = settings.root or assignment.root
    dataset = Dataset(assignment.dataset, root=root, seed=settings.seed)
    if assignment.survey is not None:
        from .surveys import survey_by_trial

        return survey_by_trial(assignment, dataset, device=device, threads=threads)

    from nni_nasoa.finetune import Monitoring, Timing, finetune

    assert settings.output is not None and assignment.regime is not None  # only a survey has none
    folder = Path(settings.output).expanduser()
    margin = default_margin(60 * assignment.minutes) + ENDING_SECONDS
    with _evaluations_of(folder / "evaluations.jsonl", on_evaluation):
        result = finetune(
            dataset,
            assignment.regime,
            assignment.minutes,
            output=folder,
            device=device,
            seed=settings.seed,
            weights=None if assignment.weights == "none" else assignment.weights,
            monitoring=Monitoring(bar=None if on_evaluation is None else False),
            timing=Timing(process_started() + waited, margin),
        )
    return TrialResult.of(result, assignment).to_metrics()


@contextmanager
def _evaluations_of(path: Path, on_evaluation: Callable[[float], None] | None) -> Iterator[None]:
    """Follow the file of evaluations beside the run, so that nobody's network holds it up."""
    if on_evaluation is None:
        yield
        return
    path.unlink(missing_ok=True)  # an earlier run may have left its evaluations
    over = threading.Event()
    follower = threading.Thread(target=_follow, args=(path, over, on_evaluation), daemon=True)
    follower.start()
    try:
        yield
    finally:
        over.set()
        follower.join(timeout=10)


def _follow(path: Path, over: threading.Event, on_evaluation: Callable[[float], None]) -> None:
    read, last = 0, False
    while not last:
        last = over.wait(LOOK_SECONDS)
        try:
            data = path.read_bytes()[read:]
        except OSError:
            continue
        whole = data[: data.rfind(b"\n") + 1]
        read += len(whole)
        for line in whole.splitlines():
            accuracy = json.loads(line)["val_accuracy"]
            if accuracy == accuracy:
                on_evaluation(accuracy)


def _run_under_nni(settings: FineTuneTrialSettings) -> None:
    import nni

    def report(accuracy: float) -> None:
        report_on_the_way({"default": accuracy, "accuracy": accuracy}, "finetune_trial")

    with manager_needed():
        assignment = Assignment.from_parameters(nni.get_next_parameter() or {})
    output = settings.output or assignment.output
    folder = (
        Path.home() / Path(output).expanduser() / os.environ.get("NNI_EXP_ID", "") / assignment.run
        if output
        else Path(os.environ.get("NNI_OUTPUT_DIR") or ".").resolve() / "classifier"
    )
    kept, begin = KeptResults.of_experiment(key="run", speaker="finetune_trial"), time.monotonic()
    with kept.claimed(assignment.run):
        result = kept.find({"run": assignment.run})
        if result is None:
            result = _run(
                assignment,
                FineTuneTrialSettings(**{**vars(settings), "output": str(folder)}),
                time.monotonic() - begin,
                report,
            )
            kept.keep(result)
    with manager_needed():
        nni.report_intermediate_result({"default": result["default"], CONTEXT: context_of(result)})
        nni.report_final_result(without_context(result))
    _end(result)


def _run_alone(assignment: Assignment, settings: FineTuneTrialSettings) -> None:
    result = _run(
        assignment,
        settings,
        0.0,
        lambda accuracy: click.echo(f"validation accuracy {accuracy:.4f}", err=True),
    )
    click.echo(json.dumps(result, indent=2))
    _end(result)


def _run(
    assignment: Assignment, settings: FineTuneTrialSettings, waited: float, report: Callable[[float], None]
) -> dict[str, Any]:
    """`run`, with whatever goes wrong as a TrialError that names the run."""
    from nni_nasoa.device.out_of_memory import is_out_of_memory

    try:
        return run(assignment, settings, waited=waited, on_evaluation=report)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        reason = first_line(error)
        if isinstance(error, MemoryError) or is_out_of_memory(error):
            reason = f"out of memory ({reason})"
        raise TrialError(f"{assignment.run}: {reason}") from error


def _end(result: Mapping[str, Any]) -> None:
    """Fail where the run was interrupted, so that nobody takes it for one that had its time."""
    gc.freeze()  # so that the interpreter's end does not walk through all of torch, past the deadline
    if "record" in result and (status := record_in(result).outcome.exit_status):
        raise SystemExit(status)


@click.command(context_settings={"show_default": True})
@click.option(
    "--threads",
    type=click.IntRange(0, 256),
    help="CPU threads; 0 leaves them to torch.  [default: as the tuner says, or 0]",
)
@click.option("--device", help="auto, cpu, cuda, cuda:1, ...  [default: as the tuner says, or auto]")
@click.option(
    "-o",
    "--output",
    help="Folder for the classifier; under NNI, it starts at the home folder.  [default: as the tuner says, "
    "or in the trial's folder; without NNI nasoa-classifier]",
)
@click.option(
    "--root", help="Where torchvision's datasets lie.  [default: as the tuner says, or in the cache]"
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=FineTuneTrialSettings.seed,
    help="Of the split, order and augmentation.",
)
@click.option("--dataset", help="Without NNI: a folder of images, a file that lists them, or a name.")
@click.option("--minutes", type=float, help="Without NNI: the budget.")
@click.option(
    "--regime",
    "regime_file",
    type=click.Path(dir_okay=False),
    help="Without NNI: a .json or .yml file of settings.",
)
@click.option("--debug", is_flag=True, help="Show where a failure comes from.")
def main(
    dataset: str | None, minutes: float | None, regime_file: str | None, debug: bool, **options: Any
) -> None:
    """Fine-tune a classifier as the online advisor says, and report the result to NNI."""
    settings = FineTuneTrialSettings(**options)
    try:
        if dataset is not None or minutes is not None or regime_file is not None:
            if dataset is None or minutes is None or regime_file is None:
                given = {"--dataset": dataset, "--minutes": minutes, "--regime": regime_file}
                missing = next(name for name, value in given.items() if value is None)
                raise TrialError(
                    f"{missing} is missing; without NNI, all of --dataset, --minutes and --regime are needed"
                )
            assignment = Assignment("try", dataset, minutes, regime=FineTuneRegime.load(regime_file))
            _run_alone(
                assignment,
                FineTuneTrialSettings(**{**vars(settings), "output": settings.output or "nasoa-classifier"}),
            )
        elif under_nni():
            _run_under_nni(settings)
        else:
            raise TrialError(
                "no NNI experiment here; give --dataset, --minutes and --regime for a try without NNI"
            )
    except (TrialError, ValueError) as error:
        if debug:
            raise
        click.echo(f"finetune_trial: {first_line(error)}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
