"""What a run of the head alone does with features, once they are there."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from nni_nasoa.data import ImageArrays
from nni_nasoa.device.turns import Turns
from nni_nasoa.finetune import FineTuneRegime, Resources, StopReason
from nni_nasoa.finetune.clock import Clock
from nni_nasoa.finetune.context import RunContext
from nni_nasoa.finetune.head_run import HeadRun
from nni_nasoa.finetune.logistic import fit
from nni_nasoa.finetune.trained_part import TrainedPart
from nni_nasoa.finetune.trainer import Trainer
from nni_nasoa.finetune.training_start import training_start, validation_in_time
from nni_nasoa.training.images import Images, Normalization
from nni_nasoa.zoo.stage_pooling import PooledStages
from nni_nasoa.zoo.staged import Staged

SIZE, CLASSES, TRAIN, VAL = 8, 3, 90, 30
CPU = torch.device("cpu")


@pytest.fixture
def make_trainer():
    """A function that gives the trainer of a head, and its images, whose classes are colours and sides."""

    def make(mirrored=True, save=None, frozen_stages=2, learning_rate=0.02, budget=60.0, **resources):
        torch.manual_seed(0)
        stages = [nn.Conv2d(3, 6, 3, padding=1), nn.Sequential(nn.Conv2d(6, 4, 3, 4), nn.Flatten())]
        view = Staged(stages, nn.Linear(16, CLASSES), (0.5,) * 3, (0.5,) * 3, SIZE)
        view = PooledStages(view, CLASSES, SIZE)
        rng, parts = np.random.default_rng(0), []
        for count in (TRAIN, VAL):
            labels = np.arange(count) % CLASSES
            images = rng.integers(0, 200, (count, 3, SIZE, SIZE))
            images[np.arange(count), labels, :, :3] += 50
            part = ImageArrays(images.astype(np.uint8), labels)
            parts.append(Images(part, CPU, Normalization.of(view.mean, view.std), mirrored=mirrored))
        regime = FineTuneRegime(
            "model",
            learning_rate=learning_rate,
            frozen_stages=frozen_stages,
            batch_size=16,
            input_size=SIZE,
            augmentation="none",
        )
        context = RunContext(Clock(budget), CPU, Turns(CPU, 0))
        return Trainer(view, *parts, regime, context, resources=Resources(**resources), save=save), parts

    return make


def expected(network, start, order):
    """The head that is fitted to training and validation images, as the network sees them now."""
    chosen = (start.part.inputs, start.fitted.indices), (start.part.val_inputs, order)
    with torch.no_grad():
        features = torch.cat([network.eval().forward_stages(i.images.clean(which)) for i, which in chosen])
    labels = torch.cat([inputs.labels[which] for inputs, which in chosen])
    return fit(features, labels, CLASSES, penalties=(start.fitted.head.penalty,))


@pytest.mark.parametrize("restored", [False, True])
def test_the_last_head_is_fitted_to_what_the_network_gives(make_trainer, restored):
    trainer, (train, val_images) = make_trainer()
    network, context, schedule = trainer.network, trainer.context, trainer.schedule
    frozen = partial(
        TrainedPart.behind,
        network=network,
        train=train,
        val=val_images,
        resources=Resources(),
        seed=0,
        now=context.clock.now,
    )
    start = training_start(
        frozen, trainer.regime, context, schedule, trainer.log, order=torch.randperm(TRAIN), head_start=True
    )
    validation = validation_in_time(start, context, trainer.log, torch.Generator().manual_seed(0))
    run, before = HeadRun(network, start, validation, context, schedule), network.state_dict()
    before = {name: tensor.clone() for name, tensor in before.items()}
    assert run.epochs == 1 and run.take_mirrored() and network.mirrored
    if restored:  # as where mirrored views did not make it better
        network.load_state_dict(before)
    assert network.mirrored != restored and run.epochs == 2
    assert run.fit_to_all()
    wanted = expected(network, start, validation.order)
    assert (network.head.weight - wanted.weight).norm() < 0.03 * wanted.weight.norm()
    val = start.part.val_inputs
    with torch.no_grad():
        anew = network.forward_stages(val.images.clean(validation.order))
    assert torch.allclose(val.clean(validation.order), anew, atol=1e-3)


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("mirrored", [True, False])
def test_a_run_ends_with_a_fitted_head_whether_features_are_kept_or_not(make_trainer, cached, mirrored):
    saved = []
    trainer, _ = make_trainer(mirrored, save=lambda run: saved.append(run.epochs), feature_cache=cached)
    trainer.execute()
    assert saved and min(saved) == 1  # from the first on, of a head that has seen all images
    assert trainer.log.outcome.reason is StopReason.FITTED and trainer.clock.elapsed < 40
    assert trainer.epochs == 1 + mirrored and trainer.best.evaluation.accuracy > 0.8


@pytest.mark.parametrize("frozen", [0, 1])
@pytest.mark.parametrize("rate", [1e-9, 0.05])
def test_stages_are_trained_behind_the_head_which_is_kept_until_they_are_better(make_trainer, frozen, rate):
    trainer, _ = make_trainer(frozen_stages=frozen, learning_rate=rate, budget=8.0)
    trainer.execute()
    network, start, best = trainer.network, trainer.start, trainer.best
    first = next(record for record in trainer.log.evaluations if record["kind"] == "start")
    assert (
        first["steps"] == 0 and trainer.stepper.steps > 10 and trainer.log.outcome.reason is StopReason.BUDGET
    )
    assert len(trainer.log.evaluations) > 1 and best.evaluation.accuracy >= first["val_accuracy"]
    if rate > 1e-6:
        return
    # What was saved has seen the validation images, too; what was trained had not.
    assert best.lead > 0 and not any(record["best"] for record in trainer.log.evaluations[1:])
    wanted = expected(network, start, trainer.validation.order)
    assert (network.head.weight - wanted.weight).norm() < 0.03 * wanted.weight.norm()
    assert trainer.log.evaluations[1]["val_accuracy"] == pytest.approx(first["val_accuracy"], abs=0.04)
