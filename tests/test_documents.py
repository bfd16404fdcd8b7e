"""What the project's Markdown files say of files, commands, code and configs is so."""

import ast
import importlib
import re
import shlex
from itertools import pairwise

import click
import pytest
import yaml
from documents import CONFIGS, DOCUMENTS, EXAMPLES, ROOT

from nni_nasoa.advisor.models import models_of
from nni_nasoa.cli import main as nasoa
from nni_nasoa.cli.advise import advise
from nni_nasoa.plugin.advisor_args import AdvisorArgs
from nni_nasoa.plugin.class_args import EvolutionArgs
from nni_nasoa.plugin.finetune_trial import main as finetune_trial
from nni_nasoa.plugin.search_trial import main as search_trial
from nni_nasoa.training.regime import FineTuneRegime

COMMANDS = {
    "nasoa": nasoa,
    "nasoa-advise": advise,
    "nni_nasoa.cli": nasoa,
    "nni_nasoa.plugin.search_trial": search_trial,
    "nni_nasoa.plugin.finetune_trial": finetune_trial,
}
YML = sorted((ROOT / "experiment_configs").glob("*.yml"))


@pytest.fixture(params=DOCUMENTS, ids=lambda document: document.name)
def document(request):
    return request.param


def anchors(text):
    """The names that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands_in(text):
    """The command lines of this package in a Markdown file or in a config's comments, each as its words.

    Those of fenced blocks, with or without a prompt, those between backquotes, and indented ones of comments.
    """
    fenced = re.findall(r"^```(?:bash|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in fenced for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    lines += re.findall(r"^#     (\S.*)$", text, re.MULTILINE)
    for line in lines:
        for step in re.split(r"&&|\|", line.removeprefix("$ ")):
            try:
                words = shlex.split(step, comments=True)
            except ValueError:  # an apostrophe: it is no command
                continue
            while words and words[0] not in COMMANDS and words[0] in ("python", "torchrun", "-m"):
                words = words[words.index("-m") + 1 :] if "-m" in words else []
            if words and words[0] in COMMANDS:
                yield words


def check(words):
    """Fail where a command does not take these words."""
    command, rest = COMMANDS[words[0]], words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        assert name in command.commands, f"{' '.join(words)}: no command {name}"
        command = command.commands[name]
    options = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    unknown = [
        word for word in rest if word.startswith("--") and word.partition("=")[0] not in {*options, "--help"}
    ]
    assert not unknown, f"{' '.join(words)}: no option {unknown[0]}"


def test_the_files_that_it_names_are_there(document):
    linked = re.findall(r"\]\((?!http|#)([^)#]+)(?:#[^)]*)?\)", document.text)
    named = set(
        re.findall(r"(?<![\w/])(?:experiment_configs|examples|tests|nni_nasoa)/[\w/.-]*\w", document.text)
    )
    named |= {
        f"experiment_configs/{name}" for name in re.findall(r"\b(?:search|finetune)\w*\.yml", document.text)
    }
    missing = [name for name in linked if not (document.path.parent / name).exists()]
    missing += [
        name for name in named if not (ROOT / name).exists() and not (document.path.parent / name).exists()
    ]
    assert len(linked) + len(named) > 2 and missing == []


def test_its_links_lead_to_headings_that_there_are(document):
    for path, anchor in re.findall(r"\]\((?!http)([^)#]*)#([^)]+)\)", document.text):
        target = document.path.parent / path if path else document.path
        assert anchor in anchors(target.read_text(encoding="utf-8")), f"{path}#{anchor}"


def test_its_commands_are_taken(document):
    for words in commands_in(document.text):
        check(words)


@pytest.mark.parametrize("path", YML, ids=lambda path: path.stem)
def test_the_commands_in_the_comments_of_a_config_are_taken(path):
    for words in commands_in(path.read_text(encoding="utf-8")):
        check(words)


def test_commands_are_found_and_wrong_ones_are_told():
    found = [words for document in DOCUMENTS for words in commands_in(document.text)]
    assert len(found) > 30 and {words[0] for words in found} >= {"nasoa", "nasoa-advise", "nni_nasoa.cli"}
    for wrong in (
        "nasoa finetun --dataset digits",
        "nasoa finetune --datasets digits",
        "nasoa-advise --hours 1",
    ):
        with pytest.raises(AssertionError, match=r"no (command|option)"):
            check(wrong.split())


def test_its_python_imports_what_there_is(document):
    for block in document.blocks("python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("nni_nasoa"):
                for name in node.names:
                    getattr(importlib.import_module(node.module), name.name)


def test_there_is_python_to_check():
    assert (
        sum(block.count("from nni_nasoa") for document in DOCUMENTS for block in document.blocks("python"))
        >= 4
    )


def test_its_tuner_is_one_that_the_tuner_accepts():
    (tuner,) = (yaml.safe_load(block)["tuner"] for block in CONFIGS.blocks("yaml") if "tuner:" in block)
    assert tuner["className"] == "nni_nasoa.plugin.evolution_tuner.EvolutionTuner"
    EvolutionArgs.parse(tuner["classArgs"])


def test_all_arguments_of_the_tuners_are_explained():
    def explained(heading):
        return {name for row in CONFIGS.rows(heading) for name in re.findall(r"\w+", row[0])}

    assert explained("classArgs | default") == set(EvolutionArgs.__dataclass_fields__)
    assert explained("classArgs of the advisor | default") == {
        "dataset",
        "minutes",
        *AdvisorArgs.__dataclass_fields__,
    }


def test_all_settings_of_a_run_are_explained_with_their_defaults():
    regime = FineTuneRegime("nano-a")
    defaults = {row[0]: row[1] for row in EXAMPLES.rows("setting | default")}
    assert list(defaults) == list(FineTuneRegime.__dataclass_fields__)
    for name, default in defaults.items():
        if name not in ("model", "input_size"):  # which have none, or the model's
            assert type(getattr(regime, name))(default) == getattr(regime, name), name


def test_all_configs_are_explained():
    listed = {
        name for row in CONFIGS.rows("config | what it does") for name in re.findall(r"[\w.]+\.yml", row[0])
    }
    assert listed == {path.name for path in YML}


def test_the_models_that_it_names_are_in_the_zoo(document):
    for words in commands_in(document.text):
        for option, value in pairwise(words):
            if option in ("--model", "--zoo") and value not in ("mynet", "timm/NAME"):
                assert models_of(value)
