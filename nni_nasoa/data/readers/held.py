"""Images that are in no file of their own, nor in one that can be read in pieces: they are put into one.

So they are split, decoded and cached as all others are, by other processes, too. The file is a temporary one,
which goes when nobody in this process needs it any more.
"""

from __future__ import annotations

import io
import os
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nni_nasoa.data.arrays import DatasetError
from nni_nasoa.data.place import Piece
from nni_nasoa.values import reason

# Modes of Pillow's that formats without loss have.
_PNG, _TIFF = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"), ("I", "F", "CMYK", "YCbCr", "LAB")
_WITH_ALPHA = {"La": "LA", "RGBa": "RGBA", "PA": "RGBA"}


class HeldImages:
    """A temporary file of images.

    Raises
    ------
    DatasetError
        It cannot be written. One line.
    """

    def __init__(self) -> None:
        try:
            number, self._path = tempfile.mkstemp(prefix="nasoa-images-")
        except OSError as error:
            raise DatasetError(f"images cannot be put into a temporary file ({reason(error)})") from error
        os.close(number)
        weakref.finalize(self, Path(self._path).unlink, missing_ok=True)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Nothing, in another process, which does not delete it."""
        return type(None), ()

    def add(self, content: bytes) -> Piece:
        """Put an image, encoded in any format, at the end."""
        try:
            with open(self._path, "ab") as file:
                place = file.tell()
                file.write(content)
        except OSError as error:
            raise DatasetError(f"images cannot be put into {self._path} ({reason(error)})") from error
        return Piece(self._path, place, len(content))


def encoded(value: Any) -> bytes | None:
    """An image in memory as bytes of a file: given so, as Pillow's, or as an array; None of what is none.

    An array is (height, width) or (height, width, 3), uint8. A mapping with "bytes" is what Parquet files of
    Hugging Face have.
    """
    if isinstance(value, Mapping):
        value = value.get("bytes")
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    from PIL import Image

    if isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim in (2, 3):
        try:
            value = Image.fromarray(value)
        except (TypeError, ValueError):  # of five channels, say
            return None
    if not isinstance(value, Image.Image):
        return None
    if value.mode not in (*_PNG, *_TIFF):
        value = value.convert(_WITH_ALPHA.get(value.mode, "RGB"))
    file = io.BytesIO()
    kind = "PNG" if value.mode in _PNG else "TIFF"
    value.save(file, kind, compress_level=1, exif=value.getexif())  # a rotation is noted there
    return file.getvalue()
