import contextlib
import json
import subprocess
import sys
import time

import pytest
import torch
from click.testing import CliRunner
from torch.nn.modules.module import register_module_forward_pre_hook

from nni_nasoa.architecture import Architecture, ArchitectureSpace
from nni_nasoa.networks import ETNet
from nni_nasoa.plugin import search_trial
from nni_nasoa.plugin.search_trial import SearchTrialSettings
from nni_nasoa.search.choices import encode
from nni_nasoa.search.reward import score

SMALL = "2-_8_1-2-2"
OPTIONS = ["--input-size", "16", "--epochs", "2", "--speed-repeats", "3", "--device", "cpu"]
NUMBERS = {
    "default",
    "accuracy",
    "relative_speed",
    "throughput",
    "step_time_ms",
    "reference_step_time_ms",
    "params_m",
    "gmacs",
}


@pytest.fixture
def experiment(trials_of):
    return trials_of("nni_nasoa.plugin.search_trial", *OPTIONS)


@pytest.mark.slow
def test_a_trial_under_nni_and_the_same_architecture_again(experiment):
    candidates = ArchitectureSpace(
        channels=(8,), ops=(0, 1), blocks=(1, 2), doublings=(2, 3), skips=("none",)
    )
    architecture = Architecture.parse("001-_8_1-2-2")
    done, metrics = experiment.run("first", encode(architecture, candidates))
    assert done.returncode == 0, done.stderr
    assert [kind for kind, _ in metrics] == ["PERIODICAL", "PERIODICAL", "FINAL"]
    first, last, final = (value for _, value in metrics)
    # What NNI shows on the way is the same score, with the accuracy so far.
    assert first["default"] == score(first["accuracy"], final["relative_speed"]) > 100
    assert {name: first[name] for name in ("relative_speed", "context")} == {
        name: last[name] for name in ("relative_speed", "context")
    }
    assert [last[name] for name in list(final)[:3]] == list(final.values())[:3]
    assert list(final)[:3] == ["default", "accuracy", "relative_speed"]
    assert all(isinstance(final[name], float) and final[name] > 0 for name in NUMBERS)
    assert 0.1 < final["accuracy"] <= 1
    assert final["default"] == score(final["accuracy"], final["relative_speed"])
    assert final["throughput"] == pytest.approx(64e3 / final["step_time_ms"])
    assert (
        final["params_m"] == architecture.parameters(10) / 1e6
        and final["gmacs"] == architecture.macs(16, 10) / 1e9
    )
    # What is the same for all trials would be axes of NNI's plot that say nothing.
    context = last["context"]
    assert set(final) == NUMBERS | {"architecture"} and final["architecture"] == str(architecture)
    assert {**context, "device": "here"} == {
        "architecture": str(architecture),
        "device": "here",
        "dataset": "digits",
        "input_size": 16,
        "batch_size": 64,
        "epochs": 2,
        "speed_input_size": 16,
        "speed_batch_size": 64,
    }
    assert isinstance(context["device"], str) and context["device"]

    # Another trial of the experiment gets the same architecture, by another name of its sample.
    kept = list(experiment.results.glob("*.json"))
    assert len(kept) == 1 and json.loads(kept[0].read_text()) == {**context, **final}
    # So that it shows where the answer comes from; an earlier release had another scale.
    kept[0].write_text(json.dumps({**context, **final, "accuracy": 0.123456, "default": 0.12}))
    done, metrics = experiment.run("second", {"architecture": str(architecture)})
    assert done.returncode == 0, done.stderr
    now = {"default": score(0.123456, final["relative_speed"]), "accuracy": 0.123456}
    assert metrics == [("PERIODICAL", {**last, **now}), ("FINAL", {**final, **now})]


@pytest.mark.slow
def test_a_search_may_say_for_how_many_epochs(experiment):
    done, metrics = experiment.run("brief", {"architecture": SMALL, "epochs": 1})
    assert done.returncode == 0, done.stderr
    assert [kind for kind, _ in metrics] == ["PERIODICAL", "FINAL"] and metrics[-1][1]["epochs"] == 1
    done, metrics = experiment.run("full", {"architecture": SMALL, "epochs": 3})
    assert [kind for kind, _ in metrics] == ["PERIODICAL"] * 3 + ["FINAL"] and metrics[-1][1]["epochs"] == 3


