"""What a classifier is given to look at: files, bytes, PIL images, arrays, tensors."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nni_nasoa.data.opening import open_bytes, open_image
from nni_nasoa.data.parallel import in_threads
from nni_nasoa.data.rendering import PLAIN, Rendering
from nni_nasoa.device.threads import Threads
from nni_nasoa.messages import readable
from nni_nasoa.values import reason

from .errors import ClassifierError

if TYPE_CHECKING:
    from PIL import Image

MOST, MOST_BYTES = 256, 2**26  # images that are computed at once, and their bytes
SEVERAL = 8  # images for which it pays to look at what other processes do
KINDS = "a path, bytes, a PIL image, an array or a tensor"
ARRAY = "give uint8 from 0 to 255 of shape (height, width), (height, width, 1) or (height, width, 3)"
TENSOR = "give (height, width), (1, height, width) or (3, height, width), uint8, or floats from 0 to 1"

_one_at_a_time = threading.Lock()  # for images of the caller, which may be the same one several times


class UnreadableImage(ClassifierError):  # noqa: N818  # it is given in the place of an image, too
    """An image that cannot be read. The message is one line that names it, and says why.

    Parameters
    ----------
    name
        What it is called.
    why
        Why it cannot be read, as it stands in brackets.
    """

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: cannot be read as an image ({why})")
        self.why = why


class ImageWarning(UserWarning):
    """An image was left out of predictions."""


def as_list(images: Any) -> list[Any]:
    """The images that a public call was given: several, or one alone.

    Raises
    ------
    ClassifierError
        One of them is of a kind, type or shape that cannot be taken; nothing was read yet.
    """
    items = [images] if _is_one(images) else list(images) if isinstance(images, Iterable) else [images]
    for number, item in enumerate(items, start=1):
        _check(item, f"image {number}" if len(items) > 1 else "image")
    return items


def name_of(item: Any) -> str:
    """What a message calls an image."""
    if isinstance(item, (str, os.PathLike)):
        return readable(os.fsdecode(item))
    return "bytes" if isinstance(item, (bytes, bytearray, memoryview)) else type(item).__name__


@contextmanager
def without_pillows_warnings() -> Iterator[None]:
    """Ignore what Pillow warns of, in all threads: metadata, large images."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def read(item: Any, size: int, rendering: Rendering = PLAIN) -> np.ndarray | UnreadableImage:
    """An image as a classifier wants it, (3, size, size) uint8, or why there is none.

    Parameters
    ----------
    item
        One of what `as_list` gives, or a function that opens a PIL image.
    rendering
        The classifier's.
    """
    from nni_nasoa.data.decode import to_array

    try:
        if callable(item):
            with item() as image:
                return to_array(image, size, rendering)
        with opened(item) as image:
            return to_array(image, size, rendering)
    except Exception as error:  # a broken file can fail in any way inside a decoder
        return UnreadableImage(name_of(item), _why(error))


def computed(
    items: Iterable[Any],
    compute: Callable[[np.ndarray], np.ndarray],
    size: int,
    device: torch.device,
    rendering: Rendering = PLAIN,
) -> Iterator[np.ndarray | UnreadableImage]:
    """What is computed of each image, in order: read in threads, computed in batches.

    Parameters
    ----------
    items
        As `read` takes them.
    compute
        Makes rows (n, ...) of images (n, 3, size, size) uint8.
    """
    most = max(1, min(MOST, MOST_BYTES // (3 * size * size)))
    threads, before = Threads.of_run(device), torch.get_num_threads()
    arrays = in_threads(lambda item: read(item, size, rendering), items)
    try:
        while batch := list(islice(arrays, most)):
            good = [array for array in batch if isinstance(array, np.ndarray)]
            if threads is not None and len(good) >= SEVERAL:
                threads.adapt()  # too many take ten times as long beside another process
            rows = iter(compute(np.stack(good)) if good else ())
            yield from (next(rows) if isinstance(array, np.ndarray) else array for array in batch)
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def _is_one(images: Any) -> bool:
    from PIL import Image

    if isinstance(images, (np.ndarray, torch.Tensor)):
        text = isinstance(images, np.ndarray) and images.dtype.kind in "OUS"  # an array of paths
        return images.ndim < 4 and not text
    return isinstance(images, (str, os.PathLike, bytes, bytearray, memoryview, Image.Image))


def _check(item: Any, place: str) -> None:
    from PIL import Image

    if isinstance(item, np.ndarray):
        if item.dtype != np.uint8 or not _has_shape(item.shape):
            raise ClassifierError(f"{place}: an array of {item.dtype}, shape {item.shape}; {ARRAY}")
    elif isinstance(item, torch.Tensor):
        shape = tuple(item.shape)
        kind = str(item.dtype).removeprefix("torch.")
        if not (item.dtype == torch.uint8 or item.is_floating_point()) or not _has_shape(
            (*shape[1:], *shape[:1]) if len(shape) == 3 else shape, channels=(1, 3)
        ):
            raise ClassifierError(f"{place}: a tensor of {kind}, shape {shape}; {TENSOR}")
        if item.is_floating_point() and not bool(((item >= 0) & (item <= 1)).all()):
            low, high = float(item.min()), float(item.max())
            raise ClassifierError(
                f"{place}: a tensor with values from {low:.3g} to {high:.3g}; {TENSOR}, not normalised"
            )
    elif not isinstance(item, (str, os.PathLike, bytes, bytearray, memoryview, Image.Image)):
        raise ClassifierError(f"{place}: {type(item).__name__} is no image; give {KINDS}")


def _has_shape(shape: Sequence[int], channels: tuple[int, ...] = (1, 3, 4)) -> bool:
    """Whether it is that of an image whose channels, if it has such, come last."""
    return len(shape) in (2, 3) and min(shape) > 0 and (len(shape) == 2 or shape[2] in channels)


def opened(item: Any) -> Image.Image:
    """One of what `as_list` gives as a PIL image, which may be changed; that of the caller is not.

    Raises
    ------
    OSError, ValueError
        It cannot be read as an image.
    """
    from PIL import Image

    if isinstance(item, Image.Image):
        with _one_at_a_time:
            return item.copy()  # what is read of a file that is open would be shrunk for good
    if isinstance(item, (bytes, bytearray, memoryview)):
        if not len(item):
            raise OSError("there are none")
        return open_bytes(bytes(item))
    if isinstance(item, torch.Tensor):
        array = item.detach().cpu()
        if array.is_floating_point():
            array = (array.float() * 255).round().to(torch.uint8)
        item = (array.permute(1, 2, 0) if array.ndim == 3 else array).numpy()
    if isinstance(item, np.ndarray):
        return Image.fromarray(np.ascontiguousarray(item[..., 0] if item.shape[2:] == (1,) else item))
    return open_image(item)


def _why(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):  # its own message says only which file
        return "the content is not that of an image"
    return reason(error)
