from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import nni
import pytest
import yaml
from nni.runtime.msg_dispatcher import MsgDispatcher
from nni.runtime.tuner_command_channel import CommandType

from nni_nasoa.architecture import Architecture, Block, Candidates
from nni_nasoa.plugin import evolution_tuner
from nni_nasoa.plugin.evolution_tuner import EvolutionClassArgsValidator, EvolutionTuner
from nni_nasoa.search.choices import decode, search_space
from nni_nasoa.search.front import write_front

SMALL = Candidates(layers=(1, 2), channels=(16, 32), stages=(3,), blocks=(1, 2), doublings=(1, 2))
PLAIN = {"kind": {"_type": "choice", "_value": ["a", "b", "c"]}, "x": {"_type": "uniform", "_value": [0, 1]}}
TINY = {"kind": {"_type": "choice", "_value": ["a", "b", "c"]}}


def record(architecture, accuracy=0.5, **more):
    """A trial's final dict."""
    return {"default": accuracy, "accuracy": accuracy, "relative_speed": 2.0 - accuracy, "architecture": str(architecture), **more}


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """The checkpoint folder of an experiment."""
    folder = tmp_path / "experiment" / "checkpoint"
    folder.mkdir(parents=True)
    monkeypatch.setenv("NNI_CHECKPOINT_DIRECTORY", str(folder))
    return folder


def started(space, **class_args):
    tuner = EvolutionTuner(**class_args)
    tuner.update_search_space(space)
    return tuner


def resumed(space, data=(), **class_args):
    """A tuner as NNI brings it back."""
    tuner = EvolutionTuner(**class_args)
    tuner.load_checkpoint()
    tuner.update_search_space(space)
    tuner.import_data(list(data))
    return tuner


class Database:
    """An experiment's database with the tables that NNI 3.0 makes."""

    def __init__(self, experiment: Path, config=None):
        (experiment / "db").mkdir()
        self.connection = sqlite3.connect(experiment / "db" / "nni.sqlite")
        self.connection.executescript("""
            create table TrialJobEvent (timestamp integer, trialJobId text, event text, data text, logPath text,
                                        sequenceId integer, message text, environmentId text);
            create table MetricData (timestamp integer, trialJobId text, parameterId text, type text, sequence integer, data text);
            create table ExperimentProfile (params text, id text, execDuration integer, startTime integer, endTime integer,
                                            logDir text, nextSequenceId integer, revision integer);""")
        self.connection.execute("insert into ExperimentProfile values (?, 'id', 0, 0, 0, '', 0, 1)", [json.dumps(config or {})])
        self.connection.commit()
        self.time = 0

    def event(self, trial, event, parameter_id=None, parameters=None):
        self.time += 1
        data = None if parameter_id is None else json.dumps({"parameter_id": parameter_id, "parameters": parameters})
        self.connection.execute("insert into TrialJobEvent values (?, ?, ?, ?, null, 0, null, null)", [self.time, trial, event, data])
        self.connection.commit()

    def final(self, trial, parameter_id, value):
        self.time += 1
        self.connection.execute("insert into MetricData values (?, ?, ?, 'FINAL', 0, ?)",
                                [self.time, trial, str(parameter_id), json.dumps(json.dumps(value))])
        self.connection.commit()


# -- proposing and telling --

def test_parameters_are_a_sample_of_the_space_and_name_their_architecture():
    tuner = started(search_space(SMALL), seed=0)
    for parameter_id in range(50):
        parameters = tuner.generate_parameters(parameter_id)
        encoding = parameters.pop("architecture")
        assert set(parameters) == set(search_space(SMALL))
        assert all(value in search_space(SMALL)[label]["_value"] for label, value in parameters.items())
        assert str(decode(parameters)) == encoding
        assert SMALL.contains(Architecture.parse(encoding)) or decode(parameters) == Architecture.parse(encoding)


