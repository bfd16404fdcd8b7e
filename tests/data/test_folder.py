import os

import numpy as np
import pytest

from nni_nasoa.data import Dataset, DatasetError, DatasetWarning, open_dataset


def test_a_folder_for_each_class(animals):
    split = open_dataset(animals, input_size=8)
    assert split.classes == ("cat", "dog") and split.name == "animals"
    assert np.bincount(split.train.labels).tolist() == [8, 4] and np.bincount(split.val.labels).tolist() == [
        2,
        1,
    ]
    red = np.concatenate(
        [part.images[:, 0].reshape(len(part), -1).mean(1) for part in (split.train, split.val)]
    )
    assert (np.sort(red)[:10] == np.arange(10)).all() and (np.sort(red)[10:] > 95).all()
    np.testing.assert_array_equal(split.train.images[split.train.labels == 1][:, 0].min((1, 2)) > 95, True)


def test_train_and_val_folders(animals, tmp_path, write):
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


def test_a_test_folder_is_left_alone_where_there_is_no_val(animals, tmp_path, write):
    root = tmp_path / "set"
    root.mkdir()
    animals.rename(root / "train")
    for i in range(7):
        write(root / "test" / "dog" / f"{i}.png", (255, 255, 255))
    split = open_dataset(root, input_size=8)
    assert (len(split.train), len(split.val)) == (12, 3) and split.left_out.images == 15


def test_a_train_folder_alone_is_split(animals, tmp_path):
    (tmp_path / "set").mkdir()
    animals.rename(tmp_path / "set" / "train")
    assert len(open_dataset(tmp_path / "set", input_size=8).val) == 3


def test_train_may_be_the_name_of_a_class(tmp_path, write):
    for name in ("bus", "train"):
        for i in range(2):
            write(tmp_path / "vehicles" / name / f"{i}.png", (i, 0, 0))
    assert open_dataset(tmp_path / "vehicles", input_size=8).classes == ("bus", "train")


def test_the_names_of_the_parts_may_have_capitals(animals, tmp_path, write):
    (tmp_path / "set").mkdir()
    animals.rename(tmp_path / "set" / "Training")
    write(tmp_path / "set" / "VAL" / "cat" / "one.png")
    split = open_dataset(tmp_path / "set", input_size=8)
    assert (len(split.train), len(split.val)) == (15, 1)


def test_the_split_is_seeded(animals):
    def val(seed):
        return open_dataset(animals, input_size=8, seed=seed).val.images

    np.testing.assert_array_equal(val(0), val(0))
    assert any(not np.array_equal(val(0), val(seed)) for seed in (1, 2, 3))


def test_a_class_of_one_image_is_trained_on(animals, write):
    write(animals / "eel" / "one.png", (50, 0, 0))
    split = open_dataset(animals, input_size=8)
    assert split.classes == ("cat", "dog", "eel")
    assert (split.train.labels == 2).sum() == 1 and (split.val.labels == 2).sum() == 0


def test_what_is_no_image_is_passed_over_and_counted(animals, write, open_quietly):
    for name in ("cat/notes.txt", "cat/.DS_Store", "dog/Thumbs.db", "labels.csv"):
        (animals / name).write_text("meow")
    write(animals / "cat" / "._0.png")
    write(animals / ".hidden" / "a.png")
    write(animals / "__MACOSX" / "a.png")
    with pytest.warns(DatasetWarning, match=r"passed over .*: 2 files \(1 \.csv, 1 \.txt\)"):
        split = open_dataset(animals, input_size=8)
    assert split.classes == ("cat", "dog") and len(split.train) + len(split.val) == 15
    assert split.left_out.other_files == 2 and split.left_out.images == 15


def test_an_empty_class_is_left_out_and_said(animals):
    (animals / "cow").mkdir()
    (animals / "ant" / "notes").mkdir(parents=True)
    (animals / "ant" / "notes" / "a.txt").write_text("")
    for _ in range(2):  # when it is decoded, and when it comes from the cache
        with pytest.warns(
            DatasetWarning, match="classes without images: 'ant', 'cow'; passed over .* 1 file"
        ) as caught:
            split = open_dataset(animals, input_size=8)
        assert caught[0].filename == __file__
        assert split.classes == ("cat", "dog") and split.left_out.empty_classes == ("ant", "cow")


@pytest.mark.parametrize(
    "files, message",
    [
        ([], "no images found"),
        (["cat/0.png"], "only one class, 'cat'"),
        (["cat/0.png", "cat/1.png", "dog/"], "only one class, 'cat'"),
        (["cat/", "dog/notes.txt"], "no images found"),
        (["0.png"], "1 images but no class folders"),
        (["train/a/0.png", "train/b/0.png", "val/c/0.png"], "class 'c' is not in"),
        (["train/a/0.png", "train/b/", "val/b/0.png", "val/a/0.png"], "only one class, 'a'"),
        (["a/0.png", "b/0.png"], "two or more"),
    ],
)
def test_a_folder_that_cannot_be_used(tmp_path, write, files, message):
    root = tmp_path / "set"
    root.mkdir()
    for name in files:
        if name.endswith(".png"):
            write(root / name)
        elif name.endswith("/"):
            (root / name).mkdir(parents=True)
        else:
            (root / name).parent.mkdir(parents=True)
            (root / name).write_text("")
    with pytest.raises(DatasetError, match=message) as error:
        open_dataset(root, input_size=8)
    assert "\n" not in str(error.value)


def test_folders_that_look_alike_are_told_apart(animals, tmp_path, write):
    """Same names, sizes and times in another folder."""
    other = tmp_path / "other" / "animals"
    for path in sorted(animals.rglob("*.*")):
        write(other / path.relative_to(animals), (9, 9, len([*other.rglob("*.*")])))
        stat = path.stat()
        os.utime(other / path.relative_to(animals), ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert open_dataset(animals, input_size=8).train.images[:, 0].max() > 10
    assert open_dataset(other, input_size=8).train.images[:, 0].max() <= 10


def test_it_is_known_at_which_sizes_a_folder_is_decoded_without_reading_it(
    animals, write, later, monkeypatch
):
    assert Dataset(animals).decoded((8, 16)) == set()
    open_dataset(animals, input_size=8)
    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", lambda path, *_, **__: pytest.fail(f"{path} is read"))
        decoded = Dataset(animals).decoded((8, 16))
    assert decoded == {8}
    assert Dataset(animals, val_fraction=0.5).decoded((8, 16)) == set()
    write(animals / "cat" / "new.png")
    assert Dataset(animals).decoded((8, 16)) == set()
