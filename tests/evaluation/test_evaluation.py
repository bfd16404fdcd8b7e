"""Figures by hand, and against those of torchmetrics."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from nni_nasoa.evaluation.evaluation import BINS, Evaluation

CLASSES = ("ant", "bee", "cat", "dog")


def evaluation(labels, probabilities, classes=CLASSES):
    return Evaluation(
        "pets",
        "test",
        classes,
        tuple(f"{number}.png" for number in range(len(labels))),
        np.array(labels, dtype=np.int64),
        np.array(probabilities, dtype=np.float32),
    )


@pytest.fixture
def small():
    """Two ants, one taken for a bee; three bees, one for a cat, for sure; one cat; no dogs."""
    return evaluation(
        [0, 0, 1, 1, 1, 2],
        [
            [0.7, 0.1, 0.1, 0.1],
            [0.3, 0.4, 0.2, 0.1],
            [0.1, 0.8, 0.1, 0.0],
            [0.2, 0.6, 0.1, 0.1],
            [0.0, 0.05, 0.95, 0.0],
            [0.1, 0.1, 0.6, 0.2],
        ],
    )


def test_figures_by_hand(small):
    assert small.accuracy == pytest.approx(4 / 6)
    assert small.balanced_accuracy == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)  # dogs do not count
    assert small.macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 2 / 3) / 3)
    assert small.log_loss == pytest.approx(-np.log([0.7, 0.3, 0.8, 0.6, 0.05, 0.6]).mean(), abs=1e-5)
    assert small.confusion.tolist() == [[1, 1, 0, 0], [0, 2, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    ant, bee, _, dog = small.scores
    assert ant == ("ant", 1.0, 0.5, pytest.approx(2 / 3), 2)
    assert bee == ("bee", pytest.approx(2 / 3), pytest.approx(2 / 3), pytest.approx(2 / 3), 3)
    assert dog == ("dog", None, None, None, 0)


def test_the_interval_is_wilsons(small):
    z, n, p = 1.959964, 6, 4 / 6
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = ((centre + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    assert small.interval == pytest.approx((low, high), abs=1e-6)
    assert evaluation([0], [[1, 0, 0, 0]]).interval[1] == 1  # and is none of 0 width, nor beyond 1
    assert evaluation([0], [[1, 0, 0, 0]]).interval[0] == pytest.approx(0.2065, abs=1e-4)


def test_the_calibration_error_is_that_of_torchmetrics():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 500)
    probabilities = rng.dirichlet(np.ones(4) / 2, 500).astype(np.float32)
    ours = evaluation(labels, probabilities)
    oracle = multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(labels), num_classes=4, n_bins=BINS, norm="l1"
    )
    assert ours.calibration_error == pytest.approx(float(oracle), abs=1e-5)
    assert sum(one.images for one in ours.bins) == 500
    assert all(one.low < one.confidence <= one.high + 1e-6 for one in ours.bins)


def test_confusions_and_mistakes_come_in_order(small):
    assert [pair[:3] for pair in small.confusions] == [("ant", "bee", 1), ("bee", "cat", 1)]
    assert small.confusions[0].share == 0.5
    assert small.mistakes.tolist() == [4, 1]  # the sure one first
    assert [score.name for score in small.worst] == ["ant", "bee", "cat"]


def test_labels_that_seem_wrong_are_those_of_images_that_look_like_another_class_at_its_usual_best(small):
    assert small.suspects.tolist() == [4]  # a cat as cats are; the ant is less of a bee than bees are
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 50)
    probabilities = 0.05 + 0.8 * np.eye(4)[labels] * rng.uniform(0.9, 1, (200, 1))
    probabilities /= probabilities.sum(1, keepdims=True)
    wrong = labels.copy()
    wrong[[3, 70, 140]] = [2, 0, 1]
    assert set(evaluation(wrong, probabilities).suspects[:3].tolist()) == {3, 70, 140}


@pytest.mark.parametrize("images", [1, 3])
def test_few_images_and_classes_that_are_missing_give_no_warning(images):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = evaluation([0] * images, [[0.1, 0.9, 0, 0]] * images)
        figures = one.to_json()
    assert figures["accuracy"] == 0 and figures["macro_f1"] == 0
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_json_has_all_figures(small):
    figures = small.to_json()
    assert figures["images"] == 6 and figures["classes"][3] == {
        "name": "dog",
        "precision": None,
        "recall": None,
        "f1": None,
        "support": 0,
    }
    assert figures["confusions"][0] == {"label": "ant", "predicted": "bee", "images": 1, "share": 0.5}
    assert (figures["accuracy_low"], figures["accuracy_high"]) == small.interval
