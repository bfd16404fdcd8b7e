"""The evolution with a surrogate: all that holds without one, and that it finds more with fewer results."""

import itertools
import json
import threading

import numpy as np
import pytest

from nni_nasoa.architecture import ArchitectureSpace
from nni_nasoa.search.dimensions import Categorical, Integer, Uniform
from nni_nasoa.search.evolution import Evolution, Limit, Objective, SpaceExhausted
from nni_nasoa.search.nsga2 import hypervolume
from nni_nasoa.search.operators import ArchitectureOperators, SampleOperators

BOTH = (Objective("x"), Objective("y"))
SQUARE = SampleOperators({"x": Integer(0, 30), "y": Integer(0, 30)})  # metrics are the sample itself
NETWORKS = ArchitectureOperators(ArchitectureSpace(layers=(1, 2), blocks=(1, 2), stages=(1, 2)))


def figures(candidate):
    if isinstance(candidate, dict):
        return candidate
    return {"x": -float(candidate.parameters()), "y": float(candidate.macs(64)) ** 0.5}


def evolve(evolution, count):
    asked = []
    for _ in range(count):
        asked.append(evolution.ask())
        evolution.tell(asked[-1], figures(asked[-1]))
    return asked


def keys(evolution, candidates):
    return [evolution.operators.key(one) for one in candidates]


def test_nothing_is_asked_twice_and_the_whole_space_is_found():
    operators = SampleOperators({"x": Integer(0, 5), "y": Integer(0, 6)})
    evolution = Evolution(operators, BOTH, surrogate=True, seed=0)
    asked = [(sample["x"], sample["y"]) for sample in evolve(evolution, 30)]
    assert sorted(asked) == list(itertools.product(range(5), range(6)))
    with pytest.raises(SpaceExhausted):
        evolution.ask()


@pytest.mark.parametrize("operators", [SQUARE, NETWORKS], ids=["samples", "architectures"])
def test_a_seed_makes_it_reproducible_and_a_state_goes_on(operators):
    def new(seed):
        return Evolution(operators, BOTH, population_size=4, surrogate=True, seed=seed)

    one, same = new(3), new(3)
    first = keys(one, evolve(one, 12))
    assert keys(same, evolve(same, 12)) == first
    other = new(4)
    assert keys(other, evolve(other, 12)) != first
    one.fail(one.ask())
    one.ask()  # stays under way
    again = new(99)
    again.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert keys(again, evolve(again, 6)) == keys(one, evolve(one, 6))


def test_a_state_of_an_evolution_without_a_surrogate_is_taken():
    plain = Evolution(SQUARE, BOTH, seed=0)
    known = keys(plain, evolve(plain, 20))
    evolution = Evolution(SQUARE, BOTH, surrogate=True, seed=1)
    evolution.load_state_dict(plain.state_dict())
    assert not set(keys(evolution, evolve(evolution, 5))) & set(known)


def test_results_that_were_not_asked_for_are_learned_from():
    evolution = Evolution(SQUARE, BOTH, surrogate=True, seed=0)
    for x, y in itertools.product(range(0, 26, 5), repeat=2):
        evolution.tell({"x": x, "y": y}, {"x": x, "y": y})
    assert {"x": 29, "y": 29} in [evolution.ask() for _ in range(5)]  # nobody was there before


def test_a_withdrawn_result_leads_nowhere():
    evolution = Evolution(SQUARE, BOTH, surrogate=True, seed=0)
    evolve(evolution, 12)
    evolution.tell({"x": 0, "y": 0}, {"x": 1e6, "y": 1e6})
    evolution.ask()
    evolution.withdraw({"x": 0, "y": 0})
    assert max(one["x"] + one["y"] for one in evolve(evolution, 5)) > 50


def test_many_at_a_time_are_all_different_places():
    evolution = Evolution(SQUARE, BOTH, surrogate=True, seed=0)
    for x, y in itertools.product(range(0, 21, 5), repeat=2):
        evolution.tell({"x": x, "y": y}, {"x": x, "y": -x - y})
    asked = [evolution.ask() for _ in range(8)]
    assert evolution.pending == 8 and len({SQUARE.key(one) for one in asked}) == 8
    assert np.std([one["x"] for one in asked]) > 3  # the front reaches over all of x


def test_limits_are_kept_to_sooner_than_without():
    limits = [Limit("x", maximum=1.0), Limit("y", maximum=2.0)]

    def inside(surrogate):
        evolution = Evolution(SQUARE, BOTH, limits=limits, surrogate=surrogate, seed=1)
        return sum(one["x"] <= 1 and one["y"] <= 2 for one in evolve(evolution, 40))

    assert inside(True) > max(2, inside(False))


