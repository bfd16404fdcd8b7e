"""What the hedge predictor makes of its arguments.

They become checked arrays, and features normalised by running statistics.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_CLIP = 4.0  # standard deviations that a normalised feature may lie from 0
_FAR = 8.0  # spreads that a value may lie from the mean, for the statistics


class RunningScale:
    """Mean and standard deviation of each feature over all rows so far (Welford, 1962).

    NaN, which is not known, is left out.
    """

    def __init__(self, features: int):
        self.arrays: dict[str, np.ndarray] = {
            "known": np.zeros(features, dtype=np.int64),
            "mean": np.zeros(features),
            "squares": np.zeros(features),
            "used": np.ones(features, dtype=np.bool_),
        }
        """The state, changed in place.

        How often each feature was known, its mean, its sum of squared deviations, and whether it counts.
        """

    def observe(self, row: np.ndarray) -> None:
        """Count a row of shape (features,); a wild value moves the statistics by a bounded amount."""
        known, mean, squares = (self.arrays[name] for name in ("known", "mean", "squares"))
        on = ~np.isnan(row)
        before = mean[on]
        # A change of level that lasts gets through all the same.
        far = _FAR * (self._deviation()[on] + np.abs(before) + 1)
        value = np.clip(row[on].astype(np.float64), before - far, before + far)
        known[on] += 1
        mean[on] += (value - before) / known[on]
        squares[on] += (value - before) * (value - mean[on])

    def drop_constant_features(self) -> None:
        """From now on, take features that never varied so far as if they never did."""
        self.arrays["used"] &= self._varies()

    def inputs(self, x: np.ndarray) -> np.ndarray:
        """Normalise rows.

        Parameters
        ----------
        x
            Float array of shape (n, features).

        Returns
        -------
        Float32 array of shape (n, 2 features): the normalised features, 0 for what is not known, never varied
        or is left out, and then for each feature whether it is not known.
        """
        mean, deviation, varies = self.arrays["mean"], self._deviation(), self._varies() & self.arrays["used"]
        inputs = np.empty((len(x), 2 * x.shape[1]), dtype=np.float32)
        values, missing = inputs[:, : x.shape[1]], np.isnan(x)
        with np.errstate(over="ignore", invalid="ignore"):
            np.subtract(x, mean.astype(np.float32), out=values)
            values *= (varies / np.where(varies, deviation, 1)).astype(np.float32)
        values[np.isnan(values)] = 0
        np.clip(values, -_CLIP, _CLIP, out=values)
        inputs[:, x.shape[1] :] = missing
        return inputs

    def _varies(self) -> np.ndarray:
        return self._deviation() > 1e-6 * (1 + np.abs(self.arrays["mean"]))

    def _deviation(self) -> np.ndarray:
        return np.sqrt(self.arrays["squares"] / np.maximum(self.arrays["known"], 1))


def checked_x(x: Any, features: int) -> np.ndarray:
    """`x` as a float32 array of shape (n, features), with NaN but without infinity.

    A ValueError says what is wrong.
    """
    x = _floats("x", x)
    if x.ndim != 2 or x.shape[1] != features:
        raise ValueError(f"x: expected shape (n, {features}), got {x.shape}")
    with np.errstate(over="ignore"):
        x = x.astype(np.float32, copy=False)
    if np.isinf(x).any():
        row, column = np.argwhere(np.isinf(x))[0]
        raise ValueError(
            f"x: row {row}, feature {column} is infinite or too large; use NaN where a feature is not known"
        )
    return x


def checked_y(y: Any, rows: int) -> np.ndarray:
    """`y` as a float array of shape (rows,) within 0..1; a ValueError says what is wrong."""
    y = _floats("y", y)
    if y.shape != (rows,):
        raise ValueError(f"y: expected shape ({rows},), a value for each row of x, got {y.shape}")
    wrong = np.flatnonzero(~((y >= 0) & (y <= 1)))
    if len(wrong):
        raise ValueError(f"y: row {wrong[0]} is {y[wrong[0]]}, not a number from 0 to 1")
    return y


def _floats(name: str, values: Any) -> np.ndarray:
    try:
        array = np.asarray(values)
        return array if array.dtype == np.float32 else array.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name}: expected an array of numbers") from None
