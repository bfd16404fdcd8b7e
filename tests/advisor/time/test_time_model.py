from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from test_step_times import rows_of

from nni_nasoa.advisor import ExperienceStore, StepTime
from nni_nasoa.advisor.time.simulated_run import HEAD_ONLY
from nni_nasoa.advisor.time.start_up import START_UP
from nni_nasoa.advisor.time.step_kinds import DRAW_MODES, IMAGES, OPTIMIZER_MODES
from nni_nasoa.advisor.time.time_model import TimeModel, learned_state, state_name
from nni_nasoa.device.device import processor_key
from nni_nasoa.experience.store import State
from nni_nasoa.finetune import FineTuneRegime, Outcome, StopReason
from nni_nasoa.training.time_shares import MAX_CHUNK, WHOLE_PASS_SHARE

KEY = processor_key("a processor", 1)
STAGES = 4
TASK = {"train_images": 1500, "val_images": 300}
# Seconds for an image of 48 pixels, through the small model, which is fast enough for the largest chunks.
FORWARD = 0.001 / MAX_CHUNK + 1.5**2 * 1e-4


def model_rows():
    """A small and a large model on a device."""
    drawing = [
        StepTime(KEY, IMAGES, size, 64, 0, mode, 64e-6 * (size / 32) ** 2 * (1 + kind))
        for size in (32, 96)
        for kind, mode in enumerate(DRAW_MODES)
    ]
    optimizers = [
        StepTime(KEY, "small", 32, 1, frozen, mode, seconds)
        for frozen in (0, STAGES)
        for mode, seconds in zip(OPTIMIZER_MODES, (0.001, 0.002))
    ]
    return [*rows_of("small", STAGES), *rows_of("large", STAGES, seconds=0.1), *drawing, *optimizers]


@pytest.fixture
def model():
    return TimeModel(model_rows(), KEY)


@pytest.fixture
def make_run(make_record, model):
    """A function that makes the record of a run that took `factor` times as long as was expected."""

    def make(name="small", factor=1.0, budget=10.0, frozen=0, epochs=5.0, **changes):
        regime = FineTuneRegime(name, frozen_stages=frozen, input_size=48).to_json()
        fields = dict(
            model=name,
            regime=regime,
            device="a processor",
            threads=1,
            budget_seconds=budget,
            profile=TASK,
            epochs=epochs,
            model_figures={},
            curve=((1.0, 0.5), (2.0, 0.6)),
            notes=(),
            source="collect",
        )
        record = make_record(**{**fields, **changes})
        if "curve" in changes:
            return record
        training = TimeModel(model_rows(), KEY).seconds_for(record) - float(
            simulated(record).until_training[0]
        )
        return dataclasses.replace(record, curve=((1.0, 0.5), (1.0 + factor * training, 0.6)))

    return make


def simulated(record):
    model = TimeModel(model_rows(), KEY)
    return model.simulated(record, model.start_up(record.source), corrected=False)


def estimate(model, name="small", **changes):
    arguments = dict(frozen_stages=0, batch_size=64, input_size=48, budget=30.0, augmentation="crop", **TASK)
    return model.estimate(name, **{**arguments, **changes})


# -- estimates --


@pytest.mark.parametrize("frozen", range(STAGES + 2))
@pytest.mark.parametrize("augmentation", ["none", "full"])
def test_epochs_grow_with_the_budget(model, frozen, augmentation):
    budgets = np.geomspace(0.5, 600, 200)
    found = estimate(model, frozen_stages=frozen, budget=budgets, augmentation=augmentation)
    epochs, feasible = found.epochs, found.feasible
    assert (epochs >= 0).all() and feasible[-1]
    assert (np.diff(feasible.astype(int)) >= 0).all()
    # Where stages are trained, a first pass over all images, once there is time for it, takes some of theirs.
    whole = budgets - START_UP > FORWARD * TASK["train_images"] / WHOLE_PASS_SHARE
    for part in (feasible & whole, feasible & ~whole) if frozen < STAGES else (feasible,):
        assert part.any() and (np.diff(epochs[part]) >= -1e-9).all()