def test_failures_are_kept_away_from():
    evolution = Evolution(SQUARE, BOTH, surrogate=True, seed=0)
    failed = []
    for _ in range(60):
        one = evolution.ask()
        if one["x"] > 15:
            evolution.fail(one)
            failed.append(one)
        else:
            evolution.tell(one, one)
    assert len(failed) < 30 and evolution.failures == len(failed)
    assert {"x": 15, "y": 29} in [one.candidate for one in evolution.front()]


def test_all_that_fails_is_no_trouble():
    evolution = Evolution(SQUARE, BOTH, surrogate=True, seed=0)
    for _ in range(30):
        evolution.fail(evolution.ask())
    assert evolution.failures == 30


def test_a_space_in_which_nothing_varies():
    evolution = Evolution(SampleOperators({"x": Categorical((1,)), "y": Uniform(2, 2)}), BOTH, surrogate=True)
    assert evolution.ask() == {"x": 1, "y": 2}
    with pytest.raises(SpaceExhausted):
        evolution.ask()


def test_the_most_promising_are_measured_once_before_one_of_them_is_asked_for():
    measured = []

    def meter(candidate):
        measured.append(SQUARE.key(candidate))
        return {"x": candidate["x"], "other": 1.0}

    evolution = Evolution(SQUARE, BOTH, surrogate=True, meter=meter, metered=3, seed=0)
    evolve(evolution, 10)
    assert measured == []  # with so few results, there is no model
    for number in range(1, 21):
        before = len(measured)
        asked = evolution.ask()
        assert len(measured) - before <= 3 and len(measured) <= 3 * number
        evolution.tell(asked, figures(asked))
    assert len(measured) == len(set(measured)) > 10


def test_a_model_knows_what_was_measured():
    # All that is known of x is what the meter says: no feature tells it.
    kept = np.random.default_rng(0).permutation(200)
    operators = SampleOperators({"name": Categorical(tuple(map(str, range(200))))})

    def true(candidate):
        return {"x": float(kept[int(candidate["name"])]), "y": 0.0}

    def best(**options):
        evolution = Evolution(operators, BOTH, surrogate=True, seed=1, **options)
        asked = []
        for _ in range(30):
            asked.append(evolution.ask())
            evolution.tell(asked[-1], true(asked[-1]))
        return max(true(one)["x"] for one in asked)

    assert best(meter=true, metered=8) == 199 > best()


@pytest.mark.parametrize("found", [{}, {"x": float("inf")}, {"x": float("-inf"), "y": 1e300}])
def test_what_a_meter_cannot_measure_does_no_harm(found):
    evolution = Evolution(SQUARE, BOTH, surrogate=True, meter=lambda _: found, seed=0)
    assert len(set(keys(evolution, evolve(evolution, 25)))) == 25


def test_at_least_one_is_measured():
    with pytest.raises(ValueError, match=r"^metered: 0 is not a whole number from 1$"):
        Evolution(SQUARE, BOTH, surrogate=True, meter=figures, metered=0)


def test_many_threads():
    evolution, seen = Evolution(SQUARE, BOTH, surrogate=True, seed=0), []

    def work():
        for _ in range(8):
            candidate = evolution.ask()
            seen.append(SQUARE.key(candidate))
            evolution.tell(candidate, candidate)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == len(seen) == len(evolution.evaluated) == 32


def curved(sample):
    """A front between first and second, of mixed types."""
    far = {"a": 0.5, "b": 0.0, "c": 1.0}[sample["kind"]] + abs(sample["n"] - 7) / 10 + sample["f1"] / 2
    return {"first": sample["f0"], "second": (1 + far) * (1 - np.sqrt(sample["f0"] / (1 + far)))}


def test_with_a_surrogate_40_results_are_worth_more_than_100_without():
    dimensions = {
        "kind": Categorical(("a", "b", "c")),
        "n": Integer(0, 10),
        "f0": Uniform(0.0, 1.0),
        "f1": Uniform(0.0, 1.0),
    }

    def volume(surrogate, count, seed):
        evolution = Evolution(
            SampleOperators(dimensions),
            [Objective("first", False), Objective("second", False)],
            surrogate=surrogate,
            seed=seed,
        )
        for _ in range(count):
            candidate = evolution.ask()
            evolution.tell(candidate, curved(candidate))
        return hypervolume([[-v for v in one.metrics.values()] for one in evolution.evaluated], [-1.1, -3.0])

    ours = np.median([volume(True, 40, seed) for seed in range(3)])
    assert ours > np.median([volume(False, 100, seed) for seed in range(3)])
