"""A dataset of each form through the commands: fine-tuned, judged by its part to test on, advised on."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from fixtures.dataset_forms import FORMS, TEST, TRAIN

from nni_nasoa.cli import main
from nni_nasoa.cli.advise import advise


@pytest.fixture
def nasoa(tmp_path, monkeypatch, process_just_started):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NASOA_CACHE", str(tmp_path / "cache"))

    def run(*arguments, command=main):
        result = CliRunner().invoke(command, list(map(str, arguments)))
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_commands_take_it(nasoa, written, tiny, form):
    path = written(form)
    run = ("--dataset", path, "--minutes", 0.1, "--device", "cpu")
    done = nasoa("finetune", *run, "--model", tiny, "--weights", "none", "--input-size", 16, "-o", "out")
    assert done.exit_code == 0, done.output
    assert f"nasoa evaluate out {path}\n" in done.output and "the part test" in done.output
    judged = nasoa("evaluate", "out", path, "--json", "--device", "cpu")
    assert judged.exit_code == 0, judged.output
    found = json.loads(judged.stdout)
    assert (found["part"], found["images"]) == ("test", 2 * TEST) and found["accuracy"] >= 0.8
    held_back = json.loads(nasoa("evaluate", "out", path, "--json", "--part", "val").stdout)
    assert held_back["images"] == round(0.2 * TRAIN) * 2
    advised = nasoa(*run, "--zoo", "nano-a", "--json", command=advise)
    assert advised.exit_code == 0, advised.output
    found = json.loads(advised.stdout)
    assert found["dataset"] == path.name and str(path) in found["commands"][0]


def test_columns_are_options(nasoa, written, tiny, tmp_path):
    path = written("csv")
    path.write_text(path.read_text().replace("path,label,part", "where,species,fold"))
    there = path.rename(tmp_path / "elsewhere.csv")
    named = ("--path-column", "where", "--label-column", "species", "--part-column", "fold")
    rooted = (*named, "--root", path.parent)
    run = ("--dataset", there, "--model", tiny, "--weights", "none", "--input-size", 16, "--minutes", 0.05)
    done = nasoa("finetune", *run, *rooted, "-o", "out", "--device", "cpu")
    assert done.exit_code == 0, done.output
    spelled = f"{there}?path=where,label=species,part=fold"
    assert f"nasoa evaluate out '{spelled}' --root {path.parent}\n" in done.output
    for source, options in ((there, rooted), (spelled, ("--root", path.parent))):
        judged = nasoa("evaluate", "out", source, *options, "--json", "--device", "cpu")
        assert json.loads(judged.stdout)["images"] == 2 * TEST
    wrong = nasoa("evaluate", "out", there, "--label-column", "kind")
    assert wrong.exit_code == 1 and wrong.output.startswith(f"Error: {there}: no column of image paths (")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("none.csv",), "dataset: 'none.csv' cannot be opened (No such file or directory)"),
        (("digits", "--label-column", "x"), "dataset: 'digits' is no table, of which columns could be named"),
        (
            ("images.csv", "--path-column", "x"),
            "images.csv: no column 'x'; there are 'path', 'label', 'part'",
        ),
    ],
)
def test_what_is_wrong_is_one_line_before_any_work(nasoa, written, tiny, arguments, message, monkeypatch):
    monkeypatch.chdir(written("csv").parent)
    for command in (
        ("finetune", "--model", tiny, "--weights", "none", "--minutes", 0.1, "--dataset"),
        ("advise", "--minutes", 0.1, "--zoo", "nano-a", "--dataset"),
    ):
        done = nasoa(*command, *arguments)
        assert (done.exit_code, done.output) == (1, f"Error: {message}\n")
