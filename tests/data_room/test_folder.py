import io
import os
import warnings

import numpy as np
import pytest
from nni_nasoa.data import DatasetError, open_dataset
from nni_nasoa.data.decode import to_array
from PIL import Image


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("NASOA_CACHE", str(folder))
    return folder


def write(path, colour=(10, 20, 30), size=(24, 16), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)


@pytest.fixture
def animals(tmp_path):
    """Two classes, of 10 and 5 images, each of a colour of its own."""
    for i in range(10):
        write(tmp_path / "animals" / "cat" / f"{i}.png", (i, 0, 0))
    for i in range(5):
        write(tmp_path / "animals" / "dog" / f"{i}.JPG", (100 + 20 * i, 0, 0), quality=95)
    return tmp_path / "animals"


def test_a_folder_for_each_class(animals):
    split = open_dataset(animals, input_size=8)
    assert split.classes == ("cat", "dog") and split.name == "animals"
    assert np.bincount(split.train.labels).tolist() == [8, 4] and np.bincount(split.val.labels).tolist() == [2, 1]
    red = np.concatenate([part.images[:, 0].reshape(len(part), -1).mean(1) for part in (split.train, split.val)])
    assert (np.sort(red)[:10] == np.arange(10)).all() and (np.sort(red)[10:] > 95).all()
    np.testing.assert_array_equal(split.train.images[split.train.labels == 1][:, 0].min((1, 2)) > 95, True)


def test_train_and_val_folders(animals, tmp_path):
    root = tmp_path / "set"
    root.mkdir()
    animals.rename(root / "train")
    for name in ("cat", "dog"):
        write(root / "val" / name / "deeper" / "one.png", (200, 0, 0))
    write(root / "test" / "cat" / "unused.png")
    write(root / "loose.png")
    split = open_dataset(root, input_size=8)
    assert (len(split.train), len(split.val)) == (15, 2) and split.classes == ("cat", "dog")
    assert (split.val.images[:, 0] == 200).all() and split.val.labels.tolist() == [0, 1]


def test_a_test_folder_validates_where_there_is_no_val(animals, tmp_path):
    root = tmp_path / "set"
    root.mkdir()
    animals.rename(root / "train")
    write(root / "test" / "dog" / "one.png")
    assert open_dataset(root, input_size=8).val.labels.tolist() == [1]


def test_a_train_folder_alone_is_split(animals, tmp_path):
    (tmp_path / "set").mkdir()
    animals.rename(tmp_path / "set" / "train")
    assert len(open_dataset(tmp_path / "set", input_size=8).val) == 3


def test_train_may_be_the_name_of_a_class(tmp_path):
    for name in ("bus", "train"):
        for i in range(2):
            write(tmp_path / "vehicles" / name / f"{i}.png", (i, 0, 0))
    assert open_dataset(tmp_path / "vehicles", input_size=8).classes == ("bus", "train")


def test_what_is_no_image_is_passed_over(animals):
    (animals / "cat" / "notes.txt").write_text("meow")
    write(animals / "cat" / "._0.png")
    write(animals / ".hidden" / "a.png")
    write(animals / "__MACOSX" / "a.png")
    (animals / "empty").mkdir()
    split = open_dataset(animals, input_size=8)
    assert split.classes == ("cat", "dog") and len(split.train) + len(split.val) == 15


def test_broken_files_are_counted_and_left_out(animals):
    (animals / "cat" / "0.png").write_bytes(b"not an image")
    (animals / "cat" / "1.png").write_bytes((animals / "cat" / "2.png").read_bytes()[:40])
    (animals / "dog" / "9.png").symlink_to("nowhere.png")
    for _ in range(2):  # when it is decoded, and when it comes from the cache
        with pytest.warns(UserWarning, match=r"animals: 3 of 16 images .* the first: (cat/|dog/)"):
            split = open_dataset(animals, input_size=8)
        assert len(split.train) + len(split.val) == 13
        assert len(split.train.images) == len(split.train.labels)


@pytest.mark.parametrize("make, message", [
    (lambda root: root.mkdir(), "no images found"),
    (lambda root: write(root / "cat" / "0.png"), "only one class, 'cat'"),
    (lambda root: write(root / "0.png"), "1 images but no class folders"),
    (lambda root: [write(root / "train" / name / "0.png") for name in "ab"] + [write(root / "val" / "c" / "0.png")], "class 'c' is not in"),
    (lambda root: [write(root / name / "0.png") for name in "ab"], "two or more"),
])
def test_a_folder_that_cannot_be_used(tmp_path, make, message):
    make(tmp_path / "set")
    with pytest.raises(DatasetError, match=message) as error:
        open_dataset(tmp_path / "set", input_size=8)
    assert "\n" not in str(error.value)


def test_nothing_readable(tmp_path):
    for path in ("a/0.png", "a/1.png", "b/0.png", "b/1.png"):
        (tmp_path / "set" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / path).write_bytes(b"")
    with pytest.raises(DatasetError, match="not one of the 2 images for train can be read"):
        open_dataset(tmp_path / "set", input_size=8)


def test_rotation_noted_by_the_camera_is_applied():
    image = Image.new("RGB", (8, 16))
    image.paste((255, 255, 255), (0, 0, 8, 8))  # the upper half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    file = io.BytesIO()
    image.save(file, "PNG", exif=exif)
    pixels = to_array(Image.open(file), 8)
    assert pixels[0, :, -1].min() > 200 and pixels[0, :, 0].max() < 50


def test_the_centre_is_cropped_and_the_shorter_side_resized():
    image = Image.new("RGB", (48, 16))
    image.paste((200, 0, 0), (16, 0, 32, 16))
    pixels = to_array(image, 8)
    assert pixels.shape == (3, 8, 8) and pixels.flags.c_contiguous and (pixels[0, :, 1:-1] > 190).all()


@pytest.mark.parametrize("mode, colour, expected", [
    ("L", 128, (128, 128, 128)), ("1", 1, (255, 255, 255)), ("I;16", 128 * 256, (128, 128, 128)), ("CMYK", (0, 0, 0, 255), (0, 0, 0)),
    ("RGBA", (10, 20, 30, 0), (255, 255, 255)), ("RGBA", (10, 20, 30, 255), (10, 20, 30)), ("LA", (7, 255), (7, 7, 7)),
])
def test_every_mode_becomes_rgb(mode, colour, expected):
    pixels = to_array(Image.new(mode, (9, 9), colour), 4)
    np.testing.assert_array_equal(pixels, np.broadcast_to(np.array(expected)[:, None, None], (3, 4, 4)))


def test_16_bit_png_from_a_file():
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8), 200 * 256, np.uint16)).save(file, "PNG")
    assert (to_array(Image.open(file), 4) == 200).all()


def test_a_large_jpeg_is_the_same_as_when_decoded_whole():
    gradient = np.linspace(0, 255, 640).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.broadcast_to(gradient[None, :, None], (640, 640, 3)).copy()).save(file, "JPEG", quality=95)
    whole = Image.open(file)
    whole.load()
    np.testing.assert_allclose(to_array(Image.open(file), 32).astype(int), to_array(whole, 32).astype(int), atol=3)


def test_folders_that_look_alike_are_told_apart(animals, tmp_path):
    """Same names, sizes and times in another folder."""
    other = tmp_path / "other" / "animals"
    for path in sorted(animals.rglob("*.*")):
        write(other / path.relative_to(animals), (9, 9, 9))
        stat = path.stat()
        os.utime(other / path.relative_to(animals), ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_dataset(animals, input_size=8).train.images.max() > 9
        assert open_dataset(other, input_size=8).train.images.max() <= 10
