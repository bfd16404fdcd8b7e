"""What a command does once its run has ended: it says what came of it, tests it, and makes its page."""

from __future__ import annotations

import math
import shlex
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nni_nasoa.messages import readable

from .terminal import clear_errors, output_may_be_lost

if TYPE_CHECKING:
    from nni_nasoa.data import Dataset
    from nni_nasoa.evaluation import Evaluation
    from nni_nasoa.finetune.results import FineTuneResult

EXIT_SECONDS = 0.15  # time of the processor that the end of a command takes
# Of a budget, what is kept for the part to test on, where there is one. With fewer seconds left it is not
# tried; of what is left, a batch that was begun late gets the rest.
TEST_SHARE, LEAST_TEST_SECONDS, LATEST_BATCH = 0.05, 0.5, 0.7


def exit_seconds() -> float:
    """Seconds that the end of a command takes on a machine as busy as this one."""
    from nni_nasoa.finetune.clock import waiting_factor

    return EXIT_SECONDS * waiting_factor()


def check_test_part(dataset: Dataset) -> None:
    """Raise a UsageError where a dataset brings no part to test on."""
    from nni_nasoa.data.labelled import test_part_of

    if test_part_of(dataset) is None:
        raise click.UsageError(f"--test: {readable(dataset.name)} has no part test/ beside train/.")


def test_seconds(dataset: Dataset | None, budget: float) -> float:
    """Seconds of a budget that are kept for the part to test on; 0 where there is none."""
    from nni_nasoa.data.labelled import test_part_of

    return 0.0 if dataset is None or test_part_of(dataset) is None else TEST_SHARE * budget


def report(
    result: FineTuneResult,
    *notes: str | None,
    deadline: float,
    dataset: Dataset | None = None,
    test: bool = False,
) -> None:
    """Say what came of a run, and exit as its end asks for.

    Parameters
    ----------
    notes
        More than the result's own.
    deadline
        By time.monotonic().
    dataset
        What it was trained on, where the classifier is to be tried on what that brings to test on: in what
        is left of the time, on so many images as there is time for.
    test
        Whether all of them are to be tried, however long that takes.
    """
    from nni_nasoa.training.outcome import StopReason

    late = time.monotonic() - deadline
    if late > 0 and result.seconds <= result.budget:  # else the run's notes say so
        notes = (*notes, f"the command ended {late:.2f} s after its deadline")
    with output_may_be_lost():
        for note in filter(None, (*result.notes, *notes)):
            click.echo(f"note: {note}")
        balanced = f" (balanced {100 * result.balanced_accuracy:.2f} %)" if result.regime.is_balanced else ""
        click.echo(
            f"validation accuracy {100 * result.accuracy:.2f} %{balanced} after {result.epochs:.3g} epochs, "
            f"{result.seconds:.1f} of {result.budget:.0f} s"
            + ("" if result.outcome.reason is StopReason.BUDGET else f" ({result.outcome})")
        )
        click.echo(f"written to {result.folder}")
    if dataset is not None and (test or not result.outcome.exit_status):
        _tell_test(result, dataset, math.inf if test else deadline)
    if result.outcome.exit_status:
        raise SystemExit(result.outcome.exit_status)


def _tell_test(result: FineTuneResult, dataset: Dataset, deadline: float) -> None:
    """Say how good the classifier is on the part to test on, if there is one, as far as the time goes."""
    from nni_nasoa.data.labelled import test_part_of

    from .evaluate import headline

    part = test_part_of(dataset)
    if part is None:
        return
    root = [] if dataset.root is None else ["--root", str(dataset.root)]
    command = shlex.join(["nasoa", "evaluate", str(result.folder), dataset.spelled, *root])
    tried = _tried_in_time(result, dataset, deadline)
    with output_may_be_lost():
        if tried is None:
            click.echo(f"{readable(part)} was left alone; to test on it: {command}")
            return
        click.echo(f"{readable(part)}: {headline(tried)}")
        for note in tried.notes:
            click.echo(f"note: {readable(part)}: {note}")
        click.echo(f"more about it: {command}")


def _tried_in_time(result: FineTuneResult, dataset: Dataset, deadline: float) -> Evaluation | None:
    """Evaluate on the part to test on until a deadline by time.monotonic(); None where that was too soon.

    What a thread does is given up then, be it in the midst of a huge image: the command's end does not wait.
    """
    from nni_nasoa.evaluation import evaluate

    from .evaluate import evaluated

    if math.isinf(deadline):
        with clear_errors():
            return evaluated(result.classifier, dataset, "test")
    left = deadline - exit_seconds() - time.monotonic()
    if left < LEAST_TEST_SECONDS:
        return None
    found: list[Evaluation] = []

    def run() -> None:
        try:
            found.append(evaluate(result.classifier, dataset, "test", seconds=LATEST_BATCH * left))
        except Exception:  # What is wrong with it, the command that is named says.
            return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(left)
    return found[0] if found else None


def tell_run(
    result: FineTuneResult,
    *notes: str | None,
    deadline: float,
    dataset: Dataset,
    test: bool,
    report_file: Path | None,
) -> None:
    """Say what came of a run, see `report`, and make its page where a file is named for that."""
    tested = None if report_file is not None else dataset
    report(result, *notes, deadline=deadline, dataset=tested, test=test)
    if report_file is not None:
        with clear_errors():
            _write_page(report_file, result, dataset)


def _write_page(path: Path, result: FineTuneResult, dataset: Dataset) -> None:
    """Write the page of a run that has just ended, and say in a line what it says."""
    from nni_nasoa.data.labelled import test_part_of

    from .evaluate import evaluated, headline, write_report

    part = "val" if test_part_of(dataset) is None else "test"
    evaluation = evaluated(result.classifier, dataset, part)
    if part == "val":
        note = "the run chose its best state by these images: of others it may get fewer right"
        evaluation = replace(evaluation, notes=(*evaluation.notes, note))
    with output_may_be_lost():
        click.echo(headline(evaluation))
    assert result.folder is not None
    write_report(path, evaluation, result.classifier, result.folder)
