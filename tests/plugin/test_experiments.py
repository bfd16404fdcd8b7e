from __future__ import annotations

import json
import sqlite3

import pytest

from nni_nasoa.plugin.experiments import (
    ExperimentError,
    FinalResult,
    find_context,
    find_experiment,
    metrics_of,
    open_database,
    read_config,
    read_failed,
    read_results,
    read_status,
    read_trials,
    read_unfinished,
)

TABLES = """
create table TrialJobEvent (timestamp integer, trialJobId text, event text, data text, logPath text,
                            sequenceId integer, message text, environmentId text);
create table MetricData (timestamp integer, trialJobId text, parameterId text, type text, sequence integer,
                         data text);
create table ExperimentProfile (params text, id text, execDuration integer, startTime integer,
                                endTime integer, logDir text, nextSequenceId integer, revision integer);
"""


class Written:
    """An experiment's folder with a database as NNI 3.0 writes it."""

    def __init__(self, folder):
        (folder / "db").mkdir(parents=True)
        self.folder = folder
        self.database = sqlite3.connect(folder / "db" / "nni.sqlite")
        self.database.executescript(TABLES)
        self.time = 1000

    def profile(self, revision, **config):
        self._insert("ExperimentProfile", json.dumps(config), self.folder.name, 0, 0, 0, "", 0, revision)

    def event(self, trial, event, sequence=None, parameter_id=None, parameters=None):
        self.time += 1
        form = (
            None
            if parameter_id is None
            else json.dumps({"parameter_id": parameter_id, "parameters": parameters})
        )
        self._insert("TrialJobEvent", self.time, trial, event, form, None, sequence, None, None)

    def metric(self, trial, parameter_id, value, type_="FINAL"):
        self.time += 1
        self._insert(
            "MetricData", self.time, trial, str(parameter_id), type_, 0, json.dumps(json.dumps(value))
        )

    def _insert(self, table, *values):
        self.database.execute(f"insert into {table} values ({', '.join('?' * len(values))})", values)
        self.database.commit()