@pytest.mark.parametrize("budget", [5.0, 60.0, 600.0])
def test_more_frozen_stages_are_not_slower(model, budget):
    for augmentation in ("none", "crop"):
        found = estimate(model, frozen_stages=np.arange(STAGES + 1), budget=budget, augmentation=augmentation)
        assert (np.diff(found.step_seconds) < 0).all()
        if budget > 5:  # time enough for the features
            assert (np.diff(found.epochs[:-1]) > 0).all()
        # A head is fitted to two views of each image, which takes what it takes.
        assert found.epochs[-1] == 2 and (found.seconds[-1] < found.seconds[:-1]).all()


def test_the_seconds_of_a_head_do_not_grow_with_a_budget_that_is_enough(model):
    found = estimate(model, frozen_stages=STAGES, budget=np.array([30.0, 60.0, 600.0, 1e5]))
    assert (found.epochs == 2).all() and np.ptp(found.seconds) < 1e-9
    views = 2 * FORWARD * sum(TASK.values())
    assert START_UP + views < found.seconds[0] < 5 * (START_UP + views)


def test_larger_images_networks_and_batches_have_their_price(model):
    sizes = estimate(model, input_size=np.array([32, 48, 64, 96, 128])).epochs
    assert (np.diff(sizes) < 0).all()
    assert estimate(model, "large").epochs[0] < estimate(model).epochs[0]
    batches = estimate(model, batch_size=np.array([8, 16, 64, 256]))
    assert (np.diff(batches.epochs) > 0).all() and (np.diff(batches.step_seconds) > 0).all()


def test_augmentation_and_adamw_have_their_price(model):
    epochs = estimate(model, augmentation=np.array(["none", "crop", "crop-flip", "full"])).epochs
    assert (np.diff(epochs) < 0).all()
    assert np.array_equal(epochs, estimate(model, augmentation=np.arange(4)).epochs)
    sgd, adamw = estimate(model, optimizer=np.array(["sgd", "adamw"])).step_seconds
    assert adamw - sgd == pytest.approx(0.001)


def test_seconds_stay_within_the_budget_and_fill_most_of_it(model):
    budgets = np.geomspace(3, 300, 50)
    found = estimate(model, budget=budgets)
    assert (found.seconds <= budgets).all() and (found.seconds > 0.85 * budgets).all()


def test_what_takes_time_before_the_run_takes_epochs(model):
    plain = estimate(model, start_up=0.1)
    later = estimate(model, start_up=10.0)
    assert later.epochs < 0.75 * plain.epochs
    assert np.array_equal(
        estimate(model, start_up=np.array([0.1, 10.0])).epochs, [*plain.epochs, *later.epochs]
    )


def test_a_short_budget_is_not_feasible_but_for_a_head(model):
    found = estimate(model, "large", frozen_stages=np.array([0, STAGES]), budget=2.3)
    assert found.feasible.tolist() == [False, True]
    assert not estimate(model, budget=0.2, frozen_stages=STAGES, start_up=0.3).feasible[0]


def test_of_an_unknown_model_or_device_nothing_is_told(model):
    found = estimate(model, "other", frozen_stages=np.array([0, 1]))
    assert np.isnan(found.epochs).all() and np.isnan(found.seconds).all() and len(found.epochs) == 2
    assert not found.feasible.any()
    assert (model.knows("small"), model.knows("other")) == (True, False)
    assert not TimeModel(model_rows(), "another device").knows("small")


@pytest.mark.parametrize("more, name", [({"colour": 1}, "colour"), ({}, "train_images")])
def test_what_is_asked_is_all_that_has_to_be_known_and_no_more(model, more, name):
    asked = dict(frozen_stages=0, batch_size=8, input_size=48, val_images=1, budget=5.0) | more
    with pytest.raises(TypeError, match=f"columns: .*{name}"):
        model.estimate("small", **asked)


def test_latency_is_that_of_one_image(model):
    assert model.latency("small", [32, 96]) == pytest.approx([0.001 + 0.0001, 0.001 + 0.0009])


