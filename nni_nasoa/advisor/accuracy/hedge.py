"""An online regression of accuracy: a multilayer perceptron with hedge backpropagation.

It is that of Sahoo et al. (IJCAI 2018, arXiv 1711.03705).

A network of fixed depth learns slowly from few records when it is deep, and stops learning early when it is
shallow. Here every depth has a head of its own, and the prediction is the heads' weighted mean. After each
record the weights move by the hedge algorithm (Freund and Schapire, 1997) towards the heads that were right,
so the predictor starts shallow and deepens.
"""

from __future__ import annotations

import inspect
import io
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nni_nasoa.values import SHARE, TRUTH, above, number, reason, whole

from .hedge_inputs import RunningScale, checked_x, checked_y
from .hedge_network import HedgeNetwork

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

VERSION = 3
_SHALLOW = 0.5  # weight of each head before the first record, relative to the head below it
_STEP, _WINDOW = 0.02, 300  # step size of the conformal inference, and how many residuals it looks back on
_NOISE, _LEAST = 0.2, 0.02  # spread of results at an accuracy of 0.5, times 2, and anywhere
_CHUNK = 4096  # rows predicted at once: their activations stay in the processor's cache


class HedgeRegressor:
    """Predicts a value from 0 to 1 from a row of features, says how sure it is, and learns record by record.

    Heads and training: head l is a logistic unit on the l-th hidden layer, head 0 on the features themselves,
    so that a prediction lies in 0..1 and an error of 0.01 counts for more at 0.98 than at 0.5. Unlike the
    paper's, a head adds to the logit of the head below it: the deep ones start from what the shallow ones,
    which learn faster, know already. Each head is trained by cross-entropy with y as a soft target, whose
    gradient in the logit is p - y: it does not vanish where a prediction is far off, as that of a squared
    error does, and no record, however wrong, pulls harder than 1. Gradients are weighted by the heads'
    weights and flow into the shared layers (section 3.2 of the paper). Hedge needs losses within 0..1, which
    cross-entropy is not: the weights move by the absolute error, which is also how predictions are judged.

    Records are replayed: a state keeps a uniform sample of all records so far (reservoir sampling; all of
    them while there are no more than `replay`), and each update makes a few steps of Adam on the new record
    among some of those. So the network does not forget old tasks over a new one, and it is never trained
    anew.

    One feature may be a guess, as log-odds, that others have made without having learned: every head adds to
    it, so that what is learned is by how much and where it is wrong, and what has not been learned yet is
    the guess.

    Features are normalised by their running mean and standard deviation. One that is NaN is unknown: it takes
    the mean, and an indicator beside it is 1, as what is not known may say something. A wild value moves the
    statistics by a bounded amount.

    The range around a prediction comes from adaptive conformal inference (Gibbs and Candes, NeurIPS 2021,
    arXiv 2106.00170): it is the quantile of the latest residuals, each measured before its record was learned
    from and relative to the spread expected there (the disagreement of the heads, and the binomial noise of
    an accuracy), at a level that rises with each miss. Over any T records, whatever they are, at most
    (1 - coverage) (T + 1 / 0.02) + 1 lie outside of their range.

    The same seed and records in the same order give the same predictor; several records at once are taken one
    after another.

    Parameters
    ----------
    features
        Number of features.
    guess
        Which of them is a guess of the value, in log-odds; -1 for none. Where it is NaN, it is 0.
    depth, width
        Hidden layers, and units in each. Depth 0 is a logistic regression.
    residual
        Whether heads add to those below them; False makes them independent, as in the paper.
    learning_rate, weight_decay
        Of AdamW (Loshchilov and Hutter, arXiv 1711.05101).
    beta
        A head with an absolute error of e is discounted by beta**e; 1 leaves the weights as they are.
    smoothing
        Times the equal share, 1 / (depth + 1), it is the floor of the weights, so that no head is ever given
        up. As they are normalised after that, a weight is at least smoothing / (1 + smoothing) / (depth + 1).
    coverage
        Share of records that the ranges are to contain.
    replay, steps, batch
        Records that are kept; steps per record; records in a step, the new one among them.
    seed
        Of the initial weights, the replay and its sample.

    Raises
    ------
    ValueError
        A setting is out of its range.
    """

    def __init__(
        self,
        features: int,
        *,
        guess: int = -1,
        depth: int = 4,
        width: int = 32,
        residual: bool = True,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.2,
        beta: float = 0.7,
        smoothing: float = 0.1,
        coverage: float = 0.9,
        replay: int = 4096,
        steps: int = 4,
        batch: int = 96,
        seed: int = 0,
    ):
        self._settings = {
            "features": whole(1, 10_000)("features", features),
            "guess": whole(-1, features - 1)("guess", guess),
            "depth": whole(0, 20)("depth", depth),
            "width": whole(1, 1024)("width", width),
            "learning_rate": number(above(0), 1, "a number above 0 to 1")("learning_rate", learning_rate),
            "weight_decay": number(0, 100)("weight_decay", weight_decay),
            "beta": number(above(0), 1, "a number above 0 to 1")("beta", beta),
            "smoothing": SHARE("smoothing", smoothing),
            "coverage": number(above(0), 0.999, "a number above 0 to 0.999")("coverage", coverage),
            "replay": whole(1, 1_000_000)("replay", replay),
            "steps": whole(1, 100)("steps", steps),
            "batch": whole(2, 1024)("batch", batch),
            "seed": whole(0, 2**32 - 1)("seed", seed),
            "residual": TRUTH("residual", residual),
        }
        self.features, self.depth, self.coverage = int(features), int(depth), float(coverage)
        self._network = HedgeNetwork(2 * self.features, depth, width, residual, learning_rate, weight_decay)
        self._network.initialize(np.random.default_rng(seed), known_inputs=self.features)
        self._scale = RunningScale(self.features)
        weights = _SHALLOW ** np.arange(depth + 1.0)
        self._state: dict[str, np.ndarray] = {  # besides those of the two; changed in place
            "seen": np.array(0, dtype=np.int64),
            "weights": weights / weights.sum(),
            "replay_x": np.zeros((replay, features), dtype=np.float32),
            "replay_y": np.zeros(replay, dtype=np.float32),
            "scores": np.zeros(_WINDOW),
            "miscoverage": np.array(1.0 - coverage),
        }

    @property
    def seen(self) -> int:
        """Records learned from so far."""
        return int(self._state["seen"])

    @property
    def weights(self) -> np.ndarray:
        """Weights of the heads, shape (depth + 1,), from the shallowest to the deepest; their sum is 1."""
        return self._state["weights"].copy()

    @property
    def used(self) -> np.ndarray:
        """Which features count, bool array of shape (features,): all but those that were left out."""
        return self._scale.arrays["used"].copy()

    def drop_constant_features(self) -> None:
        """Never count features that have not varied in any record so far.

        Nothing was learned of such a feature, and the first records where it differs lie far out in it: they
        would be told apart from all earlier ones by it, and what was learned from those would be of less use
        for them.
        """
        self._scale.drop_constant_features()

    def predict(self, x: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Predict.

        Parameters
        ----------
        x
            Float array of shape (n, features); NaN where a feature is not known.

        Returns
        -------
        mean, low, high: float arrays of shape (n,) with 0 <= low <= mean <= high <= 1. Where there are too
        few records yet to say anything, the range is all of 0 to 1.

        Raises
        ------
        ValueError
            The array has another shape, or an infinite value.
        """
        x = checked_x(x, self.features)
        mean, spread, _ = self._estimates(x)
        return (mean, *self._range(mean, spread))

    def relative_errors(self, x: ArrayLike, y: ArrayLike) -> np.ndarray:
        """How far off predictions are, over the spread that was to be expected: what the ranges are made of.

        Parameters
        ----------
        x, y
            As `update` takes them.

        Returns
        -------
        Float array of shape (n,).
        """
        x = checked_x(x, self.features)
        mean, spread, _ = self._estimates(x)
        return np.abs(checked_y(y, len(x)) - mean) / spread

    def update(self, x: ArrayLike, y: ArrayLike) -> None:
        """Learn from records, one after another.

        Parameters
        ----------
        x
            Float array of shape (n, features); NaN where a feature is not known.
        y
            Float array of shape (n,), all from 0 to 1.

        Raises
        ------
        ValueError
            An array has another shape, or a value that is infinite or out of range. Nothing is learned then.
        """
        x = checked_x(x, self.features)
        y = checked_y(y, len(x))
        for row, value in zip(x, y):
            self._learn(row, float(value))

    def _learn(self, x: np.ndarray, y: float) -> None:
        state, seen = self._state, self.seen
        mean, spread, heads = self._estimates(x[None])  # the record has had no influence yet
        self._calibrate(mean, spread, y)
        self._reweigh(np.abs(heads[0] - y))
        self._scale.observe(x)
        # A function of the state, so that a saved one goes on equally.
        rng = np.random.default_rng((self._settings["seed"], seen))
        steps, batch = self._settings["steps"], min(self._settings["batch"], seen + 1)
        old = rng.integers(max(min(seen, self._settings["replay"]), 1), size=(steps, batch - 1))
        seen_x = np.concatenate([x[None], state["replay_x"][old.ravel()]])
        inputs, offsets = self._scale.inputs(seen_x), self._guesses(seen_x)
        for rows, values in zip(np.split(np.arange(1, len(inputs)), steps), state["replay_y"][old]):
            chosen = np.append(0, rows)
            self._network.step(
                inputs[chosen], offsets[chosen], np.append(np.float32(y), values), state["weights"]
            )
        place = seen if seen < self._settings["replay"] else int(rng.integers(seen + 1))
        if place < self._settings["replay"]:
            state["replay_x"][place], state["replay_y"][place] = x, y
        state["seen"] += 1

    def _reweigh(self, losses: np.ndarray) -> None:
        """Hedge (algorithm 1 of the paper): discount each head by its loss, lift the weights to the floor."""
        weights = self._state["weights"]
        weights *= self._settings["beta"] ** losses
        weights /= weights.sum()
        np.maximum(weights, self._settings["smoothing"] / len(weights), out=weights)
        weights /= weights.sum()

    # -- how sure --

    def _estimates(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean (n,), the spread to expect around it (n,), and all heads' predictions (n, depth + 1)."""
        chunks = [
            self._network.predict(self._scale.inputs(x[i : i + _CHUNK]), self._guesses(x[i : i + _CHUNK]))
            for i in range(0, max(len(x), 1), _CHUNK)
        ]
        heads, weights = np.concatenate(chunks), self._state["weights"]
        mean = np.clip(heads @ weights, 0.0, 1.0)
        disagreement = np.sqrt((heads - mean[:, None]) ** 2 @ weights)
        return mean, disagreement + _NOISE * np.sqrt(mean * (1 - mean)) + _LEAST, heads

    def _guesses(self, x: np.ndarray) -> np.ndarray:
        """What heads add to, (n,)."""
        place = self._settings["guess"]
        return np.zeros(len(x), np.float32) if place < 0 else np.nan_to_num(x[:, place])

    def _range(self, mean: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        count = min(self.seen, _WINDOW)
        rank = math.ceil((count + 1) * (1 - float(self._state["miscoverage"])))
        reach = (
            math.inf
            if rank > count
            else np.partition(self._state["scores"][:count], rank - 1)[rank - 1]
            if rank > 0
            else 0.0
        )
        return np.clip(mean - reach * spread, 0.0, 1.0), np.clip(mean + reach * spread, 0.0, 1.0)

    def _calibrate(self, mean: np.ndarray, spread: np.ndarray, y: float) -> None:
        state, (low, high) = self._state, self._range(mean, spread)
        missed = not low[0] <= y <= high[0]
        state["miscoverage"][()] = min(1.0, state["miscoverage"] + _STEP * (1 - self.coverage - missed))
        state["scores"][self.seen % _WINDOW] = abs(y - mean[0]) / spread[0]

    # -- state --

    def state_dict(self) -> dict[str, np.ndarray]:
        """All it is, as copies of arrays.

        Those are its settings, its network, the weights of the heads, the statistics, and the kept records
        and residuals.
        """
        types: dict[type, type[np.generic]] = {bool: np.bool_, int: np.int64, float: np.float64}
        plain: dict[str, np.ndarray] = {
            name: np.array(value, dtype=types[type(value)])
            for name, value in {"version": VERSION, **self._settings}.items()
        }
        return plain | {name: array.copy() for name, array in self._arrays().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become what `state_dict` was taken of, which has the same settings.

        Raises
        ------
        ValueError
            An array is missing, or not what it has to be, or of another version or other settings. Nothing is
            loaded then.
        """
        own = self.state_dict()
        if set(state) != set(own):
            raise ValueError(
                f"state of the predictor: {', '.join(sorted(set(state) ^ set(own)))} missing or unknown"
            )
        given = {name: np.asarray(array) for name, array in state.items()}
        for name, array in own.items():
            if given[name].dtype != array.dtype or given[name].shape != array.shape:
                raise ValueError(
                    f"state of the predictor: {name} is {given[name].dtype} {given[name].shape}, "
                    f"not {array.dtype} {array.shape}"
                )
        for name in ("version", *self._settings):
            if given[name] != own[name]:
                raise ValueError(
                    f"state of the predictor: its {name} is {given[name]}, here it is {own[name]}"
                )
        _check_values(given, self._settings["smoothing"])
        for name, array in self._arrays().items():
            array[...] = given[name]

    def _arrays(self) -> dict[str, np.ndarray]:
        return {**self._network.arrays, **self._scale.arrays, **self._state}

    def to_bytes(self) -> bytes:
        """The state as the contents of an .npz file; the same state gives the same bytes."""
        file = io.BytesIO()
        arrays: dict[str, Any] = self.state_dict()  # another type would be taken for options of `savez`
        np.savez_compressed(file, **arrays)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> HedgeRegressor:
        """The inverse of `to_bytes`.

        Raises
        ------
        ValueError
            The data is damaged, or of another version.
        """
        try:
            # Each array is read to its end, where its checksum is compared.
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                state = dict(arrays)
            if state["version"] != VERSION:
                raise ValueError(f"it is of version {state['version']}, this program reads version {VERSION}")
            predictor = cls(**{name: state[name].item() for name in inspect.signature(cls).parameters})
            predictor.load_state_dict(state)
        # zipfile, zlib and numpy each have their own ways to say that bytes are damaged.
        except Exception as error:
            raise ValueError(f"saved predictor: not usable ({reason(error)})") from None
        return predictor


def _check_values(state: Mapping[str, np.ndarray], smoothing: float) -> None:
    weights = state["weights"]
    floor = smoothing / (1 + smoothing) / len(weights)
    right = {
        "seen": state["seen"] >= 0,
        "weights": abs(weights.sum() - 1) < 1e-9 and (weights >= floor * (1 - 1e-9)).all(),
        "replay_x": not np.isinf(state["replay_x"]).any(),
        "replay_y": ((state["replay_y"] >= 0) & (state["replay_y"] <= 1)).all(),
        "miscoverage": state["miscoverage"] <= 1,
        **{name: (state[name] >= 0).all() for name in ("known", "squares", "scores", "variance", "taken")},
    }
    for name, array in state.items():
        if not right.get(name, True) or not (name == "replay_x" or np.isfinite(array).all()):
            raise ValueError(f"state of the predictor: {name} has values that it cannot have")
