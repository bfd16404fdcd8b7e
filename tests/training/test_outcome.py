"""What a run ended with, as a value: there and back, and what is none."""

from __future__ import annotations

import dataclasses
import json
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nni_nasoa.training.outcome import SIGNALS, Outcome, OutcomeError, StopReason

COUNTS = st.none() | st.integers(0, 10**9)
OUTCOMES = st.builds(
    Outcome,
    reason=st.sampled_from([reason for reason in StopReason if reason is not StopReason.INTERRUPTED]),
    cut_to_head=st.booleans(),
    sampled=st.booleans(),
    train_images=COUNTS,
    val_images=COUNTS,
    halved_batch=st.none() | st.integers(1, 10**6),
    steps=COUNTS,
    images=COUNTS,
    unused_seconds=st.floats(0, 1e6),
) | st.builds(Outcome, reason=st.just(StopReason.INTERRUPTED), signal=st.sampled_from([None, *SIGNALS]))


@given(OUTCOMES)
def test_json_and_back(outcome):
    data = json.loads(json.dumps(outcome.to_json(), allow_nan=False))
    assert Outcome.from_json(data) == outcome
    assert list(data) == [field.name for field in dataclasses.fields(Outcome)]


def test_what_is_left_out_is_as_by_default():
    assert Outcome.from_json({"reason": "saturated"}) == Outcome(StopReason.SATURATED)
    assert Outcome("budget").reason is StopReason.BUDGET


@pytest.mark.parametrize(
    "data, words",
    [
        ([], r"outcome: \[\] is not an object with the fields of an outcome"),
        (
            {},
            "reason: is missing; it is one of budget, saturated, fitted, interrupted, diverged, failed",
        ),
        ({"reason": "late"}, "reason: 'late' is not one of budget"),
        ({"reason": ["budget"]}, "reason: "),
        ({"reason": "budget", "note": ""}, "outcome: no field 'note'; there are reason, signal"),
        ({"reason": "budget", "signal": "SIGINT"}, "signal: 'SIGINT', where the reason is 'budget'"),
        ({"reason": "interrupted", "signal": "SIGKILL"}, "signal: 'SIGKILL' is not one of SIGINT, SIGTERM"),
        ({"reason": "budget", "sampled": 1}, "sampled: 1 is not true or false"),
        ({"reason": "budget", "train_images": 1.5}, "train_images: 1.5 is not a whole number"),
        ({"reason": "budget", "halved_batch": 0}, "halved_batch: 0 is not a whole number from 1"),
        ({"reason": "budget", "unused_seconds": -1}, "unused_seconds: -1 is not a number of seconds"),
    ],
)
def test_what_is_none_is_said_in_one_line(data, words):
    with pytest.raises(OutcomeError, match=f"^{words}") as caught:
        Outcome.from_json(data)
    assert "\n" not in str(caught.value)


def test_a_process_ends_as_its_run_did():
    assert {reason: Outcome(reason).exit_status for reason in StopReason} == {
        **dict.fromkeys(StopReason, 0),
        StopReason.INTERRUPTED: 128 + signal.SIGINT,
    }
    assert Outcome(StopReason.INTERRUPTED, "SIGTERM").exit_status == 128 + signal.SIGTERM


def test_people_are_told_in_words():
    said = {str(Outcome(reason)) for reason in StopReason}
    assert len(said) == len(StopReason) and all(line.isprintable() for line in said)
    assert str(Outcome(StopReason.INTERRUPTED, "SIGINT")) == "interrupted by Ctrl-C"
    assert str(Outcome(StopReason.INTERRUPTED, "SIGTERM")) == "interrupted by SIGTERM"
    assert "terminal was closed" in str(Outcome(StopReason.INTERRUPTED, "SIGHUP"))


def test_only_a_sample_has_counts_of_its_own():
    counts = {"train_images": 10, "val_images": 3}
    assert Outcome(StopReason.BUDGET, sampled=True, **counts).sample_counts == counts
    assert Outcome(StopReason.BUDGET, **counts).sample_counts == {}
    assert Outcome(StopReason.BUDGET, sampled=True).sample_counts == {}
