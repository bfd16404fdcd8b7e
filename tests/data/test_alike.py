import numpy as np
import pytest
from PIL import Image

from nni_nasoa.data import Dataset, DatasetWarning
from nni_nasoa.data.alike import Alike, look_alike

SIZE = 64


@pytest.fixture
def photos():
    """A function that draws so many images that look like photographs."""

    def photos(number, seed=0):
        coarse = np.random.default_rng(seed).integers(0, 256, (number, 6, 6, 3), dtype=np.uint8)
        large = [Image.fromarray(one).resize((SIZE, SIZE), Image.Resampling.BICUBIC) for one in coarse]
        return np.stack([np.asarray(one).transpose(2, 0, 1) for one in large])

    return photos


def test_other_images_are_not_alike(photos):
    assert look_alike(photos(300), photos(100, seed=1)) == Alike(0, 0, 0)
    none = photos(1)[:0]
    assert (
        look_alike(photos(3), none) == look_alike(none, photos(3)) == look_alike(none, none) == Alike(0, 0, 0)
    )


def test_blank_and_same_images_are_counted(photos):
    train, val = photos(20), photos(10, seed=1)
    train[3], train[4], val[2] = 0, np.array([9, 8, 7])[:, None, None], 255
    train[5] = train[6] = train[7]
    val[9] = val[8]
    assert look_alike(train, val) == Alike(blank=3, same=3, near=0)
    train[3, 0, 5, 5] += 1  # a single pixel makes the difference
    train[5, 2, 5, 6] += 1
    assert look_alike(train, val)[:2] == (2, 2)


def test_near_copies_in_both_parts_are_counted(photos):
    train, val = photos(200), photos(50, seed=1)
    noise = np.random.default_rng(2).integers(-6, 7, (5, 3, SIZE, SIZE))
    val[:5] = (train[10:15].astype(int) + noise).clip(0, 255)  # as another compression leaves them
    val[5] = (train[20].astype(int) + 3).clip(0, 255)  # a little brighter
    assert look_alike(train, val) == Alike(0, 0, 6)


def test_drawings_with_the_same_outline_are_no_near_copies():
    """Their hashes are the same, as these know where it gets brighter, and not by how much."""
    train, val = np.full((30, 3, SIZE, SIZE), 255, np.uint8), np.full((30, 3, SIZE, SIZE), 255, np.uint8)
    for number in range(30):
        train[number, :, number : number + 20, 20:40] = 0
        val[number, :, number : number + 20, 20:40] = 128
    assert look_alike(train, val).near == 0 and look_alike(train, train).near == 30


def test_it_is_told_where_a_folder_is_opened(tmp_path, photos):
    for name, seed in (("a", 0), ("b", 1)):
        (tmp_path / name).mkdir()
        for number, pixels in enumerate(photos(20, seed)):
            image = Image.fromarray(pixels.transpose(1, 2, 0))
            image.save(tmp_path / name / f"{number}.png")
            image.save(tmp_path / name / f"{number}.bmp")
    Image.new("RGB", (9, 9), "red").save(tmp_path / "a" / "red.png")
    for _ in range(2):  # when it is decoded, and when it comes from the cache
        with pytest.warns(DatasetWarning) as caught:
            Dataset(tmp_path).open(32)
        said = str(caught[0].message)
        assert (
            "1 image is of one colour once decoded; 40 images are the same as others once decoded, though"
            in said
        )
        assert "images to validate on look nearly the same as ones to train on" in said
