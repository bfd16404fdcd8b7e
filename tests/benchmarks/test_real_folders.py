"""The benchmark on folders of real images: its folders, and what it compares."""

import json
import time
from statistics import median

import psutil
import pytest
from click.testing import CliRunner
from documents import MEASURED, README
from PIL import Image


def test_parts_follow_from_names(script, tmp_path):
    files = [tmp_path / "class" / f"{number}.png" for number in range(40)]
    files[0].parent.mkdir()
    for file in files:
        file.write_bytes(b"x")
    files[7].write_bytes(b"")
    real_images = script("real_images")
    parts = real_images.split(files)
    assert parts == real_images.split(reversed(files))
    assert (len(parts["test"]), len(parts["train"])) == (12, 27)
    assert {*parts["test"]} | {*parts["train"]} == {*files} - {files[7]}


def test_the_best_of_those_that_end_in_time_counts(script, tmp_path):
    real_folders = script("real_folders")
    results = real_folders.Results(tmp_path / "results.jsonl")
    for network, seconds, accuracy in (("lite0", 20, 0.6), ("lite1", 28, 0.7), ("lite2", 70, 0.8)):
        found = {"seconds": seconds, "accuracy": accuracy, "images": 100}
        results.add(found, who="ten lines", folder="flags", network=network)
    best = [real_folders.best_of_ten_lines(results, "flags", minutes) for minutes in (0.25, 0.4, 1, 2)]
    assert best == [None, 0.6, 0.7, 0.8]
    results.add({"seconds": 12, "accuracy": 0.3}, who="ten lines", folder="flags", minutes=0.25)
    assert real_folders.best_of_ten_lines(results, "flags", 0.25) == 0.3
    again = real_folders.Results(tmp_path / "results.jsonl")
    assert again.lines == results.lines and real_folders.best_of_ten_lines(again, "clipart", 1) is None


def test_medians_are_compared_and_drawn_where_both_sides_were_measured(script, tmp_path):
    real_folders = script("real_folders")
    results = real_folders.Results(tmp_path / "results.jsonl")
    expected = {"accuracy": 0.6, "accuracy_low": 0.5, "accuracy_high": 0.7}
    for folder, minutes, accuracies in (("flags", 1.0, (0.5, 0.9, 0.7)), ("clipart", 1.0, (0.4,))):
        for run, accuracy in enumerate(accuracies):
            found = {"seconds": 50, "accuracy": accuracy, "expected": expected}
            results.add(found, who="advice", folder=folder, minutes=minutes, run=run)
    results.add(
        {"seconds": 30, "accuracy": 0.6, "images": 9}, who="ten lines", folder="flags", network="lite0"
    )
    beside = {"seconds": 55, "accuracy": 0.65}
    results.add(beside, who=real_folders.BESIDE, folder="flags", minutes=1.0, run=0)
    compared = real_folders.compare(results, ("clipart", "flags"), (0.5, 1.0))
    assert (compared[0].beside, compared[0].loop) == (0.65, None)
    assert [(each.folder, each.minutes, each.accuracy, each.theirs) for each in compared] == [
        ("flags", 1.0, 0.7, 0.6)
    ]
    real_folders.draw(compared, tmp_path / "results.png")
    with Image.open(tmp_path / "results.png") as picture:
        assert picture.width > 400 and len(picture.convert("RGB").getcolors(1 << 24)) > 10
    real_folders.draw([], tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_a_busy_process_computes_on_all_processors_and_is_gone_in_the_end(script):
    real_folders, own = script("real_folders"), psutil.Process()
    with real_folders.busy():
        (other,) = own.children()
        deadline = time.monotonic() + 60
        while sum(other.cpu_times()[:2]) < 4 or other.num_threads() < 2:
            assert time.monotonic() < deadline and other.is_running()
            time.sleep(0.1)
    assert not other.is_running()


def test_a_plain_loop_that_ends_late_has_nothing(script, tmp_path):
    real_folders = script("real_folders")
    results = real_folders.Results(tmp_path / "results.jsonl")
    assert real_folders.best_in_time(results, real_folders.LOOP, "flags", 1) is None
    results.add({"seconds": 61, "accuracy": 0.6}, who="plain loop", folder="flags", minutes=1)
    assert real_folders.best_in_time(results, real_folders.LOOP, "flags", 1) == 0
    results.add({"seconds": 31, "accuracy": 0.5}, who="plain loop", folder="flags", minutes=1)
    assert real_folders.best_in_time(results, real_folders.LOOP, "flags", 1) == 0.5


@pytest.mark.slow
def test_a_folder_from_end_to_end(script, flags, tmp_path):
    words = [str(flags), "--only", "flags", "--minutes", "0.3", "--runs", "1"]
    words += ["--output", str(tmp_path / "results.jsonl")]
    main = script("real_folders").main
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    advice = [line for line in lines if line["who"] == "advice"]
    assert len(advice) == 1 and advice[0]["accuracy"] > 0.8 and "expected" in advice[0]
    theirs = [line for line in lines if line["who"] == "ten lines"]
    assert {line["network"] for line in theirs} == {"lite0", "lite1", "lite2"}
    (loop,) = (line for line in lines if line["who"] == "plain loop")
    assert loop["steps"] >= 1 and loop["accuracy"] >= 0.3 and loop["minutes"] == 0.3  # too few to learn by
    assert CliRunner().invoke(main, words).exit_code == 0  # nothing is run again
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == len(lines)


def test_what_is_told_of_real_folders_is_what_was_measured(script):
    real_folders = script("real_folders")
    results = real_folders.Results(real_folders.DATA)
    minutes = {line["minutes"] for line in results.of(who="advice")}
    compared = real_folders.compare(results, real_folders.FOLDERS, minutes)
    assert {each.folder for each in compared} == {*real_folders.FOLDERS}
    assert MEASURED.rows("folder | seconds | advice") == [
        [
            each.folder,
            f"{60 * each.minutes:g}",
            f"{100 * each.accuracy:.1f}",
            real_folders.in_words(each.middle["expected"]),
            f"{median(line['seconds'] for line in each.ours):.1f}",
            f"{100 * each.theirs:.1f}",
        ]
        for each in compared
    ]
    assert all(line["seconds"] <= 60 * each.minutes for each in compared for line in each.ours)
    beside = {each.folder: each for each in compared if each.beside is not None}
    assert beside and all(each.beside > each.accuracy - 0.1 for each in beside.values())
    assert all(f"{100 * each.beside:.1f} on {name}" in MEASURED.words for name, each in beside.items())
    gains = [100 * (each.accuracy - each.theirs) for each in compared]
    mean = sum(gains) / len(gains)
    (row,) = [row for row in README.rows("compared | measured") if row[0].startswith("The advice carried")]
    words = f"{mean:+.1f} points on average, from {min(gains):+.1f} to {max(gains):+.1f}"
    assert row[1].replace("**", "") == words
    runs = [each.middle for each in compared]
    for accuracy, words in (
        ("validated", "it is foretold to {:.1f} points"),
        ("accuracy", "off by {:.1f} points"),
    ):
        ends = [tuple(run["expected"][f"accuracy_{end}"] for end in ("low", "high")) for run in runs]
        held = sum(low <= run[accuracy] <= high for run, (low, high) in zip(runs, ends))
        off = [abs(100 * (run["expected"]["accuracy"] - run[accuracy])) for run in runs]
        assert f"{held} of {len(runs)} ranges hold" in MEASURED.words
        assert words.format(sum(off) / len(off)) in MEASURED.words
