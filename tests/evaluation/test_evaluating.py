from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from nni_nasoa.data import Dataset, DatasetError
from nni_nasoa.evaluation import evaluate
from nni_nasoa.evaluation.evaluating import TIMED_IMAGES
from nni_nasoa.finetune import FineTuneRegime
from nni_nasoa.finetune.classifier import Classifier, describe

GREYS = {"black": 0, "grey": 128, "white": 255}


class Brightness(nn.Module):
    """Tells black, grey and white images."""

    def forward(self, images):
        mean = images.mean((1, 2, 3))[:, None]
        return -50 * (mean - torch.tensor([0, 0.5, 1])) ** 2


def classifier_of(dataset="d", **metrics):
    about = describe(
        classes=tuple(GREYS),
        dataset=dataset,
        regime=FineTuneRegime("nano-a", input_size=8),
        encoding=None,
        weights_of="network",
        mean=(0, 0, 0),
        std=(1, 1, 1),
        metrics=metrics,
    )
    return Classifier(Brightness(), about)


@pytest.fixture
def photos(tmp_path):
    """A function that writes images of a grey into a folder."""

    def write(folder, grey, number, name="i"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for place in range(number):
            Image.new("L", (10 + place, 10), grey).save(tmp_path / folder / f"{name}{place}.png")
        return tmp_path

    return write


@pytest.fixture
def three_parts(photos, tmp_path):
    for part, number in (("Test", 2), ("valid", 3), ("train", 4)):
        for name, grey in GREYS.items():
            photos(f"{part}/{name}", grey, number)
    return tmp_path


@pytest.mark.parametrize(
    "part, chosen, images", [(None, "test", 6), ("val", "val", 9), ("train", "train", 12), ("all", "all", 27)]
)
def test_a_folder_with_parts(three_parts, part, chosen, images):
    found = evaluate(classifier_of(), three_parts, part)
    assert (found.part, len(found), found.accuracy) == (chosen, images, 1.0)


@pytest.mark.parametrize(
    "part, chosen, images", [(None, "test", 6), ("val", "val", 3), ("train", "train", 12), ("all", "all", 21)]
)
def test_a_part_to_test_beside_the_classes(photos, part, chosen, images):
    for name, grey in GREYS.items():
        photos(f"test/{name}", grey, 2)
        root = photos(name, grey, 5)
    found = evaluate(classifier_of(), root, part)
    assert (found.part, len(found), found.accuracy) == (chosen, images, 1.0)


def test_a_folder_of_classes_and_what_its_run_held_back(photos, tmp_path):
    for name, grey in GREYS.items():
        photos(name, grey, 10)
    every = evaluate(classifier_of(), tmp_path)
    assert (every.part, len(every), every.notes) == ("all", 30, ())
    held_back = evaluate(classifier_of(), Dataset(tmp_path, val_fraction=0.3, seed=5), "val")
    split = Dataset(tmp_path, val_fraction=0.3, seed=5).open(8)
    assert len(held_back) == len(split.val) == 9 and held_back.part == "val"
    with pytest.raises(DatasetError, match="no test/ with a folder for each class"):
        evaluate(classifier_of(), tmp_path, "test")


def test_classes_are_matched_by_name_and_what_is_unknown_or_missing_is_told(photos, tmp_path):
    photos("white", 255, 3)
    photos("grey/deeper", 0, 2)  # they look black
    photos("zebra", 100, 4)
    (tmp_path / "empty").mkdir()
    found = evaluate(classifier_of(), tmp_path)
    assert len(found) == 5 and found.accuracy == 3 / 5
    assert found.confusions[0][:3] == ("grey", "black", 2)
    assert found.notes == (
        "4 images of classes that the classifier does not know: 'zebra'",
        "no images of 'black'",
    )


def test_one_class_alone_is_enough(photos, tmp_path):
    photos("white", 255, 3)
    assert evaluate(classifier_of(), tmp_path).accuracy == 1


def test_no_class_that_it_knows_is_one_line(photos, tmp_path):
    photos("Whites", 255, 3)
    photos("zebra", 100, 4)
    with pytest.raises(DatasetError, match=r"none of its classes .*'zebra'\); did you mean 'white'"):
        evaluate(classifier_of(), tmp_path)


def test_images_that_cannot_be_read_do_not_count_and_are_told(photos, tmp_path):
    photos("white", 255, 3)
    (tmp_path / "white" / "broken.png").write_bytes(b"\x89PNG")
    found = evaluate(classifier_of(), tmp_path)
    assert len(found) == 3 and found.unreadable[0].file == "white/broken.png"
    assert found.notes[1].startswith("1 of 4 images cannot be read; the first: white/broken.png (")


def test_no_image_that_can_be_read_and_no_image_at_all(photos, tmp_path):
    (tmp_path / "white").mkdir()
    with pytest.raises(DatasetError, match="no images; a folder for each class is needed"):
        evaluate(classifier_of(), tmp_path)
    (tmp_path / "white" / "broken.png").write_bytes(b"\x89PNG")
    with pytest.raises(DatasetError, match="none of 1 images can be read"):
        evaluate(classifier_of(), tmp_path)


def test_the_images_that_it_was_trained_on_are_told(photos, tmp_path):
    photos("white", 255, 3)
    photos("black", 0, 3)
    seen = classifier_of(tmp_path.name, train_images=4, val_images=2)
    assert any("trained on; --part val takes" in note for note in evaluate(seen, tmp_path).notes)
    (tmp_path / "white" / "i0.png").unlink()
    assert not any("trained on" in note for note in evaluate(seen, tmp_path).notes)
    with pytest.raises(DatasetError, match="part: 'tests' is not one of test, val, train, all"):
        evaluate(seen, tmp_path, "tests")


def test_a_named_dataset_and_arrays_give_the_part_to_validate_on(blobs):
    about = classifier_of().about | {"classes": ["dark", "bright"], "input_size": 16}

    class Two(Brightness):
        def forward(self, images):
            return super().forward(images)[:, :2]

    found = evaluate(Classifier(Two(), about), blobs)
    assert (found.part, len(found)) == ("val", 40)
    opened = np.asarray(found.openers[0]())
    assert np.array_equal(opened, blobs.val.images[0].transpose(1, 2, 0))
    with pytest.raises(DatasetError, match="blobs: it has no test part; give val, train or all"):
        evaluate(Classifier(Two(), about), blobs, "test")
    numbers = {"classes": list("0123456789"), "input_size": 16}

    class Ten(nn.Module):
        def forward(self, images):
            return torch.zeros(len(images), 10)

    digits = evaluate(Classifier(Ten(), classifier_of().about | numbers), "digits")
    assert digits.part == "val" and 0.05 < digits.accuracy < 0.15


def test_the_official_test_part_of_a_torchvision_set_is_taken(tmp_path):
    """DTD's lists of parts, and images in folders of classes."""
    base = tmp_path / "dtd" / "dtd"
    (base / "labels").mkdir(parents=True)
    for part, count in (("train", 4), ("val", 2), ("test", 3)):
        lines = []
        for name, grey in (("black", 0), ("white", 255)):
            (base / "images" / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                Image.new("RGB", (20, 30), (grey,) * 3).save(base / "images" / name / f"{part}{number}.png")
                lines.append(f"{name}/{part}{number}.png")
        (base / "labels" / f"{part}1.txt").write_text("\n".join(lines) + "\n")
    found = evaluate(classifier_of(), "dtd", root=tmp_path)
    assert (found.part, len(found), found.accuracy) == ("test", 6, 1.0)
    assert found.notes == ("no images of 'grey'",)
    val = evaluate(classifier_of(), "dtd", "val", root=tmp_path)
    assert (val.part, len(val)) == ("val", 4)


def test_every_torchvision_set_has_the_test_part_that_torchvision_gives_it():
    """The arguments are those that the classes take; sets without official parts have none."""
    import inspect

    from torchvision import datasets

    from nni_nasoa.data.torchvision_sets import KNOWN

    for known in KNOWN.values():
        taken = inspect.signature(getattr(datasets, known.class_name)).parameters
        assert set(known.test or {}) <= set(taken), known
        assert (known.test is None) == (not {"train", "split"} & set(taken)), known


def test_a_set_that_cannot_be_had_is_one_line(tmp_path):
    with pytest.raises(DatasetError, match="usps: torchvision could not load or download it"):
        evaluate(classifier_of(), "usps", root=tmp_path)


def test_when_the_time_is_over_what_was_seen_counts(tmp_path):
    for label, level in GREYS.items():
        (tmp_path / "many" / label).mkdir(parents=True)
        for number in range(100):
            Image.new("L", (9, 9), level).save(tmp_path / "many" / label / f"{number}.png")
    found = evaluate(classifier_of(), tmp_path / "many", seconds=0)
    assert len(found) == TIMED_IMAGES and found.accuracy == 1  # all that were computed count
    assert found.notes == (f"the time was over after {len(found)} of 300 images",)
    assert np.bincount(found.labels, minlength=3).min() >= 1 or len(found) < 10  # in no order of classes
    whole = evaluate(classifier_of(), tmp_path / "many", seconds=600)
    assert len(whole) == 300 and not whole.notes
