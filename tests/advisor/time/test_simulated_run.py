"""The trainer itself, in a world where steps take what a table says: it does what is simulated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from nni_nasoa.advisor import RunRecord, StepTime
from nni_nasoa.advisor.time.simulated_run import (
    ALL_TRAINED,
    FIT_SECONDS,
    HEAD_ONLY,
    REFIT_SHARE,
    SOME_FROZEN,
    RunSetup,
    StepSeconds,
    simulate,
)
from nni_nasoa.advisor.time.step_kinds import FEATURES, TRAIN
from nni_nasoa.advisor.time.time_model import TimeModel
from nni_nasoa.data import ImageArrays
from nni_nasoa.device.device import processor_key
from nni_nasoa.device.turns import Turns
from nni_nasoa.finetune import FineTuneRegime, StopReason, head_run, training_start
from nni_nasoa.finetune.clock import Clock
from nni_nasoa.finetune.context import RunContext
from nni_nasoa.finetune.logistic import fit
from nni_nasoa.finetune.options import Resources
from nni_nasoa.finetune.trainer import Trainer
from nni_nasoa.training.images import Images, Normalization
from nni_nasoa.training.optimizers import Optimizer
from nni_nasoa.zoo.stage_pooling import PooledStages
from nni_nasoa.zoo.staged import Staged

SIZE, CLASSES, STAGES, START_UP = 8, 3, 3, 0.25
OPTIMIZER = 0.003
FIXED, IMAGE = (0.004, 0.003, 0.002), (0.0012, 0.0006, 0.0004)  # seconds of a forward pass through each stage
KEY = processor_key("a processor", 1)
CPU = torch.device("cpu")


class World:
    """Where time passes only by steps and fits."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        step = Optimizer.step  # torch's functional forms, which it calls, have no hooks that could take time
        monkeypatch.setattr(Optimizer, "step", lambda optimizer: (self.passes(OPTIMIZER), step(optimizer)))
        # A fit has none, either: it is scipy's.
        for module in (training_start, head_run):
            monkeypatch.setattr(module, "fit", self.fit)

    def fit(self, features, labels, classes, *, start=None, in_time=lambda: True, **more):
        """Fit a head, which takes what is foretold of fits, or ends with the time for it.

        The first fit takes its fixed part, whatever the time.
        """
        least = self.now + (FIT_SECONDS[0] if start is None else 0.0)
        end = self.now + (1.0 if start is None else REFIT_SHARE) * (
            FIT_SECONDS[0] + FIT_SECONDS[1] * len(labels)
        )
        while self.now < end and (self.now < least or in_time()):
            self.passes(0.01)
        return fit(features, labels, classes, start=start, in_time=in_time, **more)

    def passes(self, seconds):
        self.now += seconds

    def run(self, regime, budget, train=700, val=120):
        """The record of a run with pretrained weights."""
        rng = np.random.default_rng(0)
        view = Staged(
            [Stage(self, number) for number in range(STAGES)],
            nn.Linear(12, CLASSES),
            (0.5,) * 3,
            (0.5,) * 3,
            SIZE,
        )
        view = PooledStages(view, CLASSES, SIZE)
        parts = [
            ImageArrays(
                rng.integers(0, 256, (count, 3, SIZE, SIZE), dtype=np.uint8), rng.integers(0, CLASSES, count)
            )
            for count in (train, val)
        ]
        images = [
            Images(
                part,
                CPU,
                Normalization.of(view.mean, view.std),
                augmentation,
                True,
                torch.Generator().manual_seed(0),
            )
            for part, augmentation in zip(parts, (regime.augmentation, "none"))
        ]
        clock = Clock(budget, started=self.now, now=lambda: self.now)
        self.passes(START_UP)
        run = Trainer(
            view,
            *images,
            regime,
            RunContext(clock, CPU, Turns(CPU, 0)),
            resources=Resources(precision="float32"),  # no measurement, which the machine would tell
        )
        run.execute()
        return RunRecord(
            task="noise",
            model="model",
            regime=regime.to_json(),
            device="a processor",
            threads=1,
            budget_seconds=budget,
            status="ok",
            seconds=clock.elapsed,
            accuracy=run.best.evaluation.accuracy,
            epochs=run.epochs,
            curve=tuple((point["elapsed"], point["val_accuracy"]) for point in run.log.evaluations),
            outcome=run.log.outcome,
            profile={"train_images": train, "val_images": val},
        )


