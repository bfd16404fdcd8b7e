from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from nni_nasoa.advisor.accuracy.features import (
    DATASET,
    GUESS,
    NAMES,
    TYPICAL_GAIN,
    TYPICAL_LANDMARK,
    TYPICAL_LARGE_GAIN,
    TYPICAL_RATE_GAIN,
    features,
    features_of,
    log_odds,
)
from nni_nasoa.advisor.candidates import Candidates, candidates
from nni_nasoa.finetune import FineTuneRegime, Outcome, StopReason


def of(regime, profile, epochs=5.0, budget=60.0, **changes):
    """Features by name of a regime on a made dataset."""
    figures = {regime.model: profile.model_figures(regime.model)}
    row = features(
        profile.flat() | changes, figures, Candidates.of_regimes([regime], figures), [epochs], budget
    )
    assert row.shape == (1, len(NAMES)) and row.dtype == np.float32
    return dict(zip(NAMES, row[0].tolist()))


def test_names_are_unique_and_many_rows_are_each_as_alone(world):
    assert len(set(NAMES)) == len(NAMES)
    profile = world.profile(0)
    figures = {model: profile.model_figures(model) for model in world.models}
    grid = candidates(list(figures.values()))
    rows = np.random.default_rng(0).choice(len(grid), 40, replace=False)
    epochs = np.linspace(0, 50, len(grid))
    together = features(profile.flat(), figures, grid, epochs, 30.0)
    assert together.shape == (len(grid), len(NAMES))
    for row in rows:
        alone = features(
            profile.flat(),
            figures,
            Candidates.of_regimes([grid.regime(row)], figures),
            epochs[row : row + 1],
            30.0,
        )
        np.testing.assert_allclose(together[row], alone[0], rtol=1e-5, atol=1e-5)
    assert not np.isnan(together).any()


def test_what_they_say(world):
    profile = world.profile(3)
    dataset = profile.dataset
    row = of(
        FineTuneRegime(
            "nano-d", frozen_stages=3, input_size=96, batch_size=32, optimizer="adamw", learning_rate=0.01
        ),
        profile,
    )
    assert row["log_per_class"] == pytest.approx(math.log10(dataset.train_images / dataset.classes), rel=1e-5)
    assert row["chance"] == pytest.approx(-math.log(dataset.classes - 1), rel=1e-5)
    assert row["probe_mean"] == pytest.approx(log_odds(profile.probes["nano-d"]["nearest_mean"]), rel=1e-5)
    assert row["probe_linear"] == pytest.approx(log_odds(profile.probes["nano-d"]["linear"]), rel=1e-5)
    assert row["probe_gain"] == pytest.approx(row["probe_linear"] - row["separability_linear"], abs=1e-5)
    assert row["frozen_share"] == row["head_only"] == row["adamw"] == 1
    assert row["log_input_size"] == pytest.approx(math.log10(2), rel=1e-5)
    assert row["log_rate"] == pytest.approx(1.0, rel=1e-5)  # tenfold the middle of AdamW's
    assert row["log_steps"] == pytest.approx(math.log10(5.03 * dataset.train_images / 32), rel=1e-4)
    whole = of(FineTuneRegime("nano-d", input_size=48), profile)
    assert (
        whole["frozen_share"]
        == whole["head_only"]
        == whole["adamw"]
        == whole["epochs_frozen"]
        == 0
        == whole["log_input_size"]
    )
    assert of(FineTuneRegime("nano-d", frozen_stages=99), profile)["frozen_share"] == 1


