"""The bookkeeping of the advisor's runs."""

from __future__ import annotations

import itertools

import pytest

from nni_nasoa.finetune import FineTuneRegime
from nni_nasoa.plugin.advisor_args import TaskArgs
from nni_nasoa.plugin.assignment import Assignment
from nni_nasoa.plugin.run_ledger import MAX_FAILURES, RunLedger


@pytest.fixture
def runs():
    return RunLedger([TaskArgs("digits", 1.0), TaskArgs("/data/My cats & dogs/", 2.0)], 2)


def ask(runs, task=0, survey=False):
    name = runs.new_name(task, survey)
    what = {"survey": ("nano-a",)} if survey else {"regime": FineTuneRegime("nano-a")}
    runs.ask(task, Assignment(name, runs.tasks[task].dataset, runs.tasks[task].minutes, **what))
    return name


def test_names_say_which_task_and_are_unlike(runs):
    names = [ask(runs), ask(runs), ask(runs, survey=True), ask(runs, 1), ask(runs, 1, survey=True)]
    assert names == [
        "1-digits-1",
        "1-digits-2",
        "1-digits-survey-1",
        "2-My-cats-dogs-1",
        "2-My-cats-dogs-survey-1",
    ]


def test_a_task_wants_its_runs_and_one_for_each_that_fails_but_not_for_ever(runs):
    first, second = ask(runs), ask(runs)
    assert not runs.wants_run(0) and runs.wants_run(1)
    runs.tell(first)
    assert not runs.wants_run(0)
    assert runs.fail(second, "no memory") and runs.wants_run(0)
    for _ in range(MAX_FAILURES - 1):
        assert runs.wants_run(0)
        run = ask(runs)
        runs.tell(run, succeeded=False)
    assert runs.gave_up(0) and not runs.wants_run(0) and not runs.gave_up(1)
    assert not runs.open()


def test_surveys_count_for_themselves(runs):
    assert runs.wants_survey(0)
    survey = ask(runs, survey=True)
    assert not runs.wants_survey(0) and runs.wants_run(0) and runs.regimes(0) == []
    runs.fail(survey, "no such folder")
    assert runs.wants_survey(0) and not runs.gave_up(0)


def test_a_result_overrules_a_failure_and_comes_once(runs):
    run = ask(runs)
    assert runs.fail(run, "ended") and not runs.fail(run, "again")
    runs.tell(run)
    assert runs.told(run) and not runs.failed and not runs.fail(run, "late") and not runs.open()


def test_those_that_end_without_a_result_fail_when_it_is_settled(runs):
    run = ask(runs)
    runs.end(run)
    assert runs.open() == [run]
    assert runs.settle() == [run] and runs.settle() == [] and runs.failed.keys() == {run}
    runs.end("of an earlier experiment")


@pytest.mark.parametrize("fails", ["first", "second", None])
@pytest.mark.parametrize(
    "order", list(itertools.permutations(["first told", "first ended", "second told", "second ended"]))
)
def test_trials_that_took_each_others_parameters(runs, fails, order):
    """In whatever order it is heard of: each trial was submitted with one run's
    parameters, and took the other's.
    """
    named = {"first": ask(runs), "second": ask(runs)}
    submitted = {"first": "second", "second": "first"}  # by what a trial really did, what NNI calls it
    for event in order:
        one, what = event.split()
        if what == "ended":
            runs.end(named[submitted[one]])
            runs.settle()
        elif one != fails:
            runs.tell(named[one])
    runs.settle()
    assert list(runs.failed) == [named[one] for one in named if one == fails]
    assert not runs.open()


def test_what_was_told_by_an_earlier_process_stands_for_nobody(runs):
    first, second = ask(runs), ask(runs)
    runs.tell(first, ended=True)
    runs.end(second)
    assert runs.settle() == [second]
