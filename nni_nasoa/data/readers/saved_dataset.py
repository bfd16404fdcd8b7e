"""Datasets of Hugging Face that were saved on disk, by `save_to_disk` of the package `datasets`.

They are folders of Arrow files (https://arrow.apache.org/docs/format/Columnar.html, the streaming format)
with JSON that says what is in them. Images lie in the files as they are, so each is known by its place there
(`Piece`). Nothing but these is read, and no code of a dataset is run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nni_nasoa.data.arrays import DatasetError
from nni_nasoa.data.columns import Columns
from nni_nasoa.data.image_list import ImageList, ListedImage
from nni_nasoa.data.place import Piece
from nni_nasoa.files import read_json
from nni_nasoa.messages import readable
from nni_nasoa.values import reason, shown

from .extras import imported
from .reader import ReadOptions
from .table import label_of

INFO, STATE, SPLITS = "dataset_info.json", "state.json", "dataset_dict.json"


class SavedDatasetReader:
    """A folder that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` has written; needs pyarrow."""

    name = "huggingface"

    def recognises(self, given: Any) -> bool:  # noqa: ARG002 - no name tells it
        """Never: it is a folder."""
        return False

    def recognises_folder(self, folder: Path, files: Sequence[str], folders: Sequence[str]) -> bool:  # noqa: ARG002
        """Whether the files that describe such a dataset are in it."""
        return SPLITS in files or (STATE in files and INFO in files)

    def read(self, given: Path, options: ReadOptions) -> ImageList:
        """The images; a DatasetError of one line where it is damaged, or has no images or labels."""
        place = readable(str(given))
        splits: list[str | None] = [None]
        if (given / SPLITS).is_file():
            splits = [str(one) for one in _described(given / SPLITS, "splits", list)]
        images: list[ListedImage] = []
        classes: list[str] | None = None
        notes: tuple[str, ...] = ()
        for split in splits:
            saved = _Saved(given if split is None else given / split, options.columns)
            images += saved.images(split)
            classes, notes = saved.classes if classes is None else classes, saved.notes
            if saved.classes != classes:
                raise DatasetError(f"{place}: its splits have classes of different names")
        return ImageList(images, given if options.root is None else options.root, classes, notes)


class _Saved:
    """One dataset on disk, of which the columns of images and of labels are found.

    Parameters
    ----------
    folder
        Where it is.
    columns
        Those that the user names.
    """

    def __init__(self, folder: Path, columns: Columns):
        self._folder, self._place = folder, readable(str(folder))
        features = _described(folder / INFO, "features", dict)
        kinds = {name: one.get("_type") for name, one in features.items() if isinstance(one, Mapping)}
        try:
            self._image, image_note = _only(columns, "path", kinds, "Image")
            self._label, label_note = _only(columns, "label", kinds, "ClassLabel")
        except DatasetError as error:
            raise DatasetError(f"{self._place}: {error}") from None
        names = features[self._label].get("names")
        self.classes = [str(name) for name in names] if isinstance(names, list) else None
        self.notes = tuple(note for note in (image_note, label_note) if note)

    def images(self, split: str | None) -> Iterator[ListedImage]:
        """Its images, called by the split and their numbers in it, and by their paths where they have one."""
        arrow = imported("pyarrow", "hf", self._place)
        number = 0
        files = _described(self._folder / STATE, "_data_files", list)
        for path in [Path(os.path.abspath(self._folder), str(file["filename"])) for file in files]:
            try:
                os.stat(path)  # so that the system says what is wrong
                with arrow.memory_map(str(path)) as source:
                    start = source.read_buffer().address
                    source.seek(0)
                    with arrow.ipc.open_stream(source) as stream:
                        for batch in stream:
                            yield from self._of_batch(batch, str(path), start, split, number)
                            number += len(batch)
            except DatasetError:
                raise
            except Exception as error:  # whatever comes of a damaged file: its numbers may be any
                raise DatasetError(f"{readable(str(path))}: cannot be read ({reason(error)})") from error

    def _of_batch(
        self, batch: Any, path: str, start: int, split: str | None, first: int
    ) -> Iterator[ListedImage]:
        batch.validate(full=True)  # else its offsets may be any numbers
        images = batch.column(self._image)
        labels = batch.column(self._label).to_pylist()
        if images.type.num_fields:
            names, pieces = _names(images.field("path"), path), _pieces(images.field("bytes"), path, start)
        else:
            names, pieces = _names(images, path), [None] * len(images)
        for number, (name, piece, label) in enumerate(zip(names, pieces, labels), start=first):
            known = None if self.classes is not None and label == -1 else label_of(label)  # -1 is none
            if piece is not None:
                called = "/".join(filter(None, (split, str(number), name and Path(name).name)))
                yield ListedImage(called, known, split, piece)
            elif name:
                yield ListedImage(name, known, split)


def _names(column: Any, path: str) -> list[str | None]:
    """A column of images' paths, which have to be texts."""
    names = column.to_pylist()
    wrong = next((name for name in names if not isinstance(name, str | None)), None)
    if wrong is not None:
        raise DatasetError(f"{readable(path)}: {shown(wrong)} is no path of an image, where a text is right")
    return names


def _pieces(column: Any, path: str, start: int) -> list[Piece | None]:
    """Where in a file the values of a column of bytes are, whose map begins at an address in memory."""
    present, offsets, data = column.buffers()
    wide = np.int64 if str(column.type).startswith("large") else np.int32
    places = np.frombuffer(offsets, wide)[column.offset : column.offset + len(column) + 1].tolist()
    if data is None:
        return [None] * len(column)
    begin = data.address - start
    if not 0 <= begin <= Path(path).stat().st_size - data.size:
        raise OSError("its images are compressed")
    valid = column.is_valid().to_pylist() if present is not None else [True] * len(column)
    return [
        Piece(path, begin + place, end - place) if there else None
        for place, end, there in zip(places, places[1:], valid)
    ]


def _only(columns: Columns, name: str, kinds: Mapping[str, Any], kind: str) -> tuple[str, str | None]:
    """The column that the user names, or the only one of a kind, or one with a usual name; and a note."""
    of_kind = [column for column, one in kinds.items() if one == kind]
    if getattr(columns, name) is None and len(of_kind) == 1:
        return of_kind[0], None
    column, note = columns.found(name, of_kind if getattr(columns, name) is None and of_kind else [*kinds])
    return str(column), note


def _described(path: Path, name: str, kind: type) -> Any:
    """A value of a JSON file; a DatasetError of one line where it is not there."""
    try:
        value = read_json(path)[name]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{readable(str(path))}: cannot be read ({reason(error)})") from error
    if not isinstance(value, kind):
        raise DatasetError(f"{readable(str(path))}: '{name}' is not what save_to_disk writes")
    return value


READER = SavedDatasetReader()