@pytest.mark.parametrize("size, share", [(32, 1), (48, 0), (64, math.log2(4 / 3)), (96, 1)])
def test_what_another_size_is_worth_is_between_what_was_seen(world, size, share):
    """Of smaller images the small network has seen some, of larger ones the network itself."""
    profile = world.profile(3)
    seen = profile.probes["nano-a@32" if size < 48 else "nano-d@96"]["linear"]
    few = profile.probes["nano-a" if size < 48 else "nano-d"]["linear_few"]
    row = of(FineTuneRegime("nano-d", input_size=size, frozen_stages=99), profile, epochs=1.0)
    assert (
        row["size_gain"]
        == pytest.approx(share * (log_odds(seen) - log_odds(few)), abs=1e-5)
        == pytest.approx(row["gain_frozen"], abs=1e-5)
    )
    unseen = of(FineTuneRegime("nano-d", input_size=32), profile, separability_small=None)["size_gain"]
    assert unseen == pytest.approx(TYPICAL_GAIN, rel=1e-5)


def test_what_larger_images_are_worth_is_the_small_network_s_where_the_own_has_not_seen_any(world):
    profile, regime = world.profile(3), FineTuneRegime("nano-d", input_size=96)
    own = of(regime, profile)["size_gain"]
    other = of(
        regime,
        dataclasses.replace(
            profile, probes={**profile.probes, "nano-d@96": {**profile.probes["nano-d@96"], "linear": None}}
        ),
    )
    expected = log_odds(profile.probes["nano-a@96"]["linear"]) - log_odds(
        profile.probes["nano-a"]["linear_few"]
    )
    assert other["size_gain"] == pytest.approx(expected, abs=1e-5) and abs(other["size_gain"] - own) > 0.01


def test_of_a_large_network_the_head_that_is_expected_is_the_guess_and_a_doubling_tells_of_sizes(world):
    profile = world.profile(2)
    found = {"linear": 0.8, "linear_few": 0.8, "images": 250, "stages": 7}
    seen = dataclasses.replace(profile, probes={**profile.probes, "lite0": found, "lite0@128": found})
    known = seen.model_figures("lite0").known
    rows = [of(FineTuneRegime("lite0", input_size=size), seen) for size in (224, 128)]
    for row in rows:
        assert NAMES[GUESS] == "head_expected" and row["head_expected"] == pytest.approx(
            log_odds(known["head_expected"]), abs=1e-5
        )
        assert row["head_expected"] > row["probe_linear"]
    assert rows[0]["size_gain"] == 0
    doublings = math.log2(128 / 224)
    assert rows[1]["size_gain"] == pytest.approx(doublings * known["doubling_gain"], abs=1e-5)
    small = of(FineTuneRegime("nano-d"), seen)
    assert small["head_expected"] == small["probe_linear"]


def test_a_network_that_was_not_looked_through_counts_as_one_that_sees_as_much_as_the_small_one(world):
    profile = world.profile(2)
    unseen = dataclasses.replace(
        profile, probes={name: found for name, found in profile.probes.items() if name != "nano-d"}
    )
    row = of(FineTuneRegime("nano-d"), unseen)
    assert (
        row["probe_mean"] == row["separability_mean"]
        and row["probe_linear"] == row["separability_linear"]
        and row["probe_gain"] == 0
    )
    assert row["epochs_probe"] == pytest.approx(row["log_epochs"] * row["separability_linear"], rel=1e-5)


def test_landmarks_say_what_training_is_worth_and_what_a_higher_rate_and_images_are_worth_to_it(world):
    profile, regime = (
        world.profile(2),
        FineTuneRegime("nano-d", input_size=96, frozen_stages=2, learning_rate=0.3),
    )
    row = of(regime, profile, landmark=0.6, landmark_high_rate=0.5, landmark_large=0.8)
    gain = log_odds(0.6) - row["separability_linear"]
    assert (row["landmark"], row["landmark_gain"]) == pytest.approx((log_odds(0.6), gain), abs=1e-5)
    assert row["landmark_frozen"] == pytest.approx(gain * row["frozen_share"], abs=1e-5)
    assert row["landmark_epochs"] == pytest.approx(gain * row["log_epochs"], rel=1e-4)
    assert (
        row["landmark_rate_gain"]
        == pytest.approx(-log_odds(0.6), rel=1e-4)
        == pytest.approx(row["landmark_rate"], rel=1e-4)
    )
    assert row["landmark_input"] == pytest.approx((log_odds(0.8) - log_odds(0.6)) * math.log10(2), rel=1e-4)
    unknown = of(regime, profile, landmark=None, landmark_high_rate=None, landmark_large=None)
    assert unknown["landmark_gain"] == pytest.approx(TYPICAL_LANDMARK, abs=1e-5)
    assert unknown["landmark_rate"] == pytest.approx(TYPICAL_RATE_GAIN, abs=1e-5)
    assert unknown["landmark_input"] == pytest.approx(TYPICAL_LARGE_GAIN * math.log10(2), abs=1e-5)


