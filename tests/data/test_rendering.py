import os
import struct

import numpy as np
import pytest
from PIL import Image

from nni_nasoa.data import Dataset
from nni_nasoa.data.decode import to_array
from nni_nasoa.data.rendering import PLAIN, Rendering

RAMP = np.tile(np.linspace(0, 1, 32), (32, 1))  # from black to white


@pytest.fixture
def ramps(tmp_path):
    """A function that writes ramps of a range into two classes, and says how the folder renders them."""

    def ramps(low, high, kind, suffix=".tif", **options):
        for label in ("a", "b"):
            (tmp_path / label).mkdir(exist_ok=True)
            for number in range(5):
                values = low + (high - low) * RAMP * (1 if number else 0.5)
                image = Image.fromarray(values.astype(kind))
                image.putpixel((number, 31 - (label == "b")), low)
                image.save(tmp_path / label / f"{number}{suffix}", **options)
        return tmp_path

    return ramps


@pytest.mark.parametrize(
    "low, high, kind, suffix",
    [
        (0, 4095, np.uint16, ".png"),
        (0, 1023, np.uint16, ".png"),
        (0, 65535, np.uint16, ".png"),
        (0, 4095, np.uint16, ".tif"),
        (0, 1, np.float32, ".tif"),
        (0, 255, np.float32, ".tif"),
        (-1024, 3071, np.int32, ".tif"),
        (-1, 1, np.float32, ".tif"),
        (0, 2_000_000, np.int32, ".tif"),
    ],
)
def test_values_are_scaled_by_the_range_of_the_dataset(ramps, low, high, kind, suffix):
    split = Dataset(ramps(low, high, kind, suffix)).open(32)
    images = np.concatenate([split.train.images, split.val.images])
    brightest = images.max((1, 2, 3))
    assert brightest.max() >= 240 and images[:, :, :30].min() <= 2
    # The same for all: the two that are half as bright stay so.
    half = 128 if low == 0 else None
    assert half is None or (abs(np.sort(brightest)[:2].astype(int) - brightest.max() / 2) < 4).all()
    assert 100 < np.median(images.mean((1, 2, 3))) < 150


def test_signed_values_of_16_bits(ramps, tmp_path):
    """As Pillow reads them, and does not write them."""
    root = ramps(0, 255, np.uint8)
    for number, path in enumerate(root.rglob("*.tif")):
        values = (-1000 + 3000 * RAMP).astype("<i2")
        values[0, number] = 2000
        path.write_bytes(tiff(values, [(339, 3, 1, 2)]))
    images = Dataset(root).open(32).train.images
    assert images.min() <= 2 and images.max() >= 253 and 120 < images.mean() < 135


def tiff(values, more=(), photometric=1):
    """An uncompressed TIFF of one strip."""
    height, width = values.shape
    tags = sorted(
        [
            (256, 4, 1, width),
            (257, 4, 1, height),
            (258, 3, 1, 8 * values.itemsize),
            (259, 3, 1, 1),
            (262, 3, 1, photometric),
            (273, 4, 1, 8),
            (277, 3, 1, 1),
            (278, 4, 1, height),
            (279, 4, 1, values.nbytes),
            *more,
        ]
    )
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    header = b"II*\0" + struct.pack("<I", 8 + values.nbytes)
    return header + values.tobytes() + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_white_may_be_zero(tmp_path, kind):
    values = (RAMP * np.iinfo(kind).max).astype(kind)
    (tmp_path / "one.tif").write_bytes(tiff(values, photometric=0))
    (tmp_path / "other.tif").write_bytes(tiff(values))
    inverted, usual = (
        to_array(Image.open(tmp_path / name), 32).astype(int) for name in ("one.tif", "other.tif")
    )
    assert (abs(inverted + usual - 255) <= 1).all() and usual[0, 0, 31] >= 254


def drawing(ink, alpha=255):
    image = np.zeros((32, 32, 4), np.uint8)
    image[8:24, 8:24] = (ink, ink, ink, alpha)
    return Image.fromarray(image)


