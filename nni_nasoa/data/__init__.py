"""Image datasets as uint8 arrays: the embedded digits, folders of images, torchvision's datasets by name.

    split = open_dataset("digits", input_size=32)
    split.train.images  # (n, 3, 32, 32) uint8
    split.report.bad    # images that could not be read, and why

Images are decoded and resized once, into a cache that is memory-mapped from then on; augmentation is the trainer's, in
batches on the device. Importing this room loads neither torch nor torchvision nor Pillow.
"""

from .arrays import DatasetError, ImageArrays, ImageSplit, stratified_split
from .datasets import dataset_names, open_dataset
from .left_out import BadFile, DatasetWarning, Report

__all__ = [
    "BadFile",
    "DatasetError",
    "DatasetWarning",
    "ImageArrays",
    "ImageSplit",
    "Report",
    "dataset_names",
    "open_dataset",
    "stratified_split",
]
