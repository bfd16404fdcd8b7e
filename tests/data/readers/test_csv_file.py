"""CSV files: what a table may look like, what is told of it, and what it may not be."""

from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nni_nasoa.data import Dataset, DatasetError
from nni_nasoa.device.processor import allowed_processors

IN_THE_FUNCTION = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@given(data=st.data())
@settings(IN_THE_FUNCTION, max_examples=8)
def test_a_folder_and_any_table_of_it_are_the_same_images_in_the_same_parts(noise, rows, table, same, data):
    shuffled = data.draw(st.permutations(rows))
    absolute = data.draw(st.booleans())
    delimiter = data.draw(st.sampled_from(",;\t|"))
    quoting = data.draw(st.sampled_from([0, 1]))
    header = data.draw(st.sampled_from([("path", "label"), ("Image Path", "CLASS"), ("file_name", "target")]))
    seed = data.draw(st.integers(0, 3))
    shuffled = [(str(noise / path) if absolute else path, label) for path, label in shuffled]
    path = table(shuffled, header, delimiter=delimiter, quoting=quoting)
    assert same(Dataset(path, seed=seed), Dataset(noise, seed=seed))


def test_a_file_of_tabs_with_a_mark_of_its_encoding(rows, table, same, noise):
    assert same(table(rows, name="labels.tsv", delimiter="\t", encoding="utf-8-sig"), noise)


def test_columns_are_found_by_usual_names_or_named(rows, table, same, noise):
    path = table([(label, "x", file) for file, label in rows], ("species", "label", "where"))
    columns = {"path": "where", "label": "species"}
    assert same(Dataset(path, columns=columns), noise)
    assert same(f"{path}?path=where,label=species", noise)
    assert Dataset(path, columns=columns).spelled == f"{path}?path=where,label=species"
    assert Dataset(f"{path}?path=x,label=species", columns={"path": "where"}).identity.endswith(
        "labels.csv?path=where,label=species"
    )


def test_of_two_columns_that_may_be_meant_the_other_is_told(rows, table, listing):
    found = listing(table([(*row, "x") for row in rows], ("file", "label", "category")))
    assert found.classes == ("cat", "dog")
    assert "labels are taken from 'label', not from 'category'; --label-column names another" in (
        found.left_out.notes
    )


def test_paths_begin_in_the_folder_of_the_file_or_in_another(rows, table, same, noise, tmp_path, monkeypatch):
    path = shutil.move(table(rows), tmp_path / "labels.csv")
    with pytest.raises(DatasetError, match=r"no image found: none of 20 paths .*cat/00\.png; --root names"):
        Dataset(path).open(8)
    assert same(Dataset(path, root=noise), noise)
    monkeypatch.chdir(tmp_path)
    assert same(Dataset("labels.csv", root="noise").absolute(), noise)
    outside = [(f"../noise/{file}", label) for file, label in rows]
    (tmp_path / "elsewhere").mkdir()
    assert same(shutil.move(table(outside), tmp_path / "elsewhere" / "labels.csv"), noise)


def test_parts_are_those_of_the_column(rows, table):
    parts = ["Training", "val", "test", "train"]
    path = table([(*row, parts[number % 4]) for number, row in enumerate(rows)], ("path", "label", "split"))
    split = Dataset(path).open(8)
    assert (len(split.train), len(split.val)) == (10, 5)
    assert Dataset(path).open(8).train.labels.tolist() == Dataset(path, seed=3).open(8).train.labels.tolist()
    assert Dataset(path).files.parts["test"] == "the part test"


def test_a_column_of_other_parts_is_told(rows, table, listing):
    path = table([(*row, "ab"[number % 2]) for number, row in enumerate(rows)], ("path", "label", "set"))
    found = listing(path)
    assert found.val is None and len(found.train) == 20
    assert (
        "column 'set' is not taken for parts, as none of them is train, val or test" in found.left_out.notes
    )
    with pytest.raises(DatasetError, match="the parts are 'a', 'b', and not train, val and test"):
        listing(path, columns={"part": "set"})
    mixed = [(*row, ["train", "extra", ""][number % 3]) for number, row in enumerate(rows)]
    notes = listing(table(mixed, ("path", "label", "set"))).left_out.notes
    assert "not used: 13 images of other parts than train, val and test: '', 'extra'" in notes


def test_missing_files_are_bad_images(rows, table):
    path = table([*rows, ("cat/none.png", "cat"), ("dog/none.png", "dog"), ("dog", "dog")])
    with pytest.warns(match="3 of 23 images cannot be read and are left out; the first: cat/none.png"):
        split = Dataset(path, max_bad=0.2).open(8)
    assert len(split.train) + len(split.val) == 20
    with pytest.raises(DatasetError, match=r"labels.csv: 3 of 23 images cannot be read, more than the 5%"):
        Dataset(path, max_bad=0.05).open(8)


