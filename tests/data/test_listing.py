import os
import unicodedata

import pytest

from nni_nasoa.data import DatasetError, open_dataset
from nni_nasoa.data.listing import list_folder
from nni_nasoa.data.place import Place


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def names(root):
    """The files of each class, in order."""
    found = list_folder(root)
    return {
        name: sorted(file.path for file in found.files if file.label == label)
        for label, name in enumerate(found.classes)
    }


@pytest.fixture
def root(tmp_path):
    touch(tmp_path / "set", "a/0.png", "a/1.png", "b/0.png", "b/deep/er/1.png")
    return tmp_path / "set"


PLAIN = {"a": ["a/0.png", "a/1.png"], "b": ["b/0.png", "b/deep/er/1.png"]}


def test_links_to_files_and_folders_are_followed(root, tmp_path):
    touch(tmp_path / "elsewhere", "2.png", "in/3.png")
    (root / "a" / "4.png").symlink_to(tmp_path / "elsewhere" / "2.png")
    (root / "a" / "more").symlink_to(tmp_path / "elsewhere")
    (root / "c").symlink_to(tmp_path / "elsewhere" / "in")
    assert names(root) == {
        "a": ["a/0.png", "a/1.png", "a/4.png", "a/more/2.png"],
        "b": PLAIN["b"],
        "c": ["c/3.png"],
    }
    (tmp_path / "link").symlink_to(root)
    assert names(tmp_path / "link") == names(root)


@pytest.mark.parametrize(
    "link, target",
    [
        ("a/loop", "."),
        ("a/loop", ".."),
        ("a/loop", "../.."),
        ("b/deep/er/loop", "../../.."),
        ("b/deep/er/loop", ".."),
        ("a/other", "../b"),
        ("loop", "."),
        ("loop", ".."),
        ("a/itself", "itself"),
        ("itself", "itself"),
        ("again", "a"),
        ("A", "b"),
    ],
)
def test_a_loop_of_links_ends_and_repeats_nothing(root, link, target):
    touch(root.parent, "beside/9.png")  # what a link upwards would find
    (root / link).symlink_to(target)
    assert names(root) == PLAIN


def test_links_that_cross_are_followed_once(root):
    (root / "b" / "deep" / "twice").symlink_to("er")
    found = names(root)
    assert found["a"] == PLAIN["a"] and len(found["b"]) == 2


def test_the_parts_may_share_a_folder(tmp_path):
    touch(tmp_path, "train/a/0.png", "train/b/0.png")
    (tmp_path / "val").mkdir()
    for name in "ab":
        (tmp_path / "val" / name).symlink_to(f"../train/{name}")
    assert names(tmp_path) == {"a": ["train/a/0.png", "val/a/0.png"], "b": ["train/b/0.png", "val/b/0.png"]}


def test_names_in_unicode(tmp_path):
    """A class is the same whichever way its accents are encoded, and names that are no
    text are files all the same.
    """
    composed, decomposed = (unicodedata.normalize(form, "café ∆") for form in ("NFC", "NFD"))
    broken = os.fsdecode(b"\xff\xfe")
    touch(
        tmp_path,
        f"train/{composed}/ü 1.png",
        f"val/{decomposed}/ü 2.png",
        f"train/{broken}/{broken}.png",
        f"val/{broken}/\n.png",
    )
    found = list_folder(tmp_path)
    assert found.classes == ("\\udcff\\udcfe", composed)
    assert [file.label for file in found.train] == [0, 1] and [file.label for file in found.val] == [0, 1]
    touch(tmp_path, f"train/{decomposed}/3.png")
    assert [file.label for file in list_folder(tmp_path).train] == [0, 1, 1]


def test_images_with_names_in_unicode_are_opened(tmp_path, write, open_quietly):
    for class_name in ("日本 語", os.fsdecode(b"\xff")):
        for i, name in enumerate(("ä.png", "a b.png", "😀.PNG", os.fsdecode(b"\xe9t\xe9.png"))):
            write(tmp_path / class_name / name, (i, len(class_name), 0))
    (tmp_path / "日本 語" / os.fsdecode(b"bad\xff.png")).write_text("")
    split = open_quietly(tmp_path, max_bad=0.2)
    assert len(split.train) + len(split.val) == 8 and split.classes == ("\\udcff", "日本 語")
    str(split.left_out.summary()).encode("utf-8")  # can be printed
    assert (tmp_path / split.left_out.bad[0].file).exists() and split.left_out.bad_list.read_text().count(
        "\n"
    ) == 1


def test_every_folder_is_listed_once_and_every_image_statted_once(tmp_path, monkeypatch):
    """So that the time grows with the number of files, and no faster."""
    from nni_nasoa.data import content

    for label in range(20):
        folder = tmp_path / f"{label}" / "deep"
        folder.mkdir(parents=True)
        for i in range(1000):
            os.close(os.open(folder / f"{i}.jpg", os.O_CREAT))
    counts = {"scandir": 0, "stat": 0}

    def counted(name, function):
        def call(*arguments):
            counts[name] += 1
            return function(*arguments)

        return call

    for name in counts:
        monkeypatch.setattr(os, name, counted(name, getattr(os, name)))
    found = list_folder(tmp_path)
    assert len(found.files) == 20_000
    assert counts["scandir"] == 1 + 20 + 20 and counts["stat"] <= 2 + 40
    counts["stat"] = 0
    content.stat_digest(Place(tmp_path), [file.path for file in found.files])
    assert counts["stat"] == 20_000


def test_a_folder_without_permission_is_one_clear_line(root, monkeypatch):
    scandir = os.scandir

    def refuse(folder):  # as root, who may run this, is refused nothing
        if str(folder).endswith("deep"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(DatasetError) as error:
        open_dataset(root, input_size=8)
    assert str(error.value) == f"{root}/b/deep: the folder cannot be read (Permission denied)"


def test_a_pipe_with_the_name_of_an_image_is_not_waited_for(tmp_path, write, open_quietly):
    for i, name in enumerate(("a/0.png", "a/1.png", "b/0.png", "b/1.png")):
        write(tmp_path / name, (i, 0, 0))
    os.mkfifo(tmp_path / "a" / "2.png")
    split = open_quietly(tmp_path, max_bad=0.5)
    assert [tuple(bad) for bad in split.left_out.bad] == [("a/2.png", "not a file")]
    assert len(split.train) + len(split.val) == 4


@pytest.mark.parametrize(
    "one, other",
    [("Cat", "cat"), ("cat", "cat "), ("big dog", "big_dog"), ("Straße", "STRASSE"), ("a\u00a0b", "a b")],
)
def test_classes_whose_names_hardly_differ_are_told(tmp_path, one, other):
    touch(tmp_path, f"{one}/0.png", f"{other}/0.png", "x/0.png", "X-1/0.png")
    found = list_folder(tmp_path)
    names = [name for name in found.classes if name not in ("x", "X-1")]
    assert len(names) == 2
    assert found.left_out.notes == (f"two classes, whose names hardly differ: '{names[0]}' and '{names[1]}'",)