def test_no_architecture_is_proposed_twice_and_each_can_be_told():
    tuner = started(search_space(SMALL), seed=1, population_size=6)
    encodings = []
    for parameter_id in range(60):
        parameters = tuner.generate_parameters(parameter_id)
        encodings.append(parameters["architecture"])
        tuner.receive_trial_result(parameter_id, parameters, record(encodings[-1], random.Random(parameter_id).random()))
        tuner.trial_end(parameter_id, True)
    assert len(set(encodings)) == 60
    assert [str(one.candidate) for one in tuner.evolution.evaluated] == encodings
    assert (tuner.evolution.failures, tuner.evolution.pending) == (0, 0)


def test_seeded_runs_propose_the_same():
    def run():
        tuner = started(search_space(SMALL), seed=7, population_size=5)
        for parameter_id in range(25):
            parameters = tuner.generate_parameters(parameter_id)
            tuner.receive_trial_result(parameter_id, parameters, record(parameters["architecture"], (parameter_id * 7 % 25) / 25))
            yield parameters
    assert list(run()) == list(run())


def test_initial_architectures_come_first():
    initial = ["020-_16_11-2-1", "2-_16_11-2-1"]
    tuner = started(search_space(SMALL), initial=initial, seed=0)
    assert [tuner.generate_parameters(i)["architecture"] for i in range(2)] == initial


def test_a_result_counts_for_the_architecture_that_it_names_whatever_the_parameter_id_says():
    tuner = started(search_space(SMALL), seed=0)
    first, second = tuner.generate_parameters(0), tuner.generate_parameters(1)
    tuner.receive_trial_result(0, first, record(second["architecture"], 0.9))
    tuner.receive_trial_result(1, second, record(first["architecture"], 0.1))
    told = {str(one.candidate): one.metrics["accuracy"] for one in tuner.evolution.evaluated}
    assert told == {second["architecture"]: 0.9, first["architecture"]: 0.1}


def test_a_result_of_an_unknown_architecture_is_nobodys():
    tuner = started(search_space(SMALL), seed=0)
    parameters = tuner.generate_parameters(0)
    for stranger in ("020-_64_11-21-21-21", "nonsense", None):
        tuner.receive_trial_result(0, parameters, record(stranger))
    assert not tuner.evolution.evaluated and tuner.evolution.pending == 1


def test_a_trial_that_ends_without_a_result_has_failed_until_a_result_says_otherwise():
    tuner = started(search_space(SMALL), seed=0)
    first, _ = tuner.generate_parameters(0), tuner.generate_parameters(1)
    tuner.trial_end(0, False)
    assert (tuner.evolution.failures, tuner.evolution.pending) == (1, 1)
    # NNI had named the wrong parameters: it was the second that failed.
    tuner.receive_trial_result(0, first, record(first["architecture"]))
    tuner.trial_end(1, True)
    assert (tuner.evolution.failures, tuner.evolution.pending) == (1, 0)
    tuner.trial_end(5, False)  # not one of ours
    tuner.trial_end(0, True)
    assert tuner.evolution.failures == 1 and [str(one.candidate) for one in tuner.evolution.evaluated] == [first["architecture"]]


def test_objectives_of_any_name_either_way_over_a_plain_space():
    tuner = started(PLAIN, objectives=["score", {"name": "latency_ms", "mode": "minimize"}], seed=0, population_size=4)
    for parameter_id in range(12):
        parameters = tuner.generate_parameters(parameter_id)
        assert set(parameters) == set(PLAIN)
        x = parameters["x"]
        tuner.receive_trial_result(parameter_id, parameters, {"default": x, "score": 1.0, "latency_ms": x})
    best = min(one.candidate["x"] for one in tuner.evolution.evaluated)
    assert {one.candidate["x"] for one in tuner.evolution.front()} == {best}