@pytest.mark.parametrize(
    "parameters, options, reason",
    [
        ({"architecture": SMALL, "epochs": 0}, [], "search_trial: epochs: 0 is not a whole number from 1"),
        ({"architecture": "9-_8_1-2"}, [], "search_trial: block layer 1: op '9' is not one of 0-6"),
        ({"layers": 1, "op1": 0}, [], "search_trial: sample: label"),
        ({"architecture": "2-_8_1-1-1-1"}, [], "search_trial: 2-_8_1-1-1-1: input size 16 is too small"),
        ({"layers": "1", "op1": 0}, [], "search_trial: layers: '1' is not a whole number"),
        (
            {"architecture": SMALL},
            ["--dataset", "digitz"],
            f"search_trial: {SMALL}: dataset: 'digitz' is neither",
        ),
        (
            {"architecture": SMALL},
            ["--learning-rate", "1e20"],
            f"search_trial: {SMALL}: the loss is not finite",
        ),
    ],
)
def test_a_trial_that_fails_says_why_in_one_line(experiment, parameters, options, reason):
    done, metrics = experiment.run("trial", parameters, *options)
    assert done.returncode == 1 and metrics == []
    assert done.stderr.startswith(reason) and done.stderr.count("\n") == 1, done.stderr


def invoke(*arguments):
    return CliRunner().invoke(search_trial.main, [*OPTIONS, *arguments], catch_exceptions=True)


def test_without_nni_it_prints_the_record():
    result = invoke("--architecture", SMALL, "--epochs", "1", "--target-speed", "2", "--speed-weight", "1")
    record = json.loads(result.stdout)
    assert result.exit_code == 0 and record["architecture"] == SMALL
    assert record["default"] == pytest.approx(5000 * record["accuracy"] * record["relative_speed"], abs=0.05)


def test_the_speed_is_that_of_the_target_size(batches):
    record = json.loads(
        invoke(
            *("--architecture", SMALL, "--epochs", "1"),
            *("--speed-input-size", "96", "--speed-batch-size", "4"),
        ).stdout
    )
    timed = next(number for number, (size, _) in enumerate(batches) if size == 16)
    assert {size for size, _ in batches[timed:]} == {16} and set(batches[:timed]) == {(96, 4)}
    assert (record["speed_input_size"], record["speed_batch_size"]) == (96, 4)
    assert record["gmacs"] == Architecture.parse(SMALL).macs(96, 10) / 1e9
    assert (
        "speed input size 8 is too small" in invoke("--architecture", SMALL, "--speed-input-size", "8").stderr
    )


def test_without_nni_and_architecture_it_says_so(monkeypatch):
    monkeypatch.delenv("NNI_PLATFORM", raising=False)
    result = invoke()
    assert result.exit_code == 1 and "--architecture" in result.stderr and result.stderr.count("\n") == 1


@pytest.fixture
def failing():
    """A function that has every step of every network fail with an error from now on."""
    with contextlib.ExitStack() as hooks:

        def fail_with(error):
            def fail(*args):
                raise error

            hooks.enter_context(register_module_forward_pre_hook(fail))

        yield fail_with


@pytest.fixture
def batches():
    """Size of the images, and how many there are, of each batch that a network is given."""
    seen = []

    def note(module, inputs):
        if isinstance(module, ETNet):
            seen.append((inputs[0].shape[-1], len(inputs[0])))

    with register_module_forward_pre_hook(note):
        yield seen


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.\nGPU 0 has ..."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: "
            "you tried to allocate 1 bytes."
        ),
        MemoryError(),
    ],
)
def test_out_of_memory_is_one_clear_line(failing, error):
    failing(error)
    result = invoke("--architecture", SMALL)
    assert result.exit_code == 1 and result.stdout == ""
    assert (
        result.stderr.startswith(f"search_trial: {SMALL}: out of memory: ") and result.stderr.count("\n") == 1
    )
    assert invoke("--architecture", SMALL, "--debug").exception.__cause__ is error


def test_a_full_disk_is_one_clear_line(failing):
    failing(OSError(28, "No space left on device", "/cache/images"))
    result = invoke("--architecture", SMALL)
    assert (
        result.exit_code == 1
        and result.stderr == f"search_trial: {SMALL}: [Errno 28] No space left on device: '/cache/images'\n"
    )


