"""The head that is fitted to features: multinomial logistic regression, penalised, until it converges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Penalties of the squared weights, for features whose squared norm is about 150. Accuracy is flat between
# them: cross-validated on three folders of drawings, they differ by a point or two, networks by far more.
PENALTIES = (0.01, 0.002, 0.0003)
MIDDLE_PENALTY = PENALTIES[1]
HELD_OUT = 5  # One image in so many is held out while the penalty is chosen.
LEAST_HELD_OUT = 10  # With fewer images held out, the middle penalty is taken.
TEMPERATURES = tuple(2.0 ** (k / 2) for k in range(-10, 5))
MAX_ITERATIONS = 120
LEAST_EVALUATIONS = 12  # The loss is evaluated so often whatever the time: a head of less is none.


class Head(NamedTuple):
    """A linear head.

    Parameters
    ----------
    weight, bias
        (classes, width) and (classes,), float32.
    penalty
        By which it was fitted.
    temperature
        By what its logits are to be divided to be as sure as they may be, on images that it was not fitted
        to (Guo et al., arXiv 1706.04599).
    """

    weight: Tensor
    bias: Tensor
    penalty: float
    temperature: float = 1.0

    @torch.no_grad()
    def put_into(self, layer: nn.Linear, offsets: Tensor | None = None) -> None:
        """Give a layer these weights, less what is added to logits as they are trained.

        Source: Menon et al., arXiv 2007.07314, equation 9, which is for calibrated probabilities: so the
        offsets are at the head's temperature.
        """
        layer.weight.copy_(self.weight)
        if layer.bias is not None:
            layer.bias.copy_(self.bias if offsets is None else self.bias - self.temperature * offsets)


class _TimeOver(Exception):  # noqa: N818  # no error
    """The time for a fit is over."""


def fit(
    features: Tensor,
    labels: Tensor,
    classes: int,
    *,
    penalties: Sequence[float] = PENALTIES,
    start: Head | None = None,
    kept: Tensor | None = None,
    in_time: Callable[[], bool] = lambda: True,
    least_evaluations: int = LEAST_EVALUATIONS,
) -> Head:
    """The head of the penalty that suits images best which it was not fitted to, fitted to all images.

    Parameters
    ----------
    features, labels
        (n, width) float32 and (n,) integers, in random order.
    classes
        How many classes there are. One without images is all but never predicted.
    penalties
        To choose from, largest first; a single one is taken as it is.
    start
        A head for like features to begin with.
    kept
        (classes,) bool: classes whose weights stay as those of `start`; by default none.
    in_time
        Whether to go on; asked in each evaluation of the loss but the first ones. A head that was cut short
        is less fitted, no more.
    least_evaluations
        How many those are.
    """
    held = torch.arange(len(labels), device=labels.device) % HELD_OUT == 1
    temperature = 1.0 if start is None else start.temperature
    if len(penalties) > 1 and int(held.sum()) >= LEAST_HELD_OUT:
        tried, head = [], start
        for penalty in penalties:
            head = _fit(
                features[~held], labels[~held], classes, penalty, head, kept, in_time, least_evaluations
            )
            logits = F.linear(features[held], head.weight, head.bias)
            tried.append((F.cross_entropy(logits, labels[held]).item(), penalty, logits))
        _, chosen, logits = min(tried, key=lambda one: one[0])
        temperature = min(TEMPERATURES, key=lambda t: F.cross_entropy(logits / t, labels[held]).item())
    else:
        chosen, head = penalties[len(penalties) // 2], start
    fitted = _fit(features, labels, classes, chosen, head, kept, in_time, least_evaluations)
    return fitted._replace(temperature=temperature)


@torch.no_grad()
def _fit(
    features: Tensor,
    labels: Tensor,
    classes: int,
    penalty: float,
    start: Head | None,
    kept: Tensor | None,
    in_time: Callable[[], bool],
    least_evaluations: int,
) -> Head:
    from scipy.optimize import minimize  # late: its import takes a quarter of a second

    width, device = features.shape[1], features.device
    targets = F.one_hot(labels, classes).to(features.dtype)
    first = np.zeros((classes, width + 1), np.float32)
    if start is not None:
        first[:, :width], first[:, width] = start.weight.cpu().numpy(), start.bias.cpu().numpy()
    else:  # the shares of the classes
        counts = torch.bincount(labels, minlength=classes).float().cpu().numpy()
        first[:, width] = np.log(np.maximum(counts, 1e-2) / max(1, len(labels)))
    latest, asked = first, 0

    def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal latest, asked
        asked += 1
        latest = flat.reshape(classes, width + 1).astype(np.float32)
        if asked > least_evaluations and not in_time():
            raise _TimeOver
        both = torch.from_numpy(latest).to(device)
        weight, bias = both[:, :width], both[:, width]
        log_probabilities = F.linear(features, weight, bias).log_softmax(1)
        errors = (log_probabilities.exp() - targets) / len(labels)
        gradient = torch.cat([errors.T @ features + penalty * weight, errors.sum(0)[:, None]], 1)
        if kept is not None:
            gradient[kept] = 0
        loss = -(targets * log_probabilities).sum() / len(labels) + penalty / 2 * weight.square().sum()
        return loss.item(), gradient.cpu().numpy().astype(np.float64).ravel()

    try:
        found = minimize(
            loss_and_gradient,
            first.ravel().astype(np.float64),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": MAX_ITERATIONS, "ftol": 1e-7, "gtol": 1e-5},
        )
        latest = found.x.reshape(classes, width + 1).astype(np.float32)
    except _TimeOver:
        pass
    both = torch.from_numpy(latest).to(device)
    return Head(both[:, :width].contiguous(), both[:, width].contiguous(), penalty)
