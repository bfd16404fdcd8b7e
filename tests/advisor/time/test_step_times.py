from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from fixtures.step_times import DEVICE, NO_MEASURING, TWO, assert_typical, fail, measuring, rows_of, step_time
from hypothesis import given
from hypothesis import strategies as st

from nni_nasoa.advisor import ExperienceStore
from nni_nasoa.advisor.time.step_kinds import (
    DRAW_MODES,
    FEATURES,
    IMAGES,
    OPTIMIZER_MODES,
    TRAIN,
    VIEW_MODES,
)
from nni_nasoa.advisor.time.step_times import (
    measure_drawing,
    measure_step_times,
    step_times_for,
)
from nni_nasoa.advisor.time.tables import drawing_lines, model_times
from nni_nasoa.device.device import Device, resolve
from nni_nasoa.device.lock import device_lock


@pytest.fixture(scope="module")
def measured():
    """A small and a large network, measured in about as few seconds as that takes."""
    device = Device("cpu", "a processor", torch.get_num_threads())
    return {model: measure_step_times(model, (32, 64), device) for model in TWO}, device


@pytest.mark.alone
def test_a_measured_model_has_a_time_for_every_number_of_frozen_stages(measured):
    for rows in measured[0].values():
        times = model_times(rows)[rows[0].model]
        assert {row.frozen_stages for row in rows if row.mode == TRAIN} == set(range(times.stages + 1))
        for size in {
            row.input_size for row in rows if row.mode == TRAIN
        }:  # few images and many, if there was time: of all alike
            batches = [row.batch_size for row in rows if (row.mode, row.input_size) == (TRAIN, size)]
            assert (
                len({batches.count(batch) for batch in batches}) == 1
                and batches.count(min(batches)) == times.stages + 1
            )
            assert len(set(batches)) == 2 or size > 32
        assert {row.frozen_stages for row in rows if row.mode == FEATURES} == set(range(1, times.stages + 1))
        assert {row.mode for row in rows} == {
            TRAIN,
            FEATURES,
            *OPTIMIZER_MODES,
            *VIEW_MODES,
        } and not times.rough
        assert {row.device for row in rows} == {measured[1].key}
        assert {row.input_size for row in rows} <= {32, 64} and min(row.input_size for row in rows) == 32


@given(seconds=st.lists(st.floats(1e-4, 1), min_size=18, max_size=18), ends_only=st.booleans())
def test_whatever_was_measured_more_images_take_longer(seconds, ends_only):
    rows = [
        replace(each, seconds=value)
        for each, value in zip(rows_of("nano-a", sizes=(32,)), seconds)
        if not ends_only or (each.mode, each.batch_size) != (TRAIN, 64) or each.frozen_stages in (0, 4)
    ]
    times = model_times(rows)["nano-a"]
    for frozen in range(5):
        none = np.zeros(20, dtype=int)
        steps = times.steps(none + frozen, np.arange(8, 168, 8), none + 48, none, none, None)
        assert steps.train[0] > 0 and (np.diff(steps.train) > 0).all()


@pytest.mark.alone
def test_large_networks_are_slower_and_a_head_alone_far_faster(measured):
    small, large = (
        {(row.mode, row.frozen_stages, row.batch_size): row.seconds for row in rows if row.input_size == 32}
        for rows in measured[0].values()
    )
    few = min(batch for mode, _, batch in large if mode == TRAIN)
    stages = max(frozen for _, frozen, _ in large)
    assert large[TRAIN, 0, few] > 3 * large[TRAIN, stages, few]
    shared = {batch for mode, _, batch in small if mode == TRAIN} & {
        batch for mode, _, batch in large if mode == TRAIN
    }
    assert all(large[TRAIN, 0, batch] > small[TRAIN, 0, batch] for batch in shared)
    assert large[FEATURES, stages, few] > large[FEATURES, 1, few]


@pytest.mark.alone
def test_measuring_leaves_torch_as_it_was(measured):
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    measure_step_times("nano-a", (32,), Device("cpu", "a processor", 1), seconds=1)
    assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), state)


