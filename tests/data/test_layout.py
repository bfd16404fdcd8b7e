import pytest

from nni_nasoa.data import Dataset, DatasetError, DatasetWarning, open_dataset
from nni_nasoa.data.listing import list_folder


@pytest.fixture
def lay(tmp_path):
    """A function that makes folders with so many files in each, and gives the folder around them."""

    def lay(folders):
        for name, number in folders.items():
            (tmp_path / "set" / name).mkdir(parents=True)
            for i in range(number):
                (tmp_path / "set" / name / f"{i}.jpg").touch()
        return tmp_path / "set"

    return lay


def classes(*parts, number=10):
    return {f"{part}/{name}".strip("/"): number for part in parts for name in ("cat", "dog")}


def images_of(listing):
    """Folders from which images are trained on, and from which they are validated on."""
    train, val = (sorted({file.path.rpartition("/")[0] for file in part or ()}) for part in listing[1:3])
    return train, val


@pytest.mark.parametrize(
    "train, val",
    [
        ("train", "val"),
        ("training", "validation"),
        ("train", "eval"),
        ("Train", "Valid"),
        ("train_images", "val_images"),
        ("flowers_train", "flowers_val"),
        ("train2017", "val2017"),
    ],
)
def test_parts_by_their_names(lay, train, val):
    found = list_folder(lay(classes(train, val)))
    assert found.classes == ("cat", "dog") and found.left_out.notes == ()
    assert images_of(found) == ([f"{train}/cat", f"{train}/dog"], [f"{val}/cat", f"{val}/dog"])


@pytest.mark.parametrize(
    "train, test",
    [("train", "test"), ("training_set", "test_set"), ("seg_train", "seg_test"), ("train", "test1")],
)
def test_a_part_to_test_is_neither_trained_nor_selected_on(lay, train, test):
    root = lay(classes(train, test))
    found = list_folder(root)
    assert images_of(found) == ([f"{train}/cat", f"{train}/dog"], []) and found.test == test
    split = Dataset(root).files.split(Dataset(root).holdout)
    assert [len(part) for part in (split.train, split.val)] == [16, 4]


def test_a_part_that_an_archive_has_twice(lay):
    found = list_folder(lay(classes("seg_train/seg_train", "seg_test/seg_test") | {"seg_pred/seg_pred": 3}))
    assert images_of(found)[0] == ["seg_train/seg_train/cat", "seg_train/seg_train/dog"]
    assert found.test == "seg_test/seg_test"
    assert found.left_out.notes == ("not used, beside the parts: seg_pred/",)


@pytest.mark.parametrize("inside", [{"test": 10}, {"test/unknown": 10}, classes("test")])
def test_a_part_to_test_beside_the_classes_is_no_class(lay, inside):
    root = lay({**classes(""), **inside})
    found = list_folder(root)
    assert found.classes == ("cat", "dog") and images_of(found)[0] == ["cat", "dog"]
    assert found.left_out.notes == (
        "not trained on, as the name is that of a part and not of a class: test/",
    )


def test_what_beside_the_classes_is_for_validation(lay):
    found = list_folder(lay(classes("", "val")))
    assert images_of(found) == (["cat", "dog"], ["val/cat", "val/dog"]) and found.left_out.notes == ()


@pytest.mark.parametrize("folders", [{"bus": 3, "train": 3}, {"bus": 3, "car": 3, "train": 3}])
def test_a_train_among_other_classes_is_told(lay, folders):
    found = list_folder(lay(folders))
    assert found.classes == tuple(folders)
    assert found.left_out.notes == ("taken as a class, as no folders of classes are in it: train/",)


def test_valid_is_a_class_beside_invalid(lay):
    assert list_folder(lay({"valid": 2, "invalid": 2, "unclear": 2})).classes == (
        "invalid",
        "unclear",
        "valid",
    )


@pytest.mark.parametrize(
    "folders, message",
    [
        (
            {"train": 5, "test1": 5},
            "/set/train: 5 images but no class folders, beside test1/; put the images of",
        ),
        ({"train_images": 5, "val_images": 5}, "/set/train_images: 5 images but no class folders"),
        ({"bus": 5, "train": 5, "test": 5}, "or rename it if it is a class itself"),
        ({"train": 5}, "/set/train: 5 images but no class folders"),
        (classes("val", "test"), "only test/, val/, by which a classifier is judged"),
        (classes("test"), "give .*/set/test to train on it"),
        (
            {"images": 5, "masks": 5},
            "images/, masks/ seem to be images and what was drawn of them, and no cl",
        ),
        ({"train/images": 5, "train/masks": 5, "test/images": 3}, "/set/train: images/, masks/ seem to be"),
        (
            classes("archive/train", "archive/test"),
            "in archive/, which holds test/, train/; give .*/set/archive",
        ),
        (classes("archive/data/train"), "in archive/data/, which holds train/; give .*/set/archive/data"),
        (classes("Images"), "in Images/, which holds cat/, dog/; give .*/set/Images"),
        (classes("train/pets"), "/set/train: all images are in train/pets/, which holds cat/, dog/"),
        (
            classes("", number=0) | {"cat/train": 5, "cat/test": 5},
            "in cat/, which holds test/, train/; give .*/set/cat",
        ),
        ({"cat/train": 5, "cat/test": 5, "dog/train": 5, "dog/test": 5}, "'cat' holds test/, train/, which"),
        ({"cat": 5, "dog": 5, "dog/test": 5}, "'dog' holds test/, which are parts"),
        (classes("a/train", "a/val", "b/train", "b/val"), "'a' holds train/, val/, which are parts"),
        ({"test": 5, "control": 5}, "only one class, 'control'"),
    ],
)
def test_what_is_no_folder_of_classes_is_one_line(lay, folders, message):
    with pytest.raises(DatasetError, match=message) as error:
        list_folder(lay(folders))
    assert "\n" not in str(error.value)


def test_folders_that_are_not_used_are_told(lay):
    root = lay(classes("train", "val") | {"extra": 3, "extra/deeper": 2, "val2": 3, "code": 0})
    assert list_folder(root).left_out.notes == ("not used, beside the parts: extra/, val2/",)


def test_folders_of_systems_are_no_classes(lay):
    found = list_folder(
        lay(classes("") | {"@eaDir": 2, "#recycle": 2, "$RECYCLE.BIN": 2, "lost+found": 2, "cat/@eaDir": 2})
    )
    assert found.classes == ("cat", "dog") and len(found.train) == 20


def test_what_is_not_used_is_a_warning_where_a_dataset_is_opened(tmp_path, write):
    for label, name in enumerate(("cat", "dog", "test")):
        for i in range(5):
            write(tmp_path / name / f"{i}.png", (i, label, 0))
    with pytest.warns(DatasetWarning, match="not trained on, as the name is that of a part .*: test/"):
        assert open_dataset(tmp_path, input_size=8).classes == ("cat", "dog")
    (tmp_path / "test").rename(tmp_path / "eel")
    split = open_dataset(tmp_path, input_size=8)
    assert split.classes == ("cat", "dog", "eel") and "not trained" not in str(split.left_out.summary())
