"""How good a classifier is, and where it is wrong.

    evaluation = evaluate(load_classifier("my-classifier"), "my-images/test")
    evaluation.accuracy, evaluation.confusions[:3], evaluation.to_json()
    write_page("report.html", evaluation, load_classifier("my-classifier").about)

Importing this room loads nothing; what it is asked for loads torch and scikit-learn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .evaluating import evaluate
    from .evaluation import Evaluation
    from .page import write_page

__all__ = ["Evaluation", "evaluate", "write_page"]

_MODULES = {"Evaluation": "evaluation", "evaluate": "evaluating", "write_page": "page"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
