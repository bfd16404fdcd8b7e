"""Whoever has a deadline asks a store only for so long, whatever the store does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def answered(call: Callable[[], Result], seconds: float | None) -> Result:
    """What a call that uses a store returns, or the error that it raises.

    It goes on in a thread of its own that ends with the process, as no call into a database or to a server
    can be trusted to end.

    Parameters
    ----------
    call
        What to do; where it is given up, it may still come to its end.
    seconds
        To wait for it; None waits for as long as it takes, in this thread.

    Raises
    ------
    StoreError
        It takes longer than that.
    """
    if seconds is None:
        return call()
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # it is raised where it is waited for
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(max(0.0, seconds))
    if errors:
        raise errors[0]
    if not results:
        from .database import StoreError  # late, as it brings SQLAlchemy

        raise StoreError(f"the store has not answered in {max(0.0, seconds):.1f} s")
    return results[0]