class Stage(nn.Module):
    """A stage that takes its time; training takes three times as long."""

    def __init__(self, world, number):
        super().__init__()
        self.world, self.number, self.weight = world, number, nn.Parameter(torch.ones(3, 1, 1))

    def forward(self, x):
        trained = torch.is_grad_enabled() and self.weight.requires_grad
        self.world.passes((3 if trained else 1) * (FIXED[self.number] + len(x) * IMAGE[self.number]))
        x = (nn.functional.adaptive_avg_pool2d(x, 2) if self.number == 0 else x) * self.weight
        return x.flatten(1) if self.number == STAGES - 1 else x


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


@pytest.fixture
def model():
    rows = []
    for batch in (8, 32):
        stage = [fixed + batch * image for fixed, image in zip(FIXED, IMAGE)]
        rows += [
            StepTime(KEY, "model", SIZE, batch, frozen, TRAIN, OPTIMIZER + 3 * sum(stage[frozen:]))
            for frozen in range(STAGES + 1)
        ]
        rows += [
            StepTime(KEY, "model", SIZE, batch, frozen, FEATURES, sum(stage[:frozen]))
            for frozen in range(1, STAGES + 1)
        ]
    return TimeModel(rows, KEY)


def expected(model, regime, record):
    return model.estimate(
        "model",
        frozen_stages=regime.frozen_stages,
        batch_size=regime.batch_size,
        input_size=SIZE,
        augmentation=regime.augmentation,
        budget=record.budget_seconds,
        start_up=START_UP,
        **record.profile,
    )


@pytest.mark.parametrize("augmentation", ["none", "crop"])
@pytest.mark.parametrize("frozen", range(STAGES + 1))
@pytest.mark.parametrize("budget, batch", [(3.0, 64), (4.0, 16), (7.0, 64), (15.0, 32)])
def test_the_trainer_does_as_many_epochs_as_are_foretold(world, model, budget, batch, frozen, augmentation):
    regime = FineTuneRegime(
        "model", frozen_stages=frozen, batch_size=batch, input_size=SIZE, augmentation=augmentation
    )
    record = world.run(regime, budget)
    estimate = expected(model, regime, record)
    gave_up = record.outcome.cut_to_head
    assert gave_up == (budget < 4 and frozen < STAGES)
    assert estimate.feasible[0] == (not gave_up)
    # In a few seconds, the last steps, which compute no features, are many of all; so is one evaluation.
    rel = 0.2 if budget < 5 or gave_up else 0.15 if budget < 10 else 0.12
    assert estimate.epochs[0] == pytest.approx(record.epochs, rel=rel)
    assert estimate.seconds[0] == pytest.approx(record.seconds, rel=0.08 if gave_up else 0.05)
    assert model.seconds_for(record, corrected=False) == pytest.approx(record.seconds, rel=0.1)


@pytest.mark.parametrize(
    "budget, views",
    [(1.2, 0.4), (1.6, 0.6), (2.0, 0.75), (2.5, 1.0), (4.0, 1.0), (6.0, 1.0), (9.0, 2.0), (60.0, 2.0)],
)
def test_a_head_is_fitted_to_as_many_views_and_for_as_long_as_is_foretold(world, model, budget, views):
    regime = FineTuneRegime("model", frozen_stages=STAGES, input_size=SIZE)
    record = world.run(regime, budget)
    assert record.outcome.reason is StopReason.FITTED
    assert record.epochs == pytest.approx(views, abs=0.1)
    estimate = expected(model, regime, record)
    assert estimate.feasible[0] and record.seconds <= budget
    assert estimate.epochs[0] == pytest.approx(record.epochs, rel=0.15)
    assert estimate.seconds[0] == pytest.approx(record.seconds, rel=0.1 if budget < 2 else 0.03)
    assert not model.observe(record) and model.seen == 0  # how long it took, no clock has said