def test_what_is_not_used_is_told(rows, table, listing):
    (first, _), (second, _), *_ = rows
    more = [(first, "cat"), (f"./{second}", "dog"), ("cat/x.png", " "), ("", "cat"), ("only a path",)]
    found = listing(table([*rows, *more]))
    assert len(found.train) == 20 and found.classes == ("cat", "dog")
    assert list(found.left_out.notes) == [
        "not used: 1 rows without a path",
        "not used: 2 images without a label; the first: cat/x.png",
        f"2 images listed again, which count once; the first: {first}",
        f"1 image listed with two labels, of which one is taken; the first: {second} ('cat', 'dog')",
    ]


def test_an_image_in_two_parts_is_not_trained_on(rows, table, listing):
    parts = ["train", "train", "val"]
    listed = [(*row, parts[number % 3]) for number, row in enumerate(rows)]
    found = listing(table([*listed, (*rows[0], "val"), (*rows[1], "test")], ("path", "label", "part")))
    assert {file.path for file in found.val} >= {rows[0][0]}
    assert not {file.path for file in found.train} & {rows[0][0], rows[1][0]}


def test_labels_that_are_numbers_are_names(rows, table, listing):
    found = listing(table([(file, number % 11) for number, (file, _) in enumerate(rows)]))
    assert found.classes == ("0", "1", "10", *map(str, range(2, 10)))


def test_a_change_of_a_label_is_another_dataset(rows, table):
    path = table(rows)
    before, first = Dataset(path).fingerprint, Dataset(path).open(8)
    assert Dataset(path).fingerprint == before
    table([*rows[:-1], (rows[-1][0], "cat")])
    assert Dataset(path).fingerprint != before
    labels = Dataset(path).open(8)
    assert (labels.train.labels == 0).sum() + (labels.val.labels == 0).sum() == 13
    assert (first.train.labels == 0).sum() + (first.val.labels == 0).sum() == 12


def test_a_table_that_was_only_copied_is_not_decoded_again(rows, table, later, entries, tmp_path, noise):
    Dataset(table(rows)).open(8)
    shutil.copytree(noise, tmp_path / "copy")
    os.utime(noise / "labels.csv", (1, 1))
    Dataset(noise / "labels.csv").open(8)
    Dataset(tmp_path / "copy" / "labels.csv").open(8)
    assert len(entries()) == 1


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "the file is empty; a header and a row for each image are needed"),
        (b"path,label\n", "no images found"),
        (b"path,label\na.png,\n", "no images with a label found"),
        (
            b"a,b,c\n1,2,3\n",
            r"no column of image paths \(path, .*\); there are 'a', 'b', 'c'; name it with --path",
        ),
        (
            b"path\na.png\n",
            r"no column of labels \(label, class, .*\); there are 'path'; name it with --label",
        ),
        (b"path,label\ncaf\xe9.png,a\n", "line 2 is not UTF-8; save the file as UTF-8"),
        ("path,label\na.png,a\n".encode("utf-16"), "line 1 is not UTF-8"),
        (b"path,label\n\0\0,a\n", "not a CSV file, as zero bytes are in it"),
        (b'path,label\n"' + b"x" * 200_000 + b'",a\n', "not a CSV file, by line 2"),
        (b"\x89PNG\r\n\x1a\n\0\0", "is not UTF-8"),
        (b"path,label\nhttps://x.org/a.png,a\n", "'https://x.org/a.png' is a URL, where the path of a file"),
        (b"path,label\nfile:///a.png,a\n", "is a URL"),
        (b"path,label\ncat/00.png,a\ncat/01.png,a\n", "only one class, 'a'; two or more are needed"),
        (b"path,label,part\ncat/00.png,a,test\n", "only images of test, by which a classifier is judged"),
        (
            b"path,label,part\ncat/00.png,a,train\ncat/01.png,b,train\ncat/02.png,c,val\n",
            "class 'c' of the part val is not in the part train",
        ),
        (
            b"path,label\na.png,a\nb.png,b\n",
            "no image found: none of 2 paths is that of a file; the first: /",
        ),
    ],
)
def test_what_is_no_table_of_images_is_one_clear_line(noise, content, message):
    path = noise / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=rf"^{path}: .*{message}") as raised:
        Dataset(path).open(8)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400


def test_one_that_is_not_there_is_one_clear_line(tmp_path):
    for name in ("none.csv", "none.csv?label=species"):
        with pytest.raises(DatasetError, match=r"none\.csv' cannot be opened \(No such file"):
            Dataset(tmp_path / name).check()


def test_decoding_goes_on_where_it_ended(rows, table, opened, later):
    path = table(rows)
    with Dataset(path).decoding(8) as decoding:
        decoding.wait(30, until=5)
    before = opened().total()
    assert 5 <= before < 20 + len(allowed_processors())
    with Dataset(path).decoding(8) as decoding:
        assert decoding.wait(60)
    assert opened().total() <= 20 + len(allowed_processors())
