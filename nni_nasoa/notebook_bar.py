"""A live bar in a notebook: an output that is replaced, as all notebooks know it; no widgets are needed."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from html import escape

_REFRESH_SECONDS = 0.2  # Between two pictures of the bar.


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


@dataclass(frozen=True)
class BarPicture:
    """What is shown, as IPython shows objects: in HTML, or as a line of text.

    Parameters
    ----------
    share
        That is done, 0 to 1.
    text
        What is said beside the bar.
    """

    share: float
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f'<progress max="1" value="{self.share:.3f}"></progress> <code>{escape(self.text)}</code>'


class NotebookBar:
    """The bar; its last state stays below the cell."""

    def __init__(self, text: str) -> None:
        from IPython.display import display

        self._last, self._shown = BarPicture(0.0, text), time.monotonic()
        self._output = display(self._last, display_id=True)

    def show(self, share: float, text: str) -> None:
        """Show it, unless something was shown just now."""
        self._last, now = BarPicture(min(1.0, share), text), time.monotonic()
        if now - self._shown >= _REFRESH_SECONDS:
            self._shown = now
            self._output.update(self._last)

    def close(self) -> None:
        """Show what it was in the end."""
        self._output.update(self._last)
