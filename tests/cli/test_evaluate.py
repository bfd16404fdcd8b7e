from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from nni_nasoa.cli import main
from nni_nasoa.evaluation import evaluate
from nni_nasoa.finetune.loading import load_classifier

CLASSES = ("a class whose name is longer than what is left of the line in a terminal", "b\x1b[2J", "c")


@pytest.fixture
def folder(saved_classifier):
    return saved_classifier(CLASSES)


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for label in CLASSES:
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(5):
            pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def nasoa(folder, photos):
    def run(*arguments):
        words = ["evaluate", str(folder), *map(str, arguments or [photos]), "--device", "cpu"]
        return CliRunner().invoke(main, words)

    return run


def test_json_is_what_python_gives(nasoa, folder, photos):
    said = json.loads(nasoa(photos, "--json").stdout)
    expected = evaluate(load_classifier(folder), photos).to_json()
    assert said["confusion"] == expected["confusion"] and said["images"] == 15
    assert said["log_loss"] == pytest.approx(expected["log_loss"])


def test_csv_has_a_row_for_each_class(nasoa, photos):
    rows = list(csv.DictReader(io.StringIO(nasoa(photos, "--csv").stdout)))
    assert [row["class"] for row in rows] == [CLASSES[0], "b\\x1b[2J", "c"]
    assert [row["support"] for row in rows] == ["5"] * 3


def test_into_a_pipe_goes_a_line_for_each_item(nasoa, photos):
    done = nasoa(photos)
    assert done.exit_code == 0
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    kinds = [line[0] for line in lines]
    assert kinds[:6] == [
        "dataset",
        "accuracy",
        "balanced_accuracy",
        "macro_f1",
        "log_loss",
        "calibration_error",
    ]
    assert kinds.count("class") == 3 and "confusion" in kinds and "\x1b" not in done.stdout
    assert {line[1] for line in lines if line[0] == "class"} == {CLASSES[0], "b\\x1b[2J", "c"}


def test_images_are_written_to_a_file(nasoa, photos, tmp_path):
    nasoa(photos, "--images", tmp_path / "images.csv")
    with open(tmp_path / "images.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15 and list(rows[0]) == [
        "image",
        "label",
        "predicted",
        "probability",
        "probability_of_label",
    ]
    right = sum(row["label"] == row["predicted"] for row in rows)
    assert f"accuracy\t{right / 15:.4f}" in nasoa(photos).stdout


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["photo"], "'photo' is neither a folder nor a known name"),
        (["digits"], "none of its classes is one of the classifier's"),
        (["digits", "--json", "--csv"], "--json and --csv: give one of them"),
        (["digits", "--images", "no/such/file.csv"], "there is no folder no/such"),
        (["digits", "--val-fraction", 2], "val_fraction: 2.0 is not between 0 and 1"),
    ],
)
def test_what_is_wrong_is_one_line(nasoa, arguments, words):
    done = nasoa(*arguments)
    assert done.exit_code in (1, 2) and words in done.stderr and done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_no_classifier_is_one_line(tmp_path):
    done = CliRunner().invoke(main, ["evaluate", str(tmp_path), "digits"])
    assert done.exit_code == 1 and "no classifier here" in done.output and done.output.count("\n") == 1


def test_in_a_terminal_it_fits_80_columns(folder, photos):
    leader, follower = pty.openpty()
    words = [sys.executable, "-m", "nni_nasoa.cli", "evaluate", str(folder), str(photos), "--device", "cpu"]
    environment = os.environ | {"COLUMNS": "80", "TERM": "dumb"}
    process = subprocess.Popen(words, stdout=follower, stderr=subprocess.DEVNULL, env=environment)
    os.close(follower)
    said = b""
    try:
        while part := os.read(leader, 65536):
            said += part
    except OSError:  # the other end is closed
        pass
    os.close(leader)
    assert process.wait() == 0
    plain = re.sub(r"\x1b\[[\d;]*m", "", said.decode()).replace("\r\n", "\n")
    table = [line for line in plain.splitlines() if "taken for" not in line]
    assert max(map(len, table)) <= 85  # the line of all figures, which does not depend on names
    assert "\x1b" not in plain and "\r" not in plain and "15 images right" in plain
    assert "precision" in plain and "F1" in plain


def test_a_page_is_written_with_the_run_that_lies_beside_the_classifier(nasoa, photos, folder, tmp_path):
    lines = [json.dumps({"elapsed": 1.0 + step, "val_accuracy": 0.5, "best": True}) for step in range(3)]
    (folder / "evaluations.jsonl").write_text("\n".join([*lines, '{"torn']))
    done = nasoa(photos, "--report", tmp_path / "page.html")
    assert done.exit_code == 0 and f"page written to {tmp_path / 'page.html'}" in done.stderr
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count('<circle class="dot best"') == 3 and "15 images told right" in text


def test_where_a_page_cannot_be_written_nothing_is_done(nasoa, photos, tmp_path):
    done = nasoa(photos, "--report", tmp_path / "none" / "page.html")
    assert done.exit_code == 1 and "there is no folder" in done.stderr and done.stdout == ""
