from __future__ import annotations

import pytest

from nni_nasoa.figures.runs import RecordedRun, RunSettings
from nni_nasoa.training.regime import FineTuneRegime


@pytest.fixture
def recorded():
    """A function that gives the record of a run whose curve is (seconds, accuracy), at `epoch` seconds an epoch."""

    def record(
        curve,
        *,
        model="nano-a",
        dataset="digits",
        frozen=0,
        seed=0,
        budget=10.0,
        epoch=0.5,
        weights=None,
        stages=4,
        frozen_at_end=None,
        device="a $100 CPU_1",
        **settings,
    ) -> RecordedRun:
        regime = FineTuneRegime(model, frozen_stages=frozen, **{"input_size": 16, **settings})
        start = curve[0][0]
        evaluations = tuple(
            {"elapsed": seconds, "epochs": (seconds - start) / epoch, "val_accuracy": accuracy}
            for seconds, accuracy in curve
        )
        return RecordedRun(
            RunSettings(dataset, regime, budget, seed, weights, device),
            stages,
            frozen if frozen_at_end is None else frozen_at_end,
            max(accuracy for _, accuracy in curve),
            curve[-1][0],
            evaluations[-1]["epochs"],
            100,
            6400,
            "budget",
            evaluations,
            ("a note",),
            {"torch": "2.4"},
        )

    return record


@pytest.fixture
def points_of():
    """A function that gives the points of a line, by its label."""

    def points(axes, label):
        (line,) = [line for line in axes.lines if line.get_label() == label]
        return [tuple(round(float(value), 6) for value in point) for point in line.get_xydata()]

    return points
