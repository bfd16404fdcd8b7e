"""What a caller of `finetune` may say besides what to train on, how, and how long. No torch."""

from __future__ import annotations

import os
from dataclasses import dataclass

from nni_nasoa.training.errors import FineTuneError
from nni_nasoa.values import check_fields, one_of

PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class Resources:
    """What a run may use of the machine to be faster.

    Parameters
    ----------
    feature_cache
        Whether the features of frozen stages are kept.
    memory_limit
        Bytes of memory for features, above which they lie in a mapped file; None is a quarter of what is
        free.
    compile
        Whether to train through torch.compile, which takes its time first.
    precision
        What passes without gradients are computed in, for features and evaluations: "float32", "bfloat16", or
        "auto", which is the faster one on a processor, as a measurement tells, and a GPU's own type.

    Raises
    ------
    FineTuneError
        There is no such precision.
    """

    feature_cache: bool = True
    memory_limit: float | None = None
    compile: bool = False
    precision: str = "auto"

    def __post_init__(self) -> None:
        check_fields(self, {"precision": one_of(PRECISIONS)}, FineTuneError)


@dataclass(frozen=True)
class Monitoring:
    """How a run is watched; `evaluations.jsonl` is in the output folder besides.

    Parameters
    ----------
    bar
        Whether to show a live bar; None shows one in a terminal and in a notebook.
    tensorboard
        Folder for TensorBoard's log; None writes none.
    """

    bar: bool | None = False
    tensorboard: str | os.PathLike[str] | None = None


@dataclass(frozen=True)
class Timing:
    """From when to when a run may take its time.

    Parameters
    ----------
    started
        When the budget began, by time.monotonic(); None is with the call.
    margin
        Seconds kept back besides what the end is known to need; None is `clock.default_margin`.
    """

    started: float | None = None
    margin: float | None = None


DEFAULT_RESOURCES, NOBODY_WATCHES, FROM_NOW = Resources(), Monitoring(), Timing()
