"""What the online advisor asks for, and what it makes of results; without NNI's manager."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import nni
import pytest

from nni_nasoa.advisor.accuracy.predictor import STATE, AccuracyPredictor
from nni_nasoa.advisor.advice import NO_LIMITS
from nni_nasoa.advisor.advising import candidates_for
from nni_nasoa.advisor.alternatives import choices
from nni_nasoa.data import Dataset
from nni_nasoa.plugin.assignment import Assignment

TASKS = [{"dataset": "digits", "minutes": 0.5}, {"dataset": "fractals", "minutes": 1}]


def regimes(assignments):
    return [
        json.dumps(Assignment.from_parameters(parameters).regime.to_json(), sort_keys=True)
        for parameters in assignments
    ]


def test_the_advice_comes_first_then_alternatives_then_no_more(advisor, good_result, store, known_survey):
    tuner = advisor(dataset="digits", minutes=0.5, alternatives=3)
    asked = [tuner.generate_parameters(number) for number in range(4)]
    assert [one["run"] for one in asked] == [f"1-digits-{number}" for number in range(1, 5)] and len(
        set(regimes(asked))
    ) == 4
    first = Assignment.from_parameters(asked[0]).regime
    candidates = candidates_for(known_survey(Dataset("digits")), store, 30.0, NO_LIMITS, source="nni")
    assert first == choices(candidates, 1)[0].regime  # which it would be by itself, too
    with pytest.raises(nni.NoMoreTrialError):
        tuner.generate_parameters(4)
    for number, parameters in enumerate(asked):
        tuner.receive_trial_result(number, parameters, good_result(parameters))
        tuner.trial_end(number, True)
    with pytest.raises(nni.NoMoreTrialError):
        tuner.generate_parameters(5)
    assert store.count(status="ok") == 4


def test_parameters_are_what_the_trial_takes(advisor):
    tuner = advisor(dataset="digits", minutes=0.5, threads=2, output="out", root="data")
    parameters = tuner.generate_parameters(0)
    assert json.loads(json.dumps(parameters)) == parameters
    assignment = Assignment.from_parameters(parameters)
    assert (assignment.dataset, assignment.minutes, assignment.threads, assignment.device) == (
        "digits",
        0.5,
        2,
        "cpu",
    )
    assert (
        assignment.output.endswith("/out")
        and assignment.output.startswith("/")
        and assignment.root.startswith("/")
    )


def test_a_result_is_recorded_with_all_that_was_known_and_learned_from(advisor, good_result, store):
    tuner = advisor(dataset="digits", minutes=0.5)
    parameters = tuner.generate_parameters(0)
    tuner.receive_trial_result(0, parameters, good_result(parameters, 0.75))
    (record,) = store.records()
    assert (record.accuracy, record.source, record.status, record.budget_seconds) == (0.75, "nni", "ok", 30.0)
    assert record.profile["train_images"] == 1438 and record.model_figures["probe_nearest_mean"] is not None
    assert (
        record.predicted["accuracy_low"] <= record.predicted["accuracy"] <= record.predicted["accuracy_high"]
    )
    state = AccuracyPredictor.from_bytes(store.state(STATE).data)
    assert state.seen == AccuracyPredictor.from_prior().seen + 1


SAMPLED = {"reason": "budget", "sampled": True}


@pytest.mark.parametrize(
    "told, recorded",
    [
        ({"outcome": {**SAMPLED, "train_images": 100, "val_images": 30}}, (100, 30)),
        ({"outcome": {"reason": "budget", "train_images": 100, "val_images": 30}}, (1438, 359)),
        ({"outcome": SAMPLED}, (1438, 359)),
        ({"outcome": {**SAMPLED, "train_images": 10**9, "val_images": None}}, (1438, 359)),
        ({"profile": {"train_images": 100, "val_images": 30, "classes": 3}}, (1438, 359)),
        ({"notes": ["decoding all images takes longer: 100 are trained on, 30 validated on"]}, (1438, 359)),
    ],
)
def test_a_trial_tells_how_many_images_it_had_where_it_had_not_all(
    advisor, good_result, told, recorded, store
):
    tuner = advisor(dataset="digits", minutes=0.5)
    parameters = tuner.generate_parameters(0)
    result = good_result(parameters)
    result["record"] = json.dumps({**json.loads(result["record"]), **told})
    tuner.receive_trial_result(0, parameters, result)
    (record,) = store.records()
    assert (record.profile["train_images"], record.profile["val_images"], record.profile["classes"]) == (
        *recorded,
        10,
    )


def test_one_shot(advisor, good_result):
    tuner = advisor(tasks=TASKS, alternatives=0)
    asked = []
    for number in range(2):
        asked.append(tuner.generate_parameters(number))
        tuner.receive_trial_result(number, asked[-1], good_result(asked[-1]))
    assert [(one.run, one.minutes) for one in map(Assignment.from_parameters, asked)] == [
        ("1-digits-1", 0.5),
        ("2-fractals-1", 1.0),
    ]
    with pytest.raises(nni.NoMoreTrialError):
        tuner.generate_parameters(2)


def test_tasks_come_one_after_the_other_and_the_later_ones_profit(advisor, good_result, store):
    tuner = advisor(tasks=TASKS, alternatives=1)
    asked, seen = [], []
    for number in range(4):
        asked.append(tuner.generate_parameters(number))
        seen.append(AccuracyPredictor.from_store(store).seen)
        tuner.receive_trial_result(number, asked[-1], good_result(asked[-1]))
    assert [one["run"] for one in asked] == ["1-digits-1", "1-digits-2", "2-fractals-1", "2-fractals-2"]
    assert [one - seen[0] for one in seen] == [0, 1, 2, 3]


def test_a_result_counts_for_the_run_that_it_names(advisor, good_result, store):
    tuner = advisor(dataset="digits", minutes=0.5)
    first, second = tuner.generate_parameters(0), tuner.generate_parameters(1)
    tuner.receive_trial_result(0, first, good_result(second, 0.9))
    tuner.receive_trial_result(1, second, good_result(first, 0.1))
    found = {json.dumps(record.regime, sort_keys=True): record.accuracy for record in store.records()}
    assert found == dict(zip(regimes([second, first]), [0.9, 0.1]))


def test_the_same_result_twice_counts_once(advisor, good_result, store):
    tuner = advisor(dataset="digits", minutes=0.5)
    parameters = tuner.generate_parameters(0)
    result = good_result(parameters)
    for _ in range(3):
        tuner.receive_trial_result(0, parameters, result)
        tuner.import_data([{"parameter": parameters, "value": result}])
    assert store.count() == 1
    assert AccuracyPredictor.from_store(store).seen == AccuracyPredictor.from_prior().seen + 1


# -- failures --


def test_nobody_waits_for_a_dataset_and_idle_workers_get_what_turns_up(advisor, good_result, known_survey):
    ready = threading.Event()

    def slow(*args, **options):
        assert ready.wait(60)
        return known_survey(*args, **options)

    tuner = advisor(slow, dataset="digits", minutes=0.5, alternatives=1)
    sent, arrived = {}, threading.Semaphore(0)

    def send(parameter_id, parameters):
        sent[parameter_id] = parameters
        arrived.release()

    assert tuner.generate_multiple_parameters([0, 1, 2], st_callback=send) == []  # at once
    ready.set()
    assert arrived.acquire(timeout=60) and arrived.acquire(timeout=60)
    assert {number: one["run"] for number, one in sent.items()} == {0: "1-digits-1", 1: "1-digits-2"}
    tuner.trial_end(0, False)
    assert arrived.acquire(timeout=60)  # the third worker takes the place of the run that failed
    assert sent[2]["run"] == "1-digits-3"


class Manager(BaseHTTPRequestHandler):
    """The part of NNI's manager that says how many trials an experiment has, and is
    told how many it may have.
    """

    def do_GET(self):
        answers = {
            "/api/v1/nni/trial-jobs": [{}, {}],
            "/api/v1/nni/experiment": {"params": {"maxTrialNumber": 99}},
        }
        self._answer(answers[self.path])

    def do_PUT(self):
        assert self.path == "/api/v1/nni/experiment?update_type=MAX_TRIAL_NUM"
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.limits.append(told["params"]["maxTrialNumber"])
        self._answer({})

    def _answer(self, value):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def manager(monkeypatch):
    """NNI's manager, as this process is its dispatcher."""
    with ThreadingHTTPServer(("localhost", 0), Manager) as server:
        server.limits = []
        monkeypatch.setenv("SDK_PROCESS", "dispatcher")
        monkeypatch.setenv("NNI_TUNER_COMMAND_CHANNEL", f"ws://localhost:{server.server_port}/tuner")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_the_experiment_ends_when_all_is_done_and_not_before(advisor, good_result, manager):
    tuner = advisor(dataset="digits", minutes=0.5, alternatives=1)
    asked = [tuner.generate_parameters(0), tuner.generate_parameters(1)]
    assert tuner.generate_multiple_parameters([2], st_callback=None) == []
    before = set(threading.enumerate())

    def told():
        """How many trials the manager was told that there will be, once nobody is about to tell it more."""
        while telling := set(threading.enumerate()) - before:
            for thread in telling:
                thread.join(60)
        return manager.limits

    tuner.receive_trial_result(0, asked[0], good_result(asked[0]))
    assert told() == []
    tuner.receive_trial_result(1, asked[1], good_result(asked[1]))
    assert tuner.generate_multiple_parameters([3], st_callback=None) == []
    assert told() == [2]