def test_tens_of_thousands_are_like_one_at_a_time(model):
    rng = np.random.default_rng(0)
    n = 20_000
    columns = dict(
        frozen_stages=rng.integers(0, STAGES + 1, n),
        batch_size=rng.choice([16, 64, 128], n),
        input_size=rng.choice([32, 48, 96], n),
        augmentation=rng.integers(0, 4, n),
        optimizer=rng.integers(0, 2, n),
    )
    found = {name: estimate(model, name, **columns) for name in ("small", "large")}
    for i in rng.integers(0, n, 20):
        for name, many in found.items():
            one = estimate(model, name, **{name: column[i] for name, column in columns.items()})
            assert one.epochs[0] == many.epochs[i] and one.seconds[0] == many.seconds[i]
            assert one.feasible[0] == many.feasible[i]


# -- learning --


def test_corrections_converge_to_a_constant_factor(model, make_run):
    before = estimate(model).epochs[0]
    record = make_run(factor=2.0)
    for _ in range(60):
        assert model.observe(make_run(factor=2.0))
    training = model.seconds_for(record) - model.start_up("collect")
    assert training == pytest.approx(2 * (TimeModel(model_rows(), KEY).seconds_for(record) - 0.3), rel=0.15)
    assert estimate(model).epochs[0] == pytest.approx(before / 2, rel=0.15)


def test_corrections_are_shared_out_by_model_and_frozen_share(model, make_run):
    for _ in range(30):
        model.observe(make_run("small", factor=1.0))
        model.observe(make_run("large", factor=3.0))
    small, large = (
        estimate(model, name, budget=120.0).epochs[0]
        / estimate(TimeModel(model_rows(), KEY), name, budget=120.0).epochs[0]
        for name in ("small", "large")
    )
    assert small == pytest.approx(1.0, abs=0.25) and large == pytest.approx(1 / 3, abs=0.12)


def test_a_fifth_of_rubbish_does_no_harm(model, make_run):
    clean, rng = TimeModel(model_rows(), KEY), np.random.default_rng(0)
    for i in range(100):
        factor = float(np.exp(rng.normal(np.log(1.5), 0.1)))
        clean.observe(make_run(factor=factor))
        model.observe(make_run(factor=factor) if i % 5 else make_run(factor=float(rng.choice([1e-9, 1e6]))))
    assert estimate(model).epochs[0] == pytest.approx(estimate(clean).epochs[0], rel=0.1)


def test_runs_that_tell_nothing_change_nothing(model, make_run):
    before, told = model.to_bytes(), {"curve": ((1.0, 0.5), (2.0, 0.6))}
    assert not model.observe(None) and not model.observe({"status": "ok"})
    for changes in (
        {"status": "failed", "seconds": None, "accuracy": None},
        {"curve": ()},
        {"curve": ((1.0, 0.5),)},
        {"epochs": None},
        {"epochs": 0.0},
        {"profile": {}},
        {"profile": {**TASK, "train_images": "many"}},
        {"profile": {**TASK, "val_images": -5}},
        {"profile": {**TASK, "val_images": True}},
        {"device": "another"},
        {"threads": 2},
        {"name": "other"},
        {"outcome": Outcome(StopReason.DIVERGED)},
        {"outcome": Outcome(StopReason.BUDGET, halved_batch=8)},
        {"outcome": Outcome(StopReason.FITTED), "frozen": STAGES},
        {"frozen": STAGES + 1},
        {"curve": ((1.0, 0.5), (1.0, 0.5))},
    ):
        assert not model.observe(make_run(**{**told, **changes})), changes
    assert model.to_bytes() == before
    assert model.observe(make_run(**told))


def test_start_up_is_learned_by_source(model, make_run):
    for _ in range(30):
        record = make_run(curve=((1.0, 0.5), (2.0, 0.6)), source="nni")
        first = float(simulated(record).before[0])
        model.observe(dataclasses.replace(record, curve=((first + 3.0, 0.5), (first + 5.0, 0.6))))
    assert model.start_up("nni") == pytest.approx(3.0, rel=0.25)


@pytest.mark.parametrize(
    "opening, learned",
    [
        (19.0, 1.0),
        (9.0, START_UP),
        (0.1, 0.1),  # decoded in one thread, and in two or so; it was there already
    ],
)
def test_decoding_is_no_start_up(model, make_run, opening, learned):
    profile = {**TASK, "decode_seconds": 0.01}  # 18 s for all
    record = make_run(profile=profile, budget=60.0, curve=((1.0, 0.5), (2.0, 0.6)), source="nni")
    for _ in range(30):
        first = float(model.simulated(record, 0.0).until_training[0]) + opening
        assert model.observe(dataclasses.replace(record, curve=((first, 0.5), (first + 2.0, 0.6))))
    assert model.start_up("nni") == pytest.approx(learned, rel=0.3)


