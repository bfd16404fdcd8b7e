"""pandas' tables in memory: a column of paths, or of images themselves, and one of labels."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nni_nasoa.data.image_list import ImageList

from .reader import ReadOptions
from .table import list_of_table

NAME = "DataFrame"


class DataFrameReader:
    """A pandas DataFrame with the columns that a CSV file has; paths begin where the process is."""

    name = "dataframe"

    def recognises(self, given: Any) -> bool:
        """Whether it is one, which it is not where pandas was not imported."""
        pandas = sys.modules.get("pandas")
        return pandas is not None and isinstance(given, pandas.DataFrame)

    def read(self, given: Any, options: ReadOptions) -> ImageList:
        """The images; a DatasetError of one line where there are no such columns."""
        names = [*map(str, given.columns)]

        def take(column: str) -> Sequence[Any]:
            values = given.iloc[:, names.index(column)]
            return [None if missing else value for value, missing in zip(values.tolist(), values.isna())]

        return list_of_table(NAME, names, take, options, Path.cwd(), NAME)


READER = DataFrameReader()
