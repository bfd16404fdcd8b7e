from __future__ import annotations

import gzip
import io
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from nni_nasoa.advisor import ExperienceStore
from nni_nasoa.advisor.accuracy.features import NAMES, features_of
from nni_nasoa.advisor.accuracy.hedge import HedgeRegressor
from nni_nasoa.advisor.accuracy.predictor import (
    MEMBERS,
    STATE,
    AccuracyPredictor,
    learnable,
    learned_state,
    make_prior,
    prior_records,
    write_prior,
)
from nni_nasoa.experience.store import State


@pytest.fixture
def store(tmp_path):
    return ExperienceStore(tmp_path / "experience.db")


@pytest.fixture(scope="module")
def of_prior():
    """How many runs a predictor has learned from that begins."""
    return AccuracyPredictor.from_prior().seen


def errors(predictor, records):
    mean, low, high = predictor.predict(np.concatenate([features_of(record) for record in records]))
    y = np.array([record.accuracy for record in records])
    return np.abs(mean - y), (low <= y) & (y <= high)


def test_it_learns_from_runs_what_holds_for_datasets_that_it_has_not_seen(world, experienced):
    unseen = [world.record(number, 1000 + number % 10) for number in range(100)]
    error, inside = errors(AccuracyPredictor.from_bytes(experienced), unseen)
    y = np.array([record.accuracy for record in unseen])
    assert error.mean() < 0.5 * np.abs(y - np.median(y)).mean()
    assert 0.75 <= inside.mean() <= 1


def test_it_goes_on_learning_from_each_run(world, experienced):
    predictor = AccuracyPredictor.from_bytes(experienced)
    other = [world.record(number, 2000, accuracy=0.2) for number in range(40)]
    before = errors(predictor, other)[0].mean()
    assert all(predictor.learn(record) for record in other[:20])
    assert errors(predictor, other[20:])[0].mean() < 0.7 * before


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "failed", "accuracy": None, "seconds": None},
        {"status": "killed", "accuracy": None, "seconds": None},
        {"profile": {}},
        {"profile": {"classes": 3}},
        {"profile": {"classes": "3", "train_images": 30}},
        {"profile": {"classes": 0, "train_images": 30}},
        {"model_figures": {"weights": "none"}},
    ],
)
def test_runs_that_teach_nothing_change_nothing(world, changes):
    predictor, record = AccuracyPredictor(), world.record(0, 0, **changes)
    before = predictor.to_bytes()
    assert not learnable(record) and not predictor.learn(record) and predictor.to_bytes() == before
    assert learned_state(None, [record]) is None and learned_state(before, [record]) is None


def test_the_prediction_is_the_mean_of_members_that_differ(world, experienced):
    predictor = AccuracyPredictor.from_bytes(experienced)
    x = np.concatenate([features_of(world.record(number, 3000 + number)) for number in range(60)])
    members = np.array([member.predict(x) for member in predictor.members])
    assert len(members) == MEMBERS and members[:, 0].std(axis=0).max() > 0.005
    assert np.array(predictor.predict(x)) == pytest.approx(members.mean(axis=0))


@pytest.mark.parametrize("rubbish", [None, {}, {"accuracy": float("nan")}, "a record"])
def test_what_is_no_record_is_not_learned(rubbish):
    predictor = AccuracyPredictor()
    assert not predictor.learn(rubbish) and predictor.seen == 0


def test_a_state_comes_back_equal(world, experienced):
    predictor = AccuracyPredictor.from_bytes(experienced)
    x = features_of(world.record(0, 0))
    assert AccuracyPredictor.from_bytes(predictor.to_bytes()).predict(x) == predictor.predict(x)
    assert predictor.to_bytes() == experienced


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-40],
        lambda data: b"",
        lambda data: b"PK" + data[2:200],
        lambda data: data[:9000] + bytes([data[9000] ^ 1]) + data[9001:],
    ],
)
def test_a_damaged_state_is_one_line_and_a_store_with_one_begins_anew(experienced, store, of_prior, damage):
    with pytest.raises(ValueError, match=r"^saved predictor: not usable \(.+\)$"):
        AccuracyPredictor.from_bytes(damage(experienced))
    store.commit([], {STATE: State(damage(experienced), 0)})
    assert AccuracyPredictor.from_store(store).seen == of_prior


def test_a_state_of_other_features_is_not_used(store, of_prior, world):
    file = io.BytesIO()
    np.savez(
        file,
        names=np.array(NAMES[::-1]),
        member_0=np.frombuffer(HedgeRegressor(len(NAMES)).to_bytes(), dtype=np.uint8),
    )
    with pytest.raises(ValueError, match="other features"):
        AccuracyPredictor.from_bytes(file.getvalue())
    store.commit([], {STATE: State(file.getvalue(), 0)})
    assert AccuracyPredictor.from_store(store).seen == of_prior
    state = learned_state(file.getvalue(), [world.record(0, 0)])
    assert AccuracyPredictor.from_bytes(state).seen == of_prior + 1


