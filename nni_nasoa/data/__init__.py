"""Image datasets as uint8 arrays: embedded digits, folders, files that list images, torchvision's by name.

    dataset = Dataset("my-images/", seed=3)  # a value, to be passed on
    split = dataset.open(32)                 # or open_dataset("my-images/", input_size=32, seed=3)
    split.train.images                       # (n, 3, 32, 32) uint8
    split.left_out.bad                       # images that could not be read, and why

Images are decoded and resized once, into a cache that is memory-mapped from then on; augmentation is the
trainer's, in batches on the device. Importing this room loads nothing; what it is asked for loads numpy, but
neither torch nor torchvision nor Pillow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import open_dataset
    from .arrays import DatasetError, ImageArrays, ImageSplit, stratified_split
    from .dataset import Dataset
    from .image_list import ImageList, ListedImage
    from .left_out import BadFile, DatasetWarning, LeftOut
    from .named import dataset_names

__all__ = [
    "BadFile",
    "Dataset",
    "DatasetError",
    "DatasetWarning",
    "ImageArrays",
    "ImageList",
    "ImageSplit",
    "LeftOut",
    "ListedImage",
    "dataset_names",
    "open_dataset",
    "stratified_split",
]

_MODULES = {
    "BadFile": "left_out",
    "Dataset": "dataset",
    "DatasetError": "arrays",
    "DatasetWarning": "left_out",
    "ImageArrays": "arrays",
    "ImageList": "image_list",
    "ImageSplit": "arrays",
    "LeftOut": "left_out",
    "ListedImage": "image_list",
    "dataset_names": "named",
    "open_dataset": "api",
    "stratified_split": "arrays",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
