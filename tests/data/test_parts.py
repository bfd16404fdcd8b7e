import pytest

from nni_nasoa.data.parts import drawn_beside_images, kinds_of_parts


@pytest.mark.parametrize(
    "names, kinds",
    [
        ("train val test", ["train", "val", "test"]),
        ("Training Valid TESTING", ["train", "val", "test"]),
        ("train eval", ["train", "val"]),
        ("train evaluation", ["train", "val"]),
        ("train test1", ["train", "test"]),
        ("train2017 val2017", ["train", "val"]),
        ("training_set test_set", ["train", "test"]),
        ("TrainingSet ValidationSet", ["train", "val"]),
        ("trainset testset", ["train", "test"]),
        ("train_images val_images", ["train", "val"]),
        ("seg_train seg_test", ["train", "test"]),
        ("stage1-train stage1-test", ["train", "test"]),
        ("train_val test", ["train", "test"]),
        ("trainval test", ["train", "test"]),
    ],
)
def test_names_of_parts(names, kinds):
    assert kinds_of_parts([*names.split(), "cats"]) == dict(zip(names.split(), kinds))


@pytest.mark.parametrize(
    "names",
    [
        "train_station bus_station",
        "train_station test_tube",
        "trains buses",
        "contest latest protest",
        "valid invalid",
        "train_test other",
        "evaluator validity",
    ],
)
def test_names_of_classes(names):
    assert kinds_of_parts(names.split()) == {}


def test_the_plainest_name_of_a_part_comes_first():
    assert [*kinds_of_parts(["train_images", "train_1", "train", "training"])][:2] == ["train", "training"]


@pytest.mark.parametrize(
    "names, found",
    [
        ("images masks", ("images", "masks")),
        ("JPEGImages SegmentationClass", ("JPEGImages", "SegmentationClass")),
        ("train_images train_masks", ("train_images", "train_masks")),
        ("imgs labels other", ("imgs", "labels")),
        ("with_mask without_mask", None),
        ("images photos", None),
        ("mask hat", None),
    ],
)
def test_images_beside_what_was_drawn_of_them(names, found):
    assert drawn_beside_images(names.split()) == found
