"""One HTML file that shows how good a classifier is, and where it is wrong: no scripts, nothing beside it."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nni_nasoa import __version__
from nni_nasoa.data.rendering import Rendering
from nni_nasoa.files import replacing
from nni_nasoa.finetune.image_inputs import read, without_pillows_warnings
from nni_nasoa.messages import readable
from nni_nasoa.training.outcome import Outcome, OutcomeError
from nni_nasoa.values import NUMBER, SHARE

from .charts import curve, reliability
from .evaluation import Evaluation

if TYPE_CHECKING:
    from jinja2 import Template

PICTURES = 12  # of a kind, at most
PIXELS, QUALITY = 160, 80  # of a picture: height and width, and JPEG's
MATRIX = 24  # classes, at most
ROWS = 30  # classes, and confusions, before the others are folded in
STARTS = (0.0, 0.5, 0.8, 0.9)  # of the scale on which it is shown what was promised
EXPECTED = ("accuracy", "accuracy_low", "accuracy_high")


@dataclass(frozen=True)
class Picture:
    """An image that was told wrong, as the classifier sees it.

    Parameters
    ----------
    data
        A data URI; empty where the image is gone.
    name, label, predicted
        What it is called, its class, and the one that it is taken for.
    share, own_share
        Probabilities of the class that was given, and of its own, from 0 to 1.
    suspect
        Whether its label may be what is wrong.
    """

    data: str
    name: str
    label: str
    predicted: str
    share: float
    own_share: float
    suspect: bool


@dataclass(frozen=True)
class Cell:
    """An entry of the confusion matrix: images, and their share of the class from 0 to 1."""

    images: int
    share: float
    right: bool
    text: str


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix, of all classes or of those that are confused most.

    Parameters
    ----------
    classes
        Their numbers, from 1 on, and names.
    rows
        A row for each class of images, a cell for each class that they are taken for.
    whole
        Whether these are all classes.
    """

    classes: Sequence[tuple[int, str]]
    rows: Sequence[Sequence[Cell]]
    whole: bool


@dataclass(frozen=True)
class Promise:
    """What the advice expected, and what came of it; shares from 0 to 1, on a scale from `start` to 1."""

    expected: float
    low: float
    high: float
    validation: float | None
    start: float

    def at(self, share: float) -> str:
        """Where a share is on the scale, in percent of its length."""
        return f"{100 * (share - self.start) / (1 - self.start):.1f}%"

    def long(self, low: float, high: float) -> str:
        """How long it is from one share to another, in percent of the scale's length."""
        return f"{100 * (high - low) / (1 - self.start):.1f}%"


def write_page(
    path: str | os.PathLike[str],
    evaluation: Evaluation,
    about: Mapping[str, Any],
    evaluations: Iterable[Mapping[str, Any]] = (),
) -> Path:
    """Write the page.

    Parameters
    ----------
    path
        The file; one that is there is replaced.
    evaluation
        Of the classifier, with what opens its images.
    about
        The description of the classifier.
    evaluations
        Of its run along time, the records of `evaluations.jsonl`.

    Raises
    ------
    OSError
        It cannot be written.
    """
    with replacing(path) as draft:
        draft.write_text(page(evaluation, about, evaluations), encoding="utf-8")
    return Path(path)


def page(
    evaluation: Evaluation, about: Mapping[str, Any], evaluations: Iterable[Mapping[str, Any]] = ()
) -> str:
    """The page as a text; see `write_page`."""
    mistakes, suspects = evaluation.mistakes[:PICTURES], evaluation.suspects
    others = [image for image in suspects.tolist() if image not in set(mistakes.tolist())][:PICTURES]
    marked = set(suspects.tolist())
    metrics, rendering = about.get("metrics") or {}, Rendering.of_description(about)
    return _template().render(
        e=evaluation,
        about=about,
        version=__version__,
        metrics=metrics,
        how=list(_how(about, metrics)),
        promise=_promise(evaluation, about, metrics),
        curve=curve(evaluations, metrics.get("budget_seconds")),
        matrix=_matrix(evaluation),
        worst=evaluation.worst,
        rows=ROWS,
        mistakes=_pictures(evaluation, mistakes.tolist(), marked, rendering),
        suspects=_pictures(evaluation, others, set(), rendering),
        marked=len(marked & set(mistakes.tolist())),
        reliability=reliability(evaluation.bins),
        notes=[*evaluation.notes, *(note for note in about.get("notes") or () if isinstance(note, str))],
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"readable": lambda text: readable(str(text)), "percent": _percent}
    return environment.get_template("page.html.j2")


