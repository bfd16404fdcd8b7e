"""`evaluate`: from a classifier and a dataset to an `Evaluation`."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from nni_nasoa.data import Dataset, DatasetError
from nni_nasoa.data.dataset import Source
from nni_nasoa.data.decoded import Sample
from nni_nasoa.data.labelled import LabelledImages, labelled_images
from nni_nasoa.data.left_out import BadFile, files_by_suffix
from nni_nasoa.finetune.classifier import Classifier
from nni_nasoa.finetune.image_inputs import UnreadableImage, without_pillows_warnings
from nni_nasoa.messages import quoted, some
from nni_nasoa.values import suggestion

from .evaluation import Evaluation

TIMED_IMAGES = 16  # that are seen at a time where the time is limited


def evaluate(
    classifier: Classifier,
    dataset: Dataset | Source,
    part: str | None = None,
    *,
    root: str | os.PathLike[str] | None = None,
    seconds: float | None = None,
    advance: Callable[[int], None] = lambda _: None,
    total: Callable[[int], None] = lambda _: None,
) -> Evaluation:
    """Find out how good a classifier is on images whose classes are known.

    Classes are matched by their names. Images of classes that the classifier does not know, and those that
    cannot be read, do not count; the notes say so.

    Parameters
    ----------
    dataset, root
        A Dataset, or its source and where torchvision's datasets lie. A folder has a folder for each class,
        or parts with such folders in them.
    part
        "test", "val", "train" or "all"; by default the first of test and val that there is, else all.
    seconds
        That it may take, by and large: when they are over, the images count that were seen by then, which are
        drawn at random, and a note says so. At least one batch is seen.
    advance, total
        Told how many more images are done, and before that how many there are.

    Raises
    ------
    DatasetError
        There are no images, or none of a class that the classifier knows. One line.
    """
    deadline = math.inf if seconds is None else time.monotonic() + seconds
    dataset = Dataset.of(dataset, root=root)
    found = labelled_images(dataset, part, classifier.input_size)
    samples, notes = _matched(found, classifier.classes, dataset.name)
    if seconds is not None:
        random.Random(0).shuffle(samples)
    total(len(samples))
    rows, kept, bad = [], [], []
    with without_pillows_warnings():
        for sample, row in _seen(classifier, samples, deadline):
            advance(1)
            if isinstance(row, UnreadableImage):
                bad.append(BadFile(sample.name, row.why))
            else:
                rows.append(row)
                kept.append(sample)
    if not rows:
        raise DatasetError(f"{dataset.name}: none of {len(bad)} images can be read; the first: {bad[0]}")
    if (seen := len(kept) + len(bad)) < len(samples):
        notes.append(f"the time was over after {seen} of {len(samples)} images")
    if bad:
        notes.append(f"{len(bad)} of {seen} images cannot be read; the first: {bad[0]}")
    if found.others:
        notes.append(f"passed over as no images by their names: {files_by_suffix(found.others)}")
    return Evaluation(
        dataset.name,
        found.part,
        classifier.classes,
        tuple(sample.name for sample in kept),
        np.array([sample.label for sample in kept], dtype=np.int64),
        np.stack(rows),
        tuple(bad),
        (*notes, *_seen_before(classifier, dataset.name, found)),
        [sample.open for sample in kept],
    )


def _seen(
    classifier: Classifier, samples: Sequence[Sample], deadline: float
) -> Iterator[tuple[Sample, np.ndarray | UnreadableImage]]:
    """Each image and what is predicted of it, until a deadline by time.monotonic().

    With a deadline they are seen a few at a time, for as long as some more are in time as well, as far as the
    last ones tell.
    """
    size = len(samples) if math.isinf(deadline) else TIMED_IMAGES
    for start in range(0, len(samples), max(1, size)):
        begin, few = time.monotonic(), samples[start : start + size]
        yield from zip(few, classifier.stream(sample.open for sample in few))
        now = time.monotonic()
        if now + (now - begin) > deadline:
            return


def _matched(found: LabelledImages, known: Sequence[str], name: str) -> tuple[list[Sample], list[str]]:
    """The images of known classes, with the classifier's labels, and what else is to be said."""
    place = {label: number for number, label in enumerate(known)}
    there = [found.classes[label] for label in sorted({sample.label for sample in found.samples})]
    unknown = [label for label in there if label not in place]
    if len(unknown) == len(there):
        hint = suggestion(unknown[0], known, f"it knows {some(quoted(known))}")
        raise DatasetError(
            f"{name}: none of its classes is one of the classifier's ({some(quoted(unknown))}); {hint}"
        )
    samples = [
        sample._replace(label=place[found.classes[sample.label]])
        for sample in found.samples
        if found.classes[sample.label] in place
    ]
    notes = []
    if unknown:
        left = len(found.samples) - len(samples)
        notes.append(f"{left} images of classes that the classifier does not know: {some(quoted(unknown))}")
    if missing := [label for label in known if label not in there]:
        notes.append(f"no images of {some(quoted(missing))}")
    return samples, notes


def _seen_before(classifier: Classifier, name: str, found: LabelledImages) -> list[str]:
    """A note where the images may be those that it was trained on."""
    metrics, trained_on = classifier.metrics, classifier.about.get("dataset")
    if found.part == "train":
        return ["these are images that it was trained on: of others it gets fewer right"]
    numbers = [metrics.get(key) for key in ("train_images", "val_images")]
    if found.part != "all" or trained_on != name or None in numbers:
        return []
    if len(found.samples) != sum(filter(None, numbers)):
        return []
    return ["these seem to be the images that it was trained on; --part val takes those that were held back"]
