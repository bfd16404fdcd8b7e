"""Lists of images as datasets: classes, parts, and what is not used."""

from __future__ import annotations

from pathlib import Path

import pytest

from nni_nasoa.data import Dataset, DatasetError, ImageList, ListedImage
from nni_nasoa.data.listed import listed


def images(*rows, **options):
    return ImageList([ListedImage(*row) for row in rows], **options)


def test_a_list_in_memory_is_a_dataset(animals):
    rows = [(path.name, path.parent.name) for path in animals.rglob("*.*")]
    given = ImageList([ListedImage(f"{label}/{name}", label) for name, label in rows], animals, name="pets")
    dataset = Dataset(given, seed=2)
    assert dataset.name == "pets" and dataset.input_size is None
    assert dataset.open(8).val.images.tolist() == Dataset(animals, seed=2).open(8).val.images.tolist()


def test_classes_are_in_the_order_that_is_known_or_sorted():
    rows = [("a", 1), ("b", 0), ("c", "z"), ("d", 10), ("e", 2.5)]
    assert listed(images(*rows), "x").listing.classes == ("0", "1", "2.5", "10", "z")
    found = listed(images(*rows[:3], classes=["late", "early", "none"]), "x").listing
    assert found.classes == ("late", "early", "z") and found.left_out.empty_classes == ("none",)
    assert [file.path for file in found.train] == ["b", "a", "c"]


def test_one_spelling_of_a_name_is_one_class_and_others_are_told():
    found = listed(
        images(("a", "Stra\u00dfe"), ("b", "caf\u00e9"), ("c", "cafe\u0301"), ("d", "Cafe\u0301")), "x"
    )
    assert found.listing.classes == ("Caf\u00e9", "Stra\u00dfe", "caf\u00e9")
    assert found.listing.left_out.notes == (
        "two classes, whose names hardly differ: 'Caf\u00e9' and 'caf\u00e9'",
    )


def test_what_is_no_line_of_text_is_escaped():
    assert listed(images(("a", "x\ny"), ("b", "\x1b[2J")), "x").classes == ("\\x1b[2J", "x\\ny")


def test_paths_are_one_in_all_their_spellings():
    rows = [("./a//b", 0), ("a/b", 0), ("a/x/../b", 0), ("/c", 1), ("/./c", 1)]
    found = listed(images(*rows), "x").listing
    assert [file.path for file in found.train] == ["a/b", "a/x/../b", "/c"]


def test_parts_of_a_list():
    rows = [(str(number), number % 2, "train val test".split()[number % 3]) for number in range(12)]
    found = listed(images(*rows, ("t", 7, "test")), "x")
    assert [len(found.by_part[part]) for part in ("train", "val", "test")] == [4, 4, 5]
    assert found.listing.classes == ("0", "1") and found.classes == ("0", "1", "7")
    assert found.listing.left_out.empty_classes == ("7",) and found.listing.test == "test"


@pytest.mark.parametrize(
    "rows, options, message",
    [
        ([], {}, "x: no images found"),
        ([("a", None)], {}, "x: no images with a label found"),
        ([("a", 0), ("b", 0)], {}, "x: only one class, '0'; two or more are needed"),
        ([("a", 0, "test"), ("b", 1, "val")], {}, "x: only images of test and val, by which a classifier"),
        ([("a", 0), ("b", 2)], {"classes": "pq"}, "x: label 2 is not one of the 2 classes, from 0"),
        ([("a", -1), ("b", 0)], {"classes": "pq"}, "x: label -1 is not one of the 2 classes, from 0"),
        ([("a", 0, "i"), ("b", 1, "j")], {}, "x: the parts are 'i', 'j', and not train, val and test"),
    ],
)
def test_what_cannot_be_trained_on_is_one_line(rows, options, message):
    with pytest.raises(DatasetError) as raised:
        listed(images(*rows, **options), "x")
    assert str(raised.value).startswith(message)


def test_a_list_knows_whether_its_labels_are_numbers():
    assert images(("a", 0), ("b", 1)).numbered and not images(("a", 0), ("b", "1")).numbered
    assert not images(("a", 0), classes=["p"]).numbered and images().root == Path(".")
