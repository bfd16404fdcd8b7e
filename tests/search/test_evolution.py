"""The ask/tell core: order, identity, failures, limits, state; and its search
quality beside optuna's NSGA-II.
"""

import itertools
import json
import logging
import threading

import numpy as np
import optuna
import pytest

from nni_nasoa.architecture import ArchitectureSpace
from nni_nasoa.search.dimensions import Categorical, Integer, Uniform
from nni_nasoa.search.evolution import Evolution, Limit, Objective, SpaceExhausted
from nni_nasoa.search.nsga2 import hypervolume, non_dominated_ranks
from nni_nasoa.search.operators import ArchitectureOperators, SampleOperators

BOTH = (Objective("x"), Objective("y"))
SQUARE = SampleOperators({"x": Integer(0, 31), "y": Integer(0, 31)})  # metrics are the sample itself


def evolve(evolution, count, metrics=dict):
    asked = []
    for _ in range(count):
        asked.append(evolution.ask())
        evolution.tell(asked[-1], metrics(asked[-1]))
    return asked


def keys(evolution):
    return [evolution.operators.key(individual.candidate) for individual in evolution.evaluated]


def test_nothing_is_asked_twice_and_the_whole_space_is_found():
    evolution = Evolution(SampleOperators({"x": Integer(0, 12), "y": Integer(0, 12)}), BOTH, seed=0)
    asked = [(sample["x"], sample["y"]) for sample in evolve(evolution, 144)]
    assert sorted(asked) == list(itertools.product(range(12), repeat=2))
    with pytest.raises(SpaceExhausted):
        evolution.ask()


def test_pending_failed_and_imported_candidates_are_not_asked_either():
    evolution = Evolution(SampleOperators({"x": Integer(0, 10)}), [Objective("x")], seed=0)
    pending, failed = evolution.ask(), evolution.ask()
    evolution.fail(failed)
    known = {pending["x"], failed["x"]}
    imported = next(x for x in range(10) if x not in known)
    evolution.tell({"x": imported}, {"x": imported})
    known.add(imported)
    assert (evolution.pending, evolution.failures, len(evolution.evaluated)) == (1, 1, 1)
    assert {evolution.ask()["x"] for _ in range(7)} == set(range(10)) - known
    with pytest.raises(SpaceExhausted):
        evolution.ask()


def test_asking_never_waits_while_all_are_pending():
    evolution = Evolution(SQUARE, BOTH, population_size=4, seed=0)
    asked = [evolution.ask() for _ in range(50)]
    evolution.tell(asked[0], asked[0])
    asked += [evolution.ask() for _ in range(50)]
    assert len({SQUARE.key(sample) for sample in asked}) == 100 and evolution.pending == 99


def test_the_first_result_stays():
    evolution = Evolution(SQUARE, BOTH)
    evolution.tell({"x": 1, "y": 2}, {"x": 1, "y": 2, "note": "first"})
    evolution.tell({"x": 1, "y": 2}, {"x": 9, "y": 9, "note": "second"})
    evolution.fail({"x": 1, "y": 2})
    evolution.tell({"x": 1, "y": 2}, {"x": float("nan"), "y": 2})
    assert [individual.metrics for individual in evolution.evaluated] == [{"x": 1, "y": 2, "note": "first"}]
    assert evolution.failures == 0 and len(evolution.population) == 1


@pytest.mark.parametrize(
    "metrics",
    [
        {"x": 1},
        {"x": 1, "y": float("nan")},
        {"x": 1, "y": None},
        {"x": 1, "y": "2"},
        {"x": 1, "y": True},
        {"x": 1, "y": 10**400},
        {},
    ],
)
def test_bad_metrics_are_a_failure_that_a_later_result_overrules(metrics, caplog):
    evolution = Evolution(SQUARE, BOTH, seed=0)
    candidate = evolution.ask()
    with caplog.at_level(logging.WARNING):
        evolution.tell(candidate, metrics)
    assert (
        "metric '" in caplog.text
        and evolution.failures == 1
        and evolution.pending == 0
        and not evolution.evaluated
    )
    evolution.fail(candidate)
    assert evolution.failures == 1
    evolution.tell(candidate, candidate)
    assert evolution.failures == 0 and keys(evolution) == [SQUARE.key(candidate)]


def test_a_missing_limit_metric_is_a_failure_and_infinity_is_not():
    evolution = Evolution(SQUARE, BOTH, limits=[Limit("cost", maximum=1)])
    evolution.tell({"x": 1, "y": 1}, {"x": 1, "y": 1})
    evolution.tell({"x": 1, "y": 2}, {"x": float("-inf"), "y": float("inf"), "cost": 0})
    assert evolution.failures == 1 and len(evolution.front()) == 1


def test_failures_do_not_stop_the_search():
    evolution = Evolution(SQUARE, BOTH, population_size=5, seed=0)
    for _ in range(200):
        candidate = evolution.ask()
        if candidate["x"] % 2:
            evolution.fail(candidate)
        else:
            evolution.tell(candidate, candidate)
    assert evolution.failures + len(evolution.evaluated) == 200 and evolution.pending == 0
    assert all(individual.candidate["x"] % 2 == 0 for individual in evolution.population)


