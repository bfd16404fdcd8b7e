from __future__ import annotations

import json
import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nni_nasoa.data import Dataset, DatasetError, ImageArrays, ImageSplit, open_dataset
from nni_nasoa.data.arrays import classes_in_turn
from nni_nasoa.data.image_statistics import colour_statistics
from nni_nasoa.data.profile import DatasetProfile, ProfileError, profile_arrays, profile_dataset


@pytest.fixture
def pictures(tmp_path):
    """Random images of random sizes in three classes of 7, 4 and 1, and their arrays (height, width, 3)."""
    rng, arrays = np.random.default_rng(0), []
    for label, n in (("a", 7), ("b", 4), ("çé 猫", 1)):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for i in range(n):
            arrays.append(
                rng.integers(0, 256, (rng.integers(10, 60), rng.integers(10, 60), 3), dtype=np.uint8)
            )
            Image.fromarray(arrays[-1]).save(tmp_path / "pictures" / label / f"{i}.png")
    return tmp_path / "pictures", arrays


def test_statistics_are_those_of_the_images(pictures):
    folder, arrays = pictures
    found = profile_dataset(Dataset(folder))
    width, height = (
        np.array([array.shape[1] for array in arrays]),
        np.array([array.shape[0] for array in arrays]),
    )
    sizes = [path.stat().st_size for path in folder.rglob("*.png")]
    assert (found.name, found.images, found.train_images, found.val_images, found.classes) == (
        "pictures",
        12,
        10,
        2,
        3,
    )
    assert (found.class_mean, found.class_std, found.class_min, found.class_max) == (
        4,
        pytest.approx(np.std([7, 4, 1])),
        1,
        7,
    )
    assert (found.width, found.width_std) == (np.median(width), pytest.approx(width.std()))
    assert (found.height, found.height_std) == (np.median(height), pytest.approx(height.std()))
    assert (found.aspect, found.aspect_std) == (
        pytest.approx(np.median(width / height)),
        pytest.approx((width / height).std()),
    )
    assert (found.bytes_total, found.bytes_mean) == (sum(sizes), pytest.approx(np.mean(sizes)))
    assert (found.grey_share, found.alpha_share, found.mirrored, found.headers_read, found.pixels_read) == (
        0,
        0,
        True,
        12,
        12,
    )
    assert found.decode_seconds > 0 and found.fingerprint == Dataset(folder).fingerprint


def test_colours_are_those_of_the_pixels(tmp_path, write):
    for label in "ab":
        for i in range(2):
            write(tmp_path / "plain" / label / f"{i}.png", (51, 102 + 51 * i, 255))
    found = profile_dataset(Dataset(tmp_path / "plain"))
    assert (found.red_mean, found.red_std, found.blue_mean, found.blue_std) == (0.2, 0, 1, 0)
    assert (found.green_mean, found.green_std) == (pytest.approx(0.5), pytest.approx(0.1))


@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 9), st.booleans())
def test_colour_statistics_are_numpys(seed, n, size, grey):
    images = np.random.default_rng(seed).integers(0, 256, (n, 1 if grey else 3, size, size), dtype=np.uint8)
    images = np.repeat(images, 3, axis=1) if grey else images
    found = colour_statistics(images)
    spread = (images.max(1) - images.min(1)).reshape(n, -1).mean(1)
    assert found["grey_share"] == (spread < 2).mean() and (found["grey_share"] == 1 or not grey)
    for channel, name in enumerate(("red", "green", "blue")):
        assert found[f"{name}_mean"] == pytest.approx((images[:, channel] / 255).mean())
        assert found[f"{name}_std"] == pytest.approx((images[:, channel] / 255).std(), abs=1e-9)


