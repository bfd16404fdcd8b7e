"""Which model to fine-tune, and how, in the minutes at hand; learned from every run.

    with ExperienceStore() as store:                # the user's own; or a file, or postgresql://user@server/database
        advice = advise("flowers/", minutes=10, store=store)
        result = finetune("flowers/", advice.best.regime, minutes=10)
        record_result(store, record_of(result, **advice.about(advice.best)))
        for record in store.records(task="flowers"):
            ...

Importing this room loads neither torch nor SQLAlchemy; what it is asked for does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nni_nasoa.experience.database import StoreError
    from nni_nasoa.experience.records import RecordError, RunRecord, StepTime
    from nni_nasoa.experience.store import ExperienceStore

    from .advice import Advice, Choice, Limits
    from .advising import advise
    from .estimator import ImageClassifier
    from .models import AdviceError
    from .recording import record_result

__all__ = [
    "Advice",
    "AdviceError",
    "Choice",
    "ExperienceStore",
    "ImageClassifier",
    "Limits",
    "RecordError",
    "RunRecord",
    "StepTime",
    "StoreError",
    "advise",
    "record_result",
]

_MODULES = {
    "Advice": ".advice",
    "AdviceError": ".models",
    "Choice": ".advice",
    "ImageClassifier": ".estimator",
    "Limits": ".advice",
    "advise": ".advising",
    "record_result": ".recording",
    "ExperienceStore": "nni_nasoa.experience.store",
    "StoreError": "nni_nasoa.experience.database",
    "RecordError": "nni_nasoa.experience.records",
    "RunRecord": "nni_nasoa.experience.records",
    "StepTime": "nni_nasoa.experience.records",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_MODULES[name], __name__), name)
