from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from torchvision import models

from nni_nasoa.advisor.task.probing import (
    ACCURACIES,
    FEW,
    IMAGES,
    RIDGES,
    PretrainingDistance,
    linear_accuracy,
    log_evidence,
    log_me,
    nearest_accuracies,
    probe,
)
from nni_nasoa.data import ImageArrays, ImageSplit, open_dataset
from nni_nasoa.data.fractals import fractal_images
from nni_nasoa.zoo import create_model
from nni_nasoa.zoo.staged import staged

LOOK = (*ACCURACIES, "distance")


@st.composite
def labelled_features(draw, max_classes=4):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, width, classes = draw(st.integers(2, 25)), draw(st.integers(1, 12)), draw(st.integers(1, max_classes))
    labels = rng.integers(0, classes, n)
    features = (
        rng.normal(size=(n, width))
        + draw(st.sampled_from((0.0, 0.5, 3.0))) * rng.normal(size=(classes, width))[labels]
    )
    return features * draw(st.sampled_from((1e-3, 1.0, 1e3))), labels, rng.random(n) < 0.7


def evidence(f, y, alpha, beta):
    """log p(y | F, alpha, beta), as it is defined: y = F w + noise."""
    return multivariate_normal.logpdf(y, np.zeros(len(y)), np.eye(len(y)) / beta + f @ f.T / alpha)


def best_evidence(f, y):
    def loss(logs):
        return -evidence(f, y, *np.exp(logs))

    starts = [(a, b) for a in (-4, 0, 4, 8) for b in (-1, 2, 5)]
    return -min(minimize(loss, start, method="Nelder-Mead", bounds=[(-15, 15)] * 2).fun for start in starts)


@pytest.mark.parametrize(
    "n, width, classes, spread", [(30, 5, 2, 1.0), (30, 5, 4, 2.0), (12, 20, 3, 1.0), (40, 3, 2, 0.3)]
)
def test_log_me_is_the_maximum_of_the_evidence(n, width, classes, spread):
    rng = np.random.default_rng(n + width)
    labels = np.arange(n) % classes
    f = rng.normal(size=(n, width)) + spread * rng.normal(size=(classes, width))[labels]
    f /= np.sqrt((f**2).mean())
    expected = np.mean([best_evidence(f, (labels == c).astype(float)) for c in range(classes)]) / n
    assert log_me(f, labels) == pytest.approx(expected, abs=1e-3)


@given(labelled_features(), st.floats(-6, 6))
def test_evidence_is_the_density_of_the_labels(data, log_ratio):
    f, labels, _ = data
    f, y, ratio = f / np.sqrt((f**2).mean()), np.eye(4)[labels], math.exp(log_ratio)
    u, singular, _ = np.linalg.svd(f, full_matrices=False)
    z = (u.T @ y) ** 2
    rest = np.maximum((y**2).sum(0) - z.sum(0), 0)
    found = log_evidence(np.full(4, ratio), singular**2, z, rest, len(y))
    for c in np.unique(labels):
        covariance = np.eye(len(y)) + f @ f.T / ratio
        beta = len(y) / (y[:, c] @ np.linalg.solve(covariance, y[:, c]))
        assert found[c] == pytest.approx(evidence(f, y[:, c], ratio * beta, beta), rel=1e-6, abs=1e-6)


@given(labelled_features())
def test_log_me_is_finite_whatever_the_features_and_their_scale(data):
    features, labels, _ = data
    found = log_me(features, labels)
    if len(np.unique(labels)) < 2:
        assert found is None
    else:
        assert math.isfinite(found) and found == pytest.approx(
            log_me(7 * features, labels + 3), rel=1e-6, abs=1e-6
        )


def test_log_me_rises_with_separability():
    rng = np.random.default_rng(0)
    labels, noise, centres = np.arange(200) % 5, rng.normal(size=(200, 16)), rng.normal(size=(5, 16))
    found = [log_me(noise + spread * centres[labels], labels) for spread in (0, 0.5, 1, 2, 4)]
    assert found == sorted(found) and found[-1] > found[0] + 0.5


def test_degenerate_features():
    labels = np.array([0, 1, 0, 1])
    assert log_me(np.zeros((4, 3)), labels) is None and log_me(np.zeros((4, 0)), labels) is None
    assert math.isfinite(log_me(np.ones((4, 3)), labels)) and math.isfinite(
        log_me(labels[:, None] * np.ones((4, 3)), labels)
    )
    assert math.isfinite(log_me(np.array([[1.0, 0], [0, 1]]), np.array([5, 9])))
    assert nearest_accuracies(np.ones((4, 3)), labels, np.ones(4, bool)) is not None


