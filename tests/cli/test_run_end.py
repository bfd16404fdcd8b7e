"""What commands say of a run that has ended, and how they try it on the part to test on."""

from __future__ import annotations

import re
import time
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from nni_nasoa.cli import main
from nni_nasoa.cli.advise import advise
from nni_nasoa.cli.run_end import report
from nni_nasoa.data import Dataset
from nni_nasoa.finetune import FineTuneRegime, Outcome, StopReason, finetune, load_classifier

TESTED = 30  # images of the part to test on


@pytest.fixture
def photos(tmp_path, monkeypatch, process_just_started):
    """A folder with train/ and test/, whose images are dark or light."""
    monkeypatch.setenv("NASOA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for part, number in (("train", 40), ("test", TESTED // 2)):
        for label, level in (("dark", 60), ("light", 190)):
            (tmp_path / "my set" / part / label).mkdir(parents=True)
            for name in range(number):
                pixels = rng.normal(level, 20, (20, 20, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / "my set" / part / label / f"{name}.png")
    return tmp_path / "my set"


@pytest.fixture
def ended(photos):
    """What is said of a run that has taken so many seconds of its budget and ended just now."""
    result = finetune(photos, FineTuneRegime("nano-a", input_size=32, frozen_stages=4), 0.1, device="cpu")

    def made(budget, seconds):
        return SimpleNamespace(
            seconds=seconds,
            budget=budget,
            notes=("a note",),
            accuracy=0.5,
            epochs=1.0,
            outcome=Outcome(StopReason.BUDGET),
            folder="out",
            regime=FineTuneRegime("m"),
            classifier=result.classifier,
        )

    return made


def test_who_ends_late_says_so(ended, capsys):
    report(ended(9.0, 8.5), deadline=time.monotonic() - 2)
    assert re.search(
        r"^note: the command ended 2\.\d+ s after its deadline$", capsys.readouterr().out, re.MULTILINE
    )
    report(ended(9.0, 8.5), deadline=time.monotonic() + 60)
    assert "after its deadline" not in capsys.readouterr().out


def test_with_time_left_the_part_to_test_on_is_tried(ended, photos, capsys):
    report(ended(9.0, 8.5), deadline=time.monotonic() + 60, dataset=Dataset(photos))
    *_, tried, more = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"test/: [\d.]+ % of {TESTED} test images right \([\d.]+ to [\d.]+\)", tried)
    assert more == f"more about it: nasoa evaluate out '{photos}'"


def test_without_time_it_is_said_how_to_test(ended, photos, capsys):
    report(ended(9.0, 8.5), deadline=time.monotonic() + 0.1, dataset=Dataset(photos))
    line = f"test/ was left alone; to test on it: nasoa evaluate out '{photos}'"
    assert capsys.readouterr().out.splitlines()[-1] == line
    (photos / "test").rename(photos / "val")
    report(ended(9.0, 8.5), deadline=time.monotonic() + 60, dataset=Dataset(photos))
    assert capsys.readouterr().out.splitlines()[-1] == "written to out"


def test_images_that_take_for_ever_hold_nobody_up(ended, photos, slow_images, capsys):
    begin, told = time.monotonic(), ended(9.0, 8.5)
    report(told, deadline=begin + 2, dataset=Dataset(photos))
    assert time.monotonic() - begin < 3 and "test/ was left alone" in capsys.readouterr().out


def test_all_are_tried_where_that_is_asked_for_however_late_it_is(ended, photos, capsys):
    report(ended(9.0, 8.5), deadline=time.monotonic() - 2, dataset=Dataset(photos), test=True)
    assert f"% of {TESTED} test images right" in capsys.readouterr().out


@pytest.mark.alone
@pytest.mark.parametrize("options", [(), ("--frozen-stages", 4)])
def test_a_run_is_tested_within_its_minutes(photos, process_just_started, options):
    words = ["finetune", "--dataset", photos, "--model", "nano-a", "--input-size", 32, "--minutes", 0.2]
    words += ["-o", "out", "--no-record", "--device", "cpu", *options]
    begin = time.monotonic()
    done = CliRunner().invoke(main, list(map(str, words)))
    assert time.monotonic() - begin <= 12 and done.exit_code == 0, done.output
    assert re.search(rf"^test/: \d+\.\d % of {TESTED} test images right", done.output, re.MULTILINE)
    assert sorted(load_classifier("out").classes) == ["dark", "light"]


@pytest.mark.parametrize("command", ["finetune", "advise"])
def test_what_there_is_not_cannot_be_tested_on(photos, command):
    (photos / "test").rename(photos / "val")
    words = ["--dataset", str(photos), "--minutes", "1", "--test"]
    words += ["--model", "nano-a"] if command == "finetune" else ["--run"]
    done = CliRunner().invoke(*((main, ["finetune", *words]) if command == "finetune" else (advise, words)))
    assert done.exit_code == 2 and "--test: my set has no part test/ beside train/" in done.output
    without = CliRunner().invoke(advise, ["--dataset", str(photos), "--minutes", "1", "--test"])
    assert without.exit_code == 2 and "--test: give --run, too" in without.output
