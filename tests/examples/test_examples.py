"""The examples run as they stand, with little time, each in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from documents import EXAMPLES, ROOT

from nni_nasoa.advisor import ExperienceStore
from nni_nasoa.finetune import load_classifier

FOLDER = ROOT / "examples"


@pytest.fixture
def example(tmp_path):
    """A function that runs an example, and gives what it prints, or what it says of an error."""

    def run(name, *options, status=0):
        done = subprocess.run(
            [sys.executable, FOLDER / name, *map(str, options)],
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path), "NASOA_CACHE": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done.stderr if status else done.stdout

    return run


def percent(text, start):
    """The figure in per cent that follows a text."""
    return float(re.search(rf"{start}[^\n]*?([\d.]+) %", text)[1])


@pytest.mark.slow
@pytest.mark.alone
def test_own_images(example, tmp_path):
    said = example("own_images.py", "--minutes", 0.4)
    assert percent(said, "held back:") > 50 and percent(said, "digit-files/test:") > 50
    assert len(re.findall(r"^digit-files/test/\d/\d+\.png -> \d$", said, re.MULTILINE)) == 3
    assert load_classifier(tmp_path / "my-classifier").classes == tuple("0123456789")


@pytest.mark.slow
@pytest.mark.alone
def test_advise_and_finetune(example, tmp_path):
    store = tmp_path / "own.db"
    said = example("advise_and_finetune.py", "--minutes", 0.4, "--store", store)
    assert "own.db has 1 runs now" in said and "because" in said and percent(said, "\n") > 10
    with ExperienceStore(store) as opened:
        (record,) = opened.records()
    assert record.predicted is not None and record.task == "digits"


@pytest.mark.slow
def test_evaluate_and_serve(example, tmp_path):
    said = example("evaluate_and_serve.py", "--minutes", 0.2)
    assert percent(said, "accuracy") > 50 and "digit-files/test/0/" in said and "'label': '0'" in said
    assert "<html" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.alone
def test_own_model_family(example):
    said = example("own_model_family.py", "--minutes", 0.3)
    assert re.search(r"advised: plain-(16|32) of plain-16, plain-32", said)
    assert percent(said, "\n") > 20


@pytest.mark.slow
def test_shared_store(example, tmp_path):
    example("shared_store.py", "--store", tmp_path / "team.db", "--minutes", 0.15)
    with ExperienceStore(tmp_path / "team.db") as opened:
        assert {record.model for record in opened.records()} == {"nano-a", "nano-b"}


@pytest.mark.slow
@pytest.mark.alone
def test_the_notebook_has_a_bar_and_predictions(tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("MINUTES", "0.4")
    notebook = nbformat.read(FOLDER / "estimator.ipynb", 4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # nothing that was not just computed
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    _, fitted, told, predicted = (cell for cell in notebook.cells if cell.cell_type == "code")
    bar, *decoding = (output for output in fitted.outputs if output.output_type == "display_data")
    assert all("decoding" in output.data["text/plain"] for output in decoding)
    assert re.search(r'<progress max="1" value="[01]\.\d+"></progress>', bar.data["text/html"])
    assert re.match(r"\d:\d\d\.\d / 0:[012]\d\.\d  (loss \d+\.\d+  )?val \d+\.\d+%$", bar.data["text/plain"])
    text = "".join(output.text for output in told.outputs)
    assert "FineTuneRegime(model=" in text and "test " in text
    assert predicted.outputs[0].data["text/plain"].count("array(") == 2


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("own_images.py", ["--train", "nowhere"], "nowhere"),
        ("advise_and_finetune.py", ["--minutes", -1], "-1"),
        ("evaluate_and_serve.py", ["--classifier", "nowhere", "--test", "."], "nowhere"),
        ("own_model_family.py", ["--dataset", "digitz"], "digitz"),
    ],
)
def test_what_is_wrong_is_one_line(example, name, options, message):
    said = example(name, *options, status=1)
    assert said.startswith("error: ") and message in said and said.count("\n") == 1


def test_each_is_in_the_table():
    listed = {row[0] for row in EXAMPLES.rows("example | what it shows")}
    scripts = {path.name for path in FOLDER.glob("*.py")} - {"digit_files.py"}
    assert listed == scripts | {path.name for path in FOLDER.glob("*.ipynb")}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_its_help_says_how_to_run_it(path):
    if path.name != "digit_files.py":
        assert f"python examples/{path.name}" in path.read_text().partition('"""')[2].partition('"""')[0]
