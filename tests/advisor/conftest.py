"""What the tests of the advisor share."""

from __future__ import annotations

import pytest

from nni_nasoa.advisor.accuracy.predictor import AccuracyPredictor
from nni_nasoa.advisor.fitting import fitting
from nni_nasoa.advisor.scored_candidates import scored


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
