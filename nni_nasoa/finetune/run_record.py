"""The record of a run, made of what `finetune` gave back: the one place where the one becomes the other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nni_nasoa.experience.records import MAX_NOTES, MAX_POINTS, RunRecord, figures_of
from nni_nasoa.training.outcome import StopReason
from nni_nasoa.values import one_line

if TYPE_CHECKING:
    from .results import FineTuneResult


def record_of(
    result: FineTuneResult,
    *,
    task: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    profile: Mapping[str, Any] | None = None,
    model_figures: Mapping[str, Any] | None = None,
    notes: Iterable[str] = (),
    **fields: Any,
) -> RunRecord:
    """The record of a run of `finetune`.

    A run that was interrupted counts as killed, one without a measured accuracy as failed: what they would
    have reached in their budget, nobody knows. Their curves are kept.

    Parameters
    ----------
    result
        What `finetune` gave back.
    task, device, threads, model_figures
        By default what the result, torch and the zoo say.
    profile
        Of the dataset. Where only a sample of the images could be decoded, its counts become the sample's.
    notes
        More than the result's own.
    fields
        Other ones of the record, such as predicted and source.
    """
    about, regime, outcome = result.classifier.about, result.regime, result.outcome
    killed = outcome.reason is StopReason.INTERRUPTED
    status = "killed" if killed else "ok" if math.isfinite(result.accuracy) else "failed"
    own_notes = [one_line(note) for note in (*result.notes, *notes)]
    return RunRecord(
        task=one_line(about["dataset"] if task is None else task),
        model=regime.model,
        regime=regime.to_json(),
        device=one_line(_device_name(result) if device is None else device),
        threads=_threads() if threads is None else threads,
        budget_seconds=result.budget,
        status=status,
        seconds=result.seconds if status == "ok" else None,
        accuracy=result.accuracy if status == "ok" else None,
        epochs=result.epochs,
        curve=curve_of(result.evaluations),
        profile={**(profile or {}), **outcome.sample_counts},
        model_figures=figures_of(regime.model, about.get("encoding"))
        if model_figures is None
        else model_figures,
        versions=about["versions"],
        outcome=outcome,
        notes=tuple(own_notes[:MAX_NOTES]),
        **fields,
    )


def _device_name(result: FineTuneResult) -> str:
    from nni_nasoa.device.device import device_name

    return device_name(result.classifier.device)


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def curve_of(evaluations: Iterable[Mapping[str, Any]]) -> tuple[tuple[float, float], ...]:
    """The measured points of a run's evaluations, (seconds, accuracy).

    They are no more than a record holds: evenly thinned, the last one kept.
    """
    points = [
        (record["elapsed"], record["val_accuracy"])
        for record in evaluations
        if math.isfinite(record["val_accuracy"])
    ]
    step = -(-len(points) // MAX_POINTS) or 1
    return tuple(points[::-1][::step][::-1])
