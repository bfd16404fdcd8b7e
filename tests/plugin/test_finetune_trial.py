"""The advisor's trial, as NNI runs it and alone."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from torch.nn.modules.module import register_module_forward_pre_hook

from nni_nasoa.finetune import FineTuneRegime, load_classifier
from nni_nasoa.plugin import finetune_trial
from nni_nasoa.plugin.assignment import Assignment
from nni_nasoa.plugin.result_context import with_context
from nni_nasoa.plugin.trial_result import record_in

REGIME = FineTuneRegime(  # a head that is trained until the clock ends
    "nano-a", frozen_stages=9, batch_size=32, input_size=32, augmentation="none", head="last"
)
LONG = Assignment("1-digits-1", "digits", 5.0, REGIME, threads=1, device="cpu")
SHORT = Assignment("1-digits-1", "digits", 0.25, REGIME, threads=1, device="cpu")


@pytest.fixture
def trials(trials_of):
    return trials_of("nni_nasoa.plugin.finetune_trial")


@pytest.fixture
def regime_file(tmp_path):
    path = tmp_path / "regime.json"
    path.write_text(json.dumps(REGIME.to_json()))
    return str(path)


def test_parameters_there_and_back():
    for assignment in (
        SHORT,
        Assignment("1-x-survey-1", "/data/x", 2.0, survey=("nano-a", "nano-b"), root="r"),
        Assignment("1-x-1", "x", 1.0, REGIME, weights="none", output="~/out", threads=2, device="cuda:1"),
    ):
        parameters = assignment.to_parameters()
        assert (
            json.loads(json.dumps(parameters)) == parameters
            and Assignment.from_parameters(parameters) == assignment
        )
        # As earlier releases gave them, and as it stands in journals.
        values = json.loads(json.dumps(assignment.to_json()))
        assert Assignment.from_parameters(values) == Assignment.from_json(values) == assignment
        # NNI's web page has an axis for each parameter: the run, what the advisor chooses, and the rest.
        chosen = {"model", "frozen_stages", "optimizer", "learning_rate", "weight_decay", "batch_size"}
        chosen |= {"input_size", "augmentation", "label_smoothing"}
        assert parameters.keys() == {"run", "context", *(chosen if assignment.regime else ())}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"run": None}, "run: None is not a text"),
        ({"minutes": 0}, "minutes: 0 is not a number of minutes above 0"),
        ({"minutes": math.nan}, "minutes: nan is not a number of minutes above 0"),
        ({"regime": None}, "regime: there has to be one, or a survey"),
        ({"survey": ["nano-a"]}, "regime: there has to be one, or a survey"),
        ({"regime": {"model": "nano-a", "lr": 1}}, "regime: no field 'lr'"),
        ({"weights": "mine"}, "weights: 'mine' is not one of default, none"),
        ({"layers": 3}, "the parameters have 'layers'"),
    ],
)
def test_parameters_that_are_no_assignment(change, message):
    with pytest.raises(ValueError, match="^" + message) as raised:
        Assignment.from_parameters(SHORT.to_json() | change)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("context", [None, "[", "[]", "5", {"dataset": "digits"}])
def test_a_context_that_is_none(context):
    with pytest.raises(ValueError, match=r"context|JSON") as raised:
        Assignment.from_parameters(SHORT.to_parameters() | {"context": context})
    assert "\n" not in str(raised.value)


# -- the process --


def result_of(metrics):
    """The whole of the final result, which NNI's web page has axes for, and of what is told before it."""
    *on_the_way, (kind, final) = metrics
    assert kind == "FINAL" and final.keys() <= {"default", "run", "accuracy", "seconds", "epochs"}
    return with_context(final, [value for _, value in on_the_way])


@pytest.mark.slow
def test_a_trial_under_nni_and_the_same_run_again(trials, tmp_path):
    done, metrics = trials.run("first", SHORT.to_parameters())
    assert done.returncode == 0, done.stderr
    assert [kind for kind, _ in metrics] == ["PERIODICAL"] * (len(metrics) - 1) + ["FINAL"] and len(
        metrics
    ) > 1
    final = result_of(metrics)
    record = record_in(final)
    # Accuracies are reported as they are measured; the best of them is the result.
    told = [value["default"] for _, value in metrics[:-2]]
    assert told == [accuracy for _, accuracy in record.curve]
    assert final["default"] == max(told) == metrics[-2][1]["default"] == record.accuracy
    assert (record.threads, record.budget_seconds) == (1, 15.0)
    assert final["classifier"] == str(trials.trials / "first" / "classifier")
    assert load_classifier(final["classifier"]).metrics["val_accuracy"] == final["accuracy"]

    # Another trial is given the same run, as in an experiment that is resumed.
    done, again = trials.run("second", SHORT.to_parameters())
    assert done.returncode == 0, done.stderr
    assert again == metrics[-2:] and not (trials.trials / "second" / "classifier").exists()


