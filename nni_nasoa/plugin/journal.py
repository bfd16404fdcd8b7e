"""An append-only record of what happened, which outlives `kill -9`."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

_logger = logging.getLogger(__name__)


class Journal:
    """Events, one JSON object a line; each one is on the disk before `append` returns.

    Parameters
    ----------
    path
        The file; None keeps the events in memory only.
    """

    def __init__(self, path: Path | None):
        self.path = path
        self.events: list[dict[str, Any]] = []
        self._file = None

    def load(self) -> None:
        """Read what an earlier process wrote. A line that it was killed in the middle of is left out."""
        self.events = []
        if self.path is None or not self.path.exists():
            return
        for number, line in enumerate(self.path.read_bytes().splitlines(), start=1):
            try:
                event = json.loads(line)
                if not isinstance(event, dict):
                    raise ValueError("not an object")
            except ValueError:
                if line.strip():
                    _logger.warning("%s: line %d is torn and left out", self.path, number)
                continue
            self.events.append(event)

    def append(self, **event) -> None:
        """Add an event."""
        self.events.append(event)
        if self.path is None:
            return
        if self._file is None:
            self._file = self.path.open("ab")
            if self._file.tell() and not self.path.read_bytes().endswith(b"\n"):
                self._file.write(b"\n")  # keep a torn last line to itself
        self._file.write(json.dumps(event).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