def test_too_little_time_measures_nothing():
    assert measure_step_times("nano-f", (96,), DEVICE, seconds=1e-6) == []


def test_who_keeps_the_device_busy_is_not_waited_for_when_time_is_short(own_locks):
    ended = threading.Event()
    holding = threading.Event()

    def hold():
        with device_lock("cpu", shared=True):
            holding.set()
            ended.wait(60)

    threading.Thread(target=hold, daemon=True).start()
    assert holding.wait(30)
    try:
        rows = step_times_for(["nano-a"], DEVICE, None, seconds=8)
    finally:
        ended.set()
    assert model_times(rows).keys() == {"nano-a"} and drawing_lines(rows) is not None


def test_what_there_is_no_time_for_any_more_is_not_begun():
    slow = measuring(fail, lambda *_, **__: time.sleep(0.2) or [])
    assert_typical(step_times_for(TWO, DEVICE, None, seconds=0.1, stopwatch=slow))


def test_images_are_drawn_in_all_ways():
    rows = measure_drawing((32,), DEVICE)
    assert [row.mode for row in rows] == list(DRAW_MODES) and {row.model for row in rows} == {IMAGES}
    assert drawing_lines(rows) is not None


def slowed(factors, **fields):
    """A stopwatch that finds what it does times these factors, one after the other; and what was measured."""
    asked, left = [], list(factors)

    def steps(model, sizes, device, *, seconds):
        asked.append(model)
        factor = left.pop(0)
        return [
            replace(each, device=device.key, seconds=factor * each.seconds)
            for each in rows_of(model, sizes=sizes)
        ]

    return measuring(steps, **fields), asked


def test_models_are_measured_in_turns_and_medians_count(tmp_path):
    stopwatch, asked = slowed([1.4, 1.1, 1.3, 1.2, 1.0, 1.5])
    store = ExperienceStore(tmp_path / "store.db")
    found = step_times_for(TWO, DEVICE, store, stopwatch=stopwatch)
    assert asked == [*TWO] * 3

    def seconds(rows):
        return {
            (row.model, row.input_size, row.batch_size, row.frozen_stages, row.mode): row.seconds
            for row in rows
        }

    expected = [
        replace(row, seconds=factor * row.seconds)
        for model, factor in zip(TWO, (1.3, 1.2))
        for row in rows_of(model)
    ]
    assert seconds(found) == seconds(store.step_times(device=DEVICE.key)) == pytest.approx(seconds(expected))


@pytest.mark.parametrize("limit, rounds", [(8.1, 3), (4.1, 2), (3.9, 1), (1.9, 1)])
def test_later_rounds_take_no_more_than_half_of_the_time(limit, rounds):
    clock, times = [0.0], []

    def steps(model, sizes, *_, **__):
        times.append(model)
        clock[0] += 0.5
        return rows_of(model, sizes=sizes)

    stopwatch = measuring(steps, clock=lambda: clock[0])
    found = step_times_for(TWO, DEVICE, None, seconds=limit, stopwatch=stopwatch)
    assert model_times(found).keys() == {*TWO}
    assert times == [*TWO] * rounds and clock[0] <= max(1.0, limit / 2)


def test_what_is_missing_is_measured_once_and_kept(tmp_path):
    asked = []
    once = measuring(
        lambda model, sizes, *_, **__: asked.append(model) or rows_of(model, sizes=sizes),
        lambda sizes, *_, **__: (
            asked.append(tuple(sizes))
            or [step_time(IMAGES, size, 64, 0, mode, 0.001) for size in sizes for mode in DRAW_MODES]
        ),
        rounds=1,
    )
    store = ExperienceStore(tmp_path / "store.db")
    first = step_times_for(TWO, DEVICE, store, stopwatch=once)
    assert asked == [(32, 96), "nano-a", "nano-f"]
    again = step_times_for(TWO, DEVICE, store, stopwatch=NO_MEASURING)
    assert sorted(first, key=repr) == sorted(again, key=repr)
    step_times_for(("nano-b", *TWO), DEVICE, store, stopwatch=once)
    assert asked[3:] == ["nano-b"]
    step_times_for(TWO, Device("cpu", "another processor", 1), store, stopwatch=once)
    assert asked[4:] == [(32, 96), "nano-a", "nano-f"]


