"""The advisor's classArgs, and what is said of wrong ones."""

from __future__ import annotations

import re

import pytest

from nni_nasoa.plugin.advisor_args import AdvisorArgs, TaskArgs
from nni_nasoa.plugin.advisor_tuner import OnlineAdvisor, OnlineAdvisorClassArgsValidator
from nni_nasoa.plugin.class_args import ClassArgsError

ONE = {"dataset": "digits", "minutes": 2}


def test_one_task_or_several():
    assert AdvisorArgs.parse(ONE) == AdvisorArgs((TaskArgs("digits", 2.0),))
    several = AdvisorArgs.parse(
        {"tasks": [ONE, {"dataset": "flowers", "minutes": 0.5}], "alternatives": 0, "store": None}
    )
    assert several.tasks == (TaskArgs("digits", 2.0), TaskArgs("flowers", 0.5)) and several.alternatives == 0
    assert several.tasks[1].seconds == 30


def test_everything_that_can_be_given():
    args = AdvisorArgs.parse(
        {
            **ONE,
            "zoo": "nano-a,nano-c",
            "store": "s.db",
            "device": "cuda:1",
            "threads": 2,
            "alternatives": 5,
            "limits": {"max_params_m": 2, "max_latency_ms": None},
            "output": "out",
            "root": "data",
        }
    )
    assert args == AdvisorArgs(
        (TaskArgs("digits", 2.0),),
        "nano-a,nano-c",
        "s.db",
        "cuda:1",
        2,
        5,
        {"max_params_m": 2.0},
        "out",
        "data",
    )


@pytest.mark.parametrize(
    "class_args, message",
    [
        ({}, "classArgs: dataset is missing: the folder or the name of a dataset"),
        ({"dataset": "digits"}, "classArgs: minutes is missing: the budget of a run"),
        ({"minutes": 2}, "classArgs: dataset is missing"),
        ({**ONE, "minuts": 2}, "classArgs: unknown argument 'minuts'; did you mean 'minutes'?"),
        ({**ONE, "verbose": 2}, "classArgs: unknown argument 'verbose'; there are dataset, minutes, tasks, "),
        ({**ONE, "minutes": 0}, "classArgs: minutes: 0 is not a number of minutes above 0"),
        ({**ONE, "minutes": "2"}, "classArgs: minutes: '2' is not a number"),
        ({**ONE, "minutes": float("nan")}, "classArgs: minutes: nan is not a number"),
        ({**ONE, "minutes": float("inf")}, "classArgs: minutes: inf is not a number"),
        ({**ONE, "minutes": 10**400}, "classArgs: minutes: 1000"),
        ({**ONE, "minutes": True}, "classArgs: minutes: True is not a number"),
        ({**ONE, "dataset": ""}, "classArgs: dataset: '' is not the folder or the name of a dataset"),
        (
            {**ONE, "tasks": [ONE]},
            "classArgs: dataset and minutes beside tasks; give dataset and minutes for one task, or tasks",
        ),
        ({"tasks": []}, "classArgs: tasks: [] is not a list of {dataset: .., minutes: ..}"),
        ({"tasks": ONE}, "classArgs: tasks: {'dataset': 'digits', 'minutes': 2} is not a list"),
        ({"tasks": ["digits"]}, "classArgs: tasks, entry 1: 'digits' is not {dataset: .., minutes: ..}"),
        ({"tasks": [ONE, {"dataset": "digits"}]}, "classArgs: tasks, entry 2: minutes is missing"),
        ({"tasks": [ONE, {**ONE, "minutes": -1}]}, "classArgs: tasks, entry 2: minutes: -1 is not a number"),
        (
            {"tasks": [{**ONE, "zoo": "nano"}]},
            "classArgs: tasks, entry 1: unknown argument 'zoo'; there are dataset, minutes",
        ),
        ({**ONE, "zoo": "nanno"}, "classArgs: zoo: "),
        ({**ONE, "zoo": 3}, "classArgs: zoo: 3 is not the name of a family of models"),
        ({**ONE, "alternatives": -1}, "classArgs: alternatives: -1 is not a whole number from 0"),
        ({**ONE, "alternatives": 1.5}, "classArgs: alternatives: 1.5 is not a whole number from 0"),
        ({**ONE, "threads": "one"}, "classArgs: threads: 'one' is not a whole number from 0"),
        ({**ONE, "limits": [1]}, "classArgs: limits: [1] is not a mapping such as {max_params_m: 2}"),
        (
            {**ONE, "limits": {"max_param": 1}},
            "classArgs: limits: unknown argument 'max_param'; did you mean 'max_params_m'?",
        ),
        (
            {**ONE, "limits": {"max_params_m": 0}},
            "classArgs: limits: max_params_m: 0 is not a number above 0",
        ),
        ({**ONE, "output": 3}, "classArgs: output: 3 is not a folder"),
        ({**ONE, "store": ["a"]}, "classArgs: store: ['a'] is not a file, or postgresql://"),
        ({**ONE, "device": 0}, "classArgs: device: 0 is not auto, cpu, cuda, cuda:1, ..."),
    ],
)
def test_a_wrong_argument_is_one_clear_line(class_args, message):
    for check in (OnlineAdvisor, OnlineAdvisorClassArgsValidator().validate_class_args):
        with pytest.raises(ValueError, match="^" + re.escape(message)) as raised:
            check(**class_args)
        assert "\n" not in str(raised.value)


def test_a_store_s_password_is_not_for_nni_to_show():
    for store in ("postgresql://me:s3cret@server/runs", "postgresql://me@server/runs?password=s3cret"):
        with pytest.raises(ClassArgsError, match="store: has a password in it, which NNI shows") as error:
            AdvisorArgs.parse({**ONE, "store": store})
        assert "s3cret" not in str(error.value) and "PGPASSWORD" in str(error.value)
    assert AdvisorArgs.parse({**ONE, "store": "postgresql://me@server/runs"}).store
