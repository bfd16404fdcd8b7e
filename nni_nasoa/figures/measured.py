"""What this project has measured of the paper's claims, in short: `measured.json`, made of recorded data.

The data are in the folder examples/benchmarks/data of the repository. This makes the file again from them,
and with it those that figures are drawn from, `time_limits.json` and `block_search.json`:

    python -m nni_nasoa.figures.measured examples
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from nni_nasoa.architecture import Architecture
from nni_nasoa.files import read_json, write_text
from nni_nasoa.search.front import read_records

from .block_drawing import CLASSIC_BLOCKS

_ROOM = Path(__file__).parent
_SHIPPED = _ROOM / "measured.json"
_BUDGETS, _TUNERS = "benchmarks/data/advisor_budgets.json", "benchmarks/data/advisor_vs_tuners.json"
_REGRET, _STEPS = "benchmarks/data/advisor_regret.json", "benchmarks/data/step_time_cpu_small.json"
_BLOCK_SEARCH = "benchmarks/data/block_search.jsonl"
_RECORDED_ON = {_BUDGETS: "2026-11-27"}  # the day of data that do not say it, by their history
_OF_A_NETWORK = (
    "architecture accuracy relative_speed step_time_ms reference_step_time_ms device dataset epochs "
    "speed_input_size speed_batch_size"
).split()
_OF_THE_PAPER = ("basic block", "bottleneck", "inverted residual")  # its figure 9 has these


@cache
def shipped() -> Mapping[str, Any]:
    """What comes with the package, as `summary` makes it."""
    return read_json(_SHIPPED)


def summary(examples: str | os.PathLike) -> dict[str, Any]:
    """What the recorded data say, in the few figures that claims are held against.

    Parameters
    ----------
    examples
        The folder examples of the repository.
    """
    folder = Path(examples)
    budgets, tuners = read_json(folder / _BUDGETS), read_json(folder / _TUNERS)
    regret, steps = read_json(folder / _REGRET), read_json(folder / _STEPS)
    above = budgets["difference"]["advised"]
    return {
        "upper_bounds": {
            "file": _BUDGETS,
            "tasks": len(budgets["tasks"]),
            "budgets": budgets["budgets"],
            "points": {series: round(difference["mean"], 2) for series, difference in above.items()},
        },
        "smallest_is_best": {
            "file": _BUDGETS,
            "shares": {
                str(seconds): _smallest_is_best(budgets["cells"], seconds) for seconds in budgets["budgets"]
            },
        },
        "tuners": {
            "file": _TUNERS,
            "tasks": len(tuners["tasks"]),
            "median": {name: ratio["median"] for name, ratio in tuners["ratio"].items()},
        },
        "frozen_stages_of_the_best": {
            "file": _REGRET,
            "regimes": regret["regimes"],
            "by_task": {task: one["best_regime"]["frozen_stages"] for task, one in regret["tasks"].items()},
        },
        "blocks": {"file": _BLOCK_SEARCH, **_blocks(folder / _BLOCK_SEARCH)},
        "step_times": {
            "file": _STEPS,
            "environment": {
                name: steps["environment"][name] for name in ("device", "threads", "date", "torch")
            },
            "input_size": steps["input_size"],
            "batch_size": steps["batch_size"],
            "networks": [
                {name: record[name] for name in ("series", "name", "imagenet_top1")}
                | {
                    f"{kind}_fp32": {"step_time_ms": record[f"{kind}_fp32"]["step_time_ms"]}
                    for kind in ("train", "infer")
                }
                for record in steps["networks"]
            ],
        },
    }


def _smallest_is_best(cells: list[dict[str, Any]], seconds: float) -> float:
    """Of all tasks and series, the share in which the smallest of the sizes is the best in a time."""
    sizes = [
        list(by_size.values())
        for cell in cells
        if cell["budget"] == seconds
        for by_size in cell.values()
        if isinstance(by_size, dict)
    ]
    return round(sum(values[0] >= max(values) for values in sizes) / len(sizes), 3)


def _blocks(results: Path) -> dict[str, Any]:
    """For each network of a classic block, the best accuracy among others that are as fast or faster."""
    records = [record for record in read_records(results) if "architecture" in record]
    classic = {
        record["architecture"]: name
        for record in records
        if (name := CLASSIC_BLOCKS.get(str(Architecture.parse(record["architecture"]).block)))
        in _OF_THE_PAPER
    }
    rows = []
    for record in records:
        if record["architecture"] not in classic:
            continue
        others = [
            other["accuracy"]
            for other in records
            if other["architecture"] not in classic and other["relative_speed"] >= record["relative_speed"]
        ]
        rows.append(
            {
                "network": record["architecture"],
                "block": classic[record["architecture"]],
                "accuracy": round(record["accuracy"], 4),
                "best_as_fast": round(max(others), 4) if others else None,
            }
        )
    return {"networks": len(records), "epochs": records[0]["epochs"], "classic": rows}


def time_limits(examples: str | os.PathLike) -> dict[str, Any]:
    """What is drawn of the accuracies within time limits; see `time_limits.py`."""
    read = read_json(Path(examples) / _BUDGETS)
    series = list(read["series"])
    return {
        "file": _BUDGETS,
        "environment": read["environment"] | {"date": _RECORDED_ON[_BUDGETS]},
        "series": series,
        "cells": [
            {name: cell[name] for name in ("task", "budget", "advised", *series)} for cell in read["cells"]
        ],
    }


def block_search(examples: str | os.PathLike) -> dict[str, Any]:
    """What is drawn of the search for blocks; see `block_search.py`."""
    records = read_records(Path(examples) / _BLOCK_SEARCH)
    return {
        "file": _BLOCK_SEARCH,
        "environment": records[-1]["environment"],
        "networks": [
            {name: value for name, value in record.items() if name in _OF_A_NETWORK} for record in records
        ],
    }


def main(examples: str) -> None:
    """Write all three files."""
    for name, make in (
        ("measured", summary),
        ("time_limits", time_limits),
        ("block_search", block_search),
    ):
        write_text(_ROOM / f"{name}.json", json.dumps(make(examples), indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
