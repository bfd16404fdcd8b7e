"""The command that carries an advice out."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from nni_nasoa.data.split_defaults import VAL_FRACTION
from nni_nasoa.experience.location import without_password

if TYPE_CHECKING:
    from nni_nasoa.advisor.advice import Choice
    from nni_nasoa.data import Dataset

RECIPE = ("mixup", "cutmix", "erasing", "clip_grad", "weight_averaging")  # said where they are not 0


def command_of(choice: Choice, dataset: Dataset, minutes: float, device: str, store: str | None) -> str:
    """The command that carries a choice out, to be pasted into a shell."""
    regime = choice.regime
    words = [
        "nasoa",
        "finetune",
        "--dataset",
        dataset.spelled,
        "--minutes",
        f"{minutes:g}",
        "--model",
        regime.model,
    ]
    for name in (
        "learning_rate",
        "weight_decay",
        "frozen_stages",
        "batch_size",
        "input_size",
        "augmentation",
        "label_smoothing",
        "optimizer",
        "layer_decay",
        "head",
        "logit_adjustment",
        "select_by",
    ):
        value = getattr(regime, name)
        words += [f"--{name.replace('_', '-')}", f"{value:g}" if isinstance(value, float) else str(value)]
    for name in RECIPE:
        words += [f"--{name.replace('_', '-')}", f"{value:g}"] if (value := getattr(regime, name)) else []
    words += ["--geometry", regime.geometry] if regime.geometry is not None else []
    words += ["--weights", "none"] if choice.weights is None else []
    words += ["--device", device] if device != "auto" else []
    if dataset.val_fraction != VAL_FRACTION:
        words += ["--val-fraction", f"{dataset.val_fraction:g}"]
    words += ["--group-by", dataset.group_by] if dataset.group_by is not None else []
    words += [
        word
        for name, value in (("--root", dataset.root), ("--store", store and without_password(store)[0]))
        if value is not None
        for word in (name, str(value))
    ]
    return shlex.join(words)
