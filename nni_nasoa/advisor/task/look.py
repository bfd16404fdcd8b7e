"""The look at a dataset: what is not known of it yet is found out, as far as there is time, and kept."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from nni_nasoa.advisor.models import ModelFigures
from nni_nasoa.data import Dataset, ImageSplit
from nni_nasoa.data.arrays import NotInTimeError
from nni_nasoa.data.dataset import Kind
from nni_nasoa.data.profile import (
    PIXEL_SIZE,
    DatasetProfile,
    profile_arrays,
    profile_dataset,
)
from nni_nasoa.device.threads import Threads
from nni_nasoa.training.time_shares import CACHE_SHARE
from nni_nasoa.values import MAX_NUMBER
from nni_nasoa.zoo.light_import import imported

from .landmarks import landmark
from .plan import PROBE_MODEL, is_large, landmark_settings, planned_probes
from .probing import FEW, IMAGES, MIN_IMAGES, probe
from .profiles import TaskProfile

if TYPE_CHECKING:
    from nni_nasoa.experience.store import ExperienceStore

# Shares of the time that is left for the profile, and for decoding what probes look at, and the most seconds
# that each takes, however much time there is.
PROFILE_SHARE, SAMPLE_SHARE = 0.15, 0.3
PROFILE_SECONDS, SAMPLE_SECONDS = 20.0, 30.0
TORCH_SECONDS, NETWORK_SECONDS = 3.0, 0.2  # needed for a first image, before and after torch is imported
MAKING_SECONDS = 0.3  # that a network's making, and the use of what it sees, take beside looking at images
# What a look had no time for is looked for by a later one of so many times the seconds, these at least.
MUCH_MORE_TIME, LEAST_SECONDS = 2.0, 0.5
LEAST_IMAGES = 60  # that a probe of a large network sees at least

Quiet = Callable[[], AbstractContextManager[object]]
"""Gives the context for what computes on all processors, in which nothing else of this program does."""


@dataclass(frozen=True)
class Instruments:
    """What datasets are looked at with.

    Parameters
    ----------
    profile, probe, landmark
        As `profile_dataset`, `probing.probe` and `landmarks.landmark` are called.
    clock
        What tells the seconds.
    """

    profile: Callable[..., DatasetProfile] = profile_dataset
    probe: Callable[..., dict[str, Any]] = probe
    landmark: Callable[..., float | None] = landmark
    clock: Callable[[], float] = time.monotonic


def profiled(dataset: Dataset) -> Dataset:
    """The dataset as a profile sees it, by whose fingerprint it is kept.

    That is the split of seed 0, with what can be read.
    """
    return dataset.but(seed=0, max_bad=1.0)


def task_profile(
    dataset: Dataset,
    store: ExperienceStore | None,
    models: Sequence[str] = (),
    *,
    device: str = "cpu",
    seconds: float | None = None,
    quiet: Quiet = nullcontext,
    show_progress: bool | None = None,
    instruments: Instruments = Instruments(),
) -> TaskProfile:
    """What is known of a dataset; what is missing is found out, and kept.

    Where nothing is missing no image is opened, and no torch imported.

    Parameters
    ----------
    dataset
        Whose seed makes no difference: a profile is that of the split of seed 0, whatever the run's.
    store
        Where profiles are kept; None keeps nothing.
    models
        Names of models to probe with, besides `PROBE_MODEL`. Each looks at some larger images, too: what
        these are worth depends on how fine the details are that tell the classes, and on the network. The
        landmarks are of `PROBE_MODEL` alone.
    device
        Where they run.
    seconds
        For all of it. What does not fit stays unknown. It is looked for again when there is a good deal more
        time, so that who asks again is answered at once.
    quiet
        Entered for what computes on all processors.
    show_progress
        As `Dataset.open` takes it.
    instruments
        What finds out what is missing.

    Raises
    ------
    DatasetError
        As in `Dataset.open`; but files that cannot be read are passed over, however many they are.
    ValueError
        There is no such model, or it has no weights.
    StoreError
        The store cannot be read or written.
    """
    dataset = profiled(dataset)
    reader, own = _Reader(dataset, seconds, quiet, show_progress, instruments), dataset.fingerprint
    known = kept = _kept(store, own)
    sizes, marks = planned_probes(models, sized=dataset.kind is not Kind.ARRAYS), landmark_settings()
    if dataset.kind is Kind.ARRAYS:  # their images come in one size
        del marks["landmark_large"]
    reader.largest = max(*sizes.values(), *(size for size, _ in marks.values()))
    allowed = math.inf if seconds is None else seconds
    looked_for = {} if known is None else known.looked_for
    names = _to_look_for(known, models, seconds)
    if known is None or (known.dataset.pixels_read is None and names):
        known = TaskProfile(reader.profile()) if known is None else replace(known, dataset=reader.profile())
    probes = _probes(
        reader,
        {
            name: size
            for name, size in sizes.items()
            if name not in known.probes and name.partition("@")[0] in names
        },
        device,
    )
    wanted = {name: how for name, how in marks.items() if name not in known.landmarks}
    landmarks = _landmarks(reader, wanted if PROBE_MODEL in names else {}, device)
    if names:
        known = replace(
            known.with_more(probes, landmarks),
            looked_for={**looked_for, **dict.fromkeys(names, min(allowed, MAX_NUMBER))},
        )
    if store is not None and known is not kept:
        others = _kept(store, own)  # another process may have found more meanwhile
        base = (
            known if others is None else replace(others, dataset=known.dataset, looked_for=known.looked_for)
        )
        store.set_profile(own, base.with_more(known.probes, known.landmarks).to_json())
    return known


def was_looked_for(
    dataset: Dataset, store: ExperienceStore | None, models: Sequence[str], seconds: float | None
) -> bool:
    """Whether an earlier look at a dataset was for all of these models, and not much shorter."""
    known = _kept(store, profiled(dataset).fingerprint)
    return known is not None and not _to_look_for(known, models, seconds)


def _to_look_for(known: TaskProfile | None, models: Sequence[str], seconds: float | None) -> list[str]:
    """Those of the models, and `PROBE_MODEL`, that a look of some seconds is for."""
    allowed, before = math.inf if seconds is None else seconds, {} if known is None else known.looked_for
    return [name for name in dict.fromkeys((PROBE_MODEL, *models)) if _worth(allowed, before.get(name))]


def _worth(seconds: float, before: float | None) -> bool:
    """Whether there is a good deal more time than for an earlier look, whose seconds are given."""
    return before is None or (before < MAX_NUMBER and seconds >= MUCH_MORE_TIME * max(before, LEAST_SECONDS))


def _kept(store: ExperienceStore | None, own: str) -> TaskProfile | None:
    """What the store has; nothing where that is damaged, or of another version."""
    with suppress(ValueError):
        data = None if store is None else store.profile(own)
        return None if data is None else TaskProfile.from_json(data)
    return None


def _probes(reader: _Reader, sizes: Mapping[str, int], device: str) -> dict[str, dict[str, Any]]:
    """As many, given with their input sizes, as there is time for.

    Where time is short, some good probes tell more than all of them on a few images, by which networks would
    be compared by chance. So the first has up to half of the time. If what it took says that not all can look
    at as many images as they should, the others look at 250 each, and those that cannot are left out.
    """
    found, pace = {}, 0.0  # seconds for what there is to compute
    work = {name: _work(name.partition("@")[0], size) for name, size in sizes.items()}
    large = {name for name in sizes if is_large(name.partition("@")[0])}
    # Beside large networks, small ones matter little.
    wanted = {name: FEW if "@" in name or large else IMAGES for name in sizes}
    least = {name: LEAST_IMAGES if name in large else FEW for name in sizes} | {PROBE_MODEL: MIN_IMAGES}
    for place, (name, size) in enumerate(sizes.items()):
        needed = MAKING_SECONDS + pace * work[name] * least[name] if pace else _least_seconds()
        if reader.left() < needed or (sample := reader.sample(size, wanted[name])) is None:
            continue
        if reader.left() < needed:
            continue
        # What imports take says nothing of the next probe.
        import_module("torch")
        if name in large:
            imported("timm")

        begin, left = reader.instruments.clock(), reader.left()
        others = [*sizes][place:]
        enough = sum(MAKING_SECONDS + pace * work[other] * wanted[other] for other in others) <= left
        with reader.alone(device):
            result = reader.instruments.probe(
                sample,
                name.partition("@")[0],
                device=device,
                images=wanted[name] if enough else FEW,
                seconds=None if reader.deadline is None else left if pace or len(sizes) == 1 else left / 2,
            )
        took = reader.instruments.clock() - begin
        pace = max(0.2 * took, took - MAKING_SECONDS) / (work[name] * max(1, result["images"]))
        if result["images"] >= min(least[name], len(sample.train) + len(sample.val)):
            found[name] = result
    return found


def _landmarks(
    reader: _Reader, settings: Mapping[str, tuple[int, float]], device: str
) -> dict[str, float | None]:
    """Those of the given ones, with their size and rate, that there is time for."""
    found = {}
    for name, (size, rate) in settings.items():
        if reader.left() < _least_seconds() or (sample := reader.sample(size)) is None:
            continue
        seconds = None if reader.deadline is None else reader.left()
        with reader.alone(device):
            reached = reader.instruments.landmark(sample, PROBE_MODEL, rate, device=device, seconds=seconds)
        if reached is not None or seconds is None:
            found[name] = reached
    return found


def _least_seconds() -> float:
    """Less time than this is not enough for a probe or a landmark."""
    return NETWORK_SECONDS if "torch" in sys.modules else TORCH_SECONDS


def _work(model: str, size: int) -> float:
    """What an image costs, in any unit.

    Time grows more slowly than multiply-adds do: those of the nano family, from 0.03 to 0.7 billion at 224
    pixels, take from one to seven times as long on a processor.
    """
    return (ModelFigures.of_zoo(model).gmacs or 1.0) ** 0.6 * size**2


class _Reader:
    """Opens a dataset, or a sample of it, within the time."""

    def __init__(
        self,
        dataset: Dataset,
        seconds: float | None,
        quiet: Quiet,
        show_progress: bool | None,
        instruments: Instruments,
    ):
        self.instruments, self.quiet = instruments, quiet
        self.deadline = None if seconds is None else instruments.clock() + seconds
        self._dataset, self._show_progress = dataset, show_progress
        self.largest: int | None = None  # size, in pixels, that images are decoded at, once for all samples
        self._samples: dict[int, ImageSplit | None] = {}
        self._threads: Threads | None = None

    def left(self) -> float:
        """Seconds until the deadline, infinitely many where there is none."""
        return math.inf if self.deadline is None else max(0.0, self.deadline - self.instruments.clock())

    @contextmanager
    def alone(self, device: str) -> Iterator[None]:
        """The context to compute in, with as many of torch's threads as have a core of their own then."""
        import torch

        with self.quiet():
            if self._threads is None:
                self._threads = Threads.of_run(torch.device(device))
            if self._threads is not None:
                self._threads.forget()
                self._threads.adapt()
            yield

    def profile(self) -> DatasetProfile:
        """The dataset's profile, as far as there is time for it."""
        if self._dataset.kind is not Kind.NAME:
            seconds = min(PROFILE_SECONDS, PROFILE_SHARE * self.left())
            return self.instruments.profile(self._dataset, seconds=seconds, show_progress=self._show_progress)
        split, own = self.sample(PIXEL_SIZE), self._dataset.fingerprint
        return DatasetProfile(self._dataset.name, own) if split is None else profile_arrays(split, own)

    def sample(self, size: int, most: int = IMAGES) -> ImageSplit | None:
        """Images of this size, where they do not come in one; None where there is no time to open any.

        At most so many are new; where there was a sample of this size before, it is that one.
        """
        if size not in self._samples:
            # A named dataset is opened whole or not at all; of a folder there is something in any time.
            seconds = CACHE_SHARE * self.left()
            if self._dataset.kind is Kind.FILES:
                seconds = min(SAMPLE_SECONDS, SAMPLE_SHARE * self.left())
            self._samples[size] = None
            with suppress(NotInTimeError):
                ask = partial(self._dataset.sample, size, seconds, most, self._show_progress)
                self._samples[size] = ask(decode_size=self.largest, enough=most)
        return self._samples[size]
