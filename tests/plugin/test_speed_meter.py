"""Candidates that are timed before they are trained."""

from __future__ import annotations

import signal
import time
from types import SimpleNamespace

import psutil
import pytest
from PIL import Image

from nni_nasoa.architecture import Architecture, ArchitectureSpace
from nni_nasoa.plugin import speed_meter
from nni_nasoa.plugin.class_args import ClassArgsError
from nni_nasoa.plugin.search_trial import SearchTrialSettings, evaluate
from nni_nasoa.plugin.speed_meter import SpeedMeter, meter_of
from nni_nasoa.search.dimensions import Integer
from nni_nasoa.search.operators import ArchitectureOperators, SampleOperators

SMALL, LARGE = Architecture.parse("020-_8_11-21-21"), Architecture.parse("020-_32_1111-21-21")
QUICK = SearchTrialSettings(input_size=16, speed_batch_size=8, speed_repeats=3, epochs=1, device="cpu")
NETWORKS = SimpleNamespace(operators=ArchitectureOperators(ArchitectureSpace()))
COMMAND = "python -m nni_nasoa.plugin.search_trial --dataset digits --epochs 3 --speed-batch-size 32"


@pytest.fixture
def meter():
    """A meter whose process ends with the test."""
    made = []

    def make(*arguments):
        made.append(SpeedMeter(*arguments))
        return made[-1]

    yield make
    for one in made:
        one.end()


def config(command=COMMAND, platform="local", folder="/"):
    return {
        "trialCommand": command,
        "trialCodeDirectory": folder,
        "trainingService": {"platform": platform},
    }


def test_it_tells_what_a_trial_would_but_for_the_accuracy(meter):
    timing = meter(QUICK)
    small, large = timing(SMALL), timing(LARGE)
    record = evaluate(SMALL, QUICK)
    assert set(small) == {
        "relative_speed",
        "throughput",
        "step_time_ms",
        "reference_step_time_ms",
        "params_m",
        "gmacs",
    }
    assert small["params_m"] == record["params_m"] and small["gmacs"] == record["gmacs"]
    assert small["relative_speed"] > large["relative_speed"] > 0
    assert timing.count == 2 and timing.seconds > 0 and not timing.failure


def test_what_cannot_be_timed_is_told_by_nothing_and_the_next_one_is_timed(meter):
    timing = meter(SearchTrialSettings(input_size=16, speed_repeats=3, device="cpu"))
    assert timing(Architecture.parse("020-_8_1111-2111-2111-2111-2111")) == {}
    assert timing(SMALL)["relative_speed"] > 0
    assert timing.count == 1 and not timing.failure


def test_a_process_that_dies_is_the_end_of_it(meter):
    timing = meter(QUICK)
    timing(SMALL)
    (process,) = [one for one in psutil.Process().children() if "speed_meter" in " ".join(one.cmdline())]
    process.send_signal(signal.SIGKILL)
    assert timing(LARGE) == {} and timing(SMALL) == {}
    assert timing.failure == "candidates are not timed any more, as the process that does it has died or hung"


def test_a_process_that_hangs_is_given_up(meter, monkeypatch):
    monkeypatch.setattr(speed_meter, "LONGEST_SECONDS", 0.5)
    timing, begin = meter(SearchTrialSettings(speed_repeats=10**6)), time.monotonic()
    assert timing(SMALL) == {} and timing.failure
    assert time.monotonic() - begin < 20


def test_a_dataset_that_is_not_there_is_the_end_of_it(meter, tmp_path):
    timing = meter(SearchTrialSettings(dataset="none"), tmp_path)
    assert timing(SMALL) == {} and timing.failure


def test_relative_paths_start_where_the_trials_do(meter, tmp_path):
    for number in range(8):
        folder = tmp_path / "mine" / "abc"[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (30 * number, 0, 0)).save(folder / f"{number}.png")
    timing = meter(SearchTrialSettings(dataset="mine", input_size=16, speed_repeats=3), tmp_path)
    assert timing(SMALL)["params_m"] == SMALL.parameters(3) / 1e6


def test_the_settings_are_those_of_the_trials():
    timing = meter_of(NETWORKS, config(COMMAND + " --threads 2"))
    assert timing._settings == SearchTrialSettings(epochs=3, speed_batch_size=32, threads=2)


@pytest.mark.parametrize(
    "wrong, line",
    [
        ({"platform": "remote"}, "candidates are timed on this machine, so trainingService has to be local"),
        (
            {"command": "python mine.py"},
            "needs trials of nni_nasoa.plugin.search_trial, and trialCommand does not run that",
        ),
        ({"command": COMMAND + " --epochs 0"}, "trialCommand: Invalid value for '--epochs': 0 is not in the"),
        ({"command": COMMAND + " --epoch 1"}, "trialCommand: No such option '--epoch'"),
    ],
)
def test_an_experiment_whose_candidates_cannot_be_timed_here(wrong, line):
    with pytest.raises(ClassArgsError, match=r"^classArgs: measure_speed: ") as caught:
        meter_of(NETWORKS, config(**wrong))
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_no_network_has_no_speed():
    samples = SimpleNamespace(operators=SampleOperators({"x": Integer(0, 3)}))
    with pytest.raises(ClassArgsError, match="only architectures are timed, and the search space is not of"):
        meter_of(samples, config())
