"""Step times that are estimated, where there is no time to measure them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fixtures.step_times import DEVICE, NO_MEASURING, TWO, assert_typical, measuring, rows_of

from nni_nasoa.advisor import ExperienceStore
from nni_nasoa.advisor.models import DEFAULT_INPUT_SIZE, LARGE_FROM, ModelFigures
from nni_nasoa.advisor.time.step_kinds import FEATURES, ROUGH, TRAIN
from nni_nasoa.advisor.time.step_times import (
    TYPICAL_SECONDS,
    step_times_for,
)
from nni_nasoa.advisor.time.tables import model_times
from nni_nasoa.device.device import Device
from nni_nasoa.training.time_shares import STEP_FACTOR


def test_without_time_unmeasured_models_are_estimated_by_their_macs(tmp_path):
    store = ExperienceStore(tmp_path / "store.db")
    store.set_step_times(rows_of("nano-a", stages=4))
    rows = step_times_for(("nano-a", "nano-b", "nano-f"), DEVICE, store, seconds=0, stopwatch=NO_MEASURING)
    rough = [row for row in rows if row.mode.startswith(ROUGH)]
    assert {row.model for row in rough} == {"nano-b", "nano-f"}
    tables = model_times(rows)
    assert tables["nano-f"].rough and not tables["nano-a"].rough
    assert tables["nano-f"].stages == 3
    full = {model: times.train.image[0, 0] for model, times in tables.items()}
    assert full["nano-f"] / full["nano-a"] == pytest.approx(0.6736 / 0.0287)
    head = {model: times.train.at([32], [times.stages])[1][0] for model, times in tables.items()}
    assert head["nano-f"] == pytest.approx(head["nano-a"])
    assert {row.model for row in store.step_times(DEVICE.key)} == {"nano-a"}  # guesses are not kept


@pytest.mark.parametrize("device", [DEVICE, Device("cuda", "a GPU", 1)])
def test_where_nothing_is_measured_rough_times_are_those_of_a_typical_device(tmp_path, device):
    store = ExperienceStore(tmp_path / "store.db")
    rows = step_times_for(TWO, device, store, seconds=0, stopwatch=NO_MEASURING)
    assert_typical(rows, device)
    assert store.step_times() == []  # guesses are not kept
    # Of large images in large batches, all but the least times are in proportion to multiply-accumulates.
    pace, most = (
        TYPICAL_SECONDS["cpu" if device.kind == "cpu" else "gpu"],
        max(row.batch_size for row in rows),
    )
    for model in TWO:
        figures = ModelFigures.of_zoo(model)
        size = figures.input_sizes[-1]
        forward = most * pace * figures.gmacs * (size / DEFAULT_INPUT_SIZE) ** 2
        seconds = {
            (row.mode, row.frozen_stages): row.seconds
            for row in rows
            if (row.model, row.input_size, row.batch_size) == (model, size, most)
        }
        whole = seconds[ROUGH + FEATURES, figures.stages]
        assert whole == pytest.approx(max(forward, 1e-4))
        assert seconds[ROUGH + TRAIN, 0] == pytest.approx(max(STEP_FACTOR * forward, 1e-4))
        assert seconds[ROUGH + TRAIN, figures.stages] == 1e-4


def test_with_little_time_a_forward_pass_of_the_cheapest_large_network_tells_of_all(tmp_path):
    store, large = ExperienceStore(tmp_path / "store.db"), ["lite1", "lite0"]
    asked = []
    quick = replace(NO_MEASURING, pace=lambda model, device: asked.append(model) or 0.02)
    rows = step_times_for(large, DEVICE, store, seconds=2, stopwatch=quick)
    assert asked == ["lite0"] and all(row.mode.startswith(ROUGH) for row in rows)
    tables, own = model_times(rows), ModelFigures.of_zoo("lite0").own_size
    seconds = {
        row.seconds / row.batch_size
        for row in rows
        if (row.model, row.mode, row.input_size) == (asked[0], ROUGH + FEATURES, own)
        if row.frozen_stages == tables[asked[0]].stages
    }
    assert max(seconds) == pytest.approx(0.02)
    # It is kept, and not measured again by who has as little time; who has enough measures steps.
    step_times_for(large, DEVICE, store, seconds=2, stopwatch=quick)
    assert len(asked) == 1
    steps = measuring(lambda model, sizes, *_, **__: rows_of(model, sizes=sizes), rounds=1)
    found = step_times_for(large, DEVICE, store, stopwatch=steps)
    assert not any(row.mode.startswith(ROUGH) for row in found)
    kept = store.step_times(DEVICE.key)
    assert {row.model for row in kept} >= {*large}


def test_what_an_earlier_call_had_no_time_for_is_measured_where_nothing_is_known_alone(tmp_path):
    store, asked = ExperienceStore(tmp_path / "store.db"), []
    noting = measuring(lambda model, *_, **__: asked.append(model) or rows_of(model), rounds=1)
    step_times_for(["nano-a"], DEVICE, store, more=False, stopwatch=noting)
    rows = step_times_for(["nano-a", "nano-b"], DEVICE, store, more=False, stopwatch=NO_MEASURING)
    assert asked == ["nano-a"] and {row.model for row in rows if row.mode.startswith(ROUGH)} == {"nano-b"}
    step_times_for(["nano-a", "nano-b"], DEVICE, store, stopwatch=noting)
    assert asked == ["nano-a", "nano-b"]


def test_where_others_compute_what_is_typical_takes_as_much_longer():
    alone, beside = (
        step_times_for(
            TWO,
            DEVICE,
            None,
            seconds=0,
            stopwatch=replace(NO_MEASURING, waiting=lambda factor=factor: factor),
        )
        for factor in (1.0, 3.0)
    )
    ratios = [there.seconds / here.seconds for here, there in zip(alone, beside) if here.seconds > 2e-4]
    assert ratios == pytest.approx([3.0] * len(ratios))


def test_only_what_is_worth_it_is_measured_and_large_networks_come_first():
    asked = []
    noting = measuring(
        lambda model, sizes, *_, **__: asked.append(model) or rows_of(model, sizes=sizes), rounds=1
    )
    large = "efficientnet-lite0"
    assert ModelFigures.of_zoo(large).own_size >= LARGE_FROM > ModelFigures.of_zoo("nano-f").own_size
    rows = step_times_for((*TWO, large, "nano-b"), DEVICE, None, measured={*TWO, large}, stopwatch=noting)
    assert asked == [large, *TWO]
    assert {row.model for row in rows if row.mode.startswith(ROUGH)} == {"nano-b"}
