"""WebDataset's shards: tar files that are read where they lie."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile

import pytest

from nni_nasoa.data import Dataset, DatasetError, DatasetWarning


def shard(path, samples):
    """Write a shard of samples: for each the contents of its members by their endings."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for key, members in samples.items():
            for ending, content in members.items():
                about = tarfile.TarInfo(f"{key}.{ending}")
                about.size = len(content)
                tar.addfile(about, io.BytesIO(content))
    return path


@pytest.fixture
def samples(noise, rows):
    """Samples of the images, with what says their label."""
    keys = {file: file.removesuffix(".png").replace("/", "-") for file, _ in rows}
    return {keys[file]: {"png": (noise / file).read_bytes(), "cls": label.encode()} for file, label in rows}


@pytest.fixture
def shards(samples, tmp_path):
    """A folder of three shards."""
    for number in range(3):
        some = dict([*samples.items()][number::3])
        shard(tmp_path / "shards" / f"{number:03}.tar", some)
    return tmp_path / "shards"


def test_shards_hold_the_images_of_a_folder(shards, noise, pixels):
    assert pixels(shards) == pixels(noise) and len(pixels(noise)) == 20
    assert Dataset(shards).name == "shards"


def test_the_split_is_that_of_the_folder(shards, noise):
    """By content, so that the same images are held back."""
    held_back = [{one.tobytes() for one in Dataset(source).open(8).val.images} for source in (shards, noise)]
    assert held_back[0] == held_back[1]


@pytest.mark.parametrize("pattern", ["{000..002}.tar", "{000,001,002}.tar", "*.tar", "00[0-2].tar"])
def test_a_pattern_names_shards(shards, pattern, noise, monkeypatch, pixels):
    assert pixels(shards / pattern) == pixels(noise)
    monkeypatch.chdir(shards)
    assert pixels(pattern) == pixels(noise)
    assert Dataset(pattern).absolute().identity == str(shards / pattern) == Dataset(pattern).identity


def test_shards_that_are_not_there_are_told(shards):
    found = Dataset(shards / "{000..004}.tar").files.listing
    assert len(found.train) == 20
    assert f"not there: 2 shards; the first: {shards / '003.tar'}" in found.left_out.notes


def test_relative_paths_hold_wherever_the_process_goes(shards, monkeypatch):
    monkeypatch.chdir(shards.parent)
    relative = Dataset("shards")
    assert len(relative.files.listing.train) == 20
    monkeypatch.chdir("/")
    assert len(relative.open(8).train) == 16


def test_a_shard_alone_and_part_of_them(shards):
    assert len(Dataset(shards / "001.tar").files.listing.train) == 7
    assert len(Dataset(shards / "{000..001}.tar").files.listing.train) == 14


def test_labels_are_text_or_json_or_places_in_the_names_beside(samples, tmp_path, noise, listing, pixels):
    folder, place = tmp_path / "set", {"cat": 0, "dog": 1}
    contents = {key: (one["png"], one["cls"].decode()) for key, one in samples.items()}
    for about in (
        lambda label: json.dumps({"class": label, "width": 24}),
        lambda label: json.dumps({"label": place[label]}),
        lambda label: json.dumps({"label": str(place[label])}),
    ):
        shard(folder / "0.tar", {k: {"png": p, "json": about(c).encode()} for k, (p, c) in contents.items()})
        (folder / "classes.txt").write_text("cat\ndog\n")
        assert pixels(folder) == pixels(noise)
    shard(folder / "0.tar", {k: {"cls": b"%d" % place[c], "png": p} for k, (p, c) in contents.items()})
    assert pixels(folder) == pixels(noise)
    (folder / "classes.txt").unlink()
    assert listing(folder).classes == ("0", "1")
    said = {label: {"cls": b"x", "json": json.dumps({"kind": label}).encode()} for label in place}
    shard(folder / "0.tar", {k: {"png": p, **said[c]} for k, (p, c) in contents.items()})
    assert listing(folder, columns={"label": "kind"}).classes == ("cat", "dog")
    assert listing(f"{folder}?label=kind").classes == ("cat", "dog")


