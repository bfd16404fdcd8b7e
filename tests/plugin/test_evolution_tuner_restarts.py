"""A tuner that NNI brings back, or gives results of earlier trials."""

from __future__ import annotations

import importlib
import json
import sqlite3

import nni
import pytest
from nni.runtime import msg_dispatcher
from nni.runtime.tuner_command_channel import CommandType

from nni_nasoa.architecture import ArchitectureSpace
from nni_nasoa.plugin.evolution_tuner import EvolutionTuner
from nni_nasoa.search.choices import search_space

SMALL = ArchitectureSpace(layers=(1, 2), channels=(16, 32), stages=(3,), blocks=(1, 2), doublings=(1, 2))
PLAIN = {"kind": {"_type": "choice", "_value": ["a", "b", "c"]}, "x": {"_type": "uniform", "_value": [0, 1]}}
TINY = {"kind": {"_type": "choice", "_value": ["a", "b", "c"]}}


def test_after_a_kill_everything_is_as_it_was(checkpoint, started, resumed, record):
    space = search_space(SMALL)
    tuner = started(space, seed=3, population_size=4)
    asked = [tuner.generate_parameters(parameter_id) for parameter_id in range(10)]
    for parameter_id in range(7):
        tuner.receive_trial_result(
            parameter_id, asked[parameter_id], record(asked[parameter_id]["architecture"], parameter_id / 10)
        )
    tuner.trial_end(7, False)

    again = resumed(space, seed=3, population_size=4)  # nothing was saved on purpose before
    assert [(str(one.candidate), dict(one.metrics)) for one in again.evolution.evaluated] == [
        (str(one.candidate), dict(one.metrics)) for one in tuner.evolution.evaluated
    ]
    assert {str(one.candidate) for one in again.evolution.population} == {
        str(one.candidate) for one in tuner.evolution.population
    }
    assert again.evolution.failures == 1
    known = {one["architecture"] for one in asked[:8]}
    assert not known & {again.generate_parameters(parameter_id)["architecture"] for parameter_id in range(30)}


def test_every_event_is_on_disk_when_the_call_returns(checkpoint, started, record):
    tuner = started(search_space(SMALL), seed=0)

    def lines():
        return [
            json.loads(line)["event"] for line in (checkpoint / "evolution.jsonl").read_text().splitlines()
        ]

    first, _ = tuner.generate_parameters(0), tuner.generate_parameters(1)
    assert lines() == ["space", "asked", "asked"]
    tuner.receive_trial_result(0, first, record(first["architecture"]))
    assert lines() == ["space", "asked", "asked", "told"]
    tuner.trial_end(1, False)
    assert lines() == ["space", "asked", "asked", "told", "failed"]


def test_a_torn_last_line_is_left_out_and_harms_nothing_after_it(checkpoint, started, resumed, record):
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


def test_what_the_manager_runs_again_stays_reserved_and_what_it_lost_is_asked_for_first(
    checkpoint, started, resumed, new_database, record
):
    space = search_space(SMALL)
    tuner = started(space, seed=0)
    asked = [tuner.generate_parameters(parameter_id) for parameter_id in range(3)]
    tuner.receive_trial_result(0, asked[0], record(asked[0]["architecture"]))
    database = new_database(checkpoint.parent)
    database.event("A", "WAITING", 0, asked[0])
    database.event("A", "SUCCEEDED")
    database.event("B", "WAITING", 1, asked[1])
    database.event("B", "RUNNING")  # parameter 2 was not submitted when the manager was killed

    again = resumed(space, seed=0)
    assert again.evolution.pending == 1
    assert again.generate_parameters(2)["architecture"] == asked[2]["architecture"]
    again.import_data(
        [{"parameter": asked[1], "value": record(asked[1]["architecture"])}]
    )  # how B's result arrives
    assert len(again.evolution.evaluated) == 2 and again.evolution.pending == 1


