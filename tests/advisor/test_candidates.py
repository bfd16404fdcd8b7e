from __future__ import annotations

import numpy as np
import pytest

from nni_nasoa.advisor import candidates as module
from nni_nasoa.advisor.candidates import Candidates, candidates, input_sizes, random_regime, stages_of
from nni_nasoa.experience.records import figures_of
from nni_nasoa.zoo import list_models

NANO = list_models("nano")


@pytest.fixture(scope="module")
def grid():
    return candidates({model: figures_of(model) for model in NANO})


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
        assert set(grid.frozen_stages[grid.model == place]) == set(range(stages_of(model) + 1))


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
        {"nano-a": {"input_size": 48}},
    )
    assert regimes.input_size.tolist() == [48, 224, 32] and regimes.model.tolist() == [0, 1, 0]


def test_a_large_zoo_gets_an_even_sample_the_same_each_time():
    figures = {model: figures_of(model) for model in list_models("torchvision")[:20]}
    some, again = candidates(figures, most=5000), candidates(figures, most=5000)
    assert len(some) == 5000 and np.bincount(some.model).tolist() == [250] * 20
    assert all((column == again.columns()[name]).all() for name, column in some.columns().items())
    assert {
        len(set(some.columns()[name][some.model == 3]))
        for name in ("batch_size", "input_size", "augmentation")
    } == {4}


def test_nothing_is_mirrored_where_that_changes_the_meaning(grid):
    fewer = candidates({model: figures_of(model) for model in NANO}, mirrored=False)
    assert len(fewer) == 0.75 * len(grid) and set(fewer.augmentation.tolist()) == {0, 1, 3}


def test_sizes_follow_the_pretraining_and_no_network_is_fed_less_than_its_stride():
    assert input_sizes(figures_of("resnet18")) == (128, 160, 192, 224)
    assert input_sizes({}) == (128, 160, 192, 224)
    assert input_sizes({"encoding": "2-_32_2-11-112-1121112", "input_size": 32}) == (32, 44, 64)
    assert input_sizes({"encoding": "2-_8_2-1-1-1-1-1-1", "input_size": 48}) == (256,)


def test_stages_are_those_counted_else_those_of_the_encoding():
    assert [stages_of(model) for model in NANO] == [4, 4, 4, 3, 3, 3]
    assert (
        stages_of("x", {"stages": 7, "encoding": "2-_32_2-11-112-1121112"}) == 7
        and stages_of("x", {}) == module.DEFAULT_STAGES
    )


def test_random_regimes_are_of_the_grid_and_reach_all_of_it(grid):
    rng = np.random.default_rng(0)
    regimes = [random_regime(rng, NANO) for _ in range(1500)]
    assert {regime.model for regime in regimes} == set(NANO)
    columns = Candidates.of_regimes(regimes, {})
    for name, column in grid.columns().items():
        if name != "model":
            assert set(columns.columns()[name].tolist()) == set(column.tolist()), name
    assert all(regime.frozen_stages <= stages_of(regime.model) for regime in regimes)
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
