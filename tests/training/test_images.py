from __future__ import annotations

import numpy as np
import torch

from nni_nasoa.data import ImageArrays
from nni_nasoa.training.images import Images, Normalization

CPU = torch.device("cpu")


def images(blobs, augmentation="none"):
    return Images(
        blobs.train,
        CPU,
        Normalization.of((0.5, 0.4, 0.3), (0.2, 0.2, 0.1)),
        augmentation,
        True,
        torch.Generator().manual_seed(0),
    )


def test_images_are_normalised_and_the_dataset_stays(blobs):
    before = blobs.train.images.copy()
    batch = images(blobs).clean(torch.tensor([3, 0]))
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.5, 0.4, 0.3), (0.2, 0.2, 0.1)))
    torch.testing.assert_close(
        batch, (torch.from_numpy(blobs.train.images[[3, 0]]).float() / 255 - mean) / std, atol=1e-5, rtol=1e-5
    )
    assert batch.is_contiguous(memory_format=torch.channels_last)
    for level in ("crop-flip", "full"):
        images(blobs, level).augmented(torch.arange(20))
    assert (blobs.train.images == before).all()


def test_a_measured_normalisation_gives_mean_0_and_deviation_1():
    rng = np.random.default_rng(0)
    part = ImageArrays(rng.integers(0, 200, (50, 3, 8, 8), dtype=np.uint8), np.zeros(50, np.int64))
    batch = Images(part, CPU, Normalization.measured(part, CPU)).clean(torch.arange(50))
    torch.testing.assert_close(batch.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.std((0, 2, 3)), torch.ones(3), atol=1e-5, rtol=0)


def test_images_of_one_colour_are_not_divided_by_nothing():
    part = ImageArrays(np.full((5, 3, 8, 8), 77, np.uint8), np.zeros(5, np.int64))
    assert (Images(part, CPU, Normalization.measured(part, CPU)).clean(torch.arange(5)) == 0).all()


def numbered(augmentation, mirrored=True, n=64, size=8):
    """Every pixel names its image, row and column."""
    pixels = np.stack(
        np.broadcast_arrays(np.arange(n)[:, None, None], np.arange(size)[:, None], np.arange(size)), axis=1
    )
    as_they_are = Normalization(torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1))
    generator = torch.Generator().manual_seed(0)
    part = ImageArrays(pixels.astype(np.uint8), np.arange(n))
    return Images(part, CPU, as_they_are, augmentation, mirrored, generator)


def test_augmentation_of_nothing_is_the_image():
    batches, indices = numbered("none"), torch.tensor([5, 3, 60])
    images = batches.augmented(indices)
    assert torch.equal(images, batches.images[indices].float())
    assert torch.equal(batches.labels[indices], indices)
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_augmentation_shifts_and_mirrors_each_image_on_its_own():
    image, rows, columns = numbered("crop-flip", size=16).augmented(torch.arange(64)).int().unbind(1)
    assert (image == torch.arange(64)[:, None, None]).all()
    shifts = rows[:, 8, 0] - 8
    assert set(shifts.tolist()) == {-2, -1, 0, 1, 2}
    expected = (torch.arange(16) + shifts[:, None]).clamp(0, 15)
    assert (rows == expected[:, :, None]).all()
    mirrored = columns[:, 0, 15] < columns[:, 0, 0]
    assert 16 < mirrored.sum() < 48
    columns = torch.where(mirrored[:, None, None], columns.flip(2), columns)
    assert (columns == (torch.arange(16) + (columns[:, :, 8] - 8)[:, :1, None]).clamp(0, 15)).all()