def test_resuming_twice_with_parameter_ids_that_start_again(checkpoint, resumed, record):
    space = search_space(SMALL)
    proposed, results = [], []
    for _ in range(3):
        tuner = resumed(space, results, seed=5, population_size=3)
        for parameter_id in range(1, 6):  # NNI starts at 1 where no trial was running
            parameters = tuner.generate_parameters(parameter_id)
            proposed.append(parameters["architecture"])
            tuner.receive_trial_result(parameter_id, parameters, record(proposed[-1], parameter_id / 10))
            results.append(
                {
                    "parameter": {"any": "other"},
                    "value": record(proposed[-1], parameter_id / 10),
                    "trialJobId": "t",
                }
            )
    assert len(set(proposed)) == 15 and [str(one.candidate) for one in tuner.evolution.evaluated] == proposed


def test_imported_results_go_by_their_identity_and_not_by_nnis_pairing(checkpoint, started, resumed, record):
    space = search_space(SMALL)
    tuner = started(space, seed=0)
    asked = [tuner.generate_parameters(parameter_id) for parameter_id in range(2)]
    again = resumed(
        space,
        [
            {"parameter": asked[1], "value": record(asked[0]["architecture"], 0.1), "trialJobId": "A"},
            {"parameter": asked[0], "value": record(asked[1]["architecture"], 0.2), "trialJobId": "B"},
        ],
    )
    assert {str(one.candidate): one.metrics["accuracy"] for one in again.evolution.evaluated} == {
        asked[0]["architecture"]: 0.1,
        asked[1]["architecture"]: 0.2,
    }


def test_imported_results_of_a_plain_space_go_by_the_database(checkpoint, started, resumed, new_database):
    tuner = started(PLAIN, seed=0)
    asked = [tuner.generate_parameters(parameter_id) for parameter_id in range(2)]
    database = new_database(checkpoint.parent)
    # Trial A was submitted with parameters 0 and took parameters 1, and the other way round.
    database.event("A", "WAITING", 0, asked[0])
    database.event("B", "WAITING", 1, asked[1])
    database.final("A", 1, 0.1)
    database.final("B", 0, 0.2)
    again = resumed(
        PLAIN,
        [
            {"parameter": asked[0], "value": 0.1, "trialJobId": "A"},
            {"parameter": asked[1], "value": 0.2, "trialJobId": "B"},
        ],
    )
    told = {one.candidate["x"]: one.metrics["default"] for one in again.evolution.evaluated}
    assert told == {asked[1]["x"]: 0.1, asked[0]["x"]: 0.2}


def test_data_of_a_user_is_imported_as_it_is_given_and_outlives_a_restart(checkpoint, started, resumed):
    tuner = started(PLAIN, seed=0)
    tuner.import_data(
        [
            {"parameter": {"kind": "a", "x": 0.25}, "value": 0.5},
            {"parameter": {"kind": "z", "x": 0.25}, "value": 0.7},
        ]
    )
    assert [(one.candidate["x"], one.metrics["default"]) for one in tuner.evolution.evaluated] == [
        (0.25, 0.5)
    ]
    assert len(resumed(PLAIN, seed=0).evolution.evaluated) == 1


def test_a_changed_search_space_keeps_what_fits(checkpoint, started):
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


@pytest.fixture
def dispatcher(monkeypatch):
    """A function that starts NNI's dispatcher with a tuner.

    It gives the dispatcher, and a function that gives the trials it asked for. It takes the commands that
    NNI's manager sends; its channel to the manager is replaced.
    """

    def start(mode):
        monkeypatch.setenv("NNI_MODE", mode)
        module = importlib.reload(msg_dispatcher)  # it counts trials as long as it is loaded
        running = module.MsgDispatcher(
            "ws://_unittest_placeholder_", EvolutionTuner(seed=0, population_size=3)
        )
        sent = []
        running.send = lambda command, data: sent.append((command, data))
        if mode == "resume":
            running.load_checkpoint()
        running.process_command(CommandType.Initialize, search_space(SMALL))
        return running, lambda: [
            json.loads(data) for command, data in sent if command is CommandType.NewTrialJob
        ]

    return start


