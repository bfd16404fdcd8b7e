"""Open images, those among them that need another package's help."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from PIL import Image

HEIC = (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypheim", b"ftypheis", b"ftypmif1", b"ftypmsf1")
NEEDS_HEIC = "HEIC needs pillow-heif: pip install 'nni-nasoa[heic]'"


def open_image(path: str | os.PathLike[str]) -> Image.Image:
    """Open an image file, whose pixels are not read yet.

    Raises
    ------
    OSError, ValueError
        It is no image, or no file at all: a folder, or a pipe, on which one would wait for ever.
    """
    about = os.stat(path)
    if stat.S_ISDIR(about.st_mode):
        raise OSError("a folder, not a file")
    if not stat.S_ISREG(about.st_mode):
        raise OSError("not a file")
    if not about.st_size:
        raise OSError("the file is empty")
    return _opened(path)


def open_bytes(content: bytes) -> Image.Image:
    """Open an image in memory; errors are those of `open_image`."""
    return _opened(BytesIO(content))


def _opened(file: str | os.PathLike[str] | BinaryIO) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(file)
    except Image.DecompressionBombError:
        if (jpeg := _large_jpeg(file)) is None:
            raise
        return jpeg
    except UnidentifiedImageError:
        if not _is_heic(file):
            raise
    try:
        plugin = import_module("pillow_heif")  # not imported before there is need of it, nor always installed
    except ImportError:
        raise OSError(NEEDS_HEIC) from None
    plugin.register_heif_opener()
    return Image.open(file)


def _large_jpeg(file: str | os.PathLike[str] | BinaryIO) -> Image.Image | None:
    """A JPEG of more pixels than Pillow opens: `to_array` decodes it at an eighth of its size, say.

    None where it is none, or a progressive one, whose coefficients would all be in memory at once.
    """
    from PIL import JpegImagePlugin

    with suppress(SyntaxError):  # what Pillow's plugins say of a file of another format
        image = JpegImagePlugin.JpegImageFile(file)
        return None if image.info.get("progressive") else image
    return None


def _is_heic(file: str | os.PathLike[str] | BinaryIO) -> bool:
    if isinstance(file, (str, os.PathLike)):
        with open(file, "rb") as opened:
            return opened.read(12)[4:] in HEIC
    file.seek(0)
    begin = file.read(12)
    file.seek(0)
    return begin[4:] in HEIC
