"""What the project's trials share: errors of one line, and talking to an NNI manager that may be gone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click


class TrialError(Exception):
    """A failed trial: one line."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or else what it is."""
    return " ".join(str(error).partition("\n")[0].split()) or type(error).__name__


def under_nni() -> bool:
    """Whether an NNI experiment has started this process."""
    return bool(os.environ.get("NNI_PLATFORM") or os.environ.get("NNI_TRIAL_COMMAND_CHANNEL"))


def report_on_the_way(metrics: Mapping[str, Any], speaker: str, when: str = "") -> None:
    """Tell NNI how far a trial is; where it does not answer, a line on stderr says so.

    Parameters
    ----------
    metrics
        As in the final result, `default` and the `accuracy`, 0 to 1, among them.
    speaker, when
        What that line begins with, and says after the accuracy.
    """
    import nni

    try:
        nni.report_intermediate_result(dict(metrics))
    except (
        OSError
    ) as error:  # NNI's manager is gone; the result will be kept for when the experiment is resumed
        click.echo(
            f"{speaker}: accuracy {metrics['accuracy']:.4f}{when} not reported: {first_line(error)}", err=True
        )


@contextmanager
def manager_needed() -> Iterator[None]:
    """Turn the errors of a manager that does not answer into a TrialError."""
    try:
        yield
    except OSError as error:
        raise TrialError(f"NNI's manager does not answer: {first_line(error)}") from error
