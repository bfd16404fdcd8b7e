"""Results of a search: reading and writing them, their Pareto front, and step times that may be compared.

A result, or record, is the dict that a trial reports at its end; it carries its own identity
(`architecture`).
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from statistics import median
from typing import Any, NoReturn

from nni_nasoa.architecture import Architecture, ArchitectureError
from nni_nasoa.files import parse_json, read_json, read_lines, write_text
from nni_nasoa.values import NUMBER, POSITIVE, reason
from nni_nasoa.zoo.searched import FORMAT, VERSION, FrontError, read_front

from .evolution import Limit, Objective
from .nsga2 import non_dominated_ranks

__all__ = [
    "OBJECTIVES",
    "FrontError",
    "StepTimes",
    "comparable",
    "comparable_step_times",
    "distinct",
    "pareto_front",
    "read_front",
    "read_records",
    "write_front",
    "write_records",
]

Record = dict[str, Any]

OBJECTIVES = (Objective("accuracy"), Objective("relative_speed"))
"""What a search of architectures maximises unless it is told otherwise."""

_TEXT = ("architecture", "device", "dataset", "trial_id")  # columns that stay text, whatever they look like
_DIGITS = 300  # a whole number has no more: a float holds as many, and Python reads only some thousand
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf|nan")


def _usable(record: Mapping[str, Any], objectives: Sequence[Objective | Limit]) -> bool:
    """Whether all objectives are finite numbers."""
    return all(NUMBER.allows(record.get(objective.name)) for objective in objectives)


def comparable(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Leave out networks that were trained for fewer epochs than others: their accuracies do not compare.

    Records that are of no network, or do not tell their epochs, stay.
    """

    def epochs(record: Mapping[str, Any]) -> float:
        told = record.get("epochs") if "architecture" in record else None
        return float(told) if told is not None and POSITIVE.allows(told) else math.inf

    records = list(records)
    most = max(filter(math.isfinite, map(epochs, records)), default=0.0)
    return [record for record in records if epochs(record) >= most]


def distinct(
    records: Iterable[Mapping[str, Any]], objectives: Sequence[Objective | Limit] = OBJECTIVES
) -> list[Record]:
    """Return the records whose objectives are finite numbers, of each architecture the first, in order.

    They are `comparable`.
    """
    kept: dict[Any, Record] = {}
    for position, record in enumerate(comparable(records)):
        if _usable(record, objectives):
            name = record.get("architecture")
            kept.setdefault(name if isinstance(name, str) else position, dict(record))
    return list(kept.values())


def pareto_front(
    records: Iterable[Mapping[str, Any]],
    objectives: Sequence[Objective] = OBJECTIVES,
    limits: Sequence[Limit] = (),
) -> list[Record]:
    """Return the records within the limits that no other one dominates, best first objective first.

    A record is left out where an objective or a limited metric is missing or not finite; of an architecture
    that was reported twice, the first record counts.
    """
    feasible = [
        record
        for record in distinct(records, [*objectives, *limits])
        if all(limit.violation(record[limit.name]) == 0 for limit in limits)
    ]
    if not feasible:
        return []
    signs = [1 if objective.maximize else -1 for objective in objectives]
    points = [
        [sign * record[objective.name] for sign, objective in zip(signs, objectives)] for record in feasible
    ]
    best = [pair for pair, rank in zip(zip(points, feasible), non_dominated_ranks(points)) if rank == 0]
    return [record for _, record in sorted(best, key=lambda pair: pair[0], reverse=True)]


def write_front(
    path: str | Path,
    records: Iterable[Mapping[str, Any]],
    *,
    experiment: str | None = None,
    objectives: Sequence[Objective] = OBJECTIVES,
    limits: Sequence[Limit] = (),
) -> Path:
    """Write the Pareto front of `records` as a front file, which the zoo and a macro-level search accept.

    The file is replaced in one step: who reads it meanwhile sees the old one or the new one.

    Parameters
    ----------
    path
        The file to write, usually `front.json`.
    records
        Results, of the front or all of them.
    experiment
        The NNI experiment that they come from.
    objectives, limits
        What makes the front, and its order.
    """
    return write_text(
        path,
        json.dumps(
            {
                "format": FORMAT,
                "version": VERSION,
                "experiment": experiment,
                "objectives": [
                    {"name": objective.name, "mode": "maximize" if objective.maximize else "minimize"}
                    for objective in objectives
                ],
                "networks": pareto_front(records, objectives, limits),
            },
            indent=1,
        )
        + "\n",
    )