def test_a_predictor_that_begins_is_the_prior_and_learns_from_earlier_runs_first(world, of_prior):
    records = [world.record(number, 0) for number in range(8)]
    one_by_one = AccuracyPredictor.from_prior()
    assert AccuracyPredictor.from_store(None).seen == one_by_one.seen == of_prior
    for record in records:
        one_by_one.learn(record)
    state = learned_state(None, records[5:], records[:5])
    assert state == one_by_one.to_bytes() == learned_state(learned_state(None, records[:5]), records[5:])


def test_one_that_has_begun_looks_at_no_earlier_runs(world, of_prior):
    def unread():
        pytest.fail("the runs are read")
        yield

    state = learned_state(learned_state(None, [world.record(0, 0)]), [world.record(1, 0)], unread())
    assert AccuracyPredictor.from_bytes(state).seen == of_prior + 2


def test_reading_it_reads_no_runs(world):
    record = world.record(0, 0)
    state = learned_state(AccuracyPredictor().to_bytes(), [record])
    store = SimpleNamespace(state=lambda name: State(state, 1) if name == STATE else None)  # has nothing else
    assert AccuracyPredictor.from_store(store).seen == 1
    assert AccuracyPredictor.from_store(store).runs() == pytest.approx(features_of(record), nan_ok=True)


@pytest.mark.parametrize(
    "rubbish", [{"encoding": "rubbish"}, {"encoding": 7}, {"input_size": "large"}, {"stages": "many"}]
)
def test_what_others_put_into_a_record_counts_as_unknown(world, rubbish):
    figures = {"params_m": 1.0, "gmacs": 1.0}
    plain, odd = (world.record(0, 0, model_figures=figures | more) for more in ({}, rubbish))
    assert np.array_equal(features_of(odd), features_of(plain), equal_nan=True)
    assert learned_state(None, [odd]) == learned_state(None, [plain])


def test_a_prior_keeps_every_run_once_and_is_the_same_each_time(world):
    records = [world.record(number, number % 6) for number in range(40)]
    first, second = make_prior(records, passes=2), make_prior(records, passes=2)
    assert first.to_bytes() == second.to_bytes() and first.seen == 40
    assert {tuple(row) for row in first.runs()} == {tuple(features_of(record)[0]) for record in records}
    assert make_prior([world.record(0, 0, profile={})]).seen == 0
    assert make_prior([world.record(0, 0)]).seen == 1  # a single task has no other to be tested on


def test_what_is_the_same_in_all_runs_of_a_prior_tells_later_ones_from_them_no_more(world, experienced):
    """Those were on arrays, whose size is not known: folders of photos are predicted, and
    learned from, as arrays are.
    """
    photos, arrays = AccuracyPredictor.from_bytes(experienced), AccuracyPredictor.from_bytes(experienced)
    for number in range(6):
        record = world.record(number, 700)
        arrays.learn(record)
        photos.learn(replace(record, profile={**record.profile, "width": 640.0, "height": 480.0}))
    for number in range(6):
        record = world.record(number, 701)
        photo = replace(record, profile={**record.profile, "width": 500.0, "height": 300.0})
        assert not np.array_equal(features_of(photo), features_of(record), equal_nan=True)
        assert photos.predict(features_of(photo)) == pytest.approx(
            np.array(arrays.predict(features_of(record)))
        )


@pytest.mark.slow
def test_the_ranges_of_a_prior_are_for_data_that_it_has_not_seen(world):
    """Several passes would make residuals small; those on tasks that were left out are not."""
    records = [world.record(number, number % 5) for number in range(60)]
    prior = make_prior(records, passes=6)
    _, low, high = prior.predict(
        np.concatenate([features_of(world.record(number, 500 + number)) for number in range(50)])
    )
    naive = HedgeRegressor(len(NAMES))
    x, y = (
        np.concatenate([features_of(record) for record in records]),
        [record.accuracy for record in records],
    )
    for _ in range(6):
        naive.update(x, y)
    _, naive_low, naive_high = naive.predict(
        np.concatenate([features_of(world.record(number, 500 + number)) for number in range(50)])
    )
    assert (high - low).mean() > 1.2 * (naive_high - naive_low).mean()


def test_the_records_of_the_prior_are_read(tmp_path, world):
    assert prior_records(tmp_path) == []
    records = [world.record(number, 0) for number in range(3)]
    lines = "\n".join(json.dumps(record.to_json()) for record in records)
    (tmp_path / "records.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    assert prior_records(tmp_path) == records


def test_a_prior_that_is_written_is_what_everybody_starts_from(tmp_path, world):
    prior = tmp_path / "prior"
    records = [world.record(number % 4, number) for number in range(12)]
    written = write_prior([*records, world.record(0, 20, profile={})], prior)
    assert written.seen == 12 and AccuracyPredictor.from_prior(prior).to_bytes() == written.to_bytes()
    assert [record.id for record in prior_records(prior)] == [record.id for record in records]
    before = {file.name: file.read_bytes() for file in prior.iterdir()}
    write_prior(prior_records(prior), prior)
    assert before == {file.name: file.read_bytes() for file in prior.iterdir()}
    with pytest.raises(ValueError, match="no runs that ended well"):
        write_prior([], tmp_path / "other")


def test_the_prior_of_the_package_is_one_of_these_features():
    """None yet, or one that can be read."""
    assert AccuracyPredictor.from_prior().seen == len(
        [record for record in prior_records() if learnable(record)]
    )
