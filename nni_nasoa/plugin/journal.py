"""An append-only record of what happened, which outlives `kill -9`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from nni_nasoa.files import append_line, read_lines

_logger = logging.getLogger(__name__)


class Journal:
    """Events, one JSON object a line; each one is on the disk before `append` returns.

    Parameters
    ----------
    path
        The file; None keeps the events in memory only.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.events: list[dict[str, Any]] = []

    def load(self) -> None:
        """Read what an earlier process wrote. A line that it was killed in the middle of is left out."""
        self.events = []
        if self.path is None or not self.path.exists():
            return
        for number, event in read_lines(self.path, self._left_out):
            if isinstance(event, dict):
                self.events.append(event)
            else:
                self._left_out(number, ValueError("not an object"))

    def append(self, **event: Any) -> None:
        """Add an event."""
        self.events.append(event)
        if self.path is not None:
            append_line(self.path, event, durable=True)

    def _left_out(self, number: int, error: ValueError) -> None:
        _logger.warning("%s: line %d is torn and left out: %s", self.path, number, error)
