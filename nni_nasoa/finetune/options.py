"""What a caller of `finetune` may say besides what to train on, how, and how long. No torch."""

from __future__ import annotations

import os
from dataclasses import dataclass


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
    """

    feature_cache: bool = True
    memory_limit: float | None = None
    compile: bool = False


@dataclass(frozen=True)
class Monitoring:
    """How a run is watched; `evaluations.jsonl` is in the output folder besides.

    Parameters
    ----------
    bar
        Whether to show a live bar; None shows one where stderr is a terminal.
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