def test_a_plain_number_is_the_default_objective():
    tuner = started(PLAIN, seed=0)
    for parameter_id in range(5):
        parameters = tuner.generate_parameters(parameter_id)
        tuner.receive_trial_result(parameter_id, parameters, parameters["x"])
    best = max(one.candidate["x"] for one in tuner.evolution.evaluated)
    assert {one.candidate["x"] for one in tuner.evolution.front()} == {best}


def test_limits_put_those_outside_behind():
    tuner = started(search_space(SMALL), limits={"params_m": {"max": 1}}, seed=0)
    for parameter_id, params_m in enumerate([5.0, 0.5]):
        parameters = tuner.generate_parameters(parameter_id)
        accuracy = 0.9 - 0.5 * parameter_id
        tuner.receive_trial_result(parameter_id, parameters, record(parameters["architecture"], accuracy, params_m=params_m))
    assert [one.metrics["params_m"] for one in tuner.evolution.front()] == [0.5]


def test_all_of_nnis_types_of_parameters():
    space = {
        "choice": {"_type": "choice", "_value": [1, "two", 3.0, None, True]},
        "nested": {"_type": "choice", "_value": [{"_name": "conv", "k": {"_type": "choice", "_value": [1, 3]}}, {"_name": "pool"}]},
        "randint": {"_type": "randint", "_value": [0, 9]}, "uniform": {"_type": "uniform", "_value": [-1, 1]},
        "quniform": {"_type": "quniform", "_value": [0, 10, 2]}, "loguniform": {"_type": "loguniform", "_value": [1e-4, 1]},
        "qloguniform": {"_type": "qloguniform", "_value": [1, 100, 5]}, "normal": {"_type": "normal", "_value": [0, 1]},
        "qnormal": {"_type": "qnormal", "_value": [0, 3, 1]}, "lognormal": {"_type": "lognormal", "_value": [0, 1]},
        "qlognormal": {"_type": "qlognormal", "_value": [2, 1, 1]},
    }
    tuner = started(space, seed=0, population_size=5)
    for parameter_id in range(30):
        parameters = tuner.generate_parameters(parameter_id)
        assert json.loads(json.dumps(parameters)) == parameters and set(parameters) == set(space)
        tuner.receive_trial_result(parameter_id, parameters, parameters["uniform"])
    assert len(tuner.evolution.evaluated) == 30


def test_an_exhausted_space_ends_the_search():
    tuner = started(TINY, seed=0)
    assert len(tuner.generate_multiple_parameters([0, 1, 2, 3, 4])) == 3
    with pytest.raises(nni.NoMoreTrialError):
        tuner.generate_parameters(5)


