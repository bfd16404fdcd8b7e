"""Notes are for people alone: reworded in any way, the advisor learns the same from a run."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nni_nasoa.advisor import ExperienceStore, RunRecord, StepTime, record_result
from nni_nasoa.advisor.accuracy.features import features_of
from nni_nasoa.advisor.accuracy.predictor import AccuracyPredictor, prior_records
from nni_nasoa.advisor.time.step_times import FEATURES, TRAIN
from nni_nasoa.advisor.time.time_model import TimeModel
from nni_nasoa.finetune import FineTuneRegime, Outcome, StopReason, finetune, record_of
from nni_nasoa.plugin.assignment import Assignment
from nni_nasoa.plugin.trial_result import TrialResult

# What notes say, or said in earlier releases, of all kinds of runs but the one that they are put to.
SENTENCES = (
    "stopped: diverged: the loss was nan again, at learning rate 3; a rate below 1 may do",
    "stopped: interrupted: SIGTERM",
    "stopped: saturated: every validation image was right in 3 evaluations in a row",
    "the budget is too short for 8 training steps of about 4.4 s each: only the head is trained",
    "decoding all images takes longer than the budget allows: 100 are trained on, 30 validated on",
    "out of memory: batch size 16 from here on, and the learning rate in proportion",
    "9.0 s are left, too short for a step of about 0.5 s and what has to follow",
)
NOTES = st.lists(
    st.sampled_from(SENTENCES) | st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1),
    max_size=5,
).map(lambda notes: tuple(note for note in notes if note.strip()))
OUTCOMES = (
    Outcome(StopReason.BUDGET),
    Outcome(StopReason.SATURATED, steps=100, images=6400),
    Outcome(StopReason.DIVERGED),
    Outcome(StopReason.BUDGET, cut_to_head=True),
    Outcome(StopReason.BUDGET, sampled=True, train_images=200, val_images=50),
    Outcome(StopReason.BUDGET, halved_batch=8),
)


@pytest.fixture(scope="module")
def step_times(world):
    """Of every model of the world, on the device of its runs."""
    from nni_nasoa.device.device import processor_key

    key = processor_key("a processor", 1)
    return [
        StepTime(key, model, size, batch, frozen, mode, 1e-4 * batch * (4.2 - frozen if mode == TRAIN else 1))
        for model in world.models
        for size in (32, 96)
        for batch in (8, 64)
        for frozen in range(5)
        for mode in (TRAIN, FEATURES)
    ]


@pytest.fixture(scope="module")
def learned(step_times):
    """A function that gives all that is learned from a run, and what its features are."""

    def learn(record: RunRecord):
        model = TimeModel(step_times, step_times[0].device)
        predictor = AccuracyPredictor()
        return (
            features_of(record).tobytes(),
            (model.observe(record), model.to_bytes(), model.kind_of(record), model.epochs_for(record)),
            (predictor.learn(record), predictor.to_bytes()),
        )

    return learn


@pytest.fixture(scope="module")
def runs(world):
    """A run of each outcome, from which both models learn, but for those that tell nothing of the time."""
    profile, regime = world.profile(3), FineTuneRegime("nano-a", input_size=48)
    return [
        world.record(
            number,
            3,
            outcome=outcome,
            model=regime.model,
            regime=regime.to_json(),
            model_figures=profile.model_figures(regime.model).of_run(),
            curve=((1.0, 0.2), (9.0, 0.6)),
        )
        for number, outcome in enumerate(OUTCOMES)
    ]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.sampled_from(range(len(OUTCOMES))), notes=NOTES)
def test_reworded_notes_change_nothing_that_is_learned(learned, runs, number, notes):
    record = runs[number]
    assert learned(dataclasses.replace(record, notes=notes)) == learned(record)


def test_the_outcome_changes_what_is_learned(learned, runs):
    """So that the test above could fail: each outcome that says something makes a difference."""
    budget = Outcome(StopReason.BUDGET)
    features, times, accuracies = zip(*(learned(run) for run in runs))
    plain = zip(*(learned(dataclasses.replace(run, outcome=budget)) for run in runs))
    same = [[one == other for one, other in zip(*pair)] for pair in zip((features, times, accuracies), plain)]
    assert same == [
        [True, True, True, False, True, True],  # features: only the head
        [True, True, False, False, False, False],  # times: diverged and halved ones tell nothing
        [True, True, True, False, True, True],
    ]


def test_what_is_recorded_is_the_same(tmp_path, runs, step_times):
    """By a store of its own for the runs as they are, and for those with other runs' notes."""
    states = []
    two = runs[3:5]  # of a head, and on a sample
    for number, changed in enumerate((two, [dataclasses.replace(run, notes=SENTENCES) for run in two])):
        store = ExperienceStore(tmp_path / f"{number}.db")
        store.set_step_times(step_times)
        for run in changed:
            record_result(store, run)
        kept = [dataclasses.replace(record, notes=()) for record in store.records()]
        states.append(([store.state(name) for name in ("accuracy", f"time: {step_times[0].device}")], kept))
    assert states[0] == states[1] and None not in states[0][0]


def test_the_prior_rests_on_outcomes():
    records = prior_records()[:300]
    assert any(record.outcome.cut_to_head for record in records)
    for record in records:
        assert features_of(dataclasses.replace(record, notes=())).tobytes() == features_of(record).tobytes()


def test_a_real_run_is_recorded_and_reported_the_same(digits, tiny):
    regime = FineTuneRegime(tiny, input_size=digits.input_size, batch_size=32)
    result = finetune(digits, regime, 2 / 60, weights=None, device="cpu")
    told = dataclasses.replace(result, notes=SENTENCES)
    fixed = {"id": "6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "created": "2026-01-31T12:00:00Z"}
    record, other = record_of(result, **fixed), record_of(told, **fixed)
    assert record.outcome.steps == result.steps > 0 and record.outcome.train_images == len(digits.train)
    assert dataclasses.replace(other, notes=record.notes) == record
    assignment = Assignment("1-digits-1", "digits", 2 / 60, regime)
    reports = [TrialResult.of(one, assignment).to_metrics() for one in (result, told)]
    records = [json.loads(report.pop("record")) for report in reports]
    assert reports[0] == reports[1]
    assert records[0].keys() == records[1].keys() and records[0]["outcome"] == records[1]["outcome"]