@pytest.fixture
def written(tmp_path):
    return Written(tmp_path / "abc12345")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with two experiments, of which the second keeps its files elsewhere."""
    monkeypatch.setenv("HOME", str(tmp_path))
    Written(tmp_path / "nni-experiments" / "first000")
    Written(tmp_path / "elsewhere" / "second00")
    manifest = {
        "first000": {"id": "first000", "startTime": 5, "logDir": str(tmp_path / "nni-experiments")},
        "second00": {"id": "second00", "startTime": 9, "logDir": str(tmp_path / "elsewhere")},
    }
    (tmp_path / "nni-experiments" / ".experiment").write_text(json.dumps(manifest))
    return tmp_path


def test_experiments_are_found_by_id_latest_or_folder(home):
    first, second = home / "nni-experiments" / "first000", home / "elsewhere" / "second00"
    assert find_experiment("first000") == first.resolve()
    assert (
        find_experiment("second00")
        == find_experiment("latest")
        == find_experiment(second)
        == second.resolve()
    )


def test_an_experiment_that_the_list_lost_is_found_where_nni_puts_them(home):
    (home / "nni-experiments" / ".experiment").write_text("{ torn")
    assert find_experiment("first000") == (home / "nni-experiments" / "first000").resolve()


def test_an_unknown_experiment_is_one_line_with_those_that_are_known(home):
    with pytest.raises(
        ExperimentError, match=r"^experiment 'nosuch': not found; known experiments: first000, second00$"
    ):
        find_experiment("nosuch")


@pytest.mark.parametrize("name", ["latest", "abc"])
def test_without_any_experiment_that_is_said(tmp_path, monkeypatch, name):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ExperimentError, match=f"^experiment '{name}': not found; known experiments: none"):
        find_experiment(name)


def test_a_folder_that_is_no_experiment(tmp_path):
    with pytest.raises(
        ExperimentError, match=r"not the folder of an NNI experiment \(it has no db/nni.sqlite\)$"
    ):
        read_trials(tmp_path)


def test_results_stand_beside_the_parameters_that_they_were_got_with(written):
    written.event("A", "WAITING", 0, 0, {"x": 0.0})
    written.event("B", "WAITING", 1, 1, {"x": 0.1})
    written.metric("B", 0, {"default": 1.0, "x": 0.0})  # B asked first, and got what was submitted as A's
    written.metric("A", 1, {"default": 2.0, "x": 0.1})
    written.metric("A", 1, {"default": 0.5}, "PERIODICAL")
    assert read_trials(written.folder) == [
        FinalResult("B", 1, 0, {"x": 0.0}, {"default": 1.0, "x": 0.0}),
        FinalResult("A", 0, 1, {"x": 0.1}, {"default": 2.0, "x": 0.1}),
    ]
    assert read_results(written.folder)[0] == {
        "default": 1.0,
        "x": 0.0,
        "trial_id": "B",
        "sequence": 1,
        "parameter_id": 0,
    }


def test_parameter_ids_that_start_again_after_a_resume(written):
    written.event("A", "WAITING", 0, 1, {"x": 0.0})
    written.metric("A", 1, 1.0)
    written.event("B", "WAITING", 1, 1, {"x": 0.5})
    written.metric("B", 1, 2.0)
    assert [(trial.parameters, trial.metrics) for trial in read_trials(written.folder)] == [
        ({"x": 0.0}, {"default": 1.0}),
        ({"x": 0.5}, {"default": 2.0}),
    ]


def test_a_result_that_was_reported_again_counts_once(written):
    result = {"default": 0.5, "architecture": "2-_16_1", "accuracy": 0.5}
    written.metric("A", 0, result)
    written.metric("A", 0, {**result, "accuracy": 0.6})  # the same trial once more
    written.metric("B", 1, result)  # a trial run again reports what was kept
    written.metric("C", 2, {**result, "architecture": "020-_16_1"})
    written.metric("D", 3, 0.5)
    written.metric("E", 4, 0.5)  # equal numbers are two results
    assert [trial.trial_id for trial in read_trials(written.folder)] == ["A", "C", "D", "E"]


def test_a_trial_that_was_run_again_with_other_parameters_has_two_results(written):
    """After a kill of the manager: the trial that outlived it, and the one that the resumed one started."""
    one, other = {"default": 0.5, "architecture": "2-_16_1"}, {"default": 0.6, "architecture": "020-_16_1"}
    written.metric("A", 0, one)
    written.metric("A", 0, other)
    written.metric("B", 1, one)
    assert [(trial.trial_id, trial.metrics) for trial in read_trials(written.folder)] == [
        ("A", one),
        ("A", other),
    ]


def test_results_that_are_no_dict_or_not_json(written):
    written.metric("A", "null", 3)
    written.database.execute("insert into MetricData values (1, 'B', '7', 'FINAL', 0, 'garbage')")
    written.database.commit()
    assert [
        (trial.metrics, trial.parameter_id, trial.parameters) for trial in read_trials(written.folder)
    ] == [({"default": 3}, None, None), ({"default": "garbage"}, 7, None)]
    assert metrics_of({"default": 1}) == {"default": 1}


def test_unfinished_trials_and_counts(written):
    written.profile(1, experimentName="old")
    written.profile(2, experimentName="the name", trialConcurrency=2)
    for number, events in enumerate(
        [
            "WAITING RUNNING SUCCEEDED",
            "WAITING FAILED",
            "WAITING RUNNING",
            "WAITING RUNNING ADD_RESUMED",
            "WAITING",
            "WAITING RUNNING USER_TO_CANCEL",
            "WAITING EARLY_STOPPED",
        ]
    ):
        for event in events.split():
            form = {"parameter_id": number, "parameters": {"x": number}} if event == "WAITING" else {}
            written.event(f"T{number}", event, number, **form)
    written.database.execute(
        "insert into TrialJobEvent values (1, '', 'IMPORT_DATA', '[]', null, null, null, null)"
    )
    written.database.commit()
    assert read_unfinished(written.folder) == [{"x": 2}, {"x": 3}, {"x": 4}]
    assert read_status(written.folder) == {
        "id": "abc12345",
        "name": "the name",
        "trials": 7,
        "succeeded": 1,
        "failed": 1,
        "canceled": 2,
        "unfinished": 3,
    }
    assert read_config(written.folder)["trialConcurrency"] == 2


def test_trials_that_ended_without_a_result(written):
    for number, event in enumerate(
        [
            "FAILED",
            "EARLY_STOPPED",
            "USER_CANCELED",
            "SYS_CANCELED",
            "USER_TO_CANCEL",
            "SUCCEEDED",
            "FAILED",
            "SUCCEEDED",
            "RUNNING",
            "ADD_RESUMED",
        ]
    ):
        written.event(f"T{number}", "WAITING", number, number, {"x": number})
        written.event(f"T{number}", event, number)
    written.metric("T0", 0, 0.5, "PERIODICAL")
    written.metric("T6", 6, 0.5)  # it failed afterwards
    written.metric("T7", 7, 0.5)
    assert read_failed(written.folder) == [{"x": number} for number in range(6)]


def test_a_failed_trial_had_the_parameters_that_no_result_was_got_with(written):
    for number, trial in enumerate("ABC"):
        written.event(trial, "WAITING", number, number, {"x": number})
    written.event("A", "FAILED")
    assert read_failed(written.folder) == [{"x": 0}]
    written.metric("C", 0, 0.5)
    assert read_failed(written.folder) == [{"x": 2}]
    written.metric("B", 2, 0.5)
    assert read_failed(written.folder) == [{"x": 1}]


def test_an_experiment_without_a_trial_yet(written):
    assert read_trials(written.folder) == read_unfinished(written.folder) == read_failed(written.folder) == []
    assert read_config(written.folder) == {} and read_status(written.folder)["trials"] == 0


def test_reading_while_the_manager_writes_and_after_it_was_killed_in_the_middle(written):
    written.metric("A", 0, 1.0)
    written.database.execute("begin immediate")
    written.database.execute("insert into MetricData values (1, 'B', '1', 'FINAL', 0, '\"2\"')")
    assert [trial.trial_id for trial in read_trials(written.folder)] == ["A"]  # not committed yet
    written.database.commit()
    assert [trial.trial_id for trial in read_trials(written.folder)] == ["A", "B"]


def test_what_is_read_is_not_written_to(written):
    with open_database(written.folder) as database, pytest.raises(sqlite3.OperationalError, match="readonly"):
        database.execute("delete from MetricData")


def test_what_a_trial_told_of_its_result_before_is_read_beside_it(tmp_path):
    written = Written(tmp_path / "e")
    context = {"architecture": "2-_16_1", "dataset": "digits", "device": "cpu"}
    other = {**context, "architecture": "020-_16_1"}
    final = {"default": 9000.0, "accuracy": 0.9, "architecture": "2-_16_1"}
    # NNI ran trial B again, with another network than at first.
    for trial, told in (("A", [context]), ("B", [other, context]), ("C", [other])):
        for one in told:
            written.metric(trial, 0, {"default": 5000.0, "context": one}, "PERIODICAL")
        written.metric(trial, 0, {**final, "accuracy": 0.9 if trial == "A" else ord(trial) / 100})
    flat = {**final, **context, "architecture": "1-_8_1"}  # as earlier releases reported
    written.metric("D", 0, flat)
    a, b, c, d = read_results(written.folder)
    assert a.items() >= {**context, **final}.items() and b["dataset"] == "digits"
    assert "dataset" not in c and d.items() >= flat.items()


def test_a_result_that_nni_wrote_before_what_led_to_it_has_its_context_and_counts_once(written):
    final = {"default": 9000.0, "accuracy": 0.9, "architecture": "2-_16_1"}
    told = {"default": 9000.0, "context": {"architecture": "2-_16_1", "dataset": "digits"}}
    written.metric("A", 0, final)
    written.metric("A", 0, told, "PERIODICAL")
    written.metric("B", 0, told, "PERIODICAL")  # run again by a resumed manager
    written.metric("B", 0, final)
    (result,) = read_results(written.folder)
    assert (result["trial_id"], result["dataset"]) == ("A", "digits")


def test_the_latest_is_the_one_that_ran_last_and_not_that_was_viewed_last(home):
    folders = [find_experiment(name) for name in ("first000", "second00")]
    assert find_experiment("latest") == folders[1]  # without a trial, the start counts
    for folder, time in zip(folders, (2000, 1000)):
        with sqlite3.connect(folder / "db" / "nni.sqlite") as database:
            database.execute("insert into TrialJobEvent (timestamp, trialJobId) values (?, 'T')", [time])
        database.close()
    assert find_experiment("latest") == folders[0]


def test_a_run_s_result_and_what_its_trial_told_of_it_whichever_trial_nni_says_it_was(written):
    context = {"run": "1-digits-1", "record": "{}", "dataset": "digits"}
    final = {"default": 0.9, "run": "1-digits-1", "accuracy": 0.9}
    assert find_context(written.folder, final) is None
    written.metric("A", 0, {"default": 0.5, "accuracy": 0.5}, "PERIODICAL")
    written.metric("B", 0, {"default": 0.5, "context": {**context, "run": "1-digits-10"}}, "PERIODICAL")
    assert find_context(written.folder, final) is None
    written.metric("B", 0, {"default": 0.9, "context": context}, "PERIODICAL")
    assert find_context(written.folder, final) == {**context, **final}
    written.metric("B", 0, final)
    (result,) = read_results(written.folder)
    assert result.items() >= {**context, **final}.items()
    assert find_context(written.folder, {"default": 0.9}) is None
