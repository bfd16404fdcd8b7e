"""What `nnictl create --foreground` shows of a search."""

from __future__ import annotations

import pytest
import yaml

from nni_nasoa.plugin.result_lines import ResultLines
from nni_nasoa.search.front import OBJECTIVES
from nni_nasoa.search.problem import Objective

METRICS = {"default": 9553.2, "accuracy": 0.9554, "relative_speed": 1.98765, "params_m": 0.1}


@pytest.fixture
def clock():
    """A clock that a test sets."""

    class Clock:
        time = 100.0

        def __call__(self):
            return self.time

    return Clock()


@pytest.fixture
def lines(checkpoint, new_database, clock):
    """A function that gives the lines of an experiment with a config."""

    def make(**config):
        new_database(checkpoint.parent, config)
        return ResultLines(checkpoint.parent, clock)

    return make


def test_a_line_has_number_accuracy_speed_front_and_time_left(lines, clock, capsys):
    told = lines(maxTrialNumber=34, maxExperimentDuration="300s")
    clock.time += 20
    told.tell(METRICS, OBJECTIVES, count=1, ended=1, front=1)
    clock.time += 20
    told.tell(METRICS, OBJECTIVES, count=2, ended=4, front=2)  # two failed
    clock.time += 230
    told.tell(METRICS, OBJECTIVES, count=31, ended=33, front=5)
    assert capsys.readouterr().out.splitlines() == [
        "result 1 of 34: accuracy 95.54 %, relative speed 1.988; 1 on the front, 5 min left",
        "result 2 of 34: accuracy 95.54 %, relative speed 1.988; 2 on the front, 4 min left",
        "result 31 of 34: accuracy 95.54 %, relative speed 1.988; 5 on the front, 8 s left",
    ]


def test_what_was_timed_beforehand_is_said_at_the_end(lines, capsys):
    lines(maxTrialNumber=34).tell(
        METRICS, OBJECTIVES, count=1, ended=34, front=1, notes=["", "8 timed in 2 s"]
    )
    assert capsys.readouterr().out.endswith("; 1 on the front, 0 s left; 8 timed in 2 s\n")


def test_without_limits_nothing_is_said_of_them(lines, capsys):
    objectives = (Objective("latency_ms", maximize=False), Objective("params_m"))
    lines().tell({**METRICS, "latency_ms": 12}, objectives, count=3, ended=3, front=2)
    assert capsys.readouterr().out == "result 3: latency ms 12, params m 0.1; 2 on the front\n"


def test_what_an_earlier_process_found_does_not_make_the_pace(lines, clock, capsys):
    told = lines(maxTrialNumber=100)
    clock.time += 60
    told.tell(METRICS, OBJECTIVES, count=51, ended=51, front=4)
    assert capsys.readouterr().out.endswith("4 on the front, 49 min left\n")


def test_outside_of_an_experiment_it_is_silent(capsys):
    ResultLines(None).tell(METRICS, OBJECTIVES, count=1, ended=1, front=1)
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_the_terminal_shows_a_line_for_each_result_and_no_json(
    nnictl, reduced_config, tmp_path, find_free_port
):
    config = reduced_config("search.yml", tmp_path, maxTrialNumber=2)
    assert config["logLevel"] == "warning"
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    arguments = ("--config", tmp_path / "config.yml", "--port", find_free_port(), "--foreground")
    output = nnictl("create", *arguments, timeout=240).stdout.splitlines()
    lines = [line for line in output if line.startswith("result ")]
    assert [line.split(":")[0] for line in lines] == ["result 1 of 2", "result 2 of 2"]
    assert all("accuracy" in line and "relative speed" in line and " left" in line for line in lines)
    assert not any("{" in line for line in output) and len(output) < 20, output
