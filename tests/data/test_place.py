"""Images that are pieces of larger files."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from nni_nasoa.data.place import MOST_BYTES, Extent, Piece, Place, begin_of, open_where, read_piece


@pytest.fixture
def png():
    file = io.BytesIO()
    Image.new("RGB", (5, 4), (1, 2, 3)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def place(tmp_path, png):
    """A folder with an image, and with another one in the middle of a file."""
    (tmp_path / "one.png").write_bytes(png)
    (tmp_path / "many").write_bytes(b"before" + png + b"after")
    return Place(tmp_path, {"many/1.png": Piece(str(tmp_path / "many"), 6, len(png))})


def test_a_piece_is_opened_and_measured_as_a_file_is(place, tmp_path, png):
    for name in ("one.png", "many/1.png", str(tmp_path / "one.png")):
        with open_where(place.where(name)) as image:
            assert (image.size, image.getpixel((0, 0))) == ((5, 4), (1, 2, 3))
        assert place.size(name) == len(png) and begin_of(place.where(name), 4) == b"\x89PNG"
    assert place.extent("one.png") == Extent(str(tmp_path / "one.png"), 0, None)
    assert place.extent("many/1.png") == Extent(str(tmp_path / "many"), 6, len(png))
    assert read_piece(Piece(str(tmp_path / "many"), 0, 6)) == b"before"


def test_what_cannot_be_read_says_why(tmp_path):
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.truncate(MOST_BYTES + 1)  # a hole, which takes no room
    for piece, why in (
        (Piece(str(path), 0, MOST_BYTES + 1), f"{MOST_BYTES + 1} bytes, where {MOST_BYTES} are the most"),
        (Piece(str(path), MOST_BYTES, 2), "the file ends in the middle of the image"),
        (Piece(str(path), 0, 0), "the file is empty"),
        (Piece(str(tmp_path / "none"), 0, 1), "No such file"),
    ):
        with pytest.raises(OSError, match=why):
            open_where(piece)
    assert begin_of(str(tmp_path), 4) is None and begin_of(Piece(str(path), 0, 2), 4) == b"\0\0"
