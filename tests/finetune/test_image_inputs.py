"""Whatever an image is given as, a classifier sees the same; what is none is told, and nothing waits."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
import torch
from PIL import Image

from nni_nasoa.finetune.classifier import Classifier
from nni_nasoa.finetune.errors import ClassifierError
from nni_nasoa.finetune.image_inputs import ImageWarning, UnreadableImage
from nni_nasoa.networks import ETNet


@pytest.fixture
def classifier(tiny, described):
    torch.manual_seed(0)
    return Classifier(ETNet(tiny, 3), described(("a", "b", "c")))


@pytest.fixture
def grey():
    return np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)


@pytest.fixture
def colour():
    return np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def assert_alike(found, expected):
    """The same predictions, up to how a batch of another size is rounded."""
    assert [one.label for one in found] == [one.label for one in expected]
    assert [one.probability for one in found] == pytest.approx(
        [one.probability for one in expected], abs=1e-6
    )


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def test_one_image_of_any_kind_gives_the_same(classifier, colour, tmp_path):
    (tmp_path / "a.png").write_bytes(png(colour))
    tensor = torch.from_numpy(colour).permute(2, 0, 1)
    expected = classifier.predict([colour], 3)
    for one in (
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        png(colour),
        bytearray(png(colour)),
        Image.fromarray(colour),
        colour,
        tensor,
        tensor.float() / 255,
        tensor.half() / 255,
    ):
        assert classifier.predict(one, 3) == expected == classifier.predict([one], 3)


def test_grey_images_too(classifier, grey):
    expected = classifier.predict(np.stack([grey] * 3, axis=-1), 3)
    for one in (grey, grey[..., None], torch.from_numpy(grey), torch.from_numpy(grey)[None], png(grey)):
        assert classifier.predict(one, 3) == expected


def test_batches_of_arrays_and_tensors_are_images_each(classifier, colour):
    batch = np.stack([colour, 255 - colour])
    expected = classifier.predict([*batch], 3)
    assert len(expected) == 2
    assert_alike(expected[1], classifier.predict(255 - colour, 3)[0])
    assert classifier.predict(batch, 3) == expected
    assert classifier.predict(torch.from_numpy(batch).permute(0, 3, 1, 2), 3) == expected


@pytest.mark.parametrize(
    "wrong, words",
    [
        (np.zeros((16, 16, 3)), r"an array of float64, shape \(16, 16, 3\); give uint8"),
        (np.zeros((16, 16), np.uint16), "an array of uint16"),
        (np.zeros((3, 16, 16), np.uint8), r"shape \(3, 16, 16\); give uint8 from 0 to 255 of shape \(height"),
        (np.zeros((0, 16, 3), np.uint8), r"shape \(0, 16, 3\)"),
        (np.zeros(16, np.uint8), r"shape \(16,\)"),
        (torch.zeros(16, 16, 3), r"a tensor of float32, shape \(16, 16, 3\); give \(height, width\)"),
        (torch.zeros(3, 16, 16, dtype=torch.int64), "a tensor of int64"),
        (torch.full((3, 4, 4), 200.0), "values from 200 to 200; .*, not normalised"),
        (torch.full((3, 4, 4), float("nan")), "not normalised"),
        (7, "int is no image; give a path, bytes, a PIL image, an array or a tensor"),
        (None, "NoneType is no image"),
    ],
)
def test_what_cannot_be_taken_is_one_line_before_anything_is_read(classifier, colour, wrong, words):
    for images, place in ((wrong, "image"), ([colour, wrong], "image 2")):
        with pytest.raises(ClassifierError, match=f"^{place}: .*{words}") as caught:
            classifier.predict(images)
        assert "\n" not in str(caught.value)


def test_an_image_that_cannot_be_read_costs_no_other(classifier, colour, tmp_path):
    (tmp_path / "bad\n\x1b[2J.jpg").write_bytes(b"\xff\xd8\xff not a jpeg")
    with pytest.warns(ImageWarning, match=r"bad\\n\\x1b\[2J\.jpg: cannot be read as an image") as warned:
        first, bad, last = classifier.predict([colour, tmp_path / "bad\n\x1b[2J.jpg", png(colour)], 3)
    assert bad == []
    for found in (first, last):
        assert_alike(found, classifier.predict(colour, 3)[0])
    assert len(warned) == 1 and str(warned[0].message).isprintable()
    assert warned[0].filename == __file__


def test_pipes_and_folders_are_no_images_and_nobody_waits_for_them(classifier, colour, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "empty.png").touch()
    found = list(
        classifier.stream(
            [tmp_path / "pipe", colour, tmp_path / "folder.png", tmp_path / "empty.png", "/dev/zero", b""]
        )
    )
    assert [isinstance(one, UnreadableImage) for one in found] == [True, False, True, True, True, True]
    assert "(not a file)" in str(found[0]) and "(a folder, not a file)" in str(found[2])
    assert "(the file is empty)" in str(found[3])


def test_the_image_of_the_caller_stays_as_it_is(classifier, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (400, 600, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95)
    with Image.open(tmp_path / "a.jpg") as image, Image.open(tmp_path / "a.jpg") as untouched:
        classifier.predict([image] * 20)
        assert image.size == (600, 400) and image.mode == "RGB"
        assert np.array_equal(np.asarray(image), np.asarray(untouched))


def test_arrays_stay_as_they_are(classifier, colour):
    given = colour[::-1, ::-1]  # a view that is not contiguous
    before = given.copy()
    classifier.predict(given)
    assert np.array_equal(given, before)


def test_a_stream_gives_images_in_order_before_all_were_asked_for(classifier, colour, tmp_path):
    asked = []

    def images():
        for number in range(2000):
            asked.append(number)
            yield colour if number % 2 else 255 - colour

    rows = classifier.stream(images())
    first, second = next(rows), next(rows)
    assert len(asked) < 1000
    even, odd = (classifier.predict(image, 3)[0] for image in (255 - colour, colour))
    assert_alike(classifier.best(first, 3), even)
    assert_alike(classifier.best(second, 3), odd)
    assert sum(1 for _ in rows) == 1998


def test_pillows_warnings_are_no_business_of_the_caller(classifier, colour, tmp_path, recwarn):
    """Of an image of so many pixels Pillow warns, and of a palette with transparency."""
    Image.new("1", (10_000, 9_000)).save(tmp_path / "large.png")
    palette = Image.fromarray(colour).quantize(8)
    palette.info["transparency"] = bytes(range(8))
    palette.save(tmp_path / "palette.png")
    with Image.open(tmp_path / "large.png"):
        assert [one.category.__name__ for one in recwarn] == ["DecompressionBombWarning"]
    recwarn.clear()
    assert all(classifier.predict([tmp_path / "large.png", tmp_path / "palette.png", colour]))
    assert not list(recwarn)
