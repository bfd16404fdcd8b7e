"""Callbacks of a run: what they are, and those that log it to TensorBoard, MLflow or Weights & Biases.

finetune("flowers", regime, minutes=5, callbacks=[MLflow("http://127.0.0.1:5000")])
callback_of("wandb:flowers")
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from nni_nasoa.training.errors import FineTuneError
from nni_nasoa.values import one_of, reason, shown

if TYPE_CHECKING:
    from nni_nasoa.training.regime import FineTuneRegime

    from .results import FineTuneResult

LOGGED = ("val_accuracy", "val_loss", "train_loss", "learning_rate", "epochs")
RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"


class Callback:
    """What a run tells as it goes on, of which nothing is made here.

    Another object with some of these methods will do. It is called in the first process, in the time of the
    run, and may raise what it will: that is told in a line, the run goes on, and it is called no more. Only a
    FineTuneError of `on_start` ends the run, before it has begun.
    """

    def on_start(self, dataset: str, regime: FineTuneRegime) -> None:
        """All has been checked, and the run begins.

        Parameters
        ----------
        dataset
            What results call it.
        regime
            How it is fine-tuned, the input size filled in.
        """

    def on_evaluation(self, evaluation: Mapping[str, Any]) -> None:
        """The network was evaluated: a line of `evaluations.jsonl`, such as "elapsed" and "val_accuracy"."""

    def on_end(self, result: FineTuneResult) -> None:
        """The classifier is saved; this is what `finetune` returns. A run that fails does not come to it."""

    def close(self) -> None:
        """The run is over, however it ended; what is called last."""


def callback_of(text: str) -> Callback:
    """The callback that a text names, as `--log-to` takes it.

    Parameters
    ----------
    text
        "tensorboard:FOLDER", "mlflow:URI" or "mlflow", "wandb:PROJECT" or "wandb:ENTITY/PROJECT".

    Raises
    ------
    FineTuneError
        It is none of these, or a package is missing.
    """
    kinds: dict[str, Callable[[str], Callback]] = {
        "tensorboard": TensorBoard,
        "mlflow": MLflow,
        "wandb": WandB,
    }
    kind, _, place = text.partition(":")
    make = kinds[one_of(kinds)("log-to", kind, FineTuneError)]
    if not place and make is not MLflow:
        raise FineTuneError(f"log-to: {shown(text)} names no place; {PLACES}")
    return make(place)


PLACES = "give tensorboard:FOLDER, mlflow:URI or wandb:PROJECT"


class TensorBoard(Callback):
    """Scalars for TensorBoard, along the elapsed milliseconds.

    Parameters
    ----------
    folder
        For its log.

    Raises
    ------
    FineTuneError
        The package tensorboard is missing. By `on_start`: the folder cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        _require("tensorboard", "TensorBoard's log")
        self._folder = folder
        self._writer: Any = None

    def on_start(self, dataset: str, regime: FineTuneRegime) -> None:  # noqa: ARG002
        """Open the log."""
        from torch.utils.tensorboard import SummaryWriter

        try:
            self._writer = SummaryWriter(str(self._folder), flush_secs=10)
        except OSError as error:
            raise FineTuneError(
                f"{self._folder}: TensorBoard's log cannot be written ({reason(error)})"
            ) from None

    def on_evaluation(self, evaluation: Mapping[str, Any]) -> None:
        """Write its figures."""
        for key, value in _figures(evaluation).items():
            self._writer.add_scalar(key, value, int(1000 * evaluation["elapsed"]))

    def close(self) -> None:
        """Write what is not yet on the disk."""
        if self._writer is not None:
            self._writer.close()


class MLflow(Callback):
    """A run of MLflow: the regime as parameters, the evaluations as metrics along the training steps.

    Where a run is active already, it is that one, which stays open.

    Parameters
    ----------
    uri
        Of the tracking server or folder; by default MLflow's own setting, MLFLOW_TRACKING_URI.

    Raises
    ------
    FineTuneError
        The package mlflow is missing. By `on_start`: the server or the folder cannot be used.
    """

    def __init__(self, uri: str = "") -> None:
        _require("mlflow", "a log of MLflow's")
        self._uri, self._own, self._status = uri, False, "FAILED"

    def on_start(self, dataset: str, regime: FineTuneRegime) -> None:
        """Begin the run."""
        os.environ.setdefault(
            RETRIES, "1"
        )  # a server that is not there would else take minutes of the budget
        import mlflow

        try:
            if self._uri:
                mlflow.set_tracking_uri(self._uri)
            if mlflow.active_run() is None:
                mlflow.start_run(run_name=f"{regime.model} on {dataset}")
                self._own = True
            mlflow.log_params({"dataset": dataset, **regime.to_json()})
        except Exception as error:  # whatever a store may raise
            raise FineTuneError(
                f"{self._uri or 'mlflow'}: MLflow cannot log there ({reason(error)})"
            ) from None

    def on_evaluation(self, evaluation: Mapping[str, Any]) -> None:
        """Log its figures, without waiting for a server."""
        import mlflow

        mlflow.log_metrics(_figures(evaluation), step=evaluation["steps"], synchronous=False)

    def on_end(self, result: FineTuneResult) -> None:
        """Log how it ended."""
        import mlflow

        mlflow.set_tags({"outcome": str(result.outcome), "classifier": str(result.folder)})
        self._status = "FINISHED"

    def close(self) -> None:
        """End the run, if it is one of its own."""
        import mlflow

        if self._own:
            mlflow.end_run(self._status)


class WandB(Callback):
    """A run of Weights & Biases: the regime as its config, the evaluations as its history.

    Where a run is active already, it is that one, which stays open. WANDB_MODE goes, such as offline.

    Parameters
    ----------
    project
        Its name, or "ENTITY/PROJECT".

    Raises
    ------
    FineTuneError
        The package wandb is missing. By `on_start`: the run cannot be begun.
    """

    def __init__(self, project: str) -> None:
        _require("wandb", "a log of Weights & Biases")
        self._entity, _, self._project = project.rpartition("/")
        self._run: Any = None
        self._own, self._status = False, 1

    def on_start(self, dataset: str, regime: FineTuneRegime) -> None:
        """Begin the run."""
        import wandb

        self._run, config = wandb.run, {"dataset": dataset, **regime.to_json()}
        try:
            if self._run is None:
                self._run = wandb.init(project=self._project, entity=self._entity or None, config=config)
                self._own = True
            else:
                self._run.config.update(config)
        except Exception as error:  # wandb has no error that all of its own are
            raise FineTuneError(f"wandb: a run cannot be begun ({reason(error)})") from None

    def on_evaluation(self, evaluation: Mapping[str, Any]) -> None:
        """Log its figures."""
        self._run.log(
            {**_figures(evaluation), "elapsed": evaluation["elapsed"], "steps": evaluation["steps"]}
        )

    def on_end(self, result: FineTuneResult) -> None:
        """Log how it ended."""
        self._run.summary.update({"outcome": str(result.outcome), "classifier": str(result.folder)})
        self._status = 0

    def close(self) -> None:
        """End the run, if it is one of its own."""
        if self._own:
            self._run.finish(exit_code=self._status)


def _figures(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """What is logged of an evaluation: the numbers that are known."""
    return {key: evaluation[key] for key in LOGGED if evaluation.get(key) is not None}


def _require(package: str, what: str) -> None:
    """Raise FineTuneError where a package is missing, which is the extra of that name."""
    if find_spec(package) is None:
        raise FineTuneError(f"{what} needs the package {package}: pip install 'nni-nasoa[{package}]'")