@pytest.mark.parametrize("budget, whole", [(4.0, False), (7.0, True), (15.0, True)])
@pytest.mark.parametrize("frozen", [0, 1])
def test_a_first_pass_over_all_images_is_foretold(world, model, frozen, budget, whole):
    record = world.run(
        FineTuneRegime("model", frozen_stages=frozen, batch_size=16, input_size=SIZE), budget, val=16
    )
    run = model.simulated(record, START_UP, corrected=False)
    assert (record.curve[0][0] - START_UP > 700 * sum(IMAGE)) == whole
    assert run.until_training[0] == pytest.approx(record.curve[0][0], rel=0.1)
    assert (run.missing[0] > 0) == (frozen > 0 and not whole)


def test_the_seconds_before_training_are_foretold(world, model):
    record = world.run(FineTuneRegime("model", batch_size=32, input_size=SIZE), 15.0)
    assert model.observe(record)
    simulated = model.simulated(record, START_UP, corrected=False)
    assert simulated.until_training[0] == pytest.approx(record.curve[0][0], rel=0.1)


@pytest.mark.parametrize("frozen", range(STAGES + 1))
@pytest.mark.parametrize("train, val", [(0, 0), (1, 0), (1, 1), (10**9, 1)])
@pytest.mark.parametrize("budget", [1e-9, 0.1, 30.0, 1e9])
@pytest.mark.parametrize("start_up", [0.0, 1e6])
def test_odd_counts_and_budgets_give_numbers(model, frozen, train, val, budget, start_up):
    with np.errstate(all="raise"):
        estimate = model.estimate(
            "model",
            frozen_stages=frozen,
            batch_size=[16, 128],
            input_size=SIZE,
            augmentation=["none", "crop"],
            budget=budget,
            start_up=start_up,
            train_images=train,
            val_images=val,
        )
    assert (estimate.epochs >= 0).all() and np.isfinite(estimate.epochs).all()
    assert (estimate.seconds >= 0).all() and (estimate.seconds <= budget).all()


@pytest.mark.parametrize("kind", [ALL_TRAINED, SOME_FROZEN, HEAD_ONLY])
@pytest.mark.parametrize("augmented", [False, True])
def test_epochs_and_seconds_are_inverse(kind, augmented):
    n = 60
    renewal, clean = (0.0, 0.0) if kind == ALL_TRAINED else (0.03, 4e-4)
    rest = 1e-9 if kind == HEAD_ONLY else 6e-4
    steps = StepSeconds(*(np.full(n, value) for value in (0.01, renewal, clean, 1e-3, rest)))
    setup = RunSetup(
        seconds=steps,
        head=steps,
        kind=np.full(n, kind),
        batch=np.full(n, 64.0),
        train_images=np.full(n, 1500.0),
        val_images=np.full(n, 300.0),
        augmented=np.full(n, augmented),
        budget=np.geomspace(3, 300, n),
        start_up=np.full(n, 0.3),
    )
    run = simulate(setup)
    if kind == HEAD_ONLY:  # its epochs tell whether there were second views, and no more
        assert set(run.epochs()[-30:]) == {2.0} and run.epochs()[0] == 1.0
        assert (np.diff(run.epochs()) >= 0).all()
        assert np.array_equal(run.until_training + run.seconds_of(run.epochs()), run.seconds_until_the_end)
        assert (run.seconds_until_the_end <= setup.budget).all()
        return
    some = run.window > 0
    trained = run.seconds_of(run.epochs()) - run.viewing - run.evaluation
    assert trained[some] == pytest.approx(run.window[some], rel=0.02)
