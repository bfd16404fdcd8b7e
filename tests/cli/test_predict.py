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
from nni_nasoa.finetune.loading import load_classifier

LONG = "a class with a name that is much longer than any column of a terminal could be in all likelihood"
CLASSES = (LONG, "Hund", "evil\x1b[2J\rname")


@pytest.fixture
def folder(saved_classifier):
    return saved_classifier(CLASSES)


@pytest.fixture
def photos(tmp_path):
    """Three images in a folder and in one within it, and what is none."""
    (tmp_path / "photos" / "deeper").mkdir(parents=True)
    for number, name in enumerate(("a.png", "deeper/b.PNG", "deeper/new\nline.png")):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "notes.txt").write_text("none")
    (tmp_path / "photos" / ".hidden.png").write_text("none")
    (tmp_path / "photos" / "deeper" / "up").symlink_to(tmp_path / "photos")
    return tmp_path / "photos"


@pytest.fixture
def predict(folder):
    def run(*arguments, **options):
        words = ["predict", str(folder), *map(str, arguments), "--device", "cpu"]
        return CliRunner().invoke(main, words, **options)

    return run


def test_a_folder_gives_a_line_for_each_image_below_it_and_nothing_is_cut(predict, photos, folder):
    done = predict(photos, "-k", 3)
    assert done.exit_code == 0 and "3 images, passed over: 1 file (1 .txt)" in done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    names = ["a.png", "deeper/b.PNG", "deeper/new\\nline.png"]
    assert [line[0] for line in lines] == [f"{photos}/{name}" for name in names]
    first = load_classifier(folder).predict(photos / "a.png", 3)[0]
    shown = [label.replace("\x1b", "\\x1b").replace("\r", "\\r") for label, _ in first]
    assert lines[0][1:] == [f"{name} {100 * one.probability:.1f} %" for name, one in zip(shown, first)]


def test_names_come_from_standard_input_and_so_does_an_image(predict, photos):
    names = f"{photos}/a.png\n\n{photos}/deeper/b.PNG\n".encode()
    lines = predict("-", input=names).stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == [f"{photos}/a.png", f"{photos}/deeper/b.PNG"]
    odd = f"{photos}/deeper/new\nline.png\0{photos}/a.png\0".encode()
    entries = json.loads(predict("-", "--json", input=odd).stdout)
    assert [one["image"] for one in entries] == [f"{photos}/deeper/new\nline.png", f"{photos}/a.png"]
    (itself,) = json.loads(predict("-", "--json", input=(photos / "a.png").read_bytes()).stdout)
    assert itself["image"] == "standard input"
    assert [one["label"] for one in itself["predictions"]] == [
        one["label"] for one in entries[1]["predictions"]
    ]


def test_csv_has_a_row_for_each_image_and_says_what_is_broken(predict, photos):
    (photos / "broken.png").write_bytes(b"\x89PNG")
    done = predict(photos, "none.png", "--csv", "-k", 2)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert list(rows[0]) == ["image", "rejected", "error", "label", "probability", "label_2", "probability_2"]
    assert [row["image"].rpartition("/")[2] for row in rows] == [
        "a.png",
        "broken.png",
        "b.PNG",
        "new\\nline.png",
        "none.png",
    ]
    assert done.exit_code == 1 and [bool(row["error"]) for row in rows] == [False, True, False, False, True]
    assert all(bool(row["label"]) is not bool(row["error"]) for row in rows)
    told = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(told) == 2 and "broken.png: cannot be read as an image" in told[0] and "none.png" in told[1]


def test_improbable_classes_are_rejected(predict, photos):
    entries = json.loads(predict(photos, "--json").stdout)
    best = sorted(entry["predictions"][0]["probability"] for entry in entries)
    least = (best[0] + best[1]) / 2
    after = json.loads(predict(photos, "--json", "--reject-below", least).stdout)
    assert sum(entry.get("rejected", False) for entry in after) == 1
    assert predict(photos, "--reject-below", least).stdout.count("\trejected\t") == 1
    assert predict(photos, "--reject-below", 1.5).exit_code == 2
    rows = csv.DictReader(io.StringIO(predict(photos, "--reject-below", least, "--csv").stdout))
    assert sorted(row["rejected"] for row in rows) == ["false", "false", "true"]


def test_pipes_are_told_and_the_rest_is_done(predict, photos):
    os.mkfifo(photos / "pipe.png")
    done = predict(photos)
    assert done.exit_code == 1 and len(done.stdout.splitlines()) == 3
    assert done.stderr.endswith("pipe.png: cannot be read as an image (not a file)\n")


@pytest.mark.parametrize(
    "arguments, words",
    [(["--json", "--csv", "a.png"], "--json and --csv: give one of them"), (["-"], "no images: give files")],
)
def test_what_is_wrong_is_one_line(predict, arguments, words):
    done = predict(*arguments, input=b"")
    assert done.exit_code and words in done.stderr and done.stderr.count("\n") == 1


def test_in_a_terminal_nothing_is_cut_off_and_no_control_character_gets_there(folder, photos):
    """A real terminal of 80 columns."""
    leader, follower = pty.openpty()
    words = [sys.executable, "-m", "nni_nasoa.cli", "predict", str(folder), str(photos), "--device", "cpu"]
    environment = os.environ | {"COLUMNS": "80", "TERM": "dumb"}
    process = subprocess.Popen(words, stdout=follower, stderr=subprocess.DEVNULL, env=environment)
    os.close(follower)
    said = b""
    try:
        while part := os.read(leader, 65536):
            said += part
    except OSError:  # the other end is closed
        pass
    assert process.wait() == 0
    os.close(leader)
    text = said.decode().replace("\r\n", "\n")
    plain = re.sub(r"\x1b\[[\d;]*m", "", text)
    assert "\x1b" not in plain and "\r" not in plain and "evil\\x1b[2J\\rname" in plain
    assert max(map(len, plain.splitlines())) <= 80
    assert plain.count(".") >= 9  # percentages of three classes for each of three images
    assert re.sub(r"\s", "", LONG) in re.sub(r"\s", "", _column(plain))


def _column(plain):
    """What stands in the column of classes."""
    heading = next(line for line in plain.splitlines() if "class" in line and "image" in line)
    start, end = heading.index("class"), heading.index("%")
    return "".join(line[start : end - 4] for line in plain.splitlines())
