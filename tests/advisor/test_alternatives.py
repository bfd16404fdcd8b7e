from __future__ import annotations

import pytest

from nni_nasoa.advisor.alternatives import choices


def test_figures_of_choices_are_those_of_their_candidates(world, ask):
    found = ask()
    for choice in choices(found, 5):
        epochs = world.estimate(
            choice.regime.model,
            frozen_stages=[choice.regime.frozen_stages],
            batch_size=[1],
            budget=10.0,
            input_size=[choice.regime.input_size],
            train_images=world.profile(1000).dataset.train_images,
            val_images=0,
        ).epochs[0]
        assert choice.epochs == pytest.approx(epochs) and choice.seconds == 10.0
        assert 0 <= choice.low <= choice.accuracy <= choice.high <= 1
        assert choice.predicted == {
            "seconds": 10.0,
            "accuracy": choice.accuracy,
            "accuracy_low": choice.low,
            "accuracy_high": choice.high,
        }
        assert choice.weights == "default" and choice.stages == (4 if choice.regime.model < "nano-d" else 3)
    assert choices(found, 1)[0].to_json()["regime"]["model"] == choices(found, 1)[0].regime.model


def test_what_freezing_gains_is_told(ask):
    frozen = next(
        choice for choice in choices(ask(budget=3.0), 20) if 0 < choice.regime.frozen_stages < choice.stages
    )
    (line,) = [line for line in frozen.why if "stages frozen" in line]
    k, n, epochs, whole = line.split()[0], line.split()[2], float(line.split()[5]), float(line.split()[9])
    assert (
        (int(k), int(n)) == (frozen.regime.frozen_stages, frozen.stages)
        and epochs > whole
        and epochs == pytest.approx(frozen.epochs, rel=0.01)
    )
