"""Every run of fine-tuning as a record, from which the predictor and the time model learn at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from nni_nasoa.experience.records import RunRecord
from nni_nasoa.finetune.run_record import record_of
from nni_nasoa.values import one_line

from .accuracy.predictor import AccuracyPredictor, learn_in_store
from .models import ModelFigures

if TYPE_CHECKING:
    from nni_nasoa.data import Dataset
    from nni_nasoa.experience.store import ExperienceStore
    from nni_nasoa.finetune import FineTuneError, FineTuneRegime, FineTuneResult

LONGER, MOST_SECONDS = 3.0, 3.0  # than its rehearsal, and at all, recording may take


def record_result(store: ExperienceStore, record: RunRecord | Mapping[str, Any]) -> bool:
    """Add a run to a store, and learn from it, beside any other process that does so; whether it is new.

    A run that failed or was killed is kept, but nothing is learned from it; one that is there already is not learned from again.

    Parameters
    ----------
    record
        A record, or what `RunRecord.to_json` gives.

    Raises
    ------
    RecordError
        It is no record: nothing changes.
    StoreError
        The store fails.
    """
    from .time.time_model import TimeModel

    record = record if isinstance(record, RunRecord) else RunRecord.from_json(record)
    if not store.add(record):
        return False
    learn_in_store(store, record)
    TimeModel.learn_in_store(store, record)
    return True


def import_results(store: ExperienceStore, path: str | os.PathLike) -> int:
    """Add the runs of a file that `ExperienceStore.export` has written, and learn from those that are new; how many they are.

    Raises
    ------
    StoreError
        The file cannot be read, a line is not a record, or the store fails: none is added.
    """
    from .time.time_model import TimeModel

    before = store.ids()
    if added := store.import_(path):
        new = [record for record in store.records() if record.id not in before]
        learn_in_store(store, *new)
        for record in new:
            TimeModel.learn_in_store(store, record)
    return added


class Recorder:
    """Records a run of `finetune` whose time is short: what takes time is done before it begins.

    Nothing that goes wrong with a store is an error here: `record` says it in a line.

    Parameters
    ----------
    store
        None where it cannot be opened.
    known
        Fields of the `RunRecord` that are known before the run.
    failure
        Why there is no store.

    Attributes
    ----------
    seconds
        That `record` is expected to take, by a rehearsal: also a machine that is busy is to be done in time.
    """

    def __init__(self, store: ExperienceStore | None, known: Mapping[str, Any], failure: str = ""):
        self._store, self._known, self._failure = store, dict(known), failure
        begin = time.monotonic()
        if store is not None:
            self._rehearse(store)
        self.seconds = min(MOST_SECONDS, LONGER * (time.monotonic() - begin))

    def _rehearse(self, store: ExperienceStore) -> None:
        """What takes most of the time: imports, and reading and packing what was learned."""
        try:
            import_module(".time.time_model", __package__)
            AccuracyPredictor.from_store(store).to_bytes()
        except (ValueError, OSError) as error:
            self._failure = str(error)

    @classmethod
    def open(
        cls, location: str | os.PathLike[str] | None, dataset: Dataset, model: str, **options: Any
    ) -> Recorder:
        """The recorder of a run on a dataset, as far as the store at a location knows it; see `known_before`."""
        try:
            from nni_nasoa.experience.store import ExperienceStore

            store = ExperienceStore(location)
            return cls(store, known_before(store, dataset, model, **options))
        except (ValueError, OSError) as error:
            return cls(None, {}, str(error))

    def record(self, result: FineTuneResult, **fields) -> str:
        """Record the run; a line on why that was not possible, or an empty one.

        Parameters
        ----------
        fields
            Of its `RunRecord`, such as source.
        """
        return self._add(lambda: record_of(result, **self._known, **fields))

    def record_failure(
        self,
        error: FineTuneError,
        dataset: Dataset,
        regime: FineTuneRegime,
        budget: float,
        device: str,
        **fields: Any,
    ) -> str:
        """Record a run that gave no classifier, in the first of torchrun's processes.

        What is returned, and `fields`, are as in `record`.

        Parameters
        ----------
        error
            Why.
        dataset, regime, budget, device
            What was to be done, in how many seconds, and where.
        """

        def failed() -> RunRecord:
            from nni_nasoa.device.device import resolve

            where = resolve(device)
            return RunRecord(
                task=one_line(dataset.name),
                model=regime.model,
                regime=regime.to_json(),
                device=where.name,
                threads=where.threads,
                budget_seconds=budget,
                status="failed",
                notes=(one_line(error),),
                **self._known,
                **fields,
            )

        return self._add(failed) if os.environ.get("RANK", "0") == "0" else ""

    def _add(self, made: Callable[[], RunRecord]) -> str:
        try:
            if self._store is not None:
                record_result(self._store, made())
        except (ValueError, OSError) as error:
            self._failure = str(error)
        return self._failure and f"the run is not recorded ({' '.join(self._failure.split())})"


def known_before(
    store: ExperienceStore,
    dataset: Dataset,
    model: str,
    *,
    weights: str | os.PathLike[str] | None = "default",
) -> dict[str, Any]:
    """What a store knows of a dataset and a model, as fields of a `RunRecord`.

    Parameters
    ----------
    dataset
        The profile is the one that the store has: the run is learned from where there is one.
    model, weights
        That will be fine-tuned, and from what. From a run that does not begin with the model's own weights ("default"), nothing
        is learned.
    """
    from nni_nasoa.data import DatasetError

    from .task.profiles import TaskProfile, profiled

    profile = None
    with suppress(DatasetError):
        kept = store.profile(profiled(dataset).fingerprint)
        with suppress(ValueError):
            profile = None if kept is None else TaskProfile.from_json(kept)
    figures = ModelFigures.of_zoo(model) if profile is None else profile.model_figures(model)
    begins_with = "none" if weights is None else weights if weights == "default" else "a file"
    return {
        "profile": {} if profile is None else profile.flat(),
        "model_figures": figures.of_run(begins_with),
    }
