"""CSV files with a row for each image: its path, its label, and maybe the part that it is in."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nni_nasoa.data.arrays import DatasetError
from nni_nasoa.data.image_list import ImageList
from nni_nasoa.messages import readable
from nni_nasoa.values import reason

from .reader import ReadOptions
from .table import list_of_table

DELIMITERS = ",;\t|"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class CsvReader:
    """Files `.csv` and `.tsv` of UTF-8 with a header; see `columns.USUAL` for its names."""

    name = "csv"

    def recognises(self, given: Any) -> bool:
        """Whether it is a path that ends as such files do."""
        return isinstance(given, Path) and given.suffix.lower() in (".csv", ".tsv")

    def read(self, given: Path, options: ReadOptions) -> ImageList:
        """The images; a DatasetError of one line where it is no such file."""
        place = readable(str(given))
        header, rows = _rows(place, _text(place, given), given.suffix.lower() == ".tsv")

        def take(column: str) -> Sequence[str | None]:
            number = header.index(column)
            return [row[number] if number < len(row) else None for row in rows]

        return list_of_table(place, header, take, options, given.parent)


def _text(place: str, path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{place}: cannot be read ({reason(error)})") from error
    try:
        if content.startswith(_UTF_16):
            raise UnicodeDecodeError("utf-8", content, 0, 1, "UTF-16")
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DatasetError(f"{place}: line {line} is not UTF-8; save the file as UTF-8") from None
    if "\0" in text:
        raise DatasetError(f"{place}: not a CSV file, as zero bytes are in it")
    return text


def _rows(place: str, text: str, tabs: bool) -> tuple[list[str], list[list[str]]]:
    """The header, and the rows that are not empty."""
    import csv  # as most datasets are no such files

    first = text.lstrip().partition("\n")[0]
    delimiter = "\t" if tabs else max(DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        rows = [row for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise DatasetError(f"{place}: not a CSV file, by line {reader.line_num} ({reason(error)})") from None
    if not rows:
        raise DatasetError(f"{place}: the file is empty; a header and a row for each image are needed")
    return [column.strip() for column in rows[0]], rows[1:]


READER = CsvReader()
