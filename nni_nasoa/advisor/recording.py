"""Every run of fine-tuning as a record, from which the predictor and the time model learn at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from nni_nasoa.device.device import possible_keys
from nni_nasoa.experience.patience import answered
from nni_nasoa.experience.records import RunRecord
from nni_nasoa.finetune.run_record import record_of
from nni_nasoa.values import one_line

from .accuracy import predictor
from .models import ModelFigures

if TYPE_CHECKING:
    from nni_nasoa.data import Dataset
    from nni_nasoa.experience.records import StepTime
    from nni_nasoa.experience.store import ExperienceStore, State
    from nni_nasoa.finetune import FineTuneError, FineTuneRegime, FineTuneResult

# How many of a store's newest runs a predictor, or a time model, learns from that begins after them.
EARLIER_RUNS, EARLIER_RUNS_OF_DEVICE = 100, 300
# Recording may take so many times as long as its rehearsal did, and so many seconds at most.
LONGER, MOST_SECONDS = 3.0, 3.0


def record_result(store: ExperienceStore, record: RunRecord | Mapping[str, Any]) -> bool:
    """Add a run to a store, with what is learned from it; whether it is new.

    Other processes may do so at the same time: no run is lost. A run that failed or was killed is kept, but
    nothing is learned from it; one that is there already is not learned from again. A process that dies
    leaves both or neither, the run and what was learned from it.

    Parameters
    ----------
    record
        A record, or what `RunRecord.to_json` gives.

    Raises
    ------
    RecordError
        It is no record: nothing changes.
    StoreError
        The store fails: nothing changes.
    """
    record = record if isinstance(record, RunRecord) else RunRecord.from_json(record)
    return _add(store, [record]) == 1


def import_results(store: ExperienceStore, path: str | os.PathLike[str]) -> int:
    """Add the runs of a file that `ExperienceStore.export` has written, and learn from those that are new.

    Returns
    -------
    How many are new.

    Raises
    ------
    StoreError
        The file cannot be read, a line is not a record, or the store fails: none is added.
    """
    from nni_nasoa.experience.store import read_records

    return _add(store, read_records(path))


def _add(store: ExperienceStore, records: Iterable[RunRecord]) -> int:
    """Add those that are new, with what is learned from them, in one step; how many they are.

    What is learned is worked out before that step, which takes a while, and again where another process was
    faster.
    """
    by_id: dict[str, RunRecord] = {}
    for record in records:
        by_id.setdefault(record.id, record)
    while True:
        known = store.known(by_id)
        new = [record for id_, record in by_id.items() if id_ not in known]
        if not new or store.commit(new, _learned(store, new)):
            return len(new)


def _learned(store: ExperienceStore, new: Sequence[RunRecord]) -> dict[str, State]:
    """The states of what learns from new runs, by name, each with the version that it is made of."""
    from nni_nasoa.experience.store import State

    from .time import time_model

    states = {}

    def learn(name: str, learned: Callable[[bytes | None], bytes | None]) -> None:
        data, version = store.state(name) or (None, 0)
        if (after := learned(data)) is not None:
            states[name] = State(after, version)

    earlier = store.records(status="ok", limit=EARLIER_RUNS)
    learn(predictor.STATE, lambda data: predictor.learned_state(data, new, earlier))
    for key, (step_times, records) in _by_device(store, new).items():
        earlier = store.records(device=records[0].device, status="ok", limit=EARLIER_RUNS_OF_DEVICE)
        learn(
            time_model.state_name(key),
            partial(
                time_model.learned_state,
                records=records,
                step_times=step_times,
                device_key=key,
                earlier=earlier,
            ),
        )
    return states


def _by_device(
    store: ExperienceStore, records: Sequence[RunRecord]
) -> dict[str, tuple[list[StepTime], list[RunRecord]]]:
    """Step times and records of devices that there are step times of, by their keys."""
    found: dict[str, tuple[list[StepTime], list[RunRecord]]] = {}
    keys = {(record.device, record.threads): None for record in records}
    for device, threads in keys:
        for key in possible_keys(device, threads):
            if key in found or (step_times := store.step_times(device=key)):
                found.setdefault(key, (step_times, []))[1].extend(
                    record for record in records if (record.device, record.threads) == (device, threads)
                )
                break
    return found


class Recorder:
    """Records a run of `finetune` whose time is short: what takes time is done before it begins.

    Nothing that goes wrong with a store is an error here, nor is it waited for past a deadline: `record` says
    it in a line.

    Parameters
    ----------
    store
        None where it cannot be opened.
    known
        Fields of the `RunRecord` that are known before the run.
    failure
        Why there is no store.
    deadline
        By time.monotonic(), when all has to be done; None where that does not matter.

    Attributes
    ----------
    seconds
        That `record` is expected to take, by a rehearsal: also a machine that is busy is to be done in time.
    """

    def __init__(
        self,
        store: ExperienceStore | None,
        known: Mapping[str, Any],
        failure: str = "",
        *,
        deadline: float | None = None,
    ):
        self._store, self._known, self._failure, self._deadline = store, dict(known), failure, deadline
        begin = time.monotonic()
        if store is not None:
            self._rehearse(store)
        self._expected = min(MOST_SECONDS / LONGER, time.monotonic() - begin)
        self.seconds = LONGER * self._expected

    def close(self) -> None:
        """Let go of the store's connections."""
        if self._store is not None:
            self._store.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rehearse(self, store: ExperienceStore) -> None:
        """What takes most of the time: imports, and reading and packing what was learned."""
        import_module(".time.time_model", __package__)
        try:
            answered(lambda: predictor.AccuracyPredictor.from_store(store).to_bytes(), MOST_SECONDS)
        except (ValueError, OSError) as error:
            self._store, self._failure = None, str(error)

    @classmethod
    def open(
        cls,
        location: str | os.PathLike[str] | None,
        dataset: Dataset,
        model: str,
        *,
        seconds: float | None = None,
        deadline: float | None = None,
        **options: Any,
    ) -> Recorder:
        """The recorder of a run on a dataset, by what the store at a location knows; see `known_before`.

        Parameters
        ----------
        seconds
            That the store may take to be opened, and to tell what it knows; None for as long as it takes.
        """
        from nni_nasoa.experience.store import ExperienceStore

        from .task.look import profiled

        try:
            store = answered(lambda: ExperienceStore(location), seconds)
            with suppress(ValueError, OSError):
                profiled(dataset).fingerprint  # noqa: B018  # a folder is listed here, not in the store's time
            known = answered(lambda: known_before(store, dataset, model, **options), seconds)
            return cls(store, known, deadline=deadline)
        except (ValueError, OSError) as error:
            return cls(None, {}, str(error))

    def record(self, result: FineTuneResult, **fields: Any) -> str:
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

    @property
    def _patience(self) -> float | None:
        """Seconds until the deadline; for a run that ends late, what recording takes by its rehearsal."""
        return None if self._deadline is None else max(self._deadline - time.monotonic(), self._expected)

    def _add(self, made: Callable[[], RunRecord]) -> str:
        try:
            if (store := self._store) is not None:
                record = made()
                answered(lambda: record_result(store, record), self._patience)
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
        That will be fine-tuned, and from what. From a run that does not begin with the model's own weights
        ("default"), nothing is learned.
    """
    from nni_nasoa.data import DatasetError

    from .task.look import profiled
    from .task.profiles import TaskProfile

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
