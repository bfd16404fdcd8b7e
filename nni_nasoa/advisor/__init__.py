"""Which model to fine-tune, and how, in the minutes at hand; learned from every run.

    store = ExperienceStore()                       # the user's own; or a file, or postgresql://user@server/database
    store.add(RunRecord.of_run(finetune(...)))
    for record in store.records(task="flowers"):
        ...

Importing this room loads neither torch nor SQLAlchemy; what it is asked for does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .database import StoreError
    from .records import RecordError, RunRecord, StepTime
    from .store import ExperienceStore

__all__ = ["ExperienceStore", "RecordError", "RunRecord", "StepTime", "StoreError"]

_MODULES = {"ExperienceStore": "store", "StoreError": "database", "RecordError": "records", "RunRecord": "records",
            "StepTime": "records"}


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
