from __future__ import annotations

from collections import Counter, defaultdict
from itertools import product

import numpy as np
import pytest

from nni_nasoa.data import DatasetError
from nni_nasoa.data.tasks import get_task, list_tasks
from nni_nasoa.making.collecting_plan import (
    BUDGETS,
    SHORT_MORE_OFTEN,
    CollectingError,
    Plan,
    PlannedRun,
    make_plan,
)
from nni_nasoa.training.regime import ADVISED_AUGMENTATIONS, OPTIMIZERS, FineTuneRegime

TASKS, MODELS = ("segments-few", "materials-grey-few"), ("nano-a", "nano-b")


def test_a_plan_covers_everything_evenly():
    plan = make_plan()
    runs = list(plan.runs(640))
    assert {run.task for run in runs} == set(list_tasks(held_out=False)) and not any(
        get_task(run.task).held_out for run in runs
    )
    pairs = list(product(plan.tasks, plan.models))
    for key, choices in (
        (lambda run: run.task, plan.tasks),
        (lambda run: (run.task, run.regime.model), pairs),
    ):
        counts = Counter(map(key, runs))
        assert len(counts) == len(choices) and max(counts.values()) - min(counts.values()) <= 1
    shares = np.power(BUDGETS, -SHORT_MORE_OFTEN)
    for budget, share in zip(BUDGETS, shares / shares.sum()):
        assert sum(run.budget == budget for run in runs) / len(runs) == pytest.approx(share, abs=0.02)
    assert len({(run.regime.model, run.budget) for run in runs}) == len(plan.models) * len(BUDGETS)
    budgets = defaultdict(set)
    for run in plan.runs(25 * len(plan.tasks)):
        budgets[run.task].add(run.budget)
    assert all(seen == set(BUDGETS) for seen in budgets.values())
    assert 6.5 < sum(run.budget for run in runs) / len(runs) < 7.5
    assert {run.regime.augmentation for run in runs} == set(ADVISED_AUGMENTATIONS) and {
        run.regime.optimizer for run in runs
    } == set(OPTIMIZERS)
    assert len({run.regime.learning_rate for run in runs}) >= 8 and {
        run.regime.frozen_stages for run in runs
    } >= {0, 1, 2, 3}


def test_a_plan_follows_from_its_seed():
    first, again, other = (list(make_plan(seed=seed).runs(60)) for seed in (3, 3, 4))
    assert first == again and list(make_plan(seed=3).runs(30)) == first[:30]
    assert len({run.id for run in (*first, *other)}) == 120 and [run.regime for run in first] != [
        run.regime for run in other
    ]
    assert not {run.id for run in first} & {run.id for run in make_plan(seed=3, budgets=(1, 2)).runs(60)}


def test_a_plan_is_what_it_was_when_earlier_collections_began():
    plan = Plan(TASKS, MODELS)
    assert str(plan.id) == "b46ccb95-8b53-5177-9866-1535464f8847"
    regime = FineTuneRegime(
        "nano-a",
        learning_rate=0.03,
        frozen_stages=3,
        batch_size=32,
        input_size=48,
        augmentation="crop",
        label_smoothing=0.0,
    )
    assert plan[7] == PlannedRun("3db6d739-0211-5dd3-a06d-c507357520c0", "segments-few", regime, 3.0)


def test_tasks_are_chosen():
    assert make_plan(["signs-20", "task:hues"], ["plants"]).tasks == ("hues", "plants", "signs-20")
    assert set(make_plan(include=["plants"]).tasks) == {*list_tasks(held_out=False), "plants"}
    with pytest.raises(CollectingError, match="'plants' is held out; --include plants"):
        make_plan(["plants"])
    with pytest.raises(DatasetError, match="did you mean 'hues'"):
        make_plan(["huse"])
    for budgets in ((), (0.0,), (float("nan"),)):
        with pytest.raises(CollectingError, match=r"^budgets: "):
            make_plan(budgets=budgets)
