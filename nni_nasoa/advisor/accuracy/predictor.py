"""What accuracy a regime will reach on a dataset: hedge regressions over features of runs, kept in the store.

It starts from what this package has learned from its own runs (the prior), or from nothing where a package
comes without, and learns from each run that ends well. A state is read alone: predicting never reads the
runs.
"""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nni_nasoa.experience.records import RunRecord, positive
from nni_nasoa.files import write_bytes
from nni_nasoa.training.regime import FineTuneRegime
from nni_nasoa.values import reason

from .features import GUESS, NAMES, features_of
from .hedge import HedgeRegressor

if TYPE_CHECKING:
    from importlib.abc import Traversable

    from nni_nasoa.experience.store import ExperienceStore

STATE = "accuracy"  # its name in the store
PRIOR = files("nni_nasoa.advisor") / "prior"
NEEDED = ("classes", "train_images")  # what a profile has to say for its task's runs to be learned from
FOLDS = 5  # parts into which the tasks are cut, for the residuals of a prior
MEMBERS = 4  # regressors; twice as many gain little, and take twice the time


class AccuracyPredictor:
    """Predicts the validation accuracy of runs, and learns from them.

    Several hedge regressors, which differ in their initial weights and in what they replay, learn from the
    same runs; the prediction is their mean (a deep ensemble: Lakshminarayanan et al., NeurIPS 2017, arXiv
    1612.01474). The best of tens of thousands of candidates by one of them alone is often one that it is
    wrong about; the others are then wrong elsewhere.

    Parameters
    ----------
    members
        The regressors; by default as many as there are of a prior, which have learned nothing.
    """

    def __init__(self, members: Sequence[HedgeRegressor] | None = None):
        self.members = [_beginner(seed) for seed in range(MEMBERS)] if members is None else list(members)

    @property
    def seen(self) -> int:
        """Runs learned from."""
        return self.members[0].seen

    def predict(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, low and high of rows of `features.features`, each the mean of what the members predict."""
        return tuple(np.mean([member.predict(x) for member in self.members], axis=0))

    def learn(self, record: RunRecord) -> bool:
        """Learn from a run; False, and nothing changes, where it is not `learnable`."""
        if not learnable(record):
            return False
        x, y = features_of(record), np.array([record.accuracy], dtype=np.float64)
        for member in self.members:
            member.update(x, y)
        return True

    # -- what it rests on --

    @property
    def used(self) -> np.ndarray:
        """Which features it looks at, bool array of shape (len(NAMES),)."""
        return self.members[0].used

    def runs(self) -> np.ndarray:
        """Features of the runs that it keeps, (n, len(NAMES))."""
        state = self.members[0].state_dict()
        return state["replay_x"][: min(self.seen, len(state["replay_x"]))]

    # -- state --

    def to_bytes(self) -> bytes:
        """The state as the contents of an .npz file."""
        file = io.BytesIO()
        members: dict[str, Any] = {  # arrays; as such, they would be taken for options of `savez`
            f"member_{number}": np.frombuffer(member.to_bytes(), dtype=np.uint8)
            for number, member in enumerate(self.members)
        }
        np.savez(file, names=np.array(NAMES), **members)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> AccuracyPredictor:
        """The inverse of `to_bytes`.

        Raises
        ------
        ValueError
            The data is damaged, or was made of other features.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                names = arrays["names"].tolist()
                members = [arrays[f"member_{number}"].tobytes() for number in range(len(arrays.files) - 1)]
        except (
            Exception
        ) as error:  # zipfile, zlib and numpy each have their own ways to say that bytes are damaged
            raise ValueError(f"saved predictor: not usable ({reason(error)})") from None
        if names != list(NAMES) or not members:
            raise ValueError("saved predictor: it was made of other features")
        return cls([HedgeRegressor.from_bytes(member) for member in members])

    @classmethod
    def from_prior(cls, folder: Traversable = PRIOR) -> AccuracyPredictor:
        """What the package brings, or a folder that `write_prior` has written.

        One that has learned nothing where there is none.
        """
        file = folder / "predictor.npz"
        return cls.from_bytes(file.read_bytes()) if file.is_file() else cls()

    @classmethod
    def from_store(cls, store: ExperienceStore | None) -> AccuracyPredictor:
        """What the store holds; the prior where it holds none, or one of an earlier version."""
        state = None if store is None else store.state(STATE)
        return (None if state is None else _usable(state.data)) or cls.from_prior()


def _beginner(seed: int, **settings: Any) -> HedgeRegressor:
    """A regressor that has learned nothing."""
    return HedgeRegressor(len(NAMES), guess=GUESS, seed=seed, **settings)


def learnable(record: object) -> bool:
    """Whether there is something to learn from a run.

    It ended well, its dataset is known, it began with the model's own weights, and accuracy was its aim.
    """
    return (
        isinstance(record, RunRecord)
        and record.status == "ok"
        and record.model_figures.get("weights", "default") == "default"
        and not FineTuneRegime.from_json(record.regime).is_balanced
        and all(positive(record.profile, name) for name in NEEDED)
    )


def learned_state(
    data: bytes | None, records: Iterable[RunRecord], earlier: Iterable[RunRecord] = ()
) -> bytes | None:
    """The state of a predictor that has learned from more runs.

    Parameters
    ----------
    data
        The state until now; None for none. In place of one that cannot be used, too, the prior begins anew.
    records
        To learn from.
    earlier
        Runs that one which begins learns from before; not looked at otherwise.

    Returns
    -------
    None where there is nothing to learn from `records`.
    """
    records = [record for record in records if learnable(record)]
    if not records:
        return None
    predictor = None if data is None else _usable(data)
    if predictor is None:
        predictor, records = AccuracyPredictor.from_prior(), [*earlier, *records]
    for record in records:
        predictor.learn(record)
    return predictor.to_bytes()


def _usable(data: bytes) -> AccuracyPredictor | None:
    try:
        return AccuracyPredictor.from_bytes(data)
    except ValueError:
        return None


# -- the prior --


def prior_records(folder: Traversable = PRIOR) -> list[RunRecord]:
    """The runs that the package's prior was made of, or another; none where there is none."""
    file = folder / "records.jsonl.gz"
    if not file.is_file():
        return []
    lines = gzip.decompress(file.read_bytes()).decode("utf-8").splitlines()
    return [RunRecord.from_json(json.loads(line)) for line in lines if line.strip()]


def make_prior(
    records: Iterable[RunRecord], *, members: int = MEMBERS, passes: int = 5, seed: int = 0, **settings: Any
) -> AccuracyPredictor:
    """A predictor that has learned from runs on many tasks, as the start for everybody.

    Each member goes over the runs several times, in an order by tasks, each time another. In the end it keeps
    every run once, and the residuals that its ranges are made of are those on tasks that it had not seen: of
    predictors that learned in the same way from the other tasks, by folds. They are found once, for all
    members. Features that do not vary in these runs are left out for good, such as the size of images where
    all tasks are arrays: see `HedgeRegressor.drop_constant_features`.

    Parameters
    ----------
    records
        Those that nothing can be learned from are left out.
    settings
        Of the `HedgeRegressor`.
    """
    records = [record for record in records if learnable(record)]
    if not records:
        return AccuracyPredictor([_beginner(seed + number, **settings) for number in range(members)])
    x = np.concatenate([features_of(record) for record in records])
    y = np.array([record.accuracy for record in records])
    tasks = np.array([record.task for record in records])
    scores = _scores_of_unseen_tasks(x, y, tasks, passes, seed, settings)
    return AccuracyPredictor(
        [_member(x, y, tasks, scores, passes, seed + number, settings) for number in range(members)]
    )


def _member(
    x: np.ndarray,
    y: np.ndarray,
    tasks: np.ndarray,
    scores: np.ndarray,
    passes: int,
    seed: int,
    settings: dict,
) -> HedgeRegressor:
    """A regressor that has learned from runs and keeps each of them once, with residuals from elsewhere."""
    regressor = _trained(x, y, tasks, passes, seed, settings)
    state = regressor.state_dict()
    scores = scores[-len(state["scores"]) :]
    keep = np.random.default_rng(seed).permutation(len(x))[: len(state["replay_x"])]
    state["replay_x"][:], state["replay_y"][:] = 0, 0
    state["replay_x"][: len(keep)], state["replay_y"][: len(keep)] = x[keep], y[keep]
    state["scores"][:] = 0
    state["scores"][: len(scores)] = scores
    state["seen"][()], state["miscoverage"][()] = len(x), 1 - regressor.coverage
    regressor.load_state_dict(state)
    regressor.drop_constant_features()
    return regressor


def write_prior(records: Iterable[RunRecord], folder: str | os.PathLike) -> AccuracyPredictor:
    """Make a prior of runs, and write both into a folder such as `PRIOR`.

    They are predictor.npz and records.jsonl.gz.
    The runs go without their curves, which nothing is learned from. The same runs give the same bytes.

    Raises
    ------
    ValueError
        There is nothing to learn from the runs.
    """
    records = [replace(record, curve=()) for record in records if learnable(record)]
    if not records:
        raise ValueError("prior: there are no runs that ended well, on datasets whose profile is known")
    prior, folder = make_prior(records), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(record.to_json(), separators=(",", ":")) + "\n" for record in records)
    write_bytes(folder / "records.jsonl.gz", gzip.compress(lines.encode("utf-8"), mtime=0))
    write_bytes(folder / "predictor.npz", prior.to_bytes())
    return prior


def _trained(
    x: np.ndarray, y: np.ndarray, tasks: np.ndarray, passes: int, seed: int, settings: dict
) -> HedgeRegressor:
    rng, regressor = np.random.default_rng(seed), _beginner(seed, **settings)
    for _ in range(passes):
        by_task = (
            rng.permutation(np.flatnonzero(tasks == task)) for task in rng.permutation(np.unique(tasks))
        )
        order = np.fromiter(chain.from_iterable(by_task), dtype=np.int64)
        regressor.update(x[order], y[order])
    return regressor


def _scores_of_unseen_tasks(
    x: np.ndarray, y: np.ndarray, tasks: np.ndarray, passes: int, seed: int, settings: dict
) -> np.ndarray:
    """Residuals over the spread expected, in random order."""
    rng = np.random.default_rng(seed)
    names = rng.permutation(np.unique(tasks))
    scores = []
    for fold in range(min(FOLDS, len(names))):
        held = np.isin(tasks, names[fold::FOLDS])
        if held.all():  # a single task
            break
        scores.append(
            _trained(x[~held], y[~held], tasks[~held], passes, seed, settings).relative_errors(
                x[held], y[held]
            )
        )
    return rng.permutation(np.concatenate(scores)) if scores else np.zeros(0)
