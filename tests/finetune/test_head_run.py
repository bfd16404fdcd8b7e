"""What a run of the head alone does with features, once they are there."""

from __future__ import annotations

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
from nni_nasoa.finetune.trainer import Trainer
from nni_nasoa.training.images import Images, Normalization
from nni_nasoa.zoo.stage_pooling import PooledStages
from nni_nasoa.zoo.staged import Staged

SIZE, CLASSES, TRAIN, VAL = 8, 3, 90, 30
CPU = torch.device("cpu")


@pytest.fixture
def make_trainer():
    """A function that gives the trainer of a head, for images whose classes are colours and sides."""

    def make(mirrored=True, **resources):
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
        regime = FineTuneRegime("model", frozen_stages=2, input_size=SIZE)
        context = RunContext(Clock(60.0), CPU, Turns(CPU, 0))
        return Trainer(view, *parts, regime, context, resources=Resources(**resources))

    return make


@pytest.fixture
def prepared(make_trainer):
    """A trainer that has looked at its images and evaluated a first head, and its run of the head."""
    trainer = make_trainer()
    trainer._prepare()
    trainer._evaluate("start")
    args = (trainer.network, trainer.start, trainer.validation, trainer.context, trainer.schedule)
    return trainer, HeadRun(*args)


def expected(trainer, indices, start):
    """The head that is fitted to training and validation images, as the network sees them now."""
    network = trainer.network.eval()
    with torch.no_grad():
        features, val = (
            network.forward_stages(images.clean(chosen))
            for images, chosen in (
                (trainer.train_images, indices),
                (trainer.start.part.val_inputs.images, trainer.validation.order),
            )
        )
    labels = trainer.start.part.val_inputs.labels[trainer.validation.order]
    return fit(
        torch.cat([features, val]),
        torch.cat([trainer.start.fitted.labels, labels]),
        CLASSES,
        penalties=(start.penalty,),
    )


@pytest.mark.parametrize("restored", [False, True])
def test_the_last_head_is_fitted_to_what_the_network_gives(prepared, restored):
    trainer, run = prepared
    network, fitted = trainer.network, trainer.start.fitted
    assert run.epochs == 1 and run.take_mirrored() and network.mirrored
    if restored:  # as where mirrored views did not make it better
        trainer.best.restore()
    assert network.mirrored != restored and run.epochs == 2
    assert run.fit_to_all()
    wanted = expected(trainer, fitted.indices, fitted.head)
    assert (network.head.weight - wanted.weight).norm() < 0.03 * wanted.weight.norm()
    val = trainer.start.part.val_inputs
    with torch.no_grad():
        anew = network.forward_stages(val.images.clean(trainer.validation.order))
    assert torch.allclose(val.clean(trainer.validation.order), anew, atol=1e-3)


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("mirrored", [True, False])
def test_a_run_ends_with_a_fitted_head_whether_features_are_kept_or_not(make_trainer, cached, mirrored):
    trainer = make_trainer(mirrored=mirrored, feature_cache=cached)
    trainer.execute()
    assert trainer.log.outcome.reason is StopReason.FITTED and trainer.clock.elapsed < 40
    assert trainer.epochs == 1 + mirrored and trainer.best.evaluation.accuracy > 0.8
