"""What earlier releases wrote of a figure's runs: lines with fields of their own in place of a record."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from nni_nasoa.experience.old_records import outcome_of
from nni_nasoa.experience.records import MAX_NOTES
from nni_nasoa.finetune.run_record import curve_of
from nni_nasoa.values import TIME, one_line

_SAME = ("dataset", "seed", "weights", "device", "stages", "evaluations", "environment")
_THREADS = re.compile(r"(.*), (\d{1,4}) threads?", re.DOTALL)
_PACKAGES = ("python", "nni-nasoa", "torch", "torchvision")
_LONG_AGO = "1970-01-01T00:00:00Z"


def upgraded_run(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The JSON values of a recorded run of any release as this one writes them.

    What is wrong in it is left so, for whoever checks the result to say.
    """
    if "record" in data or "stopped" not in data:
        return data
    return {**{name: data[name] for name in _SAME if name in data}, "record": _record(data)}


def _record(data: Mapping[str, Any]) -> dict[str, Any]:
    environment, regime = _mapping(data.get("environment")), data.get("regime")
    outcome = _outcome(data, _mapping(regime).get("frozen_stages", 0))
    killed, measured = outcome["reason"] == "interrupted", data.get("accuracy") is not None
    ok = measured and not killed
    date, (device, threads) = environment.get("date"), _device(data.get("device"))
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"nni_nasoa.figures: {sorted(map(str, data.items()))}")),
        "created": date if TIME.allows(date) else _LONG_AGO,
        "task": one_line(str(data.get("dataset")).rstrip("/").rpartition("/")[2]),
        "profile": {},
        "model": data.get("model"),
        "model_figures": {},
        "regime": {**regime, "model": data.get("model")} if isinstance(regime, Mapping) else regime,
        "device": device,
        "threads": threads,
        "budget_seconds": data.get("budget"),
        "predicted": None,
        "status": "killed" if killed else "ok" if measured else "failed",
        "outcome": outcome,
        "seconds": data.get("seconds") if ok else None,
        "accuracy": data.get("accuracy") if ok else None,
        "epochs": data.get("epochs"),
        "curve": _curve(data.get("evaluations")),
        "versions": {name: str(environment[name]) for name in _PACKAGES if name in environment},
        "source": "finetune",
        "notes": [one_line(note) for note in _list(data.get("notes"))][:MAX_NOTES],
    }


def _outcome(data: Mapping[str, Any], asked: Any) -> dict[str, Any]:
    """What is told in words, and with it what is told in numbers."""
    told = outcome_of(str(data["stopped"]), data.get("notes"))
    counts = {name: data.get(name) for name in ("steps", "images")}
    with suppress(TypeError):
        return {**told, **counts, "cut_to_head": data["frozen_stages"] > asked}
    return {**told, **counts}


def _device(called: Any) -> tuple[str, int]:
    """The name of a device, and the threads, which were told in one text; one where none are told."""
    match = _THREADS.fullmatch(str(called))
    return (one_line(match[1]), int(match[2])) if match else (one_line(called) or "unknown", 1)


def _curve(evaluations: Any) -> list[tuple[float, float]]:
    with suppress(TypeError, KeyError, AttributeError):
        return list(curve_of({**each, "val_accuracy": _number(each["val_accuracy"])} for each in evaluations))
    return []


def _number(value: Any) -> Any:
    return math.nan if value is None else value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