def test_initial_candidates_come_first_and_once():
    first = [{"x": 3, "y": 3}, {"x": 4, "y": 4}, {"x": 3, "y": 3}, {"x": 5, "y": 5}]
    evolution = Evolution(SQUARE, BOTH, initial=first, seed=0)
    evolution.tell({"x": 5, "y": 5}, {"x": 5, "y": 5})
    asked = [evolution.ask() for _ in range(3)]
    assert asked[:2] == first[:2] and asked[2] not in first


def test_the_population_keeps_the_best_and_the_spread():
    evolution = Evolution(SQUARE, BOTH, population_size=5)
    for x in range(11):
        evolution.tell({"x": x, "y": 10 - x}, {"x": x, "y": 10 - x})
    kept = sorted(individual.candidate["x"] for individual in evolution.population)
    assert len(kept) == 5 and kept[0] == 0 and kept[-1] == 10  # the ends of the front stay
    assert [individual.candidate["x"] for individual in evolution.front()] == list(range(10, -1, -1))
    evolution.tell({"x": 30, "y": 29}, {"x": 30, "y": 29})
    assert {"x": 30, "y": 29} in [individual.candidate for individual in evolution.population]
    assert [individual.candidate["x"] for individual in evolution.front()] == [30]


def test_the_front_is_that_of_all_results():
    evolution = Evolution(
        SQUARE, (Objective("x"), Objective("cost", maximize=False)), population_size=4, seed=1
    )
    evolve(evolution, 200, lambda sample: {"x": sample["x"], "cost": (sample["x"] - sample["y"]) ** 2})
    points = np.array([[one.metrics["x"], -one.metrics["cost"]] for one in evolution.evaluated])
    best = sorted(map(tuple, points[non_dominated_ranks(points) == 0]), reverse=True)
    assert [(one.metrics["x"], -one.metrics["cost"]) for one in evolution.front()] == best


def test_limits_come_before_objectives():
    evolution = Evolution(
        SQUARE, BOTH, limits=[Limit("x", maximum=10), Limit("y", minimum=2, maximum=20)], population_size=4
    )
    for x, y in [(30, 25), (20, 20), (12, 20), (11, 1)]:  # all outside: violations 2.25, 1, 0.2, 0.1 + 0.5
        evolution.tell({"x": x, "y": y}, {"x": x, "y": y})
    assert evolution.front() == [] and len(evolution.population) == 4
    evolution.tell({"x": 1, "y": 2}, {"x": 1, "y": 2})
    assert (30, 25) not in [(one.candidate["x"], one.candidate["y"]) for one in evolution.population]
    assert [one.candidate for one in evolution.front()] == [{"x": 1, "y": 2}]
    for y in (3, 4, 5):
        evolution.tell({"x": 10, "y": y}, {"x": 10, "y": y})
    assert {(one.candidate["x"], one.candidate["y"]) for one in evolution.population} == {
        (10, 5),
        (10, 4),
        (10, 3),
        (1, 2),
    }


def test_limits_are_searched_for():
    """The feasible corner holds 1 in 150 of the space; selection by violation leads there."""
    limits = [Limit("x", maximum=1.0), Limit("y", maximum=2.0)]
    found = []
    for seed in range(5):
        evolution = Evolution(SQUARE, BOTH, limits=limits, population_size=8, seed=seed)
        evolve(evolution, 150)
        found += [individual.candidate for individual in evolution.front()]
    assert found.count({"x": 1, "y": 2}) >= 4


def test_a_limit_measures_relative_to_its_bound():
    assert Limit("p", maximum=4).violation(6) == 0.5 and Limit("p", maximum=4).violation(4) == 0
    assert Limit("p", minimum=-4).violation(-6) == 0.5 and Limit("p", maximum=0).violation(3) == 3
    assert Limit("p", maximum=4).violation(float("inf")) == float("inf")


@pytest.mark.parametrize(
    "operators",
    [SQUARE, ArchitectureOperators(ArchitectureSpace(blocks=(1, 2)))],
    ids=["samples", "architectures"],
)
def test_a_seed_makes_it_reproducible(operators):
    def metrics(candidate):
        return (
            candidate
            if operators is SQUARE
            else {"x": -candidate.parameters(), "y": len(candidate.block.ops)}
        )

    def run(seed):
        evolution = Evolution(operators, BOTH, population_size=8, seed=seed)
        return list(map(operators.key, evolve(evolution, 60, metrics)))

    assert run(3) == run(3) != run(4)