@pytest.mark.parametrize(
    "inks, background", [((255, 250), 0), ((0, 40), 255), ((255, 0), 128), ((120, 130), 255)]
)
def test_transparent_images_lie_on_what_they_can_be_seen_on(tmp_path, inks, background):
    for label, ink in zip("ab", inks):
        (tmp_path / label).mkdir()
        for number in range(5):
            image = drawing(ink)
            image.putpixel((9, 9 + number), (99, 9, 9, 255))
            image.save(tmp_path / label / f"{number}.png")
    dataset = Dataset(tmp_path)
    split = dataset.open(32)
    assert split.rendering == Rendering(background=background) == dataset.files.rendering(None)
    assert (split.train.images[:, :, 0] == background).all()
    assert (abs(split.train.images[:, :, 16, 16].astype(int) - background) >= 24).all()


def test_a_transparency_that_hides_all_is_ignored():
    colours = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    image = Image.fromarray(np.dstack([colours, np.zeros((8, 8), np.uint8)]))
    np.testing.assert_array_equal(to_array(image, 8), colours.transpose(2, 0, 1))


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif", ".avif"])
@pytest.mark.parametrize("first", ["black", "clear"])
def test_an_empty_first_frame_is_passed_over(tmp_path, suffix, first):
    begin = Image.new("RGBA", (32, 32), "black" if first == "black" else (0, 0, 0, 0))
    shown = Image.new("RGBA", (32, 32), "red")
    shown.paste((0, 0, 255, 255), (0, 0, 16, 32))
    begin.save(tmp_path / f"one{suffix}", save_all=True, append_images=[begin, shown], duration=100)
    with Image.open(tmp_path / f"one{suffix}") as image:
        pixels = to_array(image, 32).astype(int)
    assert (abs(pixels[:, 16, 4] - (0, 0, 255)) < 30).all() and (
        abs(pixels[:, 16, 28] - (255, 0, 0)) < 30
    ).all()


def test_a_stack_of_three_grey_images_is_a_coloured_one(tmp_path):
    frames = [Image.new("L", (16, 16), grey) for grey in (200, 100, 50)]
    frames[0].save(tmp_path / "stack.tif", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "stack.tif") as image:
        assert to_array(image, 8)[:, 4, 4].tolist() == [200, 100, 50]
    frames[0].save(tmp_path / "two.tif", save_all=True, append_images=frames[1:2])
    with Image.open(tmp_path / "two.tif") as image:
        assert to_array(image, 8)[:, 4, 4].tolist() == [200, 200, 200]


def test_ordinary_images_are_not_opened_for_it(tmp_path, write, later, monkeypatch):
    for name in "ab":
        for i in range(4):
            write(tmp_path / name / f"{i}.jpg", (i, 0, 0))
    (tmp_path / "a" / "none.jpg").write_text("no image")
    os.mkfifo(tmp_path / "a" / "pipe.jpg")
    oblong = Rendering(geometry="squish")
    with monkeypatch.context() as patch:
        patch.setattr("PIL.Image.open", lambda path: pytest.fail(f"{path} is opened"))
        assert Dataset(tmp_path).files.rendering(None) == oblong
    write(tmp_path / "a" / "one.png")
    found = Dataset(tmp_path).files.rendering(None)
    monkeypatch.setattr("PIL.Image.open", lambda path: pytest.fail(f"{path} is opened"))
    assert Dataset(tmp_path).files.rendering(None) == found == oblong  # kept


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"integers": [0, 0], "floats": [0, 1], "background": 0},
        {**PLAIN.to_json(), "background": 256},
    ],
)
def test_what_is_no_rendering_is_one_line(data):
    with pytest.raises(
        ValueError, match=r"not an object with|not two numbers|is not above|background: 256 is not"
    ) as error:
        Rendering.from_json(data)
    assert "\n" not in str(error.value) and Rendering.from_json(PLAIN.to_json()) == PLAIN


def test_an_animation_with_a_broken_second_image_shows_its_first(tmp_path):
    first, second = (Image.new("RGB", (16, 16), colour) for colour in ((0, 0, 0), (200, 0, 0)))
    first.save(tmp_path / "a.png", save_all=True, append_images=[second])
    content = (tmp_path / "a.png").read_bytes()
    at = content.index(b"fdAT")  # of the second image; its sequence number comes first
    (tmp_path / "a.png").write_bytes(content[: at + 4] + b"\0\0\0\x09" + content[at + 8 :])
    with Image.open(tmp_path / "a.png") as image, pytest.raises((SyntaxError, OSError)):
        image.seek(1)
    with Image.open(tmp_path / "a.png") as image:
        assert to_array(image, 8).max() == 0
