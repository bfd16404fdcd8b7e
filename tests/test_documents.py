"""What the project's Markdown files say of files, commands, code and configs is so."""

import ast
import importlib
import re
import shlex
import subprocess
import sys
from itertools import pairwise

import click
import pytest
import yaml
from documents import CHANGELOG, CONFIGS, CONTRIBUTING, DOCUMENTS, EXAMPLES, ROOT
from PIL import Image

from nni_nasoa import __version__
from nni_nasoa.advisor.models import MOST_MODELS, models_of
from nni_nasoa.architecture import Architecture
from nni_nasoa.cli import main as nasoa
from nni_nasoa.cli.advise import advise
from nni_nasoa.data import dataset_names
from nni_nasoa.data.readers import reader_names
from nni_nasoa.data.tasks import list_tasks
from nni_nasoa.plugin.advisor_args import AdvisorArgs
from nni_nasoa.plugin.class_args import EvolutionArgs
from nni_nasoa.plugin.finetune_trial import main as finetune_trial
from nni_nasoa.plugin.search_trial import SearchTrialSettings, evaluate
from nni_nasoa.plugin.search_trial import main as search_trial
from nni_nasoa.plugin.trial_result import TrialResult
from nni_nasoa.training.regime import FineTuneRegime
from nni_nasoa.zoo import get, list_models

COMMANDS = {
    "nasoa": nasoa,
    "nasoa-advise": advise,
    "nni_nasoa.cli": nasoa,
    "nni_nasoa.plugin.search_trial": search_trial,
    "nni_nasoa.plugin.finetune_trial": finetune_trial,
}
PACKAGE = ROOT / "nni_nasoa"
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


@pytest.mark.parametrize("document", [CONFIGS, CONTRIBUTING], ids=lambda document: document.name)
def test_its_tuner_is_one_that_the_tuner_accepts(document):
    (tuner,) = (yaml.safe_load(block)["tuner"] for block in document.blocks("yaml") if "tuner:" in block)
    assert tuner["className"] == "nni_nasoa.plugin.evolution_tuner.EvolutionTuner"
    EvolutionArgs.parse(tuner["classArgs"])


def test_the_modules_that_it_names_are_there(document):
    named = set(re.findall(r"`((?:\w+/)+\w+\.py)`", document.text))
    places = (ROOT, ROOT / "nni_nasoa", document.path.parent)
    assert [name for name in named if not any((place / name).exists() for place in places)] == []


def test_each_room_is_explained():
    rooms = {path.name + "/" for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    modules = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    explained = [row[0] for row in CONTRIBUTING.rows("room | question")]
    assert sorted(explained) == sorted(rooms | modules)


def test_rooms_import_from_those_above_them_alone():
    """The table is in the order that the contract of import-linter has."""
    contracts = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    layers = re.search(r'id = "layers".*?^layers = \[\n(.*?)^\]', contracts, re.MULTILINE | re.DOTALL)[
        1
    ].splitlines()
    level = {room: -number for number, layer in enumerate(layers) for room in re.findall(r"\w+", layer)}
    explained = [row[0].removesuffix("/").removesuffix(".py") for row in CONTRIBUTING.rows("room | question")]
    levels = [level[room] for room in explained]
    assert levels == sorted(levels)


def test_the_family_that_it_shows_can_be_fine_tuned():
    (family,) = (block for block in CONTRIBUTING.blocks("python") if "register_family" in block)
    uses = """
from nni_nasoa.finetune import FineTuneRegime, finetune

result = finetune("digits", FineTuneRegime("toy-s", frozen_stages=1), 0.1, weights=None)
print(len(result.classifier.classes), result.regime.input_size)
"""
    done = subprocess.run([sys.executable, "-c", family + uses], check=False, capture_output=True, text=True)
    assert done.stdout == "10 32\n", done.stderr


def test_the_reader_that_it_shows_reads_a_dataset(tmp_path):
    (reader,) = (block for block in CONTRIBUTING.blocks("python") if "register_reader" in block)
    for number in range(8):
        Image.new("RGB", (9, 9), (30 * number, 0, 0)).save(tmp_path / f"{number}.png")
    lines = [f"{number}.png {'ab'[number % 2]}" for number in range(8)]
    (tmp_path / "images.lst").write_text("\n".join(lines))
    uses = f"""
from nni_nasoa.data import Dataset

print(len(Dataset({str(tmp_path / "images.lst")!r}).open(8).train))
"""
    command = [sys.executable, "-W", "ignore", "-c", reader + uses]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.stdout == "6\n", done.stderr


def test_the_forms_of_datasets_are_those_that_there_are():
    forms = {row[0].lower().replace(" ", "") for row in EXAMPLES.rows("form | given as")}
    assert forms == {name.replace("dataframe", "pandas") for name in reader_names()}


def test_the_metrics_of_a_search_are_those_that_a_trial_reports():
    settings = SearchTrialSettings(epochs=1, input_size=16, speed_repeats=3, threads=0)
    reported = evaluate(Architecture.parse("2-_8_1-2"), settings)
    rows = CONFIGS.rows("a trial of a search reports")
    assert {name for row in rows for name in re.findall(r"\w+", row[0])} == set(reported)


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
        if name not in (
            "model",
            "input_size",
            "geometry",
        ):  # which have none, or the model's or the dataset's
            assert type(getattr(regime, name))(default) == getattr(regime, name), name


def test_as_many_datasets_and_models_as_it_says():
    named = len(dataset_names()) - len(("digits", "fractals"))
    assert f"`cifar10`, `flowers102`, `food101` and {named - 3} more of torchvision" in EXAMPLES.words
    assert f"`task:NAME`: {len(list_tasks())} small tasks" in EXAMPLES.words
    assert f"separated by commas ({MOST_MODELS} at most)" in EXAMPLES.words
    families = {row[0] for row in EXAMPLES.rows("family | models")}
    assert families - {"front files"} == {*(get(name).family for name in list_models()), "timm", "searched"}


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


def test_the_metrics_of_the_advice_are_those_that_a_trial_reports(make_record):
    reported = TrialResult("1-digits-1", "digits", 0.5, 0.9, 29.5, "folder", make_record()).to_metrics()
    rows = CONFIGS.rows("a trial of the advice reports")
    named = {name for row in rows for name in re.findall(r"`(\w+)`", f"`{row[0]}`")}
    assert named | set(FineTuneRegime.__dataclass_fields__) == set(reported)


def test_one_version_stands_everywhere():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    released = re.findall(r"^## \[(\d[\d.]*)\]", CHANGELOG.text, re.MULTILINE)
    assert cited["version"] == released[0] == __version__


def test_the_modules_that_moved_are_where_the_changelog_says():
    for before, now in CHANGELOG.rows("before | now"):
        for text, there in ((before, False), (now, True)):
            start = ""
            for name in text.split(", "):
                start = start if (name := name.strip("`")).startswith(".") else name.rpartition(".")[0]
                whole = start + name if name.startswith(".") else name
                assert is_there(whole) == there, whole


def is_there(name):
    """Whether there is a module of this name, or something of this name in a module."""
    if (path := ROOT / name.replace(".", "/")).is_dir() or path.with_suffix(".py").is_file():
        return True
    module, _, attribute = name.rpartition(".")
    return is_there(module) and hasattr(importlib.import_module(module), attribute)