def test_a_label_beyond_the_names_is_one_clear_line(samples, tmp_path):
    shard(tmp_path / "set" / "0.tar", {k: {"png": one["png"], "cls": b"7"} for k, one in samples.items()})
    (tmp_path / "set" / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(DatasetError, match=r"set: label 7 is not one of the 2 classes, from 0$"):
        Dataset(tmp_path / "set").open(8)


@pytest.mark.parametrize("name", ["flowers-{}-000001.tar", "{}/000001.tar", "{}-0.tar", "{}.tar"])
def test_parts_are_told_by_names(samples, tmp_path, name):
    some = [*samples.items()]
    for kind, part in (("train", some[::2]), ("val", some[1::4]), ("test", some[3::4])):
        shard(tmp_path / "set" / name.format(kind), dict(part))
    files = Dataset(tmp_path / "set").files
    assert [len(files.listing.train), len(files.listing.val)] == [10, 5]
    assert set(files.parts) == {"train", "val", "test"} and len(files.of_parts(["test"]).files) == 5


def test_a_shard_that_is_cut_off_is_used_up_to_there_and_told(shards):
    path = shards / "001.tar"
    whole = path.read_bytes()
    found = []
    for length in (len(whole) // 2, len(whole) // 2 + 700, 512, 1100, 100, 0):
        path.write_bytes(whole[:length])
        dataset = Dataset(shards)
        found.append(sum(file.path.startswith("001.tar") for file in dataset.files.listing.files))
        (note,) = [one for one in dataset.files.listing.left_out.notes if one.startswith("001.tar: ")]
        assert note.endswith(f"; the {found[-1]} images before that are used" if found[-1] else "; not used")
        with pytest.warns(DatasetWarning, match=r"001\.tar: "):
            assert len(dataset.open(8).train) + len(dataset.open(8).val) == 13 + found[-1]
    assert 2 <= found[0] <= found[1] < 7 and found[2:] == [0] * 4


def test_damage_in_the_middle_is_told(shards):
    path = shards / "002.tar"
    whole = path.read_bytes()
    with tarfile.open(path) as tar:
        at = tar.getmembers()[6].offset
    path.write_bytes(whole[:at] + b"\xff" * 512 + whole[at + 512 :])
    (note,) = [one for one in Dataset(shards).files.listing.left_out.notes if one.startswith("002")]
    assert note == "002.tar: the shard is cut off or damaged; the 3 images before that are used"


def test_nothing_is_unpacked_and_links_lead_nowhere(samples, tmp_path, noise):
    path = shard(tmp_path / "set" / "0.tar", samples)
    with tarfile.open(path, "a") as tar:
        for name, kind in (("link", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE), ("pipe", tarfile.FIFOTYPE)):
            about = tarfile.TarInfo(f"{name}.png")
            about.type, about.linkname = kind, str(noise / "cat" / "00.png")
            tar.addfile(about)
        about = tarfile.TarInfo("../../outside.png")
        about.size = 3
        tar.addfile(about, io.BytesIO(b"png"))
    before = {*tmp_path.rglob("*")}
    names = {file.path for file in Dataset(tmp_path / "set").files.listing.files}
    assert len(names) == 20 and not any("link" in name or "hard" in name or "pipe" in name for name in names)
    Dataset(tmp_path / "set").open(8)
    assert {*tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("0.tar", b"no tar file" * 100, r"0\.tar: it cannot be read \(.*\); not used$"),
        ("0.tar", b"", r"0\.tar: it cannot be read \(empty file\); not used$"),
        ("0.tar", bytes(10240), "no images in it; key.jpg beside key.cls or key.json is needed"),
        ("0.tar.gz", b"\x1f\x8b", r"it cannot be read \(it is compressed; unpack it to a \.tar\); not used"),
    ],
)
def test_what_are_no_shards_is_one_clear_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=message) as raised:
        Dataset(tmp_path / name).open(8)
    assert "\n" not in str(raised.value)


def test_more_that_is_one_clear_line(tmp_path, samples, shards):
    bare = shard(tmp_path / "bare.tar", {key: {"png": one["png"]} for key, one in samples.items()})
    for source, columns, message in (
        (bare, None, "no image has a label: key.cls, or key.json with a label, is needed beside key.jpg"),
        (tmp_path / "none.tar", None, r"none\.tar' cannot be opened \(No such file or directory\)"),
        (tmp_path / "none-*.tar", None, r"none-\*\.tar: there is no such file"),
        (tmp_path / "{000000..999999}.tar", None, "more than 100000 shards"),
        (tmp_path / "{000..999}{000..999}.tar", None, "stands for 1000000 shards, where 100000 are the most"),
        (shards, {"path": "x"}, "shards have no columns of paths or parts"),
    ):
        with pytest.raises(DatasetError, match=message):
            Dataset(source, columns=columns).open(8)


def test_folders_of_classes_are_none_though_shards_lie_beside_them(noise, samples):
    shard(noise / "archive.tar", samples)
    assert Dataset(noise).files.form == "folder" and len(Dataset(noise).files.listing.train) == 20


def test_decoding_goes_on_where_it_ended_and_a_copy_is_known(shards, tmp_path, later, entries):
    with Dataset(shards).decoding(8) as decoding:
        assert decoding.wait(60, until=5)
    assert Dataset(shards).decoding(8).progress[0] >= 5
    with Dataset(shards).decoding(8) as decoding:
        assert decoding.wait(60)
    Dataset(shards).open(8)  # by the later clock: to the process that decoded, the shards were still new
    assert Dataset(shards).decoded([8]) == {8}
    shutil.copytree(shards, tmp_path / "copy")
    os.utime(shards / "000.tar", (1, 1))
    Dataset(shards).open(8), Dataset(tmp_path / "copy").open(8)
    assert len(entries()) == 1


def test_an_image_that_changes_in_a_shard_is_another_dataset(shards, samples, noise, pixels):
    before = Dataset(shards).fingerprint
    assert Dataset(shards).fingerprint == before
    some = dict([*samples.items()][::3])
    first = next(iter(some))
    some[first]["cls"] = b"dog"
    shard(shards / "000.tar", some)
    assert Dataset(shards).fingerprint != before and pixels(shards) != pixels(noise)