@pytest.mark.slow
def test_classifiers_go_where_the_tuner_says(trials, tmp_path):
    parameters = Assignment(
        "1-digits-1", "digits", 0.25, REGIME, threads=1, output=str(tmp_path / "out")
    ).to_parameters()
    done, metrics = trials.run("first", parameters)
    assert done.returncode == 0, done.stderr
    place = result_of(metrics)["classifier"]
    assert place == str(tmp_path / "out" / "E" / "1-digits-1")
    load_classifier(place)


def test_sigterm_saves_what_there_is_and_reports_it(trials):
    process = trials.start("first", LONG.to_parameters())
    try:
        while not any(kind == "PERIODICAL" for kind, _ in trials.metrics("first")):
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGTERM, stderr
    final = result_of(trials.metrics("first"))
    assert (
        final["outcome"] == "interrupted"
        and record_in(final).status == "killed"
        and record_in(final).outcome.signal == "SIGTERM"
    )
    assert load_classifier(final["classifier"]).metrics["val_accuracy"] == final["accuracy"]


@pytest.mark.parametrize(
    "parameters, reason",
    [
        (
            {"layers": 1},
            "the parameters are not those of an OnlineAdvisor, with run, dataset, minutes and regime",
        ),
        (SHORT.to_json() | {"dataset": "nowhere/at/all"}, "1-digits-1: dataset: 'nowhere/at/all' "),
        (SHORT.to_json() | {"regime": {"model": "nano-x"}}, "1-digits-1: "),
        (
            SHORT.to_json() | {"regime": {"model": "nano-a", "batch_size": 1}},
            "batch_size: 1 is not a whole number",
        ),
        (SHORT.to_json() | {"device": "gpu"}, "1-digits-1: device: 'gpu' is not one of"),
    ],
)
def test_a_trial_that_fails_says_why_in_one_line(trials, parameters, reason):
    done, metrics = trials.run("trial", parameters)
    assert done.returncode == 1 and metrics == []
    assert done.stderr.startswith("finetune_trial: " + reason) and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.slow
def test_without_nni_it_prints_the_result(tmp_path, regime_file):
    command = [
        sys.executable,
        "-m",
        "nni_nasoa.plugin.finetune_trial",
        "--dataset",
        "digits",
        "--minutes",
        "0.25",
        "--regime",
        regime_file,
        "--output",
        str(tmp_path / "out"),
        "--threads",
        "1",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (
        result["accuracy"] == load_classifier(tmp_path / "out").metrics["val_accuracy"]
        and result["threads"] == 1
    )
    assert "validation accuracy" in done.stderr


@pytest.mark.parametrize(
    "options, reason",
    [
        ([], "no NNI experiment here; give --dataset, --minutes and --regime"),
        (["--dataset", "digits"], "--minutes is missing"),
        (["--minutes", "1", "--dataset", "digits"], "--regime is missing"),
        (
            ["--minutes", "-1", "--dataset", "digits", "--regime", "FILE"],
            "minutes: -1.0 is not a number of minutes above 0",
        ),
        (["--minutes", "1", "--dataset", "digits", "--regime", "none.yml"], "none.yml: cannot be read"),
    ],
)
def test_without_nni_wrong_options_are_one_line(monkeypatch, regime_file, options, reason):
    monkeypatch.delenv("NNI_PLATFORM", raising=False)
    options = [regime_file if option == "FILE" else option for option in options]
    result = CliRunner().invoke(finetune_trial.main, options)
    assert (
        result.exit_code == 1
        and result.stderr.startswith(f"finetune_trial: {reason}")
        and result.stderr.count("\n") == 1
    )


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 20 GiB.\nGPU 0 has ...")]
)
def test_out_of_memory_is_one_clear_line(regime_file, tmp_path, error):
    def fail(*args):
        raise error

    options = [
        "--dataset",
        "digits",
        "--minutes",
        "1",
        "--regime",
        regime_file,
        "--output",
        str(tmp_path / "out"),
    ]
    with register_module_forward_pre_hook(fail):
        result = CliRunner().invoke(finetune_trial.main, options)
    assert (
        result.exit_code == 1
        and result.stderr.startswith("finetune_trial: try: out of memory")
        and result.stderr.count("\n") == 1
    )