@pytest.mark.parametrize(
    "device, reason",
    [
        ("cuda", "there is no CUDA device; take cpu or auto"),
        ("cuda:1", "there is no CUDA device; take cpu or auto"),
        ("gpu", "'gpu' is not one of auto, cpu, cuda, cuda:0, cuda:1, ..."),
    ],
)
def test_a_device_that_is_not_there_is_one_clear_line_before_any_work(monkeypatch, failing, device, reason):
    failing(AssertionError("Torch not compiled with CUDA enabled"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = invoke(
        "--architecture", SMALL, "--device", device, "--dataset", "digitz"
    )  # there is no such one
    assert result.exit_code == 1 and result.stderr == f"search_trial: {SMALL}: device: {reason}\n"


def test_a_mistake_in_the_code_is_not_hidden(failing):
    failing(AttributeError("'list' object has no attribute 'nothing'"))
    assert isinstance(invoke("--architecture", SMALL).exception, AttributeError)


def test_options_are_the_settings_and_their_defaults():
    defaults = {
        parameter.name: parameter.default
        for parameter in search_trial.main.params
        if parameter.name not in ("architecture", "debug")
    }
    given = CliRunner().invoke(search_trial.main, ["--help"]).output
    assert set(defaults) == set(SearchTrialSettings.__dataclass_fields__)
    for name, field in SearchTrialSettings.__dataclass_fields__.items():
        assert f"--{name.replace('_', '-')}" in given
        if field.default is not None:
            assert defaults[name] == field.default


@pytest.mark.parametrize(
    "option",
    [
        ["--epochs", "0"],
        ["--batch-size", "1"],
        ["--learning-rate", "0"],
        ["--threads", "-1"],
        ["--threads", "257"],
        ["--nonsense", "1"],
    ],
)
def test_impossible_options_are_refused(option):
    assert invoke("--architecture", SMALL, *option).exit_code == 2


def test_a_trial_starts_lean(tmp_path):
    """By its first training step it has loaded nothing that training does not need."""
    code = f"""
import os, sys, runpy, torch
def first_step(*args, **kwargs):
    heavy = ("nni.nas", "torchvision", "torch._dynamo", "sklearn", "matplotlib", "PIL", "pytorch_lightning")
    print([module for module in heavy if module in sys.modules])
    sys.stdout.flush()
    os._exit(0)
torch.Tensor.backward = first_step
sys.argv = ["search_trial", "--architecture", "{SMALL}", "--input-size", "16"]
import nni
runpy.run_module("nni_nasoa.plugin.search_trial", run_name="__main__")
"""
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


@pytest.mark.slow
def test_an_experiment_goes_on_after_a_trial_that_fails(tmp_path, find_free_port):
    from nni.experiment import Experiment as NNIExperiment

    experiment = NNIExperiment("local")
    experiment.config.experiment_working_directory = tmp_path
    experiment.config.trial_command = f"{sys.executable} -m nni_nasoa.plugin.search_trial {' '.join(OPTIONS)}"
    experiment.config.trial_code_directory = tmp_path
    experiment.config.search_space = {"architecture": {"_type": "choice", "_value": ["2-_8_1-1-1-1", SMALL]}}
    experiment.config.tuner.name = "GridSearch"
    experiment.config.max_trial_number, experiment.config.trial_concurrency = 2, 1
    experiment.start(find_free_port())
    try:
        deadline = time.monotonic() + 300
        while experiment.get_status() not in ("DONE", "ERROR") and time.monotonic() < deadline:
            time.sleep(1)
        jobs = {
            job.hyperParameters[0].parameters["architecture"]: job for job in experiment.list_trial_jobs()
        }
        assert jobs["2-_8_1-1-1-1"].status == "FAILED" and jobs[SMALL].status == "SUCCEEDED"
        final = jobs[SMALL].finalMetricData[0].data
        assert final["architecture"] == SMALL and final["accuracy"] > 0.1
        failed = next(
            tmp_path.glob(
                f"{experiment.id}/environments/*/trials/{jobs['2-_8_1-1-1-1'].trialJobId}/trial.stderr"
            )
        ).read_text()
        assert (
            failed.startswith("search_trial: 2-_8_1-1-1-1: input size 16 is too small")
            and failed.count("\n") == 1
        )
        assert len(list(tmp_path.glob(f"{experiment.id}/environments/*/results/*.json"))) == 1
    finally:
        experiment.stop()
