"""What the tests of the advisor share."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from fixtures.surveys import Known
from PIL import Image

from nni_nasoa.advisor import ExperienceStore, StepTime
from nni_nasoa.advisor.accuracy.predictor import AccuracyPredictor
from nni_nasoa.advisor.fitting import fitting
from nni_nasoa.advisor.models import ModelFigures
from nni_nasoa.advisor.scored_candidates import scored
from nni_nasoa.data import ImageArrays, ImageSplit
from nni_nasoa.device.device import resolve
from nni_nasoa.zoo import list_models


@pytest.fixture
def fit(world):
    """`fitting` for a made dataset; an eighth of the candidates are enough for most tests."""

    def made(number=1000, budget=10.0, *, infos=None, time_model=world, regimes=None, **changes):
        asked = {name: changes.pop(name) for name in ("limits", "decoded", "processors") if name in changes}
        return fitting(
            world.profile(number, **changes),
            world.infos() if infos is None else infos,
            time_model,
            budget,
            regimes=regimes,
            most=10_000,
            **asked,
        )

    return made


@pytest.fixture
def ask(fit, experienced):
    """A function that gives the scored candidates for a made dataset."""

    def made(*given, cold=False, **more):
        predictor = AccuracyPredictor() if cold else AccuracyPredictor.from_bytes(experienced)
        return scored(fit(*given, **more), predictor)

    return made


@pytest.fixture
def store(tmp_path):
    return ExperienceStore(tmp_path / "experience.db")


@pytest.fixture(scope="session")
def split():
    """Three classes of a colour each, of 32 pixels."""
    rng = np.random.default_rng(0)
    parts = []
    for n in (90, 30):
        labels = np.arange(n) % 3
        images = rng.integers(0, 120, (n, 3, 32, 32))
        images[np.arange(n), labels] += 100
        parts.append(ImageArrays(images.astype(np.uint8), labels))
    return ImageSplit(*parts, ("r", "g", "b"), "colours")


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of 40 photos in two classes, each of which takes a while to decode; the cache is empty."""
    monkeypatch.setenv("NASOA_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for label in ("a", "b"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(20):
            image = Image.fromarray(rng.integers(0, 256, (600, 800, 3), dtype=np.uint8))
            image.save(tmp_path / "photos" / label / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def measured(store):
    """A store with step times of the networks, as on a machine where a step of nano-a's takes 10 ms."""
    for place, model in enumerate((*list_models("nano"), "front.json#1")):
        store.set_step_times(_steps(model, 1e-4 * (1 + place)))
    return store


def _steps(model, image):
    device, stages = resolve("cpu").key, ModelFigures.of_zoo(model).stages
    for size, batch, frozen in product((32, 64, 96), (8, 64), range(stages + 1)):
        took = image * batch * (size / 48) ** 2
        yield StepTime(device, model, size, batch, frozen, "train", took * (1.1 - frozen / stages))
        if frozen:
            yield StepTime(device, model, size, batch, frozen, "features", took * frozen / stages / 3)


@pytest.fixture
def known_survey():
    """A way to look at datasets that finds something at once."""
    return Known().survey
