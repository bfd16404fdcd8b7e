import json
import struct
import zlib
from importlib import import_module

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from nni_nasoa.data import DatasetError, DatasetWarning, open_dataset


def bomb():
    """A PNG that claims 20,000 x 20,000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(100))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part))
        for part in (header, data, b"IEND")
    )


@pytest.fixture
def messy(animals):
    """The animals, and in `dog` five files that are no images."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8)).save(
        animals / "dog" / "cut.png"
    )
    whole = (animals / "dog" / "cut.png").read_bytes()
    for name, content in (
        ("empty.png", b""),
        ("text.jpg", b"not an image at all"),
        ("cut.png", whole[: len(whole) // 2]),
        ("bomb.png", bomb()),
    ):
        (animals / "dog" / name).write_bytes(content)
    (animals / "dog" / "nowhere.png").symlink_to("nothing")
    return animals


REASONS = {
    "dog/empty.png": "the file is empty",
    "dog/text.jpg": "the content is not that of an image",
    "dog/cut.png": "truncated",
    "dog/bomb.png": "exceeds limit",
    "dog/nowhere.png": "No such file or directory",
}


def test_bad_files_are_left_out_counted_and_listed(messy):
    (messy / "cat" / "notes.txt").write_text("")
    for _ in range(2):  # when it is decoded, and when it comes from the cache
        with pytest.warns(
            DatasetWarning, match="5 of 20 images cannot be read and are left out; the first: dog/"
        ) as caught:
            split = open_dataset(messy, input_size=8, max_bad=0.25)
        left_out = split.left_out
        assert len(split.train) + len(split.val) == 15 and len(split.train.images) == len(split.train.labels)
        assert left_out.images == 20 and left_out.other_files == 1
        reasons = dict(left_out.bad)
        assert list(reasons) == sorted(REASONS)
        for name, reason in REASONS.items():
            assert reason in reasons[name]
        assert [json.loads(line) for line in left_out.bad_list.read_text().splitlines()] == [
            {"file": file, "reason": reason} for file, reason in left_out.bad
        ]
        line = str(caught[0].message)
        assert f"all are listed in {left_out.bad_list}" in line and "\n" not in line


def test_more_than_the_share_that_may_be_bad_is_an_error(messy, open_no_images):
    with pytest.raises(DatasetError) as error:
        open_dataset(messy, input_size=8)
    message = str(error.value)
    assert message.startswith(
        "animals: 5 of 20 images cannot be read, more than the 10% that max_bad (--max-bad) allows; "
    )
    assert "\n" not in message
    listed = message.partition("all are listed in ")[2]
    with open(listed) as file:
        assert len(file.readlines()) == 5
    open_no_images()
    with pytest.raises(DatasetError, match=r"24\.9%"):
        open_dataset(messy, input_size=8, max_bad=0.249)
    with pytest.warns(DatasetWarning):
        assert len(open_dataset(messy, input_size=8, max_bad=0.25).val) >= 2


def test_one_in_ten_may_be_bad_by_default(tmp_path, write, open_quietly):
    for name in "ab":
        for i in range(10):
            write(tmp_path / name / f"{i}.png", (i, 0, 0))
    for name in "ab":
        (tmp_path / name / "0.png").write_bytes(b"")
    assert len(open_quietly(tmp_path).left_out.bad) == 2
    (tmp_path / "a" / "1.png").write_bytes(b"")
    with pytest.raises(DatasetError, match="3 of 20"):
        open_quietly(tmp_path)


def test_none_may_be_bad_if_one_says_so(messy, animals):
    with pytest.raises(DatasetError, match="more than the 0% that"):
        open_dataset(messy, input_size=8, max_bad=0)
    for name in REASONS:
        (messy / name).unlink()
    assert open_dataset(animals, input_size=8, max_bad=0).left_out.bad == ()


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), True, "0.1", None])
def test_a_share_out_of_range_is_refused(animals, share):
    with pytest.raises(DatasetError, match="max_bad"):
        open_dataset(animals, input_size=8, max_bad=share)


