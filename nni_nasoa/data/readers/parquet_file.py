"""Parquet files with a row for each image, as CSV files have them; or with the images themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nni_nasoa.data.arrays import DatasetError
from nni_nasoa.data.image_list import ImageList
from nni_nasoa.messages import readable
from nni_nasoa.values import reason

from .extras import imported
from .reader import ReadOptions
from .table import list_of_table

_BATCH = 256  # rows that are read at once, as images may be in them


class ParquetReader:
    """Files `.parquet`, of which the columns that count are read; needs pyarrow."""

    name = "parquet"

    def recognises(self, given: Any) -> bool:
        """Whether it is a path that ends as such files do."""
        return isinstance(given, Path) and given.suffix.lower() in (".parquet", ".pq")

    def read(self, given: Path, options: ReadOptions) -> ImageList:
        """The images; a DatasetError of one line where it is no such file."""
        place = readable(str(given))
        parquet = imported("pyarrow.parquet", "parquet", place)
        arrow_error = imported("pyarrow", "parquet", place).ArrowException
        try:
            with parquet.ParquetFile(given) as file:

                def take(column: str) -> Iterator[Any]:
                    for batch in file.iter_batches(_BATCH, columns=[column]):
                        yield from batch.column(0).to_pylist()

                return list_of_table(place, file.schema_arrow.names, take, options, given.parent)
        except (arrow_error, UnicodeDecodeError, OSError) as error:
            raise DatasetError(f"{place}: not a Parquet file that can be read ({reason(error)})") from error


READER = ParquetReader()
