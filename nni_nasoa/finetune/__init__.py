"""Fine-tuning that ends on time: the best classifier that a number of minutes can buy.

    regime = FineTuneRegime("nano-d", learning_rate=0.02, frozen_stages=2)
    result = finetune("my-images/", regime, minutes=5, output="my-classifier")
    load_classifier("my-classifier").predict(["cat.jpg"])

Importing this room loads no torch; `finetune` and `load_classifier` do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nni_nasoa.training.errors import FineTuneError
from nni_nasoa.training.outcome import Outcome, StopReason
from nni_nasoa.training.regime import FineTuneRegime, RegimeError

from .options import Monitoring, Resources, Timing

if TYPE_CHECKING:
    from .api import finetune
    from .callbacks import Callback, MLflow, TensorBoard, WandB, callback_of
    from .classifier import Classifier, save_classifier
    from .loading import load_classifier
    from .results import FineTuneResult
    from .run_record import record_of

__all__ = [
    "Callback",
    "Classifier",
    "FineTuneError",
    "FineTuneRegime",
    "FineTuneResult",
    "MLflow",
    "Monitoring",
    "Outcome",
    "RegimeError",
    "Resources",
    "StopReason",
    "TensorBoard",
    "Timing",
    "WandB",
    "callback_of",
    "finetune",
    "load_classifier",
    "record_of",
    "save_classifier",
]

_MODULES = {
    "Classifier": "classifier",
    "load_classifier": "loading",
    "save_classifier": "classifier",
    "FineTuneResult": "results",
    "record_of": "run_record",
    "finetune": "api",
    **dict.fromkeys(("Callback", "MLflow", "TensorBoard", "WandB", "callback_of"), "callbacks"),
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