def test_a_class_of_bad_files_is_no_class(animals, open_quietly):
    (animals / "bat").mkdir()
    for i in range(3):
        (animals / "bat" / f"{i}.png").write_bytes(b"")
    split = open_quietly(animals, max_bad=0.2)
    assert (
        split.classes == ("cat", "dog")
        and split.left_out.empty_classes == ("bat",)
        and len(split.left_out.bad) == 3
    )
    assert set(split.train.labels) == set(split.val.labels) == {0, 1}
    np.testing.assert_array_equal(split.train.images[split.train.labels == 1][:, 0].min((1, 2)) > 95, True)


@pytest.mark.parametrize(
    "bad, message",
    [
        (["a", "b"], "two classes needed, but 8 of 8 images cannot be read"),
        (["b"], "two classes needed, but 4 of 8"),
    ],
)
def test_too_little_is_left(tmp_path, write, bad, message):
    for name in "ab":
        for i in range(4):
            write(tmp_path / "set" / name / f"{i}.png", (i, 0, 0))
            if name in bad:
                (tmp_path / "set" / name / f"{i}.png").write_bytes(b"")
    for _ in range(2):
        with pytest.raises(DatasetError, match=message):
            open_dataset(tmp_path / "set", input_size=8, max_bad=1)


def test_nothing_is_left_to_validate_on(tmp_path, write):
    for name in ("train/a/0.png", "train/b/0.png"):
        write(tmp_path / name)
    (tmp_path / "val" / "a").mkdir(parents=True)
    (tmp_path / "val" / "a" / "0.png").write_bytes(b"")
    with pytest.raises(DatasetError, match="an image to validate on needed, but 1 of 3"):
        open_dataset(tmp_path, input_size=8, max_bad=1)


def test_a_mended_file_is_read(messy, open_quietly, write):
    for name in ("dog/text.jpg", "dog/bomb.png", "dog/cut.png"):
        (messy / name).unlink()
    assert len(open_quietly(messy, max_bad=0.2).left_out.bad) == 2
    write(messy / "dog" / "empty.png")
    (messy / "dog" / "nothing").write_bytes((messy / "cat" / "3.png").read_bytes())  # what the link leads to
    assert open_quietly(messy).left_out.bad == ()


@pytest.mark.parametrize(
    "command",
    [
        [
            "nni_nasoa.cli",
            "finetune",
            "--model",
            "2-_8_1-2-2",
            "--weights",
            "none",
            "--minutes",
            "1000",
            "--input-size",
            "16",
        ],
        ["nni_nasoa.plugin.search_trial", "--architecture", "2-_8_1-2-2", "--input-size", "16"],
    ],
)
def test_the_commands_say_it_in_one_line(messy, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    module, *arguments = *command, "--device", "cpu", "--dataset", str(messy), "--max-bad", "0.2"
    result = CliRunner().invoke(import_module(module).main, arguments)
    assert result.exit_code == 1
    (line,) = result.output.strip().splitlines()
    assert "animals: 5 of 20 images cannot be read, more than the 20% that max_bad (--max-bad) allows" in line


@pytest.mark.parametrize(
    "name, message",
    [
        ("", "neither a folder nor a known name"),
        ("a\0b", "cannot be opened"),
        ("x" * 5000, "cannot be opened (File name too long)"),
        ("~no such user/set", "cannot be opened"),
        ("itself", "cannot be opened (Too many levels of symbolic links)"),
        ("file.zip/deeper", "neither a folder"),
    ],
)
def test_a_path_that_leads_nowhere_is_one_clear_line(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "itself").symlink_to("itself")
    (tmp_path / "file.zip").write_text("")
    with pytest.raises(DatasetError) as error:
        open_dataset(name, input_size=8)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_path_without_permission_is_one_clear_line(tmp_path, monkeypatch):
    def refuse(path):  # as root, who may run this, is refused nothing
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.stat", refuse)
    with pytest.raises(DatasetError, match=r"cannot be opened \(Permission denied\)"):
        open_dataset(tmp_path / "set", input_size=8)