def test_calls_from_several_threads():
    tuner = started(search_space(SMALL), seed=0, population_size=5)

    def work(start):
        for parameter_id in range(start, start + 20):
            parameters = tuner.generate_parameters(parameter_id)
            if parameter_id % 5:
                tuner.receive_trial_result(parameter_id, parameters, record(parameters["architecture"]))
            tuner.trial_end(parameter_id, True)

    threads = [threading.Thread(target=work, args=[start]) for start in (0, 100, 200)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert (len(tuner.evolution.evaluated), tuner.evolution.failures, tuner.evolution.pending) == (48, 12, 0)


# -- going on after a restart --

def test_after_a_kill_everything_is_as_it_was(checkpoint):
    space = search_space(SMALL)
    tuner = started(space, seed=3, population_size=4)
    asked = [tuner.generate_parameters(parameter_id) for parameter_id in range(10)]
    for parameter_id in range(7):
        tuner.receive_trial_result(parameter_id, asked[parameter_id], record(asked[parameter_id]["architecture"], parameter_id / 10))
    tuner.trial_end(7, False)

    again = resumed(space, seed=3, population_size=4)  # nothing was saved on purpose before
    assert [(str(one.candidate), dict(one.metrics)) for one in again.evolution.evaluated] == [
        (str(one.candidate), dict(one.metrics)) for one in tuner.evolution.evaluated]
    assert {str(one.candidate) for one in again.evolution.population} == {str(one.candidate) for one in tuner.evolution.population}
    assert again.evolution.failures == 1
    known = {one["architecture"] for one in asked[:8]}
    assert not known & {again.generate_parameters(parameter_id)["architecture"] for parameter_id in range(30)}


def test_every_event_is_on_disk_when_the_call_returns(checkpoint):
    tuner = started(search_space(SMALL), seed=0)
    lines = lambda: [json.loads(line)["event"] for line in (checkpoint / "evolution.jsonl").read_text().splitlines()]  # noqa: E731
    first, _ = tuner.generate_parameters(0), tuner.generate_parameters(1)
    assert lines() == ["asked", "asked"]
    tuner.receive_trial_result(0, first, record(first["architecture"]))
    assert lines() == ["asked", "asked", "told"]
    tuner.trial_end(1, False)
    assert lines() == ["asked", "asked", "told", "failed"]


def test_a_torn_last_line_is_left_out_and_harms_nothing_after_it(checkpoint):
    space = search_space(SMALL)
    tuner = started(space, seed=0)
    first = tuner.generate_parameters(0)
    tuner.receive_trial_result(0, first, record(first["architecture"]))
    journal = checkpoint / "evolution.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    again = resumed(space, seed=0)
    assert not again.evolution.evaluated
    second = again.generate_parameters(0)
    again.receive_trial_result(0, second, record(second["architecture"]))
    third = resumed(space, seed=0)
    assert [str(one.candidate) for one in third.evolution.evaluated] == [second["architecture"]]


def test_what_the_manager_runs_again_stays_reserved_and_what_it_lost_is_asked_for_first(checkpoint):
    space = search_space(SMALL)
    tuner = started(space, seed=0)
    asked = [tuner.generate_parameters(parameter_id) for parameter_id in range(3)]
    tuner.receive_trial_result(0, asked[0], record(asked[0]["architecture"]))
    database = Database(checkpoint.parent)
    database.event("A", "WAITING", 0, asked[0])
    database.event("A", "SUCCEEDED")
    database.event("B", "WAITING", 1, asked[1])
    database.event("B", "RUNNING")  # parameter 2 was not submitted when the manager was killed

    again = resumed(space, seed=0)
    assert again.evolution.pending == 1
    assert again.generate_parameters(2)["architecture"] == asked[2]["architecture"]
    again.import_data([{"parameter": asked[1], "value": record(asked[1]["architecture"])}])  # how B's result arrives
    assert len(again.evolution.evaluated) == 2 and again.evolution.pending == 1


def test_resuming_twice_with_parameter_ids_that_start_again(checkpoint):
    space = search_space(SMALL)
    proposed, results = [], []
    for _ in range(3):
        tuner = resumed(space, results, seed=5, population_size=3)
        for parameter_id in range(1, 6):  # NNI starts at 1 where no trial was running
            parameters = tuner.generate_parameters(parameter_id)
            proposed.append(parameters["architecture"])
            tuner.receive_trial_result(parameter_id, parameters, record(proposed[-1], parameter_id / 10))
            results.append({"parameter": {"any": "other"}, "value": record(proposed[-1], parameter_id / 10), "trialJobId": "t"})
    assert len(set(proposed)) == 15 and [str(one.candidate) for one in tuner.evolution.evaluated] == proposed


def test_imported_results_go_by_their_identity_and_not_by_nnis_pairing(checkpoint):
    space = search_space(SMALL)
    tuner = started(space, seed=0)
    asked = [tuner.generate_parameters(parameter_id) for parameter_id in range(2)]
    again = resumed(space, [{"parameter": asked[1], "value": record(asked[0]["architecture"], 0.1), "trialJobId": "A"},
                            {"parameter": asked[0], "value": record(asked[1]["architecture"], 0.2), "trialJobId": "B"}])
    assert {str(one.candidate): one.metrics["accuracy"] for one in again.evolution.evaluated} == {
        asked[0]["architecture"]: 0.1, asked[1]["architecture"]: 0.2}


def test_imported_results_of_a_plain_space_go_by_the_database(checkpoint):
    tuner = started(PLAIN, seed=0)
    asked = [tuner.generate_parameters(parameter_id) for parameter_id in range(2)]
    database = Database(checkpoint.parent)
    # Trial A was submitted with parameters 0 and took parameters 1, and the other way round.
    database.event("A", "WAITING", 0, asked[0])
    database.event("B", "WAITING", 1, asked[1])
    database.final("A", 1, 0.1)
    database.final("B", 0, 0.2)
    again = resumed(PLAIN, [{"parameter": asked[0], "value": 0.1, "trialJobId": "A"},
                            {"parameter": asked[1], "value": 0.2, "trialJobId": "B"}])
    told = {one.candidate["x"]: one.metrics["default"] for one in again.evolution.evaluated}
    assert told == {asked[1]["x"]: 0.1, asked[0]["x"]: 0.2}


def test_data_of_a_user_is_imported_as_it_is_given_and_outlives_a_restart(checkpoint):
    tuner = started(PLAIN, seed=0)
    tuner.import_data([{"parameter": {"kind": "a", "x": 0.25}, "value": 0.5}, {"parameter": {"kind": "z", "x": 0.25}, "value": 0.7}])
    assert [(one.candidate["x"], one.metrics["default"]) for one in tuner.evolution.evaluated] == [(0.25, 0.5)]
    assert len(resumed(PLAIN, seed=0).evolution.evaluated) == 1


def test_a_changed_search_space_keeps_what_fits(checkpoint):
    tuner = started(TINY, seed=0)
    for parameter_id in range(2):
        parameters = tuner.generate_parameters(parameter_id)
        tuner.receive_trial_result(parameter_id, parameters, 0.5)
    third = tuner.generate_parameters(2)["kind"]
    tuner.update_search_space({"kind": {"_type": "choice", "_value": ["d", third, "c", "b", "a"]}})
    assert len(tuner.evolution.evaluated) == 2 and tuner.evolution.pending == 1
    assert tuner.generate_parameters(5)["kind"] == "d"
    with pytest.raises(nni.NoMoreTrialError):
        tuner.generate_parameters(6)


def test_under_nnis_own_dispatcher_from_start_to_resume(checkpoint, monkeypatch):
    """The commands that NNI's manager sends, through NNI's dispatcher, with its channel replaced."""
    space = search_space(SMALL)

    def dispatcher(mode):
        import nni.runtime.msg_dispatcher as module
        monkeypatch.setenv("NNI_MODE", mode)
        monkeypatch.setattr(module, "_next_parameter_id", 0)
        monkeypatch.setattr(module, "_trial_params", {})
        monkeypatch.setattr(module, "_ended_trials", set())
        running = MsgDispatcher("ws://_unittest_placeholder_", EvolutionTuner(seed=0, population_size=3))
        sent = []
        running.send = lambda command, data: sent.append((command, data))
        if mode == "resume":
            running.load_checkpoint()
        running.process_command(CommandType.Initialize, space)
        return running, lambda: [json.loads(data) for command, data in sent if command is CommandType.NewTrialJob]

    def metric(form, value, trial):
        return {"parameter_id": form["parameter_id"], "trial_job_id": trial, "type": "FINAL", "sequence": 0, "value": json.dumps(value)}

    first, jobs = dispatcher("start")
    first.process_command(CommandType.RequestTrialJobs, 4)
    forms = jobs()
    # Trials took each other's parameters: T0 ran form 1, T1 ran form 0; T2 and T3 are running at the kill.
    for trial, form in (("T0", forms[1]), ("T1", forms[0])):
        first.process_command(CommandType.ReportMetricData, metric(form, record(form["parameters"]["architecture"], 0.3), trial))
    first.process_command(CommandType.TrialEnd, {"trial_job_id": "T0", "event": "SUCCEEDED", "hyper_params": json.dumps(forms[0])})
    database = Database(checkpoint.parent)
    for number, end in enumerate(["SUCCEEDED", "SUCCEEDED", "RUNNING", "RUNNING"]):
        database.event(f"T{number}", "WAITING", number, forms[number]["parameters"])
        database.event(f"T{number}", end)

    second, jobs = dispatcher("resume")
    finished = [{"parameter": forms[shown]["parameters"], "value": record(forms[true]["parameters"]["architecture"], 0.3),
                 "trialJobId": f"T{shown}"} for shown, true in ((0, 1), (1, 0))]
    second.process_command(CommandType.ImportData, finished)
    second.process_command(CommandType.AddCustomizedTrialJob, [forms[2], forms[3]])
    second.process_command(CommandType.RequestTrialJobs, 2)
    for form in (forms[2], forms[3]):
        second.process_command(CommandType.ReportMetricData, metric(form, record(form["parameters"]["architecture"], 0.4), "T"))
    new = jobs()
    assert [form["parameter_id"] for form in new] == [4, 5]
    second.process_command(CommandType.ReportMetricData, metric(new[0], record(new[0]["parameters"]["architecture"], 0.5), "T4"))
    second.process_command(CommandType.TrialEnd, {"trial_job_id": "T5", "event": "FAILED", "hyper_params": json.dumps(new[1])})
    evolution = second.tuner.evolution
    assert {str(one.candidate): one.metrics["accuracy"] for one in evolution.evaluated} == {
        forms[0]["parameters"]["architecture"]: 0.3, forms[1]["parameters"]["architecture"]: 0.3,
        forms[2]["parameters"]["architecture"]: 0.4, forms[3]["parameters"]["architecture"]: 0.4,
        new[0]["parameters"]["architecture"]: 0.5}
    assert (evolution.failures, evolution.pending) == (1, 0)


# -- designs of another search --

MACROS = Candidates(block_designs=("020-",), channels=(16, 32), stages=(3,), blocks=(1, 2), doublings=(1, 2))


def test_blocks_from_a_front_file_beside_the_config(checkpoint):
    Database(checkpoint.parent, {"tuner": {"codeDirectory": str(checkpoint.parent)}})
    records = [record("10001-_16_11-21-21", 0.9), record("14441-_16_11-21-21", 0.5), record("2-_16_11-21-21", 0.1, relative_speed=0.1)]
    write_front(checkpoint.parent / "front.json", records)
    tuner = started(search_space(MACROS), blocks_from="front.json", seed=0)
    parameters = [tuner.generate_parameters(parameter_id) for parameter_id in range(20)]
    assert {one["block"] for one in parameters} == {"10001-", "14441-"}
    assert {str(Architecture.parse(one["architecture"]).block) for one in parameters} == {"10001-", "14441-"}


def test_macros_from_a_front_file(tmp_path):
    write_front(tmp_path / "front.json", [record("10001-_16_11-21-21", 0.9)])
    space = search_space(Candidates(layers=(1, 2), macros=("16_1-2-2",)))
    tuner = started(space, macros_from=str(tmp_path / "front.json"), seed=0)
    assert {tuner.generate_parameters(parameter_id)["macro"] for parameter_id in range(5)} == {"16_11-21-21"}


def test_blocks_from_an_experiment_by_its_id(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    earlier = tmp_path / "nni-experiments" / "abc12345"
    earlier.mkdir(parents=True)
    database = Database(earlier)
    database.final("A", 0, record("021-_16_11-21-21"))
    tuner = started(search_space(MACROS), blocks_from="abc12345", seed=0)
    assert tuner.generate_parameters(0)["block"] == str(Block.parse("021-"))


# -- errors --

@pytest.mark.parametrize(("class_args", "message"), [
    ({"verbose": 5}, "classArgs: unknown argument 'verbose'; there are objectives, "),
    ({"population_sise": 5}, "classArgs: unknown argument 'population_sise'; did you mean 'population_size'?"),
    ({"population_size": 1}, "classArgs: population_size: 1 is not a whole number from 2"),
    ({"population_size": "20"}, "classArgs: population_size: '20' is not a whole number from 2"),
    ({"population_size": True}, "classArgs: population_size: True is not"),
    ({"crossover_probability": 1.5}, "classArgs: crossover_probability: 1.5 is not a number from 0 to 1"),
    ({"crossover_probability": float("nan")}, "classArgs: crossover_probability: nan is not"),
    ({"objectives": "accuracy"}, "classArgs: objectives: 'accuracy' is not a list of metrics"),
    ({"objectives": []}, "classArgs: objectives: [] is not a list of metrics"),
    ({"objectives": [{"name": "x", "mode": "min"}]}, "is not a metric's name or {name: .., mode: maximize or minimize}"),
    ({"objectives": ["a", {"name": "a"}]}, "classArgs: objectives: 'a' is there twice"),
    ({"limits": ["params_m"]}, "classArgs: limits: ['params_m'] is not a mapping such as {params_m: {max: 5}}"),
    ({"limits": {"params_m": 5}}, "classArgs: limits: params_m: 5 is not {max: number}, {min: number} or both"),
    ({"limits": {"params_m": {"max": "5"}}}, "classArgs: limits: params_m: {'max': '5'} is not"),
    ({"limits": {"params_m": {"max": 5, "min": 6}}}, "is not possible: min is above max"),
    ({"initial": "2-_16_1"}, "classArgs: initial: '2-_16_1' is not a list"),
    ({"initial": ["2-_16_1", "9-_16_1"]}, "classArgs: initial, entry 2: block layer 1: op '9' is not one of 0-6"),
    ({"blocks_from": 3}, "classArgs: blocks_from: 3 is not a front file or an experiment id"),
    ({"seed": -1}, "classArgs: seed: -1 is not a whole number from 0"),
])
def test_a_wrong_argument_is_one_clear_line(class_args, message):
    for check in (EvolutionTuner, EvolutionClassArgsValidator().validate_class_args):
        with pytest.raises(ValueError) as raised:
            check(**class_args)
        assert message in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(("space", "class_args", "message"), [
    ({}, {}, "search space: has no label"),
    ({"x": {"_type": "chioce", "_value": [1]}}, {}, "search space 'x' (chioce): the type is not one of choice, "),
    ([1], {}, "search space: expected a dict, got list"),
    ({**search_space(SMALL), "op2": {"_type": "choice", "_value": [0]}}, {}, "search space: 'op2' has [0], where the other labels"),
    (search_space(SMALL), {"initial": ["020-_64_11-21-21"]},
     "classArgs: initial, entry 1: 020-_64_11-21-21: channels = 64 is not in the search space"),
    (PLAIN, {"initial": [{"kind": "a"}]}, "classArgs: initial, entry 1: sample: no value for 'x'"),
    (PLAIN, {"initial": ["020-_64_11-21-21"]}, "classArgs: initial, entry 1: "),
    (PLAIN, {"blocks_from": "x"}, "classArgs: blocks_from and macros_from need a search space of architectures"),
    (search_space(SMALL), {"blocks_from": "front.json"}, "classArgs: blocks_from needs a search space with the label 'block'"),
    (search_space(MACROS), {"blocks_from": "missing.json"}, "missing.json"),
    (search_space(MACROS), {"blocks_from": "nosuchid"}, "classArgs: blocks_from: experiment 'nosuchid': not found"),
])
def test_a_search_space_that_does_not_fit_is_one_clear_line(tmp_path, monkeypatch, space, class_args, message):
    monkeypatch.setenv("HOME", str(tmp_path))
    tuner = EvolutionTuner(**class_args)
    with pytest.raises(ValueError) as raised:
        tuner.update_search_space(space)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_the_tuner_starts_without_torch():
    code = "import sys, nni_nasoa.plugin.evolution_tuner; print({'torch', 'torchvision', 'matplotlib', 'sklearn'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"


def test_the_meta_file_names_classes_that_are_there():
    (meta,) = yaml.safe_load((Path(evolution_tuner.__file__).parent / "algorithms.yml").read_text())["algorithms"]
    assert (meta["algoType"], meta["builtinName"]) == ("tuner", "NasoaEvolution")
    prefix = evolution_tuner.__name__ + "."
    assert [meta["className"], meta["classArgsValidator"]] == [prefix + "EvolutionTuner", prefix + "EvolutionClassArgsValidator"]


# -- under the real nnictl --

TRIAL = """
import nni
x = nni.get_next_parameter()["x"]
nni.report_final_result({"default": x, "score": x, "cost": x * x, "x": x})
"""


def plain_config(folder: Path, tuner: dict, **more) -> dict:
    (folder / "trial.py").write_text(TRIAL)
    return {"searchSpace": PLAIN, "trialCommand": f"{sys.executable} trial.py", "trialCodeDirectory": str(folder),
            "trialConcurrency": 2, "maxTrialNumber": 4, "tuner": tuner, "trainingService": {"platform": "local"}, **more}


@pytest.mark.slow
def test_registered_under_its_name_it_runs_an_experiment(nnictl, tmp_path):
    from nni_nasoa.plugin.experiments import read_status, read_trials

    registered = nnictl("algo", "register", "--meta", Path(evolution_tuner.__file__).parent / "algorithms.yml")
    assert "NasoaEvolution registered sucessfully!" in registered.stdout  # NNI's spelling
    assert '"className": "nni_nasoa.plugin.evolution_tuner.EvolutionTuner"' in nnictl("algo", "show", "NasoaEvolution").stdout
    class_args = {"objectives": ["score", {"name": "cost", "mode": "minimize"}], "seed": 0}
    experiment = nnictl.create(plain_config(tmp_path, {"name": "NasoaEvolution", "classArgs": class_args}))
    experiment.wait_done()
    trials = read_trials(experiment.folder)
    assert len(trials) == 4 and all(trial.parameters["x"] == trial.metrics["x"] for trial in trials)
    assert read_status(experiment.folder)["succeeded"] == 4
    events = [json.loads(line) for line in (experiment.folder / "checkpoint" / "evolution.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events].count("told") == 4
    nnictl("algo", "unregister", "NasoaEvolution")


@pytest.mark.slow
@pytest.mark.parametrize(("class_args", "space", "line"), [
    ({"population_size": 1}, PLAIN, "EvolutionTuner: classArgs: population_size: 1 is not a whole number from 2"),
    ({}, {"x": {"_type": "chioce", "_value": [1]}}, "EvolutionTuner: search space 'x' (chioce): the type is not one of choice"),
])
def test_nnictl_says_what_is_wrong_in_one_line(nnictl, tmp_path, class_args, space, line):
    tuner = {"className": "nni_nasoa.plugin.evolution_tuner.EvolutionTuner", "codeDirectory": str(tmp_path), "classArgs": class_args}
    experiment = nnictl.create(plain_config(tmp_path, tuner, searchSpace=space))
    manager_log, deadline = experiment.folder / "log" / "nnimanager.log", time.monotonic() + 60
    while f"Dispatcher error: {line}" not in manager_log.read_text():
        assert time.monotonic() < deadline, experiment.log()
        time.sleep(0.2)
    assert experiment.status == "ERROR"
    errors = (experiment.folder / "log" / "nnictl_stderr.log").read_text().splitlines()
    assert [text for text in errors if text.startswith("EvolutionTuner")] == [text for text in errors if line in text] != []
    assert not any("Traceback" in text for text in errors)