def test_nothing_is_learned_of_start_up_from_a_run_that_waited_for_images_in_vain(model, make_run):
    sample = Outcome(StopReason.BUDGET, sampled=True, train_images=100, val_images=30)
    assert model.observe(make_run(outcome=sample, curve=((5.0, 0.5), (9.0, 0.6)), source="nni"))
    assert model.start_up("nni") == START_UP and model.seen == 1


def test_a_run_that_gave_up_on_its_stages_counts_as_one_of_a_head(model, make_run):
    before, curve = model.to_bytes(), ((1.0, 0.5), (2.0, 0.6))
    record = make_run("large", outcome=Outcome(StopReason.FITTED, cut_to_head=True), curve=curve)
    head = make_run("large", outcome=Outcome(StopReason.FITTED), frozen=STAGES, curve=curve)
    assert model.kind_of(record) == model.kind_of(head) == HEAD_ONLY
    # As long as there is time, both look at the same images, and fit a head to them.
    assert model.epochs_for(record) == model.epochs_for(head) == 1
    assert not model.observe(record) and model.to_bytes() == before
    assert model.observe(make_run("large", curve=curve))
    assert [path for path, _ in json.loads(model.to_bytes())["speed"]] == [
        [],
        ["large"],
        ["large", "all trained"],
    ]


# -- state --


def test_the_state_comes_back_byte_by_byte(model, make_run):
    for factor in (0.5, 2.0, 3.0):
        model.observe(make_run(factor=factor))
    again = TimeModel.from_bytes(model.to_bytes(), model_rows(), KEY)
    assert again.to_bytes() == model.to_bytes() and again.seen == 3
    assert estimate(again).epochs == estimate(model).epochs


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"version": 0, "device": "x"}',
        b'{"version":1,"device":"a processor, 1 thread","speed":5,"start_up":[]}',
    ],
)
def test_a_damaged_state_gets_one_line(data):
    with pytest.raises(ValueError, match=r"^saved time model: ") as error:
        TimeModel.from_bytes(data, model_rows(), KEY)
    assert "\n" not in str(error.value)


def test_a_state_is_what_was_learned_run_by_run(model, make_run):
    runs = [make_run(factor=factor) for factor in (2.0, 3.0, 0.5)]
    state = learned_state(None, runs[:2], model_rows(), KEY)
    state = learned_state(state, runs[2:], model_rows(), KEY)
    for run in runs:
        model.observe(run)
    assert state == model.to_bytes() and TimeModel.from_state(state, model_rows(), KEY).seen == 3
    assert learned_state(b"damaged", runs, model_rows(), KEY) == state


def test_of_runs_that_tell_nothing_there_is_no_state(make_run):
    failed = make_run(status="failed", seconds=None, accuracy=None)
    assert learned_state(None, [failed], model_rows(), KEY) is None
    assert learned_state(None, [make_run()], model_rows(), "another device") is None
    assert learned_state(None, [make_run()], [], KEY) is None


def test_one_that_begins_catches_up_with_earlier_runs(make_run):
    def unread():
        pytest.fail("the runs are read")
        yield

    runs = [make_run(factor=factor) for factor in (2.0, 3.0, 0.5)]
    state = learned_state(None, runs[2:], model_rows(), KEY, runs[:2])
    assert state == learned_state(None, runs, model_rows(), KEY)
    more = learned_state(state, runs[:1], model_rows(), KEY, unread())
    assert TimeModel.from_bytes(more, model_rows(), KEY).seen == 4


def test_a_store_has_the_states_of_devices(tmp_path, make_run):
    store = ExperienceStore(tmp_path / "store.db")
    state = learned_state(None, [make_run(factor=2.0)], model_rows(), KEY)
    store.commit([], {state_name(KEY): State(state, 0)})
    assert TimeModel.from_store(store, model_rows(), KEY).seen == 1
    assert TimeModel.from_store(store, model_rows(), "another device").seen == 0
    assert TimeModel.from_store(None, model_rows(), KEY).seen == 0
