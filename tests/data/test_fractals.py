import hashlib
import subprocess
import sys

import numpy as np
import pytest

from nni_nasoa.data import open_dataset
from nni_nasoa.data.fractal_drawing import draw, rasterize
from nni_nasoa.data.fractals import (
    MIN_FILLING,
    filling,
    fractal_images,
    fractal_system,
    open_fractals,
    orbits,
    perturbed,
)
from nni_nasoa.data.named import FRACTAL_SEED

LABELS = np.arange(40)
DRAW = """
import sys
import numpy as np
from nni_nasoa.data.fractals import fractal_images

labels = np.arange(40)
sys.stdout.buffer.write(fractal_images(7, labels, labels % 3, 32).tobytes())
"""


def _rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("label", range(12))
def test_a_system_is_of_contractions_that_fill_their_box(label):
    maps = fractal_system(3, label)
    assert maps.dtype == np.float32 and maps.shape[1:] == (6,) and 2 <= len(maps) <= 8
    assert np.linalg.norm(maps[:, :4].reshape(-1, 2, 2), 2, axis=(1, 2)).max() < 1
    assert filling(maps, _rng(label)) > 0.9 * MIN_FILLING  # other points than those it was chosen by


def test_all_numbers_of_maps_occur():
    assert {len(fractal_system(0, label)) for label in range(150)} == set(range(2, 9))


def test_the_filling_rate_tells_thin_attractors_from_full_ones():
    corners = np.array([[0, 0], [0.5, 0], [0, 0.5], [0.5, 0.5]])
    square = np.array([[0.5, 0, 0, 0.5, *corner] for corner in corners], np.float32)
    assert filling(square, _rng()) > 0.95
    triangle = filling(
        square[:3], _rng()
    )  # Sierpinski's: 3 of 4 parts at each of the 5 levels of the grid, and some on edges
    assert 0.75**5 * 0.95 < triangle < 0.75**4
    assert filling(square[[0, 3]], _rng()) < 0.05  # a diagonal
    assert filling(square[:2], _rng()) == 0  # a line along an axis has no box


def test_orbits_are_on_the_attractor():
    """Every point of an attractor is an image of a point of the attractor: mapped again,
    points stay within it.
    """
    maps = fractal_system(0, 5)
    x, y, tone = orbits([maps], [_rng()])[0].reshape(3, -1).astype(np.float64)
    assert 0 <= tone.min() < 0.2 and 0.8 < tone.max() <= 1
    low, high = np.array([x.min(), y.min()]), np.array([x.max(), y.max()])
    for a, b, c, d, e, f in maps:
        mapped = np.array([a * x + b * y + e, c * x + d * y + f])
        assert (mapped.min(1) > low - 0.05 * (high - low)).all() and (
            mapped.max(1) < high + 0.05 * (high - low)
        ).all()


def test_images_follow_from_seed_class_and_instance_alone():
    images = fractal_images(7, LABELS, LABELS % 3, 32)
    assert images.shape == (40, 3, 32, 32) and images.dtype == np.uint8
    shuffled = _rng().permutation(40)
    assert np.array_equal(fractal_images(7, LABELS[shuffled], (LABELS % 3)[shuffled], 32), images[shuffled])
    assert np.array_equal(fractal_images(7, [9], [0], 32)[0], images[9])
    again = subprocess.run([sys.executable, "-c", DRAW], capture_output=True, check=True)
    assert again.stdout == images.tobytes()


def test_images_are_distinct():
    def distinct(images):
        return len({hashlib.sha256(image.tobytes()).digest() for image in images}) == len(images)

    assert distinct(
        np.concatenate(
            [fractal_images(seed, [label] * 5, range(5), 24) for seed in (0, 1) for label in range(4)]
        )
    )
    assert len({fractal_system(0, label).tobytes() for label in range(100)}) == 100


def test_size_changes_the_resolution_and_not_the_picture():
    large, small = (fractal_images(0, LABELS, LABELS, size).astype(np.float32) for size in (48, 24))
    halved = large.reshape(40, 3, 24, 2, 24, 2).mean((3, 5))
    alike = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(halved, small)]
    assert np.median(alike) > 0.7


