from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from nni_nasoa.advisor import ExperienceStore
from nni_nasoa.data import Dataset, DatasetError
from nni_nasoa.making.collecting import collect
from nni_nasoa.making.collecting_plan import CollectingError, Plan, make_plan
from nni_nasoa.making.collecting_tasks import MOST_DRAWN, MOST_JUDGING, collected_task

COUNTS = {"cat": 60, "dog": 90, "eel": 45, "few": 5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of one colour each, in two parts; a class has too few of them."""
    root, rng = tmp_path_factory.mktemp("folder") / "animals", np.random.default_rng(0)
    for name, count in COUNTS.items():
        for number in range(count):
            file = root / ("test" if number % 3 == 0 else "train") / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(file)
    return root


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NASOA_CACHE", str(tmp_path / "cache"))


def pixels(images: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in images}


@pytest.mark.parametrize("number", range(6))
def test_a_part_of_a_folder_is_judged_by_images_of_the_same_classes_that_it_does_not_hold(folder, number):
    task = collected_task(f"{folder}#{number}")
    split, judging = task.open(8)
    assert task.name == task.dataset.name == split.name == f"animals#{number}"
    assert set(split.classes) <= {"cat", "dog", "eel"}
    drawn = pixels(np.concatenate([split.train.images, split.val.images]))
    assert drawn and not drawn & pixels(judging.images)
    assert set(judging.labels) == set(range(len(split.classes)))
    counts = Counter([*split.train.labels, *split.val.labels])
    assert sum(judging.weights) == pytest.approx(1)
    for label, count in counts.items():  # whatever is left of a class
        share = judging.weights[judging.labels == label].sum()
        assert share == pytest.approx(count / sum(counts.values()))
    for label, name in enumerate(split.classes):
        assert 8 <= counts[label] <= MOST_DRAWN * COUNTS[name]
    again, _ = collected_task(f"{folder}#{number}").open(8)
    assert (again.train.images == split.train.images).all()


def test_the_first_part_has_all_classes_and_the_others_fewer_of_both(folder):
    whole, *others = (collected_task(f"{folder}#{number}").open(8)[0] for number in range(8))
    assert whole.classes == ("cat", "dog", "eel")
    sizes = [(len(split.train) + len(split.val), len(split.classes)) for split in others]
    assert len(whole.train) + len(whole.val) == 40 + 60 + 30
    assert len(set(sizes)) > 4 and all(60 <= images <= 130 and classes <= 3 for images, classes in sizes)


def test_copies_of_what_a_run_sees_do_not_judge(folder, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "twice" / name).mkdir(parents=True)
        for file in (folder / "train" / name).iterdir():
            for copy in ("a", "b"):
                (tmp_path / "twice" / name / f"{copy}-{file.name}").write_bytes(file.read_bytes())
    split, judging = collected_task(f"{tmp_path / 'twice'}#0").open(8)
    drawn = pixels(np.concatenate([split.train.images, split.val.images]))
    assert not drawn & pixels(judging.images) and sum(judging.weights) == pytest.approx(1)
    assert 0 < len(judging.labels) < 100 / 3 - 5


def test_many_images_do_not_judge_for_ever(folder, monkeypatch):
    monkeypatch.setattr("nni_nasoa.making.collecting_tasks.MOST_JUDGING", 6)
    _, judging = collected_task(f"{folder}#0").open(8)
    assert Counter(judging.labels.tolist()) == {0: 2, 1: 2, 2: 2} and MOST_JUDGING > 6


def test_of_a_drawn_task_one_half_of_the_validation_images_judges():
    task, whole = collected_task("segments-few"), Dataset("task:segments-few").open(8)
    split, judging = task.open(8)
    assert task.name == split.name == "task:segments-few" and len(split.train) == len(whole.train)
    halves = len(split.val), len(judging.labels)
    assert sum(halves) == len(whole.val) and abs(halves[0] - halves[1]) <= 10
    assert judging.weights == pytest.approx(np.full(halves[1], 1 / halves[1]))
    parts = [*split.val.images, *judging.images]
    assert sorted(map(bytes, parts)) == sorted(map(bytes, whole.val.images))


@pytest.mark.parametrize(
    "text, message",
    [
        ("no-such-task", "task: there is none of the name 'no-such-task'"),
        ("/no/such/folder#0", "dataset: '/no/such/folder' is neither a folder nor a known name"),
        ("data/flowers#first", "is no folder with the number of a part"),
    ],
)
def test_what_is_not_there_is_one_clear_line(text, message):
    with pytest.raises(DatasetError, match=message) as error:
        Plan((text,), ("nano-a",))
    assert "\n" not in str(error.value)


def test_classes_of_a_few_images_are_no_task(folder, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "small" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "small" / name / f"{number}.png")
    with pytest.raises(DatasetError, match="small: fewer than 2 classes of 12 images or more"):
        collected_task(f"{tmp_path / 'small'}#0").open(8)


def test_folders_are_in_the_plan_and_stand_for_the_drawn_tasks(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    plan = make_plan(folders=["animals"], parts=3, zoo="lite")
    assert plan.tasks == tuple(f"{folder}#{number}" for number in range(3))
    assert {run.regime.model for run in plan.runs(30)} == {"lite0", "lite1", "lite2"}
    both = make_plan(["signs-20"], folders=[str(folder)], parts=1)
    assert both.tasks == (f"{folder}#0", "signs-20")


def test_folders_that_records_could_not_tell_apart_are_one_clear_line(folder):
    with pytest.raises(CollectingError, match="folders: two are called 'train'; give those above them"):
        make_plan(folders=[str(folder / "train"), str(folder.parent / "other" / "train")])
    assert make_plan(folders=[str(folder), f"{folder}/"], parts=2).tasks == (f"{folder}#0", f"{folder}#1")


@pytest.mark.slow
def test_runs_on_a_folder_are_recorded_with_what_was_known_of_it(folder, tmp_path):
    store = tmp_path / "store.db"
    plan = Plan((f"{folder}#0",), ("nano-a",), (1.0,))
    assert collect(plan, str(store), 2, jobs=1) == {"ok": 2}
    with ExperienceStore(store) as opened:
        for record in opened.records():
            assert (record.task, record.source) == ("animals#0", "collect")
            assert record.profile["classes"] == 3 and record.profile["train_images"] == 104
            assert record.profile["width"] == 8 and record.model_figures["probe_linear"] is not None
            assert 0 <= record.accuracy <= 1 and record.accuracy != record.curve[-1][1]
