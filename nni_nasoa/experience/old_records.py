"""What earlier releases wrote of a run's end, and the outcome that it becomes.

They told a run's end in notes alone, and this is the one place that knows their sentences. The texts here are
frozen: rewording the notes of today changes nothing, and nothing here is ever reworded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_STOPPED = "stopped: "  # begins the note that said why a run ended, where that was not its budget
_CUT_TO_HEAD = "only the head is trained"
_SAMPLED = "decoding all images takes longer"
_SAMPLE = re.compile(r"(\d{1,15}) are trained on, (\d{1,15}) validated on", re.ASCII)
_HALVED = re.compile(r"out of memory: batch size ([1-9]\d{0,14})\b", re.ASCII)
_UNUSED = re.compile(r"(\d{1,12}\.\d) s are left, too short for a step", re.ASCII)
_REASONS = ("budget", "saturated", "interrupted", "diverged", "failed")
_SIGNALS = ("SIGINT", "SIGTERM")


def outcome_of(stopped: str, notes: Any) -> dict[str, Any]:
    """The outcome, as JSON values, of a run whose end was told in words.

    Parameters
    ----------
    stopped
        "budget", "saturated: ...", "interrupted: SIGTERM" or "diverged: ...".
    notes
        Of the run; what is no list of texts is passed over.
    """
    reason, _, rest = stopped.partition(":")
    outcome: dict[str, Any] = {"reason": reason if reason in _REASONS else "unknown"}
    if reason == "interrupted" and rest.strip() in _SIGNALS:
        outcome["signal"] = rest.strip()
    for note in _texts(notes):
        if _CUT_TO_HEAD in note:
            outcome["cut_to_head"] = True
        if _SAMPLED in note:
            outcome["sampled"] = True
            if sample := _SAMPLE.search(note):
                outcome["train_images"], outcome["val_images"] = map(int, sample.groups())
        if halved := _HALVED.search(note):
            outcome["halved_batch"] = int(halved[1])
        if unused := _UNUSED.match(note):
            outcome["unused_seconds"] = float(unused[1])
    return outcome


def upgraded_record(data: Any) -> Any:
    """A run's record of any release as this one writes it; what is no record stays as it is."""
    if not isinstance(data, Mapping) or "outcome" in data or "status" not in data:
        return data
    notes = _texts(data.get("notes"))
    told = next((note.removeprefix(_STOPPED) for note in notes if note.startswith(_STOPPED)), "")
    return {**data, "outcome": outcome_of(_stopped(data["status"], data.get("epochs"), told), notes)}


def _texts(notes: Any) -> list[str]:
    return [note for note in notes if isinstance(note, str)] if isinstance(notes, (list, tuple)) else []


def _stopped(status: Any, epochs: Any, told: str) -> str:
    """Why a run ended, by its status, and by what a note told where the two agree."""
    if status == "killed":
        return told if told.startswith("interrupted") else "interrupted"
    if status == "failed" and epochs is None:  # no run that came to its end is without
        return "failed"
    return told if told.startswith(("saturated", "diverged")) else "budget"