def test_what_is_not_known_is_nan_and_nothing_is_infinite(world):
    regime = FineTuneRegime("some model")
    row = features({}, {}, Candidates.of_regimes([regime], {}), [math.nan], 60.0)
    named = dict(zip(NAMES, row[0].tolist()))
    assert not np.isinf(row).any()
    assert all(
        math.isnan(named[name])
        for name in ("log_classes", "chance", "separability_mean", "probe_mean", "log_params", "log_epochs")
    )
    assert not any(
        math.isnan(named[name])
        for name in ("log_rate", "log_batch", "frozen_share", "log_budget", "log_image_size", "aspect")
    )


@pytest.mark.parametrize("wild", [0, -5, 1e15, "many", None, True])
def test_wild_profiles_give_no_infinity(world, wild):
    profile = world.profile(1)
    for name in profile.flat():
        row = of(FineTuneRegime("nano-a"), profile, **{name: wild})
        assert not any(map(math.isinf, row.values())), name


@pytest.mark.parametrize("epochs", [0.0, 1e-9, 1e12])
def test_epochs_of_any_number(world, epochs):
    assert all(map(math.isfinite, of(FineTuneRegime("nano-a"), world.profile(1), epochs=epochs).values()))


def test_sizes_of_images_count_where_files_tell_them(world):
    known = of(FineTuneRegime("nano-a", input_size=96), world.profile(1), width=256.0, height=64.0)
    assert known["log_image_size"] == pytest.approx(math.log10(2), rel=1e-5) and known[
        "aspect"
    ] == pytest.approx(math.log10(4), rel=1e-5)
    assert known["log_enlarged"] == pytest.approx(math.log10(96 / 128), rel=1e-4)
    unknown = of(FineTuneRegime("nano-a", input_size=96), world.profile(1))
    assert unknown["log_image_size"] == unknown["aspect"] == unknown["log_enlarged"] == 0


def test_what_is_not_mirrored_is_cropped(world):
    plain, same = world.profile(1), world.profile(1, mirrored=False)
    flipped, cropped = (FineTuneRegime("nano-a", augmentation=kind) for kind in ("crop-flip", "crop"))
    assert of(flipped, same) == of(cropped, same) and of(flipped, plain) != of(cropped, plain)


def test_a_record_has_the_features_of_its_run(world):
    record = world.record(5, 2)
    profile = world.profile(2)
    expected = of(
        FineTuneRegime.from_json(record.regime), profile, epochs=record.epochs, budget=record.budget_seconds
    )
    assert dict(zip(NAMES, features_of(record)[0].tolist())) == expected


def test_a_run_that_gave_up_on_its_stages_counts_as_one_of_a_head(world):
    record = next(
        record
        for record in (world.record(number, 2) for number in range(20))
        if record.regime["frozen_stages"] == 0
    )
    gave_up = world.record(
        0,
        2,
        regime=record.regime,
        model=record.model,
        model_figures=record.model_figures,
        outcome=Outcome(StopReason.BUDGET, cut_to_head=True),
    )
    head = world.record(
        0,
        2,
        regime={**record.regime, "frozen_stages": 99},
        model=record.model,
        model_figures=record.model_figures,
    )
    assert (features_of(gave_up) == features_of(head)).all() and (
        features_of(gave_up) != features_of(record)
    ).any()


def test_features_of_the_dataset_are_equal_for_all_of_its_runs(world):
    first, second = (features_of(world.record(number, 4))[0, : len(DATASET)] for number in (1, 2))
    assert (first == second).all()