def metric(form, value, trial):
    return {
        "parameter_id": form["parameter_id"],
        "trial_job_id": trial,
        "type": "FINAL",
        "sequence": 0,
        "value": json.dumps(value),
    }


def test_under_nnis_own_dispatcher_from_start_to_resume(checkpoint, dispatcher, new_database, record):
    first, jobs = dispatcher("start")
    first.process_command(CommandType.RequestTrialJobs, 4)
    forms = jobs()
    # Trials took each other's parameters: T0 ran form 1, T1 ran form 0; T2 and T3 are running at the kill.
    for trial, form in (("T0", forms[1]), ("T1", forms[0])):
        first.process_command(
            CommandType.ReportMetricData, metric(form, record(form["parameters"]["architecture"], 0.3), trial)
        )
    first.process_command(
        CommandType.TrialEnd,
        {"trial_job_id": "T0", "event": "SUCCEEDED", "hyper_params": json.dumps(forms[0])},
    )
    database = new_database(checkpoint.parent)
    for number, end in enumerate(["SUCCEEDED", "SUCCEEDED", "RUNNING", "RUNNING"]):
        database.event(f"T{number}", "WAITING", number, forms[number]["parameters"])
        database.event(f"T{number}", end)

    second, jobs = dispatcher("resume")
    finished = [
        {
            "parameter": forms[shown]["parameters"],
            "value": record(forms[true]["parameters"]["architecture"], 0.3),
            "trialJobId": f"T{shown}",
        }
        for shown, true in ((0, 1), (1, 0))
    ]
    second.process_command(CommandType.ImportData, finished)
    second.process_command(CommandType.AddCustomizedTrialJob, [forms[2], forms[3]])
    second.process_command(CommandType.RequestTrialJobs, 2)
    for form in (forms[2], forms[3]):
        second.process_command(
            CommandType.ReportMetricData, metric(form, record(form["parameters"]["architecture"], 0.4), "T")
        )
    new = jobs()
    assert [form["parameter_id"] for form in new] == [4, 5]
    second.process_command(
        CommandType.ReportMetricData, metric(new[0], record(new[0]["parameters"]["architecture"], 0.5), "T4")
    )
    second.process_command(
        CommandType.TrialEnd, {"trial_job_id": "T5", "event": "FAILED", "hyper_params": json.dumps(new[1])}
    )
    evolution = second.tuner.evolution
    assert {str(one.candidate): one.metrics["accuracy"] for one in evolution.evaluated} == {
        forms[0]["parameters"]["architecture"]: 0.3,
        forms[1]["parameters"]["architecture"]: 0.3,
        forms[2]["parameters"]["architecture"]: 0.4,
        forms[3]["parameters"]["architecture"]: 0.4,
        new[0]["parameters"]["architecture"]: 0.5,
    }
    assert (evolution.failures, evolution.pending) == (1, 0)