def slow_nearest(features, labels, training):
    """Both accuracies as their docstring has them, image by image."""
    x = (features - features.mean(0)) / features.std(0)
    means, neighbours = [], []
    for i in range(len(x)):
        known = training.copy()
        known[i] = False
        if labels[i] not in labels[known]:
            continue
        classes = np.unique(labels[known])
        centres = np.stack([x[known & (labels == c)].mean(0) for c in classes])
        means.append(classes[((x[i] - centres) ** 2).sum(1).argmin()] == labels[i])
        neighbours.append(labels[known][((x[i] - x[known]) ** 2).sum(1).argmin()] == labels[i])
    return (np.mean(means), np.mean(neighbours)) if means and len(np.unique(labels)) > 1 else (None, None)


def slow_linear(features, labels, training):
    """The accuracy as its docstring has it, head by head."""
    classes, labels = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        return None
    x = (features - features.mean(0)) / np.maximum(features.std(0), 1e-12 + 1e-6 * features.std())
    x, y = np.column_stack([x, np.ones(len(x))]), np.eye(len(classes))[labels]
    best = None
    for ridge in RIDGES:
        right = []
        for i in range(len(x)):
            known = training.copy()
            known[i] = False
            if labels[i] in labels[known]:
                penalties = np.diag([*[ridge] * features.shape[1], 0])
                head = np.linalg.solve(x[known].T @ x[known] + penalties, x[known].T @ y[known])
                scores = np.sort(x[i] @ head)
                right.append(((x[i] @ head).argmax() == labels[i], scores[-1] - scores[-2]))
        if right:
            hits, gaps = zip(*right)
            if min(gaps) < 1e-6:  # a tie, which rounding decides
                return math.nan
            best = max(best or 0, np.mean(hits))
    return best


@settings(max_examples=100, deadline=None)
@given(labelled_features())
def test_linear_accuracy_is_that_of_heads_fitted_without_the_image(data):
    features, labels, training = data
    expected = slow_linear(features, labels, training)
    if expected is None or not math.isnan(expected):
        assert linear_accuracy(features, labels, training) == pytest.approx(expected)


def test_linear_accuracy_sees_what_means_do_not():
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 2
    features = rng.normal(size=(300, 20)) * [30, *[1] * 19] + np.outer(labels, [0, 2, *[0] * 18])
    features[:, 1] += features[:, 0]  # the second is the first, and what tells the classes
    training = np.arange(300) < 200
    assert (
        linear_accuracy(features, labels, training)
        > 0.75
        > 0.6
        > nearest_accuracies(features, labels, training)[0]
    )
    assert abs(linear_accuracy(features, rng.permutation(labels), training) - 0.5) < 0.1


