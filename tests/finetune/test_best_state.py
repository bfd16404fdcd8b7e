from __future__ import annotations

import pytest
import torch

from nni_nasoa.finetune.best_state import BestState
from nni_nasoa.finetune.clock import Clock, ClockSchedule
from nni_nasoa.finetune.errors import ClassifierError
from nni_nasoa.finetune.validation import Evaluation


class Time:
    seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def network(shallow):
    torch.manual_seed(0)
    return shallow().view()


def evaluation(accuracy):
    return Evaluation(torch.ones(4, dtype=torch.bool), accuracy, accuracy, 1.0, 4, True)


def test_the_state_comes_back_with_what_it_was_worth(network, time):
    best = BestState(network, ClockSchedule(Clock(100, now=time)), None)
    assert not best.known
    with pytest.raises(RuntimeError, match="no state"):
        _ = best.evaluation
    best.keep(evaluation(0.5), 0)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    best.restore()
    assert best.known and best.evaluation.accuracy == 0.5 and not network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_frozen_stages_are_not_copied(network, time):
    best = BestState(network, ClockSchedule(Clock(100, now=time)), None)
    best.keep(evaluation(0.5), 1)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    best.restore()
    back = {name for name, tensor in network.state_dict().items() if torch.equal(tensor, before[name])}
    assert back == {name for name in before if not name.startswith("stages.0.")} and len(back) < len(before)


def test_it_is_saved_early_where_that_costs_little_of_the_time_since_the_last_save(network, time):
    saved = []

    def save():
        saved.append(time.seconds)
        time.seconds += 1.0

    schedule = ClockSchedule(Clock(1000, now=time))
    best = BestState(network, schedule, save)
    assert 0 < schedule.saving.expected < 1
    for moment in (
        1,
        10,
        40,
        60,
        61,
    ):  # a save takes a second, which is a fiftieth of the time since the first
        time.seconds = moment
        best.keep(evaluation(0.5), 0)
    assert saved == [1, 60] and schedule.saving.typical == 1
    best.finish()
    assert saved == [1, 60, 61]  # what was kept last had not been saved


def test_what_is_saved_already_is_not_saved_again_at_the_end(network, time):
    saved = []
    best = BestState(network, ClockSchedule(Clock(1000, now=time)), lambda: saved.append(time.seconds))
    time.seconds = 5.0
    best.keep(evaluation(0.5), 0)
    best.finish()
    assert saved == [5.0]


def test_a_save_that_fails_on_the_way_is_made_up_for_in_the_end(network, time):
    """A disk may be full only for a while; to end the run would lose what it has learned."""
    saves = []

    def save():
        saves.append(time.seconds)
        if len(saves) == 1:
            raise ClassifierError("out: the classifier cannot be saved (No space left on device)")

    best = BestState(network, ClockSchedule(Clock(1000, now=time)), save)
    time.seconds = 500
    best.keep(evaluation(0.5), 0)
    assert len(saves) == 1
    best.finish()
    assert len(saves) == 2 and best.evaluation.accuracy == 0.5
