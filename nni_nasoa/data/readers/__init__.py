"""Forms of datasets beside folders of images: each is a module with a `READER`, which is registered here.

A reader gives an `ImageList`; see `DatasetReader`. Others register theirs by `register_reader`, before
anything is opened, or name them in their package's entry points, in the group `nni_nasoa.dataset_readers`.
"""

from . import csv_file, data_frame, parquet_file, saved_dataset, shards
from .reader import DatasetReader, FolderReader, ReadOptions
from .registry import load_installed, reader_names, reader_of, reader_of_folder, register_reader

register_reader(csv_file.READER)
register_reader(data_frame.READER)
register_reader(parquet_file.READER)
register_reader(shards.READER)
register_reader(saved_dataset.READER)

__all__ = [
    "DatasetReader",
    "FolderReader",
    "ReadOptions",
    "load_installed",
    "reader_names",
    "reader_of",
    "reader_of_folder",
    "register_reader",
]