@pytest.mark.parametrize(
    "operators",
    [SQUARE, ArchitectureOperators(ArchitectureSpace(blocks=(1, 2)))],
    ids=["samples", "architectures"],
)
def test_state_goes_on_where_it_was(operators):
    def metrics(candidate):
        extra = {"default": 0.5, "device": "cpu", "epochs": np.int64(3)}
        return {
            **(
                candidate
                if operators is SQUARE
                else {"x": -candidate.parameters(), "y": len(candidate.block.ops)}
            ),
            **extra,
        }

    evolution = Evolution(operators, BOTH, population_size=8, seed=1)
    evolve(evolution, 40, metrics)
    lost = evolution.ask()
    evolution.fail(evolution.ask())
    state = json.loads(json.dumps(evolution.state_dict()))
    again = Evolution(operators, BOTH, population_size=8, seed=99)
    again.load_state_dict(state)
    assert again.evaluated == evolution.evaluated and again.population == evolution.population
    assert (again.failures, again.pending) == (1, 1)
    assert list(map(operators.key, evolve(again, 30, metrics))) == list(
        map(operators.key, evolve(evolution, 30, metrics))
    )
    assert operators.key(lost) not in keys(again)
    again.requeue_pending()
    assert again.pending == 0 and again.ask() == lost


def test_state_of_another_version():
    with pytest.raises(ValueError, match="version None"):
        Evolution(SQUARE, BOTH).load_state_dict({})


def test_many_threads():
    """No candidate goes to two workers, and every result arrives."""
    evolution, seen = Evolution(SQUARE, BOTH, seed=0), []

    def work():
        for _ in range(40):
            candidate = evolution.ask()
            seen.append(SQUARE.key(candidate))
            evolution.tell(candidate, candidate)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == len(seen) == len(evolution.evaluated) == 240


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(objectives=[]), "objectives"),
        (dict(objectives=[Objective("x"), Objective("x", False)]), "objectives"),
        (dict(population_size=1), "population size"),
        (dict(crossover_probability=1.5), "crossover probability"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}: "):
        Evolution(SQUARE, **{"objectives": BOTH, **arguments})


def test_a_limit_without_a_bound():
    with pytest.raises(ValueError, match="needs a maximum or a minimum"):
        Limit("params_m")


# -- quality: as good as optuna's NSGA-II on a small problem of mixed types --

FLOATS = [f"f{i}" for i in range(6)]
MIXED = {
    "kind": Categorical(("a", "b", "c")),
    "n": Integer(0, 10),
    **{name: Uniform(0.0, 1.0) for name in FLOATS},
}
BUDGET, POPULATION = 250, 20


def mixed_problem(sample):
    """In the manner of ZDT1: a front between first and second, and the other values
    have an optimum to be found.
    """
    far = (
        {"a": 0.5, "b": 0.0, "c": 1.0}[sample["kind"]]
        + abs(sample["n"] - 7) / 10
        + sum(sample[name] for name in FLOATS[1:]) / 2
    )
    return sample["f0"], (1 + far) * (1 - np.sqrt(sample["f0"] / (1 + far)))


def volume(pairs):
    return hypervolume(-np.array(pairs), [-1.1, -4.0])


def run_ours(seed):
    evolution = Evolution(
        SampleOperators(MIXED),
        [Objective("first", False), Objective("second", False)],
        population_size=POPULATION,
        seed=seed,
    )
    evolve(evolution, BUDGET, lambda sample: dict(zip(("first", "second"), mixed_problem(sample))))
    return volume([tuple(one.metrics.values()) for one in evolution.evaluated])


def run_optuna(seed, sampler):
    def objective(trial):
        sample = {
            "kind": trial.suggest_categorical("kind", ["a", "b", "c"]),
            "n": trial.suggest_int("n", 0, 9),
        }
        return mixed_problem({**sample, **{name: trial.suggest_float(name, 0, 1) for name in FLOATS}})

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler(seed))
    study.optimize(objective, BUDGET)
    return volume([trial.values for trial in study.trials])


def test_hypervolume_is_within_reach_of_optuna():
    seeds = range(5)
    ours = np.median([run_ours(seed) for seed in seeds])
    nsga2 = np.median(
        [
            run_optuna(
                seed, lambda seed: optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed)
            )
            for seed in seeds
        ]
    )
    random = np.median(
        [run_optuna(seed, lambda seed: optuna.samplers.RandomSampler(seed=seed)) for seed in seeds]
    )
    assert nsga2 > random and ours > random + 0.9 * (nsga2 - random)


def test_a_result_that_is_withdrawn_was_never_told():
    evolution, other = (Evolution(SQUARE, BOTH, population_size=3, seed=0) for _ in range(2))
    samples = [{"x": x, "y": 30 - x} for x in range(0, 30, 5)]
    for sample in samples:
        evolution.tell(sample, {"x": 99, "y": 99} if sample == samples[2] else sample)
        if sample != samples[2]:
            other.tell(sample, sample)
    evolution.withdraw(samples[2])
    evolution.withdraw({"x": 1, "y": 1})  # was not told
    assert keys(evolution) == keys(other) and evolution.population == other.population
    evolution.tell(samples[2], samples[2])
    assert evolution.evaluated[-1].metrics == samples[2]