@pytest.mark.parametrize("seed", range(4))
def test_uneven_classes_are_told_apart_though_their_mean_is_close_to_that_of_all(seed):
    """With an intercept that is penalised, 77 to 93 % were right where all are."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(70) % 5 == 0).astype(int)
    noise = rng.normal(size=(70, 600)) * np.linspace(1, 0.2, 600)
    features = noise + np.outer(labels, 0.25 * rng.normal(size=600))
    assert linear_accuracy(features, labels, np.full(70, True)) > 0.98


@settings(max_examples=200)
@given(labelled_features(max_classes=12))
def test_no_image_counts_for_itself(data):
    found, expected = nearest_accuracies(*data), slow_nearest(*data)
    assert found == (pytest.approx(expected[0]), pytest.approx(expected[1]))


def test_random_labels_are_not_found():
    rng = np.random.default_rng(0)
    accuracies = nearest_accuracies(rng.normal(size=(600, 300)), rng.integers(0, 10, 600), np.ones(600, bool))
    assert max(accuracies) < 0.2  # fitted and measured on the same images, it would be near 1


@pytest.fixture(scope="module")
def network():
    return staged(create_model("nano-a", 2, weights="default"), "nano-a").eval()


@pytest.fixture
def distance_of(network):
    def distance_of(images):
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (network.mean, network.std))
        with torch.inference_mode(), PretrainingDistance(network) as distance:
            for part in np.array_split(images, 3):
                network.forward_stages((torch.from_numpy(part) / 255 - mean) / std)
        network.forward_stages(torch.zeros(1, 3, 48, 48))  # after the context nothing counts
        return distance.value()

    return distance_of


def test_images_of_the_pretraining_are_near_and_others_far(distance_of):
    fractals = fractal_images(1, np.arange(60), np.arange(60), 48)
    noise = np.random.default_rng(0).integers(0, 256, fractals.shape, dtype=np.uint8)
    digits = open_dataset("digits", input_size=48).train.images[:60]
    near, far, farther = distance_of(fractals), distance_of(digits), distance_of(noise)
    assert 0 < near < 0.1 < far < farther < 1


def test_the_distance_is_that_of_hellinger(network, distance_of):
    images = np.random.default_rng(0).integers(0, 256, (30, 3, 48, 48), dtype=np.uint8)
    seen = {}
    layers = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    hooks = [
        layer.register_forward_pre_hook(lambda layer, inputs: seen.update({layer: inputs[0].double()}))
        for layer in layers
    ]
    with torch.no_grad():
        network.forward_stages(((torch.from_numpy(images) / 255) - 0.5) / 0.33)
    for hook in hooks:
        hook.remove()
    of_layers = []
    for layer, x in seen.items():
        v, known = x.var((0, 2, 3), correction=0) + layer.eps, layer.running_var + layer.eps
        apart = (x.mean((0, 2, 3)) - layer.running_mean) ** 2
        coefficient = (2 * v.sqrt() * known.sqrt() / (v + known)).sqrt() * (-apart / (4 * (v + known))).exp()
        of_layers.append((1 - coefficient).clamp(min=0).sqrt().mean().item())
    assert distance_of(images) == pytest.approx(np.mean(of_layers), abs=1e-4)


def test_a_network_without_batch_normalisation_has_no_distance():
    with PretrainingDistance(torch.nn.Linear(2, 2)) as distance:
        pass
    assert distance.value() is None


def split_of(images, labels, val=0):
    labels = np.asarray(labels)
    end = len(labels) - val
    parts = (ImageArrays(images[a:b], labels[a:b]) for a, b in ((0, end), (end, None)))
    return ImageSplit(*parts, tuple(map(str, range(labels.max() + 1))), "some")


def test_a_probe_tells_what_can_be_learned_from_what_cannot():
    digits = open_dataset("digits", input_size=32)
    small = split_of(digits.train.images[:300], digits.train.labels[:300], val=60)
    shuffled = split_of(
        digits.train.images[:300], np.random.default_rng(0).permutation(digits.train.labels[:300]), val=60
    )
    found, nothing = probe(small, "nano-a"), probe(shuffled, "nano-a")
    assert found["nearest_mean"] > 0.6 and found["nearest_neighbour"] > 0.6
    assert (
        nothing["nearest_mean"] < 0.25
        and nothing["nearest_neighbour"] < 0.25
        and nothing["log_me"] < found["log_me"]
    )
    assert found["linear"] > found["nearest_mean"] and nothing["linear"] < 0.25
    assert (found["images"], found["stages"]) == (300, 4) and found["distance"] == pytest.approx(
        nothing["distance"], abs=2e-3
    )  # nearly the same images are the first
    assert probe(small, "nano-a") == found


def test_a_large_sample_is_cut_with_all_classes():
    digits = open_dataset("digits", input_size=16)
    assert probe(digits, "nano-a")["images"] == IMAGES < len(digits.train)
    assert probe(digits, "nano-a", images=45)["images"] == 45


def test_few_images_are_the_first_of_them():
    digits = open_dataset("digits", input_size=16)
    every, few = probe(digits, "nano-a", images=FEW + 100), probe(digits, "nano-a", images=FEW)
    assert every["linear_few"] == few["linear"] == few["linear_few"] != every["linear"]


def test_few_images():
    images = np.random.default_rng(0).integers(0, 256, (30, 3, 16, 16), dtype=np.uint8)
    two = probe(split_of(images[:2], [0, 1]), "nano-a")
    assert (
        two["nearest_mean"] is two["nearest_neighbour"] is None
        and math.isfinite(two["log_me"])
        and 0 < two["distance"] < 1
    )
    each_once = probe(split_of(images, np.arange(30)), "nano-a")
    assert each_once["nearest_mean"] is each_once["linear"] is None and math.isfinite(each_once["log_me"])
    one_pair = probe(split_of(images, [*range(29), 0]), "nano-a")
    assert one_pair["nearest_mean"] in (0, 0.5, 1)
    one_class = probe(split_of(images, np.zeros(30, int)), "nano-a")
    assert one_class["nearest_mean"] is one_class["linear"] is one_class["log_me"] is None


def test_without_time_nothing_is_claimed():
    found = probe(open_dataset("digits", input_size=16), "nano-a", seconds=0)
    assert [found[name] for name in LOOK] == [None] * 6 and (found["images"], found["stages"]) == (0, 4)


def test_a_model_that_there_is_not_is_one_line():
    with pytest.raises(ValueError, match=r"^zoo: no model 'nano-x'; did you mean .*$"):
        probe(split_of(np.zeros((4, 3, 32, 32), np.uint8), [0, 1, 0, 1]), "nano-x")


def test_networks_of_other_families(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # where weights lie that were downloaded
    weights = models.get_model_weights("mobilenet_v3_small").DEFAULT
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    file = tmp_path / "hub" / "checkpoints" / weights.url.rpartition("/")[2]
    torch.save(create_model("mobilenet_v3_small").state_dict(), file)
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 32, 32), dtype=np.uint8)
    found = probe(split_of(images, [0, 1, 0, 1, 0, 1]), "mobilenet_v3_small")
    assert (found["images"], found["stages"]) == (
        6,
        len(staged(create_model("mobilenet_v3_small"), "mobilenet_v3_small").stages),
    )
    assert 0 <= found["nearest_mean"] <= 1
    assert found["distance"] is None  # which takes a large network too long
