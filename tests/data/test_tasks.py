import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from nni_nasoa.data import DatasetError, open_dataset
from nni_nasoa.data.tasks import drawings, get_task, list_tasks
from nni_nasoa.data.tasks.canvas import SIZE
from nni_nasoa.data.tasks.drawn_cache import labels_of


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASOA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def test_there_are_many_kinds():
    tasks = [get_task(name) for name in list_tasks()]
    own, held_out = ([task for task in tasks if task.held_out is held] for held in (False, True))
    kinds = [{task.kind for task in part} for part in (own, held_out)]
    assert (
        len(own) >= 24
        and len(held_out) >= 8
        and len(kinds[0]) >= 9
        and len(kinds[1]) >= 3
        and len(set.union(*kinds)) >= 12
    )
    assert not kinds[0] & kinds[1]
    assert list_tasks(held_out=True) == [task.name for task in held_out] and list_tasks(held_out=False) == [
        task.name for task in own
    ]
    assert len({task.seed for task in tasks}) == len(tasks)
    for sizes, low, high in (
        ([len(task.classes) for task in own], 2, 60),
        ([task.train_images for task in own], 60, 2600),
    ):
        assert min(sizes) == low and max(sizes) == high
    assert {task.mirrored for task in own} == {task.mirrored for task in held_out} == {True, False}
    for task in tasks:
        assert (
            len(set(task.classes)) == len(task.classes)
            and task.train_images >= len(task.classes) <= task.val_images
        )


@pytest.mark.parametrize("name", list_tasks())
def test_an_image_follows_from_random_numbers(name):
    drawing = drawings()[name]

    def draw(seed):
        return [
            drawing.draw(label, np.random.default_rng((seed, label)))
            for label in range(0, len(drawing.task.classes), 5)
        ]

    first, again, other = draw(0), draw(0), draw(1)
    for image, same, another in zip(first, again, other):
        assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8
        assert np.array_equal(image, same) and not np.array_equal(image, another)
        assert image.std() > 2


def test_open(tmp_path, monkeypatch):
    task, split = get_task("segments-few"), open_dataset("task:segments-few", input_size=SIZE)
    assert (
        split.name == "task:segments-few"
        and split.classes == task.classes == tuple("0123456789")
        and not split.mirrored
    )
    assert len(split.train) == task.train_images == 60 and len(split.val) == task.val_images == 400
    assert (
        np.bincount(split.train.labels).tolist() == [6] * 10
        and np.bincount(split.val.labels).tolist() == [40] * 10
    )
    assert split.train.images.dtype == np.uint8 and split.train.labels.dtype == np.int64
    seen = {image.tobytes() for image in split.train.images}
    assert len(seen) == 60 and not seen & {image.tobytes() for image in split.val.images}
    assert np.any(split.train.labels[:-1] > split.train.labels[1:])  # in no order
    monkeypatch.setenv("NASOA_CACHE", str(tmp_path))  # drawn again, and with other arguments
    again = open_dataset("task:segments-few", input_size=SIZE, seed=7, val_fraction=0.5)
    assert np.array_equal(again.train.images, split.train.images) and np.array_equal(
        again.val.labels, split.val.labels
    )


def test_other_sizes_are_resized():
    drawn, small = (open_dataset("task:segments-few", input_size=size) for size in (SIZE, 32))
    assert small.input_size == 32 and np.array_equal(small.train.labels, drawn.train.labels)
    expected = Image.fromarray(np.ascontiguousarray(drawn.val.images[5].transpose(1, 2, 0))).resize(
        (32, 32), Image.Resampling.BICUBIC
    )
    assert np.array_equal(small.val.images[5].transpose(1, 2, 0), np.asarray(expected))


@pytest.mark.parametrize("name", ["gradients", "red-and-blue", "silhouettes", "flags", "vehicles"])
def test_classes_can_be_told_apart(name):
    """By no more than the nearest of the classes' mean images, twice as often as by chance."""
    split = open_dataset(f"task:{name}", input_size=24)
    train, val = (part.images.reshape(len(part), -1).astype(np.float32) for part in (split.train, split.val))
    train, val = (part - part.mean(1, keepdims=True) for part in (train, val))
    train, val = (np.abs(part) if name in ("silhouettes", "vehicles") else part for part in (train, val))
    means = np.stack([train[split.train.labels == label].mean(0) for label in range(split.num_classes)])
    nearest = ((val[:, None] - means) ** 2).sum(-1).argmin(1)
    assert (nearest == split.val.labels).mean() > 2 / split.num_classes


def test_classes_of_random_signs_are_their_own():
    drawing = drawings()["signs-50-few"]
    images = [drawing.draw(label, np.random.default_rng(0)).astype(float) for label in (0, 1, 2)]
    assert min(np.abs(images[i] - images[j]).mean() for i, j in ((0, 1), (0, 2), (1, 2))) > 10


def test_imbalance():
    assert labels_of(10, 5, 1.0).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    sizes = np.bincount(labels_of(1000, 4, 8.0))
    assert (
        sizes.sum() == 1000
        and sizes[0] / sizes[-1] == pytest.approx(8, rel=0.05)
        and sizes[0] / sizes[1] == pytest.approx(2, rel=0.05)
    )
    for drawing in drawings().values():
        counts = np.bincount(
            labels_of(drawing.task.train_images, len(drawing.task.classes), drawing.imbalance)
        )
        assert len(counts) == len(drawing.task.classes) and counts.min() >= 3


@pytest.mark.parametrize(
    "name, words",
    [
        ("task:sings-20", "task: there is none of the name 'sings-20'; did you mean 'signs-20'?"),
        ("task:", "there are latin-capitals, "),
    ],
)
def test_unknown_task(name, words):
    with pytest.raises(DatasetError) as error:
        open_dataset(name, input_size=32)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_photographs_need_scikit_learn(tmp_path):
    """In a process of its own, as photographs that were read are kept."""
    code = (
        "import sys; sys.modules['sklearn.datasets'] = None\n"
        "from nni_nasoa.data import DatasetError, open_dataset\n"
        "try:\n    open_dataset('task:photo-parts', input_size=48)\n"
        "except DatasetError as error:\n    print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NASOA_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(r"task: photo-parts .* pip install 'nni-nasoa\[photographs\]'\n", done.stdout)


def test_the_list_needs_no_library():
    code = (
        "import sys; from nni_nasoa.data.tasks import list_tasks; list_tasks(); "
        "print(sorted({'torch', 'PIL', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )
