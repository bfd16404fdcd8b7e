"""How a square comes of an oblong image, and what a dataset's images are like decides."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nni_nasoa.data import Dataset, DatasetError
from nni_nasoa.data.decode import to_array
from nni_nasoa.data.find_rendering import usual_geometry
from nni_nasoa.data.rendering import GEOMETRIES, PADDING, Rendering

RED, BLUE = (255, 0, 0), (0, 0, 255)


def with_mark(width, height, mark=RED):
    """A grey image with a mark at its left end, or at the top of an upright one."""
    image = Image.new("RGB", (width, height), (90, 90, 90))
    image.paste(mark, (0, 0, width // 8, height) if width > height else (0, 0, width, height // 8))
    return image


def squares(image, size=32):
    return {name: to_array(image.copy(), size, Rendering(geometry=name)) for name in GEOMETRIES}


@pytest.mark.parametrize("width, height", [(400, 100), (100, 400)])
def test_a_mark_at_the_end_of_an_oblong_image_is_gone_by_a_crop_alone(width, height):
    found = squares(with_mark(width, height))
    red = {name: ((pixels[0] > 200) & (pixels[1] < 60)).any() for name, pixels in found.items()}
    assert red == {"crop": False, "pad": True, "squish": True}


def test_padding_keeps_the_shape_and_has_grey_on_both_sides():
    circle = Image.new("RGB", (400, 200), (255, 255, 255))
    circle.paste((0, 0, 0), (150, 50, 250, 150))  # a square in the middle
    padded = squares(circle, 64)["pad"]
    assert (padded[:, :16] == PADDING).all() and (padded[:, 48:] == PADDING).all()
    dark = padded[0, 16:48] < 100
    height, width = dark.any(1).sum(), dark.any(0).sum()
    assert height == width == 16
    squished = squares(circle, 64)["squish"][0] < 100
    assert squished.any(1).sum() == 2 * squished.any(0).sum()


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(GEOMETRIES), st.sampled_from([1, 7, 32]))
def test_every_shape_becomes_a_square(width, height, geometry, size):
    pixels = to_array(Image.new("RGB", (width, height), RED), size, Rendering(geometry=geometry))
    assert pixels.shape == (3, size, size)
    assert (pixels[0] == 255).any() and (geometry == "pad" or (pixels[0] == 255).all())


def test_of_square_images_all_are_the_same():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8))
    crop, pad, squish = squares(image).values()
    assert (crop == pad).all() and (crop == squish).all()


def write(folder, shapes, suffix=".jpg"):
    for label, mark in (("a", RED), ("b", BLUE)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number, (width, height) in enumerate(shapes):
            image = with_mark(width, height, mark)
            image.putpixel((width - 1, height - 1), (number, number, number))
            image.save(folder / label / f"{number}{suffix}", quality=95)
    return folder


@pytest.mark.parametrize(
    "shapes, expected",
    [
        ([(100, 100)] * 6, "crop"),
        ([(133, 100), (100, 133)] * 3, "crop"),  # cameras' 4:3
        ([(400, 100)] * 6, "squish"),
        ([(100, 300)] * 6, "squish"),
    ],
)
def test_the_shapes_of_the_images_decide_where_nobody_does(tmp_path, shapes, expected):
    folder = write(tmp_path / "d", shapes)
    split = Dataset(folder).open(32)
    assert split.rendering.geometry == expected
    assert Dataset(folder).files.rendering(None) == split.rendering  # as it is kept
    assert Dataset(folder, geometry="pad").open(32).rendering.geometry == "pad"
    assert usual_geometry([]) == "crop"


def test_a_rotation_that_exif_notes_counts(tmp_path):
    folder = tmp_path / "d"
    for label in "ab":
        (folder / label).mkdir(parents=True)
        for number in range(4):
            image = with_mark(300, 100, RED if label == "a" else (number, 0, 255))
            exif = Image.Exif()
            exif[0x0112] = 6
            image.save(folder / label / f"{number}.jpg", exif=exif)
    assert Dataset(folder).files.rendering(None).geometry == "squish"


def test_each_geometry_has_images_of_its_own_in_the_cache_and_the_same_parts(tmp_path):
    folder = write(tmp_path / "d", [(400, 100)] * 8)
    splits = {name: Dataset(folder, geometry=name).open(32) for name in (*GEOMETRIES, "crop")}
    pixels = {name: np.asarray(split.train.images) for name, split in splits.items()}
    assert not (pixels["crop"] == pixels["squish"]).all() and not (pixels["pad"] == pixels["squish"]).all()
    assert len({tuple(split.train.labels) for split in splits.values()}) == 1
    # Only where the whole is seen are the classes told apart.
    labels = splits["crop"].train.labels
    blue = {name: of[:, 2].mean((1, 2)) for name, of in pixels.items()}
    apart = {name: abs(of[labels == 0].mean() - of[labels == 1].mean()) > 3 for name, of in blue.items()}
    assert apart == {"crop": False, "pad": True, "squish": True}


def test_the_same_files_are_known_in_another_geometry(tmp_path):
    dataset = Dataset(write(tmp_path / "d", [(400, 100)] * 8))
    other = dataset.but(geometry="crop")
    assert other.files.listing is dataset.files.listing
    assert other.open(32).rendering.geometry == "crop" and dataset.open(32).rendering.geometry == "squish"
    assert other.fingerprint != dataset.fingerprint and other.but(seed=1).geometry == "crop"


@pytest.mark.parametrize("source", ["digits", "CIFAR-10", "arrays"])
def test_images_that_are_square_already_take_none(source, digits):
    with pytest.raises(DatasetError, match=r"^geometry: 'pad' is for images in files; leave it out with .*$"):
        Dataset(digits if source == "arrays" else source, geometry="pad")
    with pytest.raises(DatasetError, match="is for images in files"):
        Dataset("digits").but(geometry="crop")


def test_what_is_no_geometry_is_one_line(tmp_path):
    with pytest.raises(DatasetError, match="geometry: 'stretch'"):
        Dataset(tmp_path, geometry="stretch")