def test_nothing_to_do_at_all_is_an_error_of_one_line(advisor):
    from nni_nasoa.data import DatasetError

    def fail(*args, **options):
        raise DatasetError("dataset: 'nowhere' is neither a folder\nnor a known name")

    tuner = advisor(fail, dataset="nowhere", minutes=0.5)
    with pytest.raises(ValueError, match=r"^task 1, nowhere: ") as raised:
        tuner.generate_parameters(0)
    assert str(raised.value) == "task 1, nowhere: dataset: 'nowhere' is neither a folder nor a known name"


def test_a_task_whose_dataset_is_missing_is_left_out(advisor, known_survey):
    from nni_nasoa.data import DatasetError

    def fail(dataset, *args, **options):
        if dataset.name == "digits":
            raise DatasetError("dataset: gone")
        return known_survey(dataset, *args, **options)

    assert advisor(fail, tasks=TASKS).generate_parameters(0)["run"] == "2-fractals-1"


def test_limits_that_nothing_meets_are_one_line(advisor):
    with pytest.raises(
        ValueError, match=r"task 1, digits: max_params_m: no network has 0\.001 million parameters or fewer"
    ):
        advisor(dataset="digits", minutes=0.5, limits={"max_params_m": 0.001}).generate_parameters(0)


def test_calls_from_several_threads(advisor, good_result, store):
    tuner = advisor(dataset="digits", minutes=0.5, alternatives=11)

    def work(start):
        for parameter_id in range(start, start + 4):
            parameters = tuner.generate_parameters(parameter_id)
            tuner.receive_trial_result(parameter_id, parameters, good_result(parameters))
            tuner.trial_end(parameter_id, True)

    threads = [threading.Thread(target=work, args=[start]) for start in (0, 100, 200)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert store.count(status="ok") == 12 and not tuner.runs.open() and not tuner.runs.failed


def test_results_of_another_experiment_are_learned_from_and_rubbish_is_not(advisor, good_result, store):
    tuner = advisor(dataset="digits", minutes=0.5)
    other = good_result(tuner.generate_parameters(0))
    record = json.loads(other["record"]) | {"id": str(uuid.uuid4())}
    tuner.import_data(
        [
            {
                "parameter": {},
                "value": {"default": 0.5, "accuracy": other["accuracy"], "record": json.dumps(record)},
            },
            {"parameter": {"x": 1}, "value": 0.3},
            {"parameter": {}, "value": {"run": "of nobody"}},
        ]
    )
    assert [one.id for one in store.records()] == [record["id"]]


def test_the_tuner_starts_without_torch_and_without_a_database():
    code = (
        "import sys, nni_nasoa.plugin.advisor_tuner; "
        "print({'torch', 'torchvision', 'matplotlib', 'sqlalchemy'} & set(sys.modules))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "set()"
    )
