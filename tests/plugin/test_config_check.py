"""classArgs are checked in nnictl itself, through an entry point that the installed package
has (see pyproject.toml).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from nni.experiment.config import AlgorithmConfig, CustomAlgorithmConfig, ExperimentConfig

from nni_nasoa.plugin import config_check

CLASS = "nni_nasoa.plugin.evolution_tuner.EvolutionTuner"
MISSPELT = "EvolutionTuner: classArgs: unknown argument 'population_siz'; did you mean 'population_size'?"


def config(tuner) -> ExperimentConfig:
    made = ExperimentConfig("local")
    made.trial_command, made.trial_concurrency, made.search_space, made.tuner = "true", 1, {}, tuner
    return made


@pytest.mark.parametrize(
    "kind, options",
    [
        (CustomAlgorithmConfig, {"class_name": CLASS}),
        (AlgorithmConfig, {"name": "NasoaEvolution"}),
        (AlgorithmConfig, {"name": "nasoaevolution"}),
    ],
)
def test_a_config_made_in_python_is_checked_when_it_is_validated(kind, options):
    with pytest.raises(ValueError, match=re.escape(MISSPELT)) as raised:
        config(kind(**options, class_args={"population_siz": 12})).validate()
    assert str(raised.value) == MISSPELT
    config(kind(**options, class_args={"population_size": 12})).validate()
    config(kind(**options)).validate()


ADVISOR = "nni_nasoa.plugin.advisor_tuner.OnlineAdvisor"
NO_MINUTES = "OnlineAdvisor: classArgs: minutes is missing: the budget of a run"


@pytest.mark.parametrize(
    "kind, options",
    [(CustomAlgorithmConfig, {"class_name": ADVISOR}), (AlgorithmConfig, {"name": "NasoaAdvisor"})],
)
def test_the_advisors_arguments_are_checked_too(kind, options):
    with pytest.raises(ValueError, match=re.escape(NO_MINUTES)) as raised:
        config(kind(**options, class_args={"dataset": "digits"})).validate()
    assert str(raised.value) == NO_MINUTES
    config(kind(**options, class_args={"dataset": "digits", "minutes": 2})).validate()


@pytest.mark.slow
def test_nnictl_says_what_is_wrong_with_the_advisors(nnictl, reduced_config, tmp_path, find_free_port):
    wrong = reduced_config("finetune.yml", tmp_path)
    del wrong["tuner"]["classArgs"]["minutes"]
    (tmp_path / "wrong.yml").write_text(yaml.safe_dump(wrong))
    ended = nnictl("create", "--config", tmp_path / "wrong.yml", "--port", find_free_port(), check=False)
    assert (ended.stdout, ended.returncode) == (NO_MINUTES + "\n", 1)
    assert not (nnictl.home / "nni-experiments").exists()


@pytest.mark.parametrize(
    "tuner",
    [
        AlgorithmConfig(name="TPE", class_args={"population_siz": 12}),
        CustomAlgorithmConfig(class_name="elsewhere.EvolutionTuner", class_args={"population_siz": 12}),
    ],
)
def test_tuners_of_others_are_left_alone(tuner):
    config(tuner).validate()


@pytest.mark.parametrize("origin_type", [int, None, dict, "text", type("_AlgorithmConfig", (), {})])
def test_other_types_are_left_to_typeguard(origin_type):
    assert config_check.lookup_checker(origin_type, (), ()) is None


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--foreground",)])
@pytest.mark.parametrize("named", [False, True])
def test_nnictl_says_in_one_line_what_is_wrong_and_starts_nothing(
    nnictl, reduced_config, tmp_path, find_free_port, named, options
):
    wrong = reduced_config("search.yml", tmp_path)
    wrong["tuner"]["classArgs"]["population_siz"] = wrong["tuner"]["classArgs"].pop("population_size")
    if named:
        nnictl("algo", "register", "--meta", Path(config_check.__file__).parent / "algorithms.yml")
        wrong["tuner"] = {"name": "NasoaEvolution", "classArgs": wrong["tuner"]["classArgs"]}
    (tmp_path / "wrong.yml").write_text(yaml.safe_dump(wrong))
    ended = nnictl(
        "create", "--config", tmp_path / "wrong.yml", "--port", find_free_port(), *options, check=False
    )
    assert (ended.stdout, ended.returncode) == (MISSPELT + "\n", 1)
    assert not (nnictl.home / "nni-experiments").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"classArgs": {1: 2}}, "EvolutionTuner: classArgs: unknown argument '1'; there are objectives, "),
        ({"classArgs": [1]}, "type of class_args"),
        ({"klassArgs": {}}, "does not have field(s) klassargs"),
    ],
)
def test_what_is_wrong_around_the_arguments_is_said_too(
    nnictl, plain_config, tmp_path, find_free_port, wrong, says
):
    tuner = {"className": CLASS, "codeDirectory": str(tmp_path), **wrong}
    (tmp_path / "wrong.yml").write_text(yaml.safe_dump(plain_config(tuner)))
    ended = nnictl("create", "--config", tmp_path / "wrong.yml", "--port", find_free_port(), check=False)
    assert ended.returncode == 1 and says in ended.stdout.splitlines()[-1]
    assert not (nnictl.home / "nni-experiments").exists()
