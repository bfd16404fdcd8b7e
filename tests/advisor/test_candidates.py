from __future__ import annotations

import numpy as np
import pytest

from nni_nasoa.advisor import candidates as module
from nni_nasoa.advisor.candidates import Candidates, candidates, random_regime
from nni_nasoa.advisor.models import ModelFigures
from nni_nasoa.zoo import list_models

NANO = list_models("nano")


# Settings that make no difference to a head that is fitted until it converges.
ALIKE = ("optimizer", "learning_rate", "weight_decay", "batch_size", "augmentation", "label_smoothing")


def figures_of(models):
    return [ModelFigures.of_zoo(model) for model in models]


def trains_stages(regimes):
    stages = np.array([figures.stages for figures in figures_of(NANO)])
    return regimes.frozen_stages < stages[regimes.model]


@pytest.fixture(scope="module")
def grid():
    return candidates(figures_of(NANO))


def test_the_grid_of_a_family_has_tens_of_thousands_and_each_is_another(grid):
    assert 50_000 < len(grid) <= module.MOST
    columns = grid.columns()
    assert all(column.shape == (len(grid),) for column in columns.values())
    assert len(np.unique(np.stack([columns[name] for name in columns]), axis=1).T) == len(grid)


def test_it_spans_what_is_promised(grid):
    def values(name):
        return set(grid.columns()[name].tolist())

    sgd = grid.learning_rate[grid.optimizer == 0]
    assert (sgd.min(), sgd.max(), len(np.unique(sgd))) == (0.003, 0.3, 7)
    assert np.allclose(np.diff(np.log(np.unique(sgd))), np.log(100) / 6, rtol=0.05)
    assert grid.learning_rate[grid.optimizer == 1].max() <= 0.1 * sgd.max()
    assert values("batch_size") == {16, 32, 64, 128} and values("input_size") == {32, 48, 64, 96}
    assert values("augmentation") == {0, 1, 2, 3} and values("label_smoothing") == {0.0, 0.1}
    for place, model in enumerate(NANO):
        assert set(grid.frozen_stages[grid.model == place]) == set(
            range(ModelFigures.of_zoo(model).stages + 1)
        )


def test_a_candidate_is_the_regime_of_its_row(grid):
    rng = np.random.default_rng(0)
    for row in rng.choice(len(grid), 50):
        back = Candidates.of_regimes([grid.regime(row)], {})
        assert back.models == (grid.regime(row).model,)
        assert all(
            column[row] == back.columns()[name][0]
            for name, column in grid.columns().items()
            if name != "model"
        )


def test_a_size_that_is_left_open_is_that_of_the_pretraining(grid):
    from nni_nasoa.finetune import FineTuneRegime

    regimes = Candidates.of_regimes(
        [FineTuneRegime("nano-a"), FineTuneRegime("x"), FineTuneRegime("nano-a", input_size=32)],
        {"nano-a": ModelFigures("nano-a", {"input_size": 48})},
    )
    assert regimes.input_size.tolist() == [48, 224, 32] and regimes.model.tolist() == [0, 1, 0]


def test_a_large_zoo_gets_an_even_sample_the_same_each_time():
    figures = figures_of(list_models("torchvision")[:20])
    some, again = candidates(figures, most=5000), candidates(figures, most=5000)
    assert len(some) == 5000 and np.bincount(some.model).tolist() == [250] * 20
    assert all((column == again.columns()[name]).all() for name, column in some.columns().items())
    assert {
        name: len(set(some.columns()[name][some.model == 3]))
        for name in ("batch_size", "input_size", "augmentation")
    } == {"batch_size": 4, "input_size": 6, "augmentation": 4}


def test_nothing_is_mirrored_where_that_changes_the_meaning(grid):
    fewer = candidates(figures_of(NANO), mirrored=False)
    assert set(fewer.augmentation.tolist()) == {0, 1, 3}
    assert trains_stages(fewer).sum() == 0.75 * trains_stages(grid).sum()
    heads, all_heads = (columns.take(~trains_stages(columns)).columns() for columns in (fewer, grid))
    assert all(np.array_equal(column, all_heads[name]) for name, column in heads.items())


def test_a_head_alone_is_there_once_for_each_size_of_images(grid):
    heads = grid.take(~trains_stages(grid))
    assert list(zip(heads.model, heads.input_size)) == [
        (place, size) for place, figures in enumerate(figures_of(NANO)) for size in figures.input_sizes
    ]
    assert {len(set(column.tolist())) for name, column in heads.columns().items() if name in ALIKE} == {1}
    assert set(heads.augmentation.tolist()) == {0}


def test_candidates_are_alike_in_what_is_asked_and_differ_in_the_rest(grid):
    names = ("model", "frozen_stages", "batch_size")
    first, kind = grid.distinct(names)
    rows = np.stack([grid.columns()[name] for name in names], axis=1)
    assert len(first) == len(np.unique(rows, axis=0)) and len(kind) == len(grid)
    assert np.array_equal(rows[first][kind], rows)
    assert [len(part) for part in grid.take([]).distinct(names)] == [0, 0]


def test_random_regimes_are_of_the_grid_and_reach_all_of_it(grid):
    rng = np.random.default_rng(0)
    regimes = [random_regime(rng, NANO) for _ in range(1500)]
    assert {regime.model for regime in regimes} == set(NANO)
    columns = Candidates.of_regimes(regimes, {})
    for name, column in grid.columns().items():
        if name != "model":
            assert set(columns.columns()[name].tolist()) == set(column.tolist()), name
    assert all(regime.frozen_stages <= ModelFigures.of_zoo(regime.model).stages for regime in regimes)
    counts = np.bincount(np.unique(columns.learning_rate[columns.optimizer == 0], return_inverse=True)[1])
    assert counts[3] > 2 * counts[0] and counts[3] > 2 * counts[-1]


def test_the_same_seed_gives_the_same_regimes():
    first, second = (
        [random_regime(rng, NANO) for _ in range(5)]
        for rng in (np.random.default_rng(7), np.random.default_rng(7))
    )
    assert first == second


def test_a_random_regime_of_no_model_is_one_line():
    with pytest.raises(ValueError, match="no model 'nano-x'; did you mean 'nano-"):
        random_regime(np.random.default_rng(0), ["nano-x"])