def test_a_trial_that_is_run_again_and_fails_is_not_asked_for_once_more(
    checkpoint, dispatcher, new_database, record
):
    """NNI's dispatcher does not tell the tuner of its end."""
    first, jobs = dispatcher("start")
    first.process_command(CommandType.RequestTrialJobs, 2)
    forms, database = jobs(), new_database(checkpoint.parent)
    for form, trial in zip(forms, "AB"):
        database.event(trial, "WAITING", form["parameter_id"], form["parameters"])
        database.event(trial, "RUNNING")

    second, jobs = dispatcher("resume")
    second.process_command(CommandType.AddCustomizedTrialJob, forms)
    assert (second.tuner.evolution.failures, second.tuner.evolution.pending) == (0, 2)
    database.event("A", "FAILED")
    second.process_command(
        CommandType.TrialEnd, {"trial_job_id": "A", "event": "FAILED", "hyper_params": json.dumps(forms[0])}
    )
    second.process_command(CommandType.RequestTrialJobs, 1)
    assert (second.tuner.evolution.failures, second.tuner.evolution.pending) == (1, 2)
    events = [json.loads(line) for line in (checkpoint / "evolution.jsonl").read_text().splitlines()]
    assert [event["parameters"] for event in events if event["event"] == "failed"] == [forms[0]["parameters"]]
    (new,) = jobs()
    database.event("C", "WAITING", new["parameter_id"], new["parameters"])

    third, jobs = dispatcher("resume")
    third.process_command(CommandType.AddCustomizedTrialJob, [forms[1], new])
    assert (third.tuner.evolution.failures, third.tuner.evolution.pending) == (1, 2)
    third.process_command(CommandType.RequestTrialJobs, 20)
    assert forms[0]["parameters"] not in [form["parameters"] for form in jobs()]

    second.process_command(
        CommandType.ReportMetricData, metric(forms[0], record(forms[0]["parameters"]["architecture"]), "A")
    )
    assert (second.tuner.evolution.failures, len(second.tuner.evolution.evaluated)) == (
        0,
        1,
    )  # a late result counts
    assert (dispatcher("resume")[0].tuner.evolution.failures) == 0


def test_trials_that_took_each_others_parameters_and_are_run_again(
    checkpoint, started, resumed, new_database
):
    tuner = started(PLAIN, seed=0)
    asked = [tuner.generate_parameters(parameter_id) for parameter_id in range(2)]
    database = new_database(checkpoint.parent)
    for trial, parameter_id in (("A", 0), ("B", 1)):
        database.event(trial, "WAITING", parameter_id, asked[parameter_id])
    again = resumed(PLAIN, seed=0)
    database.event("A", "FAILED")  # with the parameters 1
    again.generate_parameters(2)
    database.final("B", 0, 0.25)
    database.event("B", "SUCCEEDED")
    again.import_data([{"parameter": asked[0], "value": 0.25}])  # how B's result arrives
    again.generate_parameters(3)
    assert [one.candidate for one in again.evolution.evaluated] == [asked[0]]
    assert (again.evolution.failures, again.evolution.pending) == (1, 2)


def test_what_ended_without_a_result_while_nobody_looked_has_failed(
    checkpoint, started, resumed, new_database
):
    ends = ["FAILED", "USER_CANCELED", "SYS_CANCELED", "EARLY_STOPPED", "SUCCEEDED", "RUNNING"]
    tuner, database = started(PLAIN, seed=0), new_database(checkpoint.parent)
    for parameter_id, end in enumerate(ends):
        database.event(f"T{parameter_id}", "WAITING", parameter_id, tuner.generate_parameters(parameter_id))
        database.event(f"T{parameter_id}", end)
    lost = tuner.generate_parameters(len(ends))
    again = resumed(PLAIN, seed=0)
    assert (again.evolution.failures, again.evolution.pending) == (5, 1)
    assert again.generate_parameters(20) == lost


def test_the_database_is_left_alone_once_all_that_is_run_again_has_ended(
    checkpoint, started, resumed, new_database, monkeypatch
):
    tuner, database = started(PLAIN, seed=0), new_database(checkpoint.parent)
    for parameter_id, trial in enumerate("AB"):
        database.event(trial, "WAITING", parameter_id, tuner.generate_parameters(parameter_id))
    again, looks, connect = resumed(PLAIN, seed=0), [], sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *given, **options: looks.append(given) or connect(*given, **options)
    )
    for parameter_id in range(2, 5):
        again.generate_parameters(parameter_id)
    assert len(looks) == 3
    database.event("A", "FAILED")
    again.import_data([{"parameter": tuner.generate_parameters(2), "value": 0.5}])
    again.generate_parameters(5)
    database.event("B", "FAILED")
    again.generate_parameters(6)
    looks.clear()
    again.generate_parameters(7)
    assert again.evolution.failures == 2 and not looks
