"""Candidates that are tried briefly first."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nni_nasoa.search.dimensions import Integer
from nni_nasoa.search.evolution import Evolution, Limit, Objective, SpaceExhausted
from nni_nasoa.search.fidelity import Attempt, BriefFirst, bare, in_full, is_brief
from nni_nasoa.search.nsga2 import hypervolume
from nni_nasoa.search.operators import SampleOperators

BOTH = (Objective("x"), Objective("y"))
SQUARE = SampleOperators({"x": Integer(0, 30), "y": Integer(0, 30)})
ATTEMPTS = BriefFirst(SQUARE)


def figures(attempt):
    """A front along the diagonal; a brief try tells less, with an error of its own."""
    x, y = attempt.candidate["x"], attempt.candidate["y"]
    full = {"x": float(x), "y": float(30 - x - abs(y - 15))}
    if not attempt.brief:
        return full
    return {"x": full["x"], "y": 0.5 * full["y"] - 20 + (7 * x + 3 * y) % 5}


def evolve(evolution, count):
    asked = []
    for _ in range(count):
        asked.append(evolution.ask())
        evolution.tell(asked[-1], figures(asked[-1]))
    return asked


@pytest.mark.parametrize("surrogate", [False, True])
def test_nothing_is_tried_in_full_that_was_not_tried_briefly_and_some_is(surrogate):
    evolution = Evolution(ATTEMPTS, BOTH, population_size=8, surrogate=surrogate, seed=0)
    asked, brief = evolve(evolution, 60), set()
    for attempt in asked:
        key = SQUARE.key(attempt.candidate)
        assert attempt.brief or key in brief
        brief.add(key)
    full = [attempt for attempt in asked if not attempt.brief]
    assert 5 <= len(full) <= 40 and len({ATTEMPTS.key(one) for one in asked}) == 60


@pytest.mark.parametrize("surrogate", [False, True])
def test_the_front_is_of_what_was_tried_in_full_alone(surrogate):
    evolution = Evolution(ATTEMPTS, BOTH, population_size=8, surrogate=surrogate, seed=0)
    assert evolution.front() == []
    evolution.tell(Attempt({"x": 3, "y": 3}, brief=True), {"x": 1e6, "y": 1e6})
    assert evolution.front() == [] and evolution.population == []
    evolve(evolution, 40)
    assert evolution.front() and not any(is_brief(one.candidate) for one in evolution.front())
    assert max(one.metrics["x"] for one in evolution.front()) <= 30


def test_what_is_worth_a_full_try_is_known_sooner_than_by_full_tries_alone():
    reference = np.array([-1.0, -16.0])

    def found(operators, cost, seed):
        evolution = Evolution(operators, BOTH, population_size=8, surrogate=True, seed=seed)
        points, spent = [], 0.0
        while spent < 20:
            attempt = evolution.ask()
            told = figures(attempt if isinstance(attempt, Attempt) else Attempt(attempt, brief=False))
            spent += cost if is_brief(attempt) else 1.0
            if not is_brief(attempt):
                points.append((told["x"], told["y"]))
            evolution.tell(attempt, told)
        return hypervolume(np.array(points), reference)

    ours, plain = (
        np.median([found(operators, 0.1, seed) for seed in range(5)]) for operators in (ATTEMPTS, SQUARE)
    )
    assert ours >= plain


def test_limits_hold_for_both_kinds():
    limits = [Limit("x", maximum=10.0)]
    evolution = Evolution(ATTEMPTS, BOTH, limits=limits, population_size=8, surrogate=True, seed=0)
    asked = evolve(evolution, 50)
    full = [one.candidate["x"] for one in asked if not one.brief]
    assert full and sum(x <= 10 for x in full) > len(full) / 2


def test_a_try_in_full_of_what_failed_briefly_is_never_asked_for():
    evolution = Evolution(ATTEMPTS, BOTH, population_size=6, surrogate=True, seed=0)
    failed = set()
    for _ in range(40):
        attempt = evolution.ask()
        if attempt.brief and attempt.candidate["x"] % 2:
            evolution.fail(attempt)
            failed.add(SQUARE.key(attempt.candidate))
        else:
            assert attempt.brief or SQUARE.key(attempt.candidate) not in failed
            evolution.tell(attempt, figures(attempt))


@pytest.mark.parametrize("surrogate", [False, True])
def test_many_at_a_time_and_a_state_that_goes_on(surrogate):
    evolution = Evolution(ATTEMPTS, BOTH, population_size=6, surrogate=surrogate, seed=0)
    evolve(evolution, 15)
    waiting = [evolution.ask() for _ in range(4)]
    assert len({ATTEMPTS.key(one) for one in waiting}) == 4
    again = Evolution(ATTEMPTS, BOTH, population_size=6, surrogate=surrogate, seed=9)
    again.load_state_dict(json.loads(json.dumps(evolution.state_dict())))
    assert again.front() == evolution.front() and again.unanswered == evolution.unanswered
    for one in waiting:
        for each in (evolution, again):
            each.tell(one, figures(one))
    assert [ATTEMPTS.key(one) for one in evolve(again, 5)] == [
        ATTEMPTS.key(one) for one in evolve(evolution, 5)
    ]


@pytest.mark.parametrize("surrogate", [False, True])
def test_in_the_end_all_is_tried_in_full(surrogate):
    operators = BriefFirst(SampleOperators({"x": Integer(0, 3), "y": Integer(0, 3)}))
    evolution = Evolution(operators, BOTH, population_size=4, surrogate=surrogate, seed=0)
    asked = evolve(evolution, 18)
    assert len({operators.key(one) for one in asked}) == 18 and sum(one.brief for one in asked) == 9
    with pytest.raises(SpaceExhausted):
        evolution.ask()


def test_a_withdrawn_result_leaves_neither_kind_of_parents():
    evolution = Evolution(ATTEMPTS, BOTH, population_size=4, seed=0)
    asked = evolve(evolution, 30)
    for one in asked:
        evolution.withdraw(one)
    assert evolution.evaluated == [] and evolution.population == [] and evolution.front() == []
    assert evolution.ask().brief


def test_attempts_have_keys_json_and_features():
    one = Attempt({"x": 3, "y": 4}, brief=True)
    for attempt in (one, one.in_full):
        assert ATTEMPTS.from_key(ATTEMPTS.key(attempt)) == attempt
        assert ATTEMPTS.from_json(json.loads(json.dumps(ATTEMPTS.to_json(attempt)))) == attempt
    assert ATTEMPTS.key(one) != ATTEMPTS.key(one.in_full)
    difference = ATTEMPTS.features(one.in_full) - ATTEMPTS.features(one)
    assert difference.tolist() == [0.0, 0.0, 1.0] and ATTEMPTS.groups.tolist() == [0, 1, 2]
    assert in_full(one) == one.in_full and bare(one) == one.candidate
    assert in_full("other") == bare("other") == "other" and not is_brief("other")