@given(st.lists(st.integers(0, 5), max_size=60), st.integers(0, 100))
def test_classes_come_in_turn(labels, seed):
    order = classes_in_turn(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    counts = np.bincount(labels, minlength=6) if labels else np.zeros(6, int)
    for stop in range(len(labels) + 1):
        seen = np.bincount(np.array(labels, dtype=int)[order[:stop]], minlength=6)
        assert all(seen[c] == counts[c] or seen[c] >= seen.max() - 1 for c in range(6))


def test_grey_transparent_and_turned_images(tmp_path):
    for label in "ab":
        (tmp_path / "kinds" / label).mkdir(parents=True)
    colour, exif = np.full((20, 30, 3), (250, 0, 0), np.uint8), Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(colour[..., 0]).save(tmp_path / "kinds" / "a" / "grey.png")
    Image.fromarray(np.repeat(colour[..., :1], 3, axis=2)).save(
        tmp_path / "kinds" / "a" / "grey in colours.jpg"
    )
    Image.fromarray(np.dstack([colour, colour[..., 0]])).save(tmp_path / "kinds" / "b" / "transparent.png")
    Image.fromarray(colour).save(tmp_path / "kinds" / "b" / "turned.jpg", exif=exif)
    found = profile_dataset(Dataset(tmp_path / "kinds"))
    assert (found.grey_share, found.alpha_share) == (0.5, 0.25)
    assert (found.width, found.height, found.aspect) == (30, 20, 1.5)
    assert found.width_std == pytest.approx(np.std([30, 30, 30, 20]))


def test_files_that_cannot_be_read_are_passed_over(pictures):
    folder, _ = pictures
    whole = (folder / "a" / "0.png").read_bytes()
    (folder / "a" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "a" / "empty.jpg").write_bytes(b"")
    (folder / "b" / "text.jpg").write_text("no image")
    (folder / "b" / "nowhere.png").symlink_to(folder / "nothing.png")
    os.mkfifo(folder / "b" / "pipe.png")
    (folder / "b" / "notes.txt").write_text("no image either")
    found = profile_dataset(Dataset(folder))
    assert (found.images, found.headers_read, found.pixels_read) == (17, 13, 12)
    assert found.bytes_total == sum(
        path.stat().st_size for path in folder.rglob("*.[pj][np]g") if path.exists()
    )


def test_a_folder_without_an_image_that_can_be_read(tmp_path):
    for label in "ab":
        (tmp_path / "bad" / label).mkdir(parents=True)
        for i in range(3):
            (tmp_path / "bad" / label / f"{i}.jpg").write_bytes(b"")
    found = profile_dataset(Dataset(tmp_path / "bad"))
    assert (found.images, found.bytes_total, found.headers_read, found.pixels_read) == (6, 0, 0, 0)
    assert (
        found.width is found.aspect_std is found.red_mean is found.decode_seconds is found.grey_share is None
    )


def test_errors_are_those_of_open_dataset(tmp_path, write):
    write(tmp_path / "one" / "a" / "0.png")
    with pytest.raises(DatasetError, match="only one class, 'a'"):
        profile_dataset(Dataset(tmp_path / "one"))
    with pytest.raises(DatasetError, match="neither a folder nor a known name; did you mean 'digits'"):
        profile_dataset(Dataset("digit"))


def test_samples_are_small_and_of_all_classes(animals):
    (animals / "bird").mkdir()
    (animals / "cat" / "0.png").rename(animals / "bird" / "0.png")
    (animals / "cat" / "1.png").rename(animals / "bird" / "1.png")
    found = profile_dataset(Dataset(animals), headers=6, pixels=4)
    assert (found.images, found.headers_read, found.pixels_read) == (15, 6, 4)
    assert found.bytes_total == sum(path.stat().st_size for path in animals.rglob("*.*") if path.is_file())


def test_without_time_only_what_a_listing_tells_is_known(animals):
    found = profile_dataset(Dataset(animals), seconds=0)
    assert (found.images, found.classes, found.class_min) == (15, 2, 5) and found.bytes_total > 0
    assert found.headers_read is found.pixels_read is found.width is found.red_mean is None


def test_a_bar_is_shown_where_asked_for(animals, capfd):
    profile_dataset(Dataset(animals), show_progress=False)
    assert capfd.readouterr().err == ""
    profile_dataset(Dataset(animals), show_progress=True)
    assert "animals: profiling" in capfd.readouterr().err


def test_datasets_with_names_and_open_ones_come_as_arrays():
    split = open_dataset("digits", input_size=48)
    named, opened = profile_dataset(Dataset("digits")), profile_dataset(Dataset(split))
    assert (named.name, named.images, named.train_images, named.classes) == ("digits", 1797, 1438, 10)
    assert (named.mirrored, named.grey_share) == (False, 1)
    assert named.class_min == np.bincount(np.concatenate([split.train.labels, split.val.labels])).min()
    assert named.red_mean == pytest.approx(split.train.images.mean() / 255, abs=0.01)
    assert (
        named.width is named.bytes_total is named.alpha_share is named.headers_read is None
        and named.pixels_read == 400
    )
    assert {
        **opened.to_json(),
        "fingerprint": named.fingerprint,
    } == named.to_json() and opened.fingerprint == Dataset(split).fingerprint


def test_two_images(tmp_path):
    def part(n):
        return ImageArrays(np.zeros((n, 3, 4, 4), np.uint8), np.arange(n))

    found = profile_arrays(ImageSplit(part(2), part(0), ("a", "b"), "line\nbreak" * 50), "x")
    assert (found.images, found.val_images, found.class_std, found.red_std) == (2, 0, 0, 0)
    assert "\n" not in found.name and len(found.name) <= 200


REAL = st.floats(0, 1e15)
NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=200
)
PROFILES = st.builds(
    DatasetProfile,
    name=NAMES,
    fingerprint=st.just("f"),
    images=st.none() | st.integers(0, 10**15),
    mirrored=st.none() | st.booleans(),
    width=st.none() | REAL,
    grey_share=st.none() | st.floats(0, 1),
)


@settings(max_examples=50)
@given(PROFILES)
def test_a_profile_survives_json(profile):
    assert DatasetProfile.from_json(json.loads(json.dumps(profile.to_json(), allow_nan=False))) == profile


@pytest.mark.parametrize(
    "changes, line",
    [
        ({"images": -1}, "images: -1 is not a whole number from 0, or null"),
        ({"images": 1.5}, "images"),
        ({"images": True}, "images"),
        ({"width": math.nan}, "width: nan is not a number"),
        ({"width": "5"}, "width"),
        ({"height": math.inf}, "height"),
        ({"grey_share": 1.01}, "grey_share: 1.01 is not a number from 0 to 1, or null"),
        ({"red_mean": 2}, "red_mean"),
        ({"mirrored": 1}, "mirrored: 1 is not a truth value, or null"),
        ({"name": ""}, "name: '' is not a text"),
        ({"name": None}, "name"),
        ({"fingerprint": "a\nb"}, "fingerprint"),
        ({"images": [1]}, "images"),
        ({"more\n": 1}, "no field 'more\\\\n'; "),
    ],
)
def test_a_damaged_profile_is_one_line(changes, line):
    good = DatasetProfile("name", "fingerprint", images=3).to_json()
    with pytest.raises(ProfileError, match=line) as error:
        DatasetProfile.from_json({**good, **changes})
    assert "\n" not in str(error.value)


def test_what_is_no_profile_is_one_line():
    for data in (None, [], "profile", 3):
        with pytest.raises(ProfileError, match="not an object"):
            DatasetProfile.from_json(data)
    with pytest.raises(ProfileError, match="aspect: is missing; it is a number"):
        DatasetProfile.from_json(
            {k: v for k, v in DatasetProfile("a", "b").to_json().items() if k != "aspect"}
        )
