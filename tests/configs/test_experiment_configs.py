from __future__ import annotations

import math
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml
from nni.experiment.config import ExperimentConfig

from nni_nasoa.architecture import Architecture, random_architecture
from nni_nasoa.data import Dataset
from nni_nasoa.data.tasks import list_tasks
from nni_nasoa.plugin.advisor_args import AdvisorArgs
from nni_nasoa.plugin.class_args import EvolutionArgs
from nni_nasoa.plugin.evolution_tuner import EvolutionTuner
from nni_nasoa.plugin.search_trial import main as search_trial
from nni_nasoa.search.choices import architecture_space, search_space

FOLDER = Path(__file__).parents[2] / "experiment_configs"
CONFIGS = sorted(FOLDER.glob("*.yml"))


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture(
    params=[path for path in CONFIGS if path.stem.startswith("search")], ids=lambda path: path.stem
)
def config(request):
    """That of a search."""
    return yaml.safe_load(request.param.read_text())


@pytest.fixture(
    params=[path for path in CONFIGS if path.stem.startswith("finetune")], ids=lambda path: path.stem
)
def advised(request):
    """That of the advisor."""
    return yaml.safe_load(request.param.read_text())


def trial_options(config) -> dict:
    """The trial command's options, as the trial itself reads them."""
    python, dash_m, module, *arguments = shlex.split(config["trialCommand"])
    assert (Path(python).name, dash_m, module) == ("python", "-m", "nni_nasoa.plugin.search_trial")
    return search_trial.make_context("search_trial", arguments).params


def test_all_are_here():
    assert [path.stem for path in CONFIGS] == [
        "finetune",
        "finetune_remote",
        "finetune_stream",
        "search",
        "search_block",
        "search_frameworkcontroller",
        "search_gpu",
        "search_kubeflow",
        "search_macro",
        "search_nano",
        "search_remote",
    ]


def test_nni_accepts_it(path, tmp_path, monkeypatch):
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_rsa").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    loaded = ExperimentConfig.load(path)
    loaded.validate()
    canonical = loaded.canonical_copy()
    assert Path(canonical.tuner.code_directory) == Path(canonical.trial_code_directory) == FOLDER.resolve()
    assert canonical.json()["searchSpace"] == yaml.safe_load(path.read_text())["searchSpace"]


def test_its_search_space_is_what_its_candidates_give(config):
    space = config["searchSpace"]
    again = search_space(architecture_space(space))
    assert again == space and list(again) == list(space)


def test_the_tuner_accepts_its_arguments_in_its_search_space(config):
    args = dict(config["tuner"]["classArgs"])
    EvolutionArgs.parse(args)
    args.pop("blocks_from", None)  # the front of an earlier search
    tuner = EvolutionTuner(**args)
    tuner.update_search_space(config["searchSpace"])
    proposed = [tuner.generate_parameters(number)["architecture"] for number in range(30)]
    initial = [str(Architecture.parse(text)) for text in args.get("initial", ())]
    assert proposed[: len(initial)] == initial and len(set(proposed)) == 30


def test_the_trial_accepts_its_options_and_the_networks_fit_the_images(config):
    options = trial_options(config)
    assert options["architecture"] is None
    size = min(options["input_size"], options["speed_input_size"] or options["input_size"])
    rng, candidates = np.random.default_rng(0), architecture_space(config["searchSpace"])
    assert all(random_architecture(rng, candidates).total_stride <= size for _ in range(50))


def test_local_trials_use_no_more_than_two_cores():
    for name in ("search", "search_block", "search_macro", "search_nano"):
        config = yaml.safe_load((FOLDER / f"{name}.yml").read_text())
        assert trial_options(config)["threads"] * config["trialConcurrency"] == 2


@pytest.mark.parametrize("name", ["kubeflow", "frameworkcontroller"])
def test_a_pod_runs_what_the_image_has_and_has_room_for_it(name):
    config = ExperimentConfig.load(FOLDER / f"search_{name}.yml").canonical_copy()
    service = config.training_service
    (role,) = service.task_roles if name == "frameworkcontroller" else [service.master]
    assert service.reuse_mode and service.trial_command.startswith("python -m nni_nasoa.plugin.search_trial")
    assert service.trial_command.startswith(role.command)
    assert trial_options({"trialCommand": service.trial_command})["threads"] == role.cpu_number
    assert role.memory_size.endswith("gb") and service.storage.storage_type == "nfs"
    recipe = (FOLDER / "Dockerfile").read_text()
    assert role.docker_image in recipe
    copied = {word for line in recipe.splitlines() if line.startswith("COPY") for word in line.split()[1:-1]}
    assert all((FOLDER.parent / name).exists() for name in copied)


def test_the_quick_start_starts_with_the_classic_blocks_and_evaluates_at_least_thirty():
    config = yaml.safe_load((FOLDER / "search.yml").read_text())
    blocks = [str(Architecture.parse(text).block) for text in config["tuner"]["classArgs"]["initial"]]
    assert blocks == ["020-", "10001-", "14441-"] and config["maxTrialNumber"] >= 30


def test_the_macro_search_takes_what_the_block_search_writes():
    block, macro = ((FOLDER / f"search_{name}.yml").read_text() for name in ("block", "macro"))
    assert "nasoa report latest --output block-search" in block
    assert yaml.safe_load(macro)["tuner"]["classArgs"]["blocks_from"] == "../block-search/front.json"


def test_those_with_a_web_page_say_that_it_has_no_password(path):
    assert "password" in path.read_text()


def test_the_advisor_accepts_its_arguments_and_knows_its_datasets(advised):
    args = AdvisorArgs.parse(advised["tuner"]["classArgs"])
    assert all(Dataset(task.dataset).fingerprint for task in args.tasks) and advised["searchSpace"] == {}


def test_the_advisors_trial_is_told_everything(advised):
    python, *command = shlex.split(advised["trialCommand"])
    assert (Path(python).name, command) == ("python", ["-m", "nni_nasoa.plugin.finetune_trial"])


def test_the_streams_tasks_are_of_kinds_that_the_advisor_was_not_made_with():
    tasks = yaml.safe_load((FOLDER / "finetune_stream.yml").read_text())["tuner"]["classArgs"]["tasks"]
    drawn = [task["dataset"].partition(":")[2] for task in tasks if task["dataset"].startswith("task:")]
    assert len(set(drawn)) >= 4 and set(drawn) <= set(list_tasks(held_out=True))


def test_the_advisors_quick_start_is_short():
    config = yaml.safe_load((FOLDER / "finetune.yml").read_text())
    args = AdvisorArgs.parse(config["tuner"]["classArgs"])
    rounds = math.ceil((1 + args.alternatives) / config["trialConcurrency"])
    assert (
        args.tasks[0].dataset == "digits"
        and rounds * args.tasks[0].minutes <= 1.5
        and config["trialConcurrency"] * args.threads == 2
    )


def test_a_gpu_for_each_trial():
    config = yaml.safe_load((FOLDER / "search_gpu.yml").read_text())
    service, options = config["trainingService"], trial_options(config)
    assert (config["trialGpuNumber"], service["useActiveGpu"], service["maxTrialNumberPerGpu"]) == (
        1,
        False,
        1,
    )
    assert (options["input_size"], options["device"]) == (224, "cuda")
