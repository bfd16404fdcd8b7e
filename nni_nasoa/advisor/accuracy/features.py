"""What the predictor sees of a run: the dataset, the model, the regime and the time, as numbers.

What is not known is NaN. Counts, rates and times go in as logarithms and accuracies as log-odds, relative to
guessing where that says more; products of those that act together stand beside them, so that even the
shallowest head can tell them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from nni_nasoa.advisor.candidates import Candidates
from nni_nasoa.advisor.models import SMALL, ModelFigures
from nni_nasoa.experience.records import RunRecord
from nni_nasoa.training.regime import ADVISED_AUGMENTATIONS as AUGMENTATIONS
from nni_nasoa.training.regime import MAX_STAGES, OPTIMIZERS, FineTuneRegime

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

DATASET = (
    "log_train_images",
    "log_classes",
    "log_per_class",
    "log_image_size",
    "aspect",
    "mirrored",
    "chance",
    "separability_mean",
    "separability_linear",
    "distance",
    "landmark",
    "landmark_gain",
    "landmark_rate_gain",
)
MODEL = (
    "log_params",
    "log_gmacs",
    "log_own_size",
    "stages",
    "probe_mean",
    "probe_linear",
    "probe_gain",
    "head_expected",
)
REGIME = (
    "log_rate",
    "log_rate_squared",
    "adamw",
    "log_rate_adamw",
    "log_decay",
    "log_batch",
    "log_input_size",
    "log_input_size_squared",
    "log_enlarged",
    "size_gain",
    "frozen_share",
    "head_only",
    "crop",
    "flip",
    "full",
    "smoothing",
    "log_noise",
)
TIME = ("log_budget", "log_epochs", "log_steps", "log_seen")
PRODUCTS = (
    "seen_classes",
    "epochs_per_class",
    "epochs_frozen",
    "epochs_probe",
    "epochs_params",
    "epochs_augmentation",
    "epochs_rate",
    "rate_frozen",
    "rate_batch",
    "rate_per_class",
    "frozen_per_class",
    "frozen_probe",
    "frozen_params",
    "input_probe",
    "input_frozen",
    "input_image_size",
    "gain_frozen",
    "gain_epochs",
    "augmentation_per_class",
    "landmark_frozen",
    "landmark_epochs",
    "landmark_input",
    "landmark_rate",
)
NAMES = DATASET + MODEL + REGIME + TIME + PRODUCTS
GUESS = NAMES.index("head_expected")  # what is expected without having learned, see `HedgeRegressor`
_NAN = float("nan")
# Epochs that make a difference: where features are kept, a head sees far more in no time.
MOST_EPOCHS, MOST_OF_HEAD = 100.0, 5.0
# A linear head's gain on images of another size, where nobody has looked: the mean of the prior's tasks.
TYPICAL_GAIN = -0.9
TYPICAL_LANDMARK = -0.05  # a landmark's gain over a linear head, likewise
TYPICAL_RATE_GAIN, TYPICAL_LARGE_GAIN = 0.7, -1.1  # the other landmarks' gains over it, likewise
MIDDLE_RATES = {"sgd": 0.03, "adamw": 0.001}


def features(
    profile: Mapping[str, Any],
    figures: Mapping[str, ModelFigures],
    regimes: Candidates,
    epochs: ArrayLike,
    budget: float,
) -> np.ndarray:
    """The features of regimes on a dataset.

    Parameters
    ----------
    profile
        Of the dataset, as `TaskProfile.flat` gives it; what is missing is not known.
    figures
        What is known of each model, by its name.
    regimes
        The n regimes.
    epochs
        Passes over the training images in the time, array (n,); NaN where that is not known.
    budget
        In seconds.

    Returns
    -------
    Float32 array of shape (n, len(NAMES)).
    """
    made = np.empty((len(regimes), len(NAMES)), dtype=np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        dataset = _of_dataset(profile)
        by_model = [_of_model(figures.get(name, ModelFigures(name)), dataset) for name in regimes.models]
        model = {
            name: np.array([of[name] for of in by_model], dtype=np.float32)[regimes.model]
            for name in (*MODEL, "large_gain", "doubling_gain")
        }
        columns: dict[str, Any] = {**dataset, **model}
        columns |= _of_regimes(regimes, columns)
        columns |= _of_time(columns, np.asarray(epochs, dtype=np.float32), budget)
        columns |= _products(columns)
        for place, name in enumerate(NAMES):
            made[:, place] = columns[name]
    made[~np.isfinite(made)] = _NAN
    return made


def features_of(record: RunRecord) -> np.ndarray:
    """The features of a run that was made, as it was made, shape (1, len(NAMES))."""
    regime = FineTuneRegime.from_json(record.regime)
    if record.outcome.cut_to_head:
        regime = replace(regime, frozen_stages=MAX_STAGES)
    figures = {record.model: ModelFigures(record.model, record.model_figures)}
    return features(
        record.profile,
        figures,
        Candidates.of_regimes([regime], figures),
        _NAN if record.epochs is None else record.epochs,
        record.budget_seconds,
    )


def log_odds(share: float) -> float:
    """ln(p / (1 - p)) of an accuracy, that of a thousand images at the most certain."""
    share = float(np.clip(share, 1e-3, 1 - 1e-3))
    return float(np.log(share / (1 - share)))


def _number(values: Mapping[str, Any], name: str) -> np.float64:
    """A value that is a number, NaN for none."""
    value = values.get(name)
    # A float64 divides by 0 without an error.
    return np.float64(value) if isinstance(value, (int, float)) else np.float64(_NAN)


@overload
def _log(value: np.ndarray) -> np.ndarray: ...


@overload
def _log(value: float) -> np.float64: ...


def _log(value: np.ndarray | float) -> np.ndarray | np.float64:
    return np.log10(np.maximum(value, 1e-6))


def _shape(profile: Mapping[str, Any]) -> tuple[np.float64, np.float64]:
    """Logarithms of the size of images, relative to 64 pixels, and of their aspect.

    Where they come as arrays, nothing is known of either. That counts as 0: whether it is known says nothing
    of a dataset. All runs of the package's prior are such, so that a predictor that starts from it leaves
    them out.
    """
    width, height = _number(profile, "width"), _number(profile, "height")
    return _log(np.sqrt(width * height) / 64), _log(width / height)


def _of_dataset(profile: Mapping[str, Any]) -> dict[str, float]:
    classes, train = _number(profile, "classes"), _number(profile, "train_images")
    size, aspect = (np.nan_to_num(value) for value in _shape(profile))
    linear = log_odds(_number(profile, "separability_linear"))
    landmark = _known(log_odds(_number(profile, "landmark")), linear + TYPICAL_LANDMARK)
    rate_gain, large_gain = (
        _known(log_odds(_number(profile, name)) - landmark, typical)
        for name, typical in (
            ("landmark_high_rate", TYPICAL_RATE_GAIN),
            ("landmark_large", TYPICAL_LARGE_GAIN),
        )
    )
    gains = {
        f"{end}_gain": _gain(profile, f"separability_{end}", "separability_linear_few")
        for end in ("small", "large")
    }
    return {
        "log_train_images": _log(train),
        "log_classes": _log(classes),
        "log_per_class": _log(train / classes),
        "log_image_size": size,
        "aspect": aspect,
        "mirrored": _number(profile, "mirrored"),
        "chance": log_odds(1 / classes),
        "separability_mean": log_odds(_number(profile, "separability_nearest_mean")),
        "separability_linear": linear,
        "distance": _number(profile, "distance"),
        "landmark": landmark,
        "landmark_gain": landmark - linear,
        "landmark_rate_gain": rate_gain,
        "landmark_size_gain": large_gain,
        "train_images": train,
        **{name: _known(gain, TYPICAL_GAIN) for name, gain in gains.items()},
    }


def _gain(values: Mapping[str, Any], other: str, few: str) -> float:
    """By how much a linear head does better on images of another size, in log-odds.

    It is compared with one on as many images of the network's own size.
    """
    return log_odds(_number(values, other)) - log_odds(_number(values, few))


def _of_model(figures: ModelFigures, dataset: Mapping[str, float]) -> dict[str, float]:
    """Those of a model.

    Where it did not look at the images itself, what the profile's small network sees stands for it.
    """
    known = figures.known
    mean, linear = (
        _known(log_odds(_number(known, f"probe_{name}")), dataset[f"separability_{end}"])
        for name, end in (("nearest_mean", "mean"), ("linear", "linear"))
    )
    return {
        "log_params": _log(_number(known, "params_m")),
        "log_gmacs": _log(_number(known, "gmacs")),
        "stages": float(figures.stages),
        "probe_mean": mean,
        "probe_linear": linear,
        "probe_gain": linear - dataset["separability_linear"],
        "head_expected": _known(log_odds(_number(known, "head_expected")), linear),
        "doubling_gain": _number(known, "doubling_gain"),
        "log_own_size": _log(figures.own_size),
        "large_gain": _known(_gain(known, "probe_large", "probe_linear_few"), dataset["large_gain"]),
    }


def _known(value: float, other: float) -> float:
    """A value; another one where it is not known."""
    return value if np.isfinite(value) else other


def _of_regimes(regimes: Candidates, known: Mapping[str, Any]) -> dict[str, Any]:
    adamw = (regimes.optimizer == OPTIMIZERS.index("adamw")).astype(np.float32)
    middle = np.where(adamw, MIDDLE_RATES["adamw"], MIDDLE_RATES["sgd"])
    rate = _log(regimes.learning_rate / middle).astype(np.float32)
    size, batch = regimes.input_size.astype(np.float32), regimes.batch_size.astype(np.float32)
    relative_size = _log(size) - known["log_own_size"]
    stage_share = np.minimum(regimes.frozen_stages / known["stages"], 1).astype(np.float32)
    crop, flip, full = (regimes.augmentation == AUGMENTATIONS.index(name) for name in AUGMENTATIONS[1:])
    if known["mirrored"] == 0:  # then nothing is
        crop, flip = crop | flip, np.zeros_like(flip)
    return {
        "log_rate": rate,
        "log_rate_squared": rate**2,
        "adamw": adamw,
        "log_rate_adamw": rate * adamw,
        "log_decay": _log(regimes.weight_decay + 1e-5) - np.where(adamw, -1.5, -3.5),
        "log_batch": _log(batch) - 1.5,
        "log_input_size": relative_size,
        "log_input_size_squared": relative_size**2,
        "log_enlarged": known["log_image_size"] and _log(size / 64) - known["log_image_size"],
        "size_gain": _size_gain(relative_size, known),
        "frozen_share": stage_share,
        "head_only": stage_share == 1,
        "crop": crop,
        "flip": flip,
        "full": full,
        "smoothing": regimes.label_smoothing > 0,
        "log_noise": rate - _log(batch) + 1.5,
        "strength": (0.4 * crop + 0.6 * flip + full).astype(np.float32),
    }


def _size_gain(relative_size: np.ndarray, known: Mapping[str, Any]) -> np.ndarray:
    """By how much classes are easier to separate on images of another size than a network's own.

    What twice the size gains is known of large networks. Of others, larger images tell that the network
    itself has seen; smaller ones, or where it has not, those that the profile's small network has.
    """
    small, large = (np.log10(share) for share in (SMALL[0], SMALL[-1]))
    by_small = np.where(
        relative_size < 0,
        np.maximum(relative_size / small, 0) * known["small_gain"],
        relative_size / large * known["large_gain"],
    )
    by_doubling = relative_size / np.log10(2) * known["doubling_gain"]
    return np.where(np.isfinite(by_doubling), by_doubling, by_small).astype(np.float32)


def _of_time(known: Mapping[str, Any], epochs: np.ndarray, budget: float) -> dict[str, Any]:
    log_epochs = _log(
        np.minimum(epochs, MOST_OF_HEAD + (MOST_EPOCHS - MOST_OF_HEAD) * (1 - known["frozen_share"])) + 0.03
    )
    log_seen = log_epochs + known["log_train_images"]
    return {
        "log_budget": _log(budget),
        "log_epochs": log_epochs,
        "log_seen": log_seen,
        "log_steps": log_seen - known["log_batch"] - 1.5,
    }


def _products(known: Mapping[str, Any]) -> dict[str, Any]:
    names = ("log_epochs", "log_rate", "frozen_share", "strength", "probe_linear")
    epochs, rate, frozen, strength, probe = (known[name] for name in names)
    per_class = known["log_per_class"] - 1.5
    return {
        "seen_classes": known["log_seen"] - known["log_classes"],
        "epochs_per_class": epochs * per_class,
        "epochs_frozen": epochs * frozen,
        "epochs_probe": epochs * probe,
        "epochs_params": epochs * known["log_params"],
        "epochs_augmentation": epochs * strength,
        "epochs_rate": epochs * rate,
        "rate_frozen": rate * frozen,
        "rate_batch": rate * known["log_batch"],
        "rate_per_class": rate * per_class,
        "frozen_per_class": frozen * per_class,
        "frozen_probe": frozen * probe,
        "frozen_params": frozen * known["log_params"],
        "input_probe": known["log_input_size"] * probe,
        "input_frozen": known["log_input_size"] * frozen,
        "input_image_size": known["log_input_size"] * known["log_image_size"],
        "gain_frozen": known["size_gain"] * frozen,
        "gain_epochs": known["size_gain"] * epochs,
        "augmentation_per_class": strength * per_class,
        "landmark_frozen": known["landmark_gain"] * frozen,
        "landmark_epochs": known["landmark_gain"] * epochs,
        "landmark_input": known["landmark_size_gain"] * known["log_input_size"],
        "landmark_rate": known["landmark_rate_gain"] * rate,
    }