def write_records(path: str | Path, records: Sequence[Mapping[str, Any]]) -> Path:
    """Write records as CSV, a column for every key that any of them has.

    What is neither text nor number goes in as JSON, and None as nothing.
    """
    text = io.StringIO()
    writer = csv.DictWriter(
        text, list(dict.fromkeys(key for record in records for key in record)), lineterminator="\n"
    )
    writer.writeheader()
    for record in records:
        writer.writerow(
            {
                key: value
                if isinstance(value, (str, Real)) and not isinstance(value, bool)
                else json.dumps(value)
                for key, value in record.items()
                if value is not None
            }
        )
    return write_text(path, text.getvalue())


def read_records(path: str | Path) -> list[Record]:
    """Read results from a file.

    Parameters
    ----------
    path
        `.csv` with a header line, as `write_records` makes it; `.jsonl` with a JSON object a line; `.json`
        with a list of objects, or a front file.

    Raises
    ------
    FrontError
        The file cannot be read as what its suffix says; one line that names the file and the place.
    """
    path = Path(path)
    readers = {".csv": _read_csv, ".jsonl": _read_json_lines, ".json": _read_json}
    if path.suffix not in readers:
        raise FrontError(f"{path}: a results file ends in {', '.join(readers)}")
    try:
        records = readers[path.suffix](path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FrontError(f"{path}: cannot be read ({reason(error)})") from None
    for position, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise FrontError(f"{path}: record {position} is not an object of names and values")
        try:
            "architecture" in record and Architecture.parse(record["architecture"])
        except ArchitectureError as error:
            raise FrontError(f"{path}: record {position}: {error}") from None
    return records


def _read_csv(path: Path) -> list[Record]:
    records = []
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        for row in rows:
            if row and len(row) != len(header):
                raise FrontError(
                    f"{path}, line {rows.line_num}: {len(row)} fields, "
                    f"where the header line has {len(header)}"
                )
            if row:
                records.append({key: _value(key, text) for key, text in zip(header, row) if text})
    return records


def _value(key: str, text: str) -> Any:
    """A CSV field as the number or the JSON that it spells, else as text."""
    if key in _TEXT:
        return text
    if _NUMBER.fullmatch(text):
        whole = text.lstrip("+-").isdigit() and len(text) <= _DIGITS
        return int(text) if whole else float(text)
    if text[0] in "{[" or text in ("true", "false"):
        try:
            return parse_json(text)
        except ValueError:
            pass
    return text


def _read_json_lines(path: Path) -> list[Record]:
    def refuse(number: int, error: ValueError) -> NoReturn:
        raise FrontError(f"{path}, line {number}: {error}")

    return [record for _, record in read_lines(path, refuse)]


def _read_json(path: Path) -> list[Record]:
    try:
        data = read_json(path)
    except ValueError as error:
        raise FrontError(f"{path}: {error}") from None
    if isinstance(data, list):
        return data
    if not isinstance(data, dict):
        raise FrontError(f"{path}: neither a list of results nor a front file")
    networks = data.get("networks")
    if (
        data.get("format") == FORMAT
        and isinstance(networks, list)
        and not any("architecture" in record for record in networks if isinstance(record, dict))
    ):
        return networks  # a front of another space than that of architectures
    return read_front(path)


@dataclass(frozen=True)
class StepTimes:
    """Training step times on one device.

    Parameters
    ----------
    device
        The device that they are for; None where the records name none.
    ms
        Milliseconds, one for each record; NaN where a record does not tell.
    """

    device: str | None
    ms: tuple[float, ...]


def comparable_step_times(records: Sequence[Mapping[str, Any]]) -> StepTimes:
    """Estimate what the training step of every record takes on one and the same device at rest.

    Raw step times of trials that ran on several devices, or beside other load, are not comparable; their
    speeds relative to the reference network, measured in the same minute on the same device, are. So a step
    time is `median(reference_step_time_ms) / relative_speed`, the median being over the device on which most
    records were measured. Records without a reference keep their raw `step_time_ms`.
    """

    def positive(record: Mapping[str, Any], key: str) -> float:
        return float(record[key]) if POSITIVE.allows(record.get(key)) else math.nan

    devices = Counter(
        record["device"] for record in records if record.get("device") and isinstance(record["device"], str)
    )
    device = devices.most_common(1)[0][0] if devices else None
    references = [
        positive(record, "reference_step_time_ms") for record in records if record.get("device") == device
    ]
    references = [value for value in references if not math.isnan(value)]
    if not references:
        return StepTimes(device, tuple(positive(record, "step_time_ms") for record in records))
    reference = median(references)
    return StepTimes(
        device,
        tuple(
            reference / positive(record, "relative_speed")
            if "reference_step_time_ms" in record
            else positive(record, "step_time_ms")
            for record in records
        ),
    )