def _percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f} %"  # noqa: RUF001  # a dash for nothing


def _how(about: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """What was trained, and how: terms and values, of what the description has."""
    regime = about.get("regime") or {}

    def number(key: str, form: str = "{:g}") -> str | None:
        value = metrics.get(key)
        return form.format(value) if NUMBER.allows(value) else None

    def text(*parts: str | None) -> str:
        return ", ".join(part for part in parts if part)

    rate = regime.get("learning_rate")
    yield "Network", text(str(about.get("model")), f"images of {about.get('input_size')} pixels")
    yield (
        "Trained on",
        text(
            str(about.get("dataset")),
            number("train_images", "{:g} images"),
            number("val_images", "{:g} to validate on"),
        ),
    )
    frozen = metrics.get("frozen_stages", regime.get("frozen_stages"))
    yield (
        "Settings",
        text(
            f"learning rate {rate:g}" if NUMBER.allows(rate) else None,
            regime.get("optimizer"),
            f"batch {regime.get('batch_size')}",
            f"augmentation {regime.get('augmentation')}",
            f"{frozen} stages frozen",
        ),
    )
    yield (
        "Time",
        text(
            number("elapsed_seconds", "{:.1f} s until it was saved"),
            number("budget_seconds", "budget {:.0f} s"),
            number("epochs", "{:.3g} epochs"),
        ),
    )
    yield "Machine", str(metrics.get("device") or "")
    with suppress(OutcomeError):
        yield "Ended", str(Outcome.from_json(about.get("outcome")))
    yield "Saved", str(about.get("created") or "").replace("T", " ")


def _promise(evaluation: Evaluation, about: Mapping[str, Any], metrics: Mapping[str, Any]) -> Promise | None:
    """What the advice had promised, where the classifier comes of one."""
    advice = about.get("advice")
    if not isinstance(advice, dict) or not all(SHARE.allows(advice.get(key)) for key in EXPECTED):
        return None
    validation = metrics.get("val_accuracy")
    expected, low, high = (float(advice[key]) for key in EXPECTED)
    validation = validation if SHARE.allows(validation) else None
    least = min(low, expected, evaluation.interval[0], 1.0 if validation is None else validation)
    return Promise(expected, low, high, validation, max(start for start in STARTS if start <= least))


def _matrix(evaluation: Evaluation) -> Matrix:
    counts = evaluation.confusion
    wrong = counts.sum(0) + counts.sum(1) - 2 * counts.diagonal()
    shown = np.flatnonzero(counts.sum(0) + counts.sum(1))
    if whole := len(shown) <= MATRIX:
        order = shown
    else:
        most = np.argsort(-wrong, kind="stable")[:MATRIX]
        order = np.sort(most[wrong[most] > 0])
    names = [readable(evaluation.classes[place]) for place in order]

    def cell(row: int, column: int) -> Cell:
        images, all_of_class = int(counts[order[row], order[column]]), int(counts[order[row]].sum())
        text = f"{images} of {all_of_class} images of {names[row]} taken for {names[column]}"
        return Cell(images, images / max(1, all_of_class), row == column, text)

    places = range(len(order))
    rows = [[cell(row, column) for column in places] for row in places]
    return Matrix(list(enumerate(names, start=1)), rows, whole)


def _pictures(
    evaluation: Evaluation, images: Iterable[int], marked: set[int], rendering: Rendering
) -> list[Picture]:
    found = []
    for image in images:
        label, predicted = int(evaluation.labels[image]), int(evaluation.predicted[image])
        shares = evaluation.probabilities[image]
        found.append(
            Picture(
                _data(evaluation.openers[image] if len(evaluation.openers) else None, rendering),
                evaluation.names[image],
                evaluation.classes[label],
                evaluation.classes[predicted],
                float(shares[predicted]),
                float(shares[label]),
                image in marked,
            )
        )
    return found


def _data(opener: Any, rendering: Rendering) -> str:
    """An image as the classifier sees it, small and within the page; empty where it is gone."""
    from PIL import Image

    with without_pillows_warnings():
        pixels = None if opener is None else read(opener, PIXELS, rendering)
    if not isinstance(pixels, np.ndarray):
        return ""
    file = BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).save(file, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
