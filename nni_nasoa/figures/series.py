"""Which runs make a line of a figure, what it is called, and what a point of it stands for."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from statistics import median
from typing import Any

from .runs import RecordedRun, last_part


def lines_of(runs: Iterable[RecordedRun], apart_from: Collection[str]) -> dict[str, list[RecordedRun]]:
    """Put runs together that share all settings but the dataset, the seed and those of `apart_from`.

    They are under a label: the model, and what tells it apart from others of the same model.
    """
    groups: dict[tuple, list[RecordedRun]] = {}
    for run in runs:
        parts = tuple((key, text) for key, text in run.settings.described().items() if key not in apart_from)
        groups.setdefault(parts, []).append(run)
    lines = {}
    for parts, members in groups.items():
        of_model = [dict(other) for other in groups if dict(other)["model"] == dict(parts)["model"]]
        differ = [text for key, text in parts if len({other[key] for other in of_model}) > 1]
        lines[", ".join([dict(parts)["model"], *differ])] = members
    return lines


def shared(runs: Iterable[RecordedRun], *keys: str) -> list[str]:
    """Those of the settings that are the same for all runs, as a reader would say them."""
    described = [run.settings.described() for run in runs]
    return [described[0][key] for key in keys if len({parts[key] for parts in described}) == 1]


def dataset_titles(runs: Iterable[RecordedRun]) -> dict[str, str]:
    """Datasets in the order of the runs, and how to call them: folders by their last part, if one has it."""
    names = dict.fromkeys(run.settings.dataset for run in runs)
    short = [last_part(name) for name in names]
    return {name: last_part(name) if short.count(last_part(name)) == 1 else name for name in names}


def spread(values: Iterable[float]) -> tuple[float, float, float]:
    """Lowest, median and highest of the values that are not NaN; NaN where there are none."""
    known = [value for value in values if not math.isnan(value)]
    return (min(known), median(known), max(known)) if known else (math.nan,) * 3


def seeds_of(groups: Iterable[Collection[Any]]) -> str:
    """How many seeds a point has, where all have as many: "median of 3 seeds", ..."""
    least, most = min(counts := [len(group) for group in groups]), max(counts)
    if most == 1:
        return ""
    return f"median of {most if least == most else f'{least} to {most}'} seeds, from lowest to highest"