@pytest.fixture
def beside_others(free_threads, devices):
    """A stopwatch that measures once, where some threads are free."""

    def steps(model, sizes, device, *, seconds):
        devices.append(device)
        return [replace(each, device=device.key) for each in rows_of(model, sizes=sizes)]

    return measuring(steps, rounds=1, threads=free_threads)


def test_beside_others_free_threads_are_measured_and_kept_as_such(
    tmp_path, beside_others, free_threads, devices
):
    store, asked = ExperienceStore(tmp_path / "store.db"), Device("cpu", "a processor", 4)

    def found(*threads):
        free_threads.left += threads
        return step_times_for(["nano-a"], asked, store, stopwatch=beside_others)

    assert {row.device for row in found(3, 3, 3)} == {asked.key}
    assert [device.threads for device in devices] == [3]
    assert store.step_times(device=asked.key) == [] and store.step_times(device=replace(asked, threads=3).key)
    assert model_times(found(3)).keys() == {"nano-a"} and len(devices) == 1  # as they are known
    found(4, 4, 4)  # now that it is quiet
    assert [device.threads for device in devices] == [3, 4] and store.step_times(device=asked.key)
    found()
    assert len(devices) == 2 and not free_threads.left


def test_times_that_others_got_in_the_way_of_are_not_kept(tmp_path, beside_others, free_threads, devices):
    store, asked = ExperienceStore(tmp_path / "store.db"), Device("cpu", "a processor", 4)
    free_threads.left += [4, 4, 2]
    found = step_times_for(["nano-a"], asked, store, stopwatch=beside_others)
    assert model_times(found).keys() == {"nano-a"}
    assert store.step_times(device=asked.key) == [] and len(devices) == 1


def test_of_a_model_that_others_got_in_the_way_of_later_the_first_times_are_kept(tmp_path, free_threads):
    stopwatch, _ = slowed([1.0, 0.7, 0.8], threads=free_threads)
    store, asked = ExperienceStore(tmp_path / "store.db"), Device("cpu", "a processor", 4)
    free_threads.left += [4, 4, 4, 4, 2, 4, 4]
    found = step_times_for(["nano-a"], asked, store, stopwatch=stopwatch)
    kept = store.step_times(device=asked.key)
    assert sum(row.seconds for row in found) == pytest.approx(0.8 * sum(row.seconds for row in kept))


def test_time_is_shared_out():
    seen = {}
    noting = measuring(lambda model, *_, seconds: seen.update({model: seconds}) or [])
    assert_typical(step_times_for(TWO, DEVICE, None, seconds=30, stopwatch=noting))
    assert 9 < seen["nano-a"] <= 15 and 20 < seen["nano-f"] <= 30  # what the first has left is for the second
    assert_typical(step_times_for(TWO, DEVICE, None, stopwatch=noting))
    assert seen == {"nano-a": None, "nano-f": None}


def test_an_unknown_model_gets_one_line():
    with pytest.raises(ValueError, match="nano-x") as error:
        measure_step_times("nano-x", (32,), DEVICE, seconds=1)
    assert "\n" not in str(error.value)


def test_known_times_are_read_without_torch(tmp_path):
    store, device = ExperienceStore(tmp_path / "store.db"), resolve("cpu")
    store.set_step_times(replace(each, device=device.key) for each in rows_of("nano-a"))
    code = (
        "import sys\nfrom nni_nasoa.device.device import Device\n"
        "from nni_nasoa.experience.store import ExperienceStore\n"
        "from nni_nasoa.advisor.time.step_times import step_times_for\n"
        "from nni_nasoa.advisor.time.time_model import TimeModel\n"
        f"store = ExperienceStore({str(store.location)!r})\n"
        f"device = Device('cpu', {device.name!r}, {device.threads})\n"
        "model = TimeModel.from_store(store, step_times_for(['nano-a'], device, store), device.key)\n"
        "assert model.knows('nano-a')\nassert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