def test_images_vary_in_colour_brightness_and_background():
    images = fractal_images(0, np.zeros(120, int), np.arange(120), 32).astype(np.float32)
    grey = np.array([np.abs(image - image.mean(0)).max() < 1 for image in images])
    assert 0.08 < grey.mean() < 0.35
    means = images.mean((1, 2, 3))
    assert means.min() < 60 and means.max() > 195 and images.std((1, 2, 3)).min() > 5
    corners = images[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]
    plain = np.abs(corners - corners.mean(2, keepdims=True)).max((1, 2)) < 2
    assert 0.1 < plain.mean() < 0.6


def test_classes_are_recognised_by_nearest_neighbours_of_their_shape():
    """With all drawn alike, the shape alone must tell the class of another instance
    far more often than chance.
    """

    def shapes(instances):
        rngs = [np.random.default_rng((label, instance)) for label in LABELS for instance in instances]
        systems = [
            perturbed(fractal_system(0, label), rng)
            for label, rng in zip(np.repeat(LABELS, len(instances)), rngs)
        ]
        points = orbits(systems, rngs)
        density, _ = rasterize(points, [_Still() for _ in rngs], 16)
        return (density > 0).reshape(len(rngs), -1).astype(np.float32)

    known, asked = shapes(range(4)), shapes([10])
    nearest = (np.abs(asked[:, None] - known).sum(2)).argmin(1)
    assert np.mean(nearest // 4 == LABELS) > 0.6


class _Still:
    """A generator for `rasterize` that places all attractors alike."""

    def normal(self, *args):
        return 0.0

    def uniform(self, low, high):
        return (np.asarray(low) + np.asarray(high)) / 2

    def choice(self, values):
        return values[-1]


def test_drawing_covers_what_the_points_cover():
    density = np.zeros((16, 16), np.float32)
    density[5:11, 5:11] = 4
    outside = np.ones((16, 16), bool)
    outside[4:12, 4:12] = False
    for seed in range(20):
        a, b = (
            draw(d, np.full((16, 16), 0.5, np.float32), _rng(seed)) for d in (density, np.zeros_like(density))
        )
        assert a.shape == (3, 16, 16) and a.dtype == np.uint8
        assert np.array_equal(a[:, outside], b[:, outside]) and not np.array_equal(
            a[:, 7:9, 7:9], b[:, 7:9, 7:9]
        )


def written(folder):
    """When each file of images was written."""
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.npy")}
    assert times
    return times


def test_open_fractals_caches_a_split(tmp_path, monkeypatch):
    monkeypatch.setenv("NASOA_CACHE", str(tmp_path))
    split = open_fractals(3, 4, size=16, seed=5, val_instances=2)
    assert (
        len(split.train) == 12
        and len(split.val) == 6
        and split.classes == ("fractal 0", "fractal 1", "fractal 2")
    )
    assert split.train.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4 and split.train.labels.dtype == np.int64
    assert np.array_equal(split.train.images, fractal_images(5, split.train.labels, list(range(4)) * 3, 16))
    assert np.array_equal(split.val.images, fractal_images(5, split.val.labels, [4, 5] * 3, 16))
    drawn = written(tmp_path)
    again = open_fractals(3, 4, size=16, seed=5, val_instances=2)
    assert np.array_equal(again.train.images, split.train.images) and isinstance(
        again.train.images, np.memmap
    )
    assert written(tmp_path) == drawn  # nothing is drawn twice


def test_processes_draw_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("NASOA_CACHE", str(tmp_path / "one"))
    one = open_fractals(4, 3, size=16, seed=1, val_instances=1)
    monkeypatch.setenv("NASOA_CACHE", str(tmp_path / "two"))
    two = open_fractals(4, 3, size=16, seed=1, val_instances=1, processes=2)
    assert np.array_equal(one.train.images, two.train.images) and np.array_equal(
        one.val.images, two.val.images
    )


def test_fractals_are_a_dataset_of_other_classes_than_those_of_pretraining(tmp_path, monkeypatch):
    monkeypatch.setenv("NASOA_CACHE", str(tmp_path))
    split = open_dataset("fractals", input_size=8, seed=1)
    assert (len(split.train), len(split.val), split.num_classes, split.mirrored) == (1600, 400, 40, False)

    def first(seed):
        return fractal_images(seed, [0] * 40, range(40), 8)

    assert np.array_equal(split.train.images[:40], first(FRACTAL_SEED + 1))
    for seed in (0, 1, FRACTAL_SEED):  # those of pretraining, and of another split
        assert not np.array_equal(split.train.images[:40], first(seed))
