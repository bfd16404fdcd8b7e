"""A head in closed form, from one pass over images: a run's start, and all it has where time is shortest.

Linear discriminant analysis on the pretrained features; without within-class covariance it is the nearest
class mean. To fine-tune from a fitted head rather than a random one also distorts the pretrained features
less (Kumar et al., "Fine-tuning can distort pretrained features and underperform out-of-distribution", arXiv
2202.10054).
"""

from __future__ import annotations

from copy import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TEMPERATURES = tuple(2.0**-k for k in range(13))
HELD_OUT = 0.2  # The part of the features by which the temperature is chosen.
# Images of a class vary at least so much of what all do, and features so much of their own size: by few
# images of a class they seem not to vary at all.
LEAST_OF_TOTAL, LEAST_OF_SQUARE = 0.01, 1e-6
MAX_HALVINGS = 60  # of a discriminant that is too sure of itself


class ClassStatistics:
    """Sums over features, from which the head is made; those of several processes can be added.

    Parameters
    ----------
    classes, width
        Number of classes, and of features.
    """

    def __init__(self, classes: int, width: int, device: torch.device) -> None:
        self.counts = torch.zeros(classes, dtype=torch.float64, device=device)
        self.sums = torch.zeros(classes, width, dtype=torch.float64, device=device)
        self.squares = torch.zeros(width, width, dtype=torch.float64, device=device)

    def add(self, features: Tensor, labels: Tensor) -> None:
        """Take in features (n, width) of images with labels (n,)."""
        self.counts += torch.bincount(labels, minlength=len(self.counts))
        self.sums.index_add_(0, labels, features.double())
        self.squares += (features.T.float() @ features.float()).double()

    def copy(self) -> ClassStatistics:
        """The same sums, in tensors of their own."""
        made = copy(self)
        made.counts, made.sums, made.squares = (tensor.clone() for tensor in self.tensors())
        return made

    def tensors(self) -> list[Tensor]:
        """The sums themselves."""
        return [self.counts, self.sums, self.squares]

    @property
    def images(self) -> int:
        """How many images were taken in."""
        return int(self.counts.sum())

    def head(self, use_covariance: bool = True) -> tuple[Tensor, Tensor]:
        """Weight (classes, width) and bias (classes,) of the discriminant, float32.

        The shared covariance is shrunk to a multiple of the identity, the more the fewer images there are for
        its size; a class without images is never predicted. Without the covariance it is the nearest class
        mean. It is no surer of the classes at their own means than so many images let anybody be.
        """
        n, width = max(1.0, self.counts.sum().item()), self.sums.shape[1]
        means = self.sums / self.counts.clamp(min=1)[:, None]
        square = torch.diagonal(self.squares).sum()
        within, least = square - (self.counts[:, None] * means**2).sum(), LEAST_OF_SQUARE * square
        of_total = LEAST_OF_TOTAL * (square - self.sums.sum(0).square().sum() / n)
        variance = (torch.stack([within, of_total, least]).max() / (n * width)).clamp(min=1e-12)
        if use_covariance:
            within = (self.squares - means.T @ (self.counts[:, None] * means)) / n
            # By the degrees of freedom: the means of the classes are known by the same images.
            free = n - (self.counts > 0).sum().item()
            shrinkage = max(0.02, width / (width + max(0.0, free)))
            within = (1 - shrinkage) * within + shrinkage * variance * torch.eye(
                width, dtype=within.dtype, device=within.device
            )
            factor, failed = torch.linalg.cholesky_ex(within)
            weight = means / variance if failed.item() else torch.cholesky_solve(means.T, factor).T
        else:
            weight = means / variance
        prior = (self.counts / n).clamp(min=1e-12).log()
        bias = prior - 0.5 * (weight * means).sum(1)
        bias = torch.where(self.counts > 0, bias, bias.min() - 10)
        scale = self._credible_scale(F.linear(means, weight, bias))
        return (scale * weight).float(), (scale * bias).float()

    def _credible_scale(self, logits: Tensor) -> float:
        """By what to multiply logits (classes, classes) of the classes' means, so that they are not too sure.

        After n images of which all were right, the next one is with a probability of (n + 1) / (n + 2), by
        Laplace's rule of succession.
        """
        seen, n = self.counts > 0, self.counts.sum()
        scale, most = 1.0, ((n + 1) / (n + 2)).item()
        for _ in range(MAX_HALVINGS):
            if (scale * logits[seen]).softmax(1).amax(1).sum() <= most * seen.sum():
                break
            scale /= 2
        return scale


@torch.no_grad()
def set_head(
    head: nn.Linear,
    weight: Tensor,
    bias: Tensor,
    features: Tensor,
    labels: Tensor,
    *,
    label_smoothing: float = 0.0,
    max_norm: float | None = None,
    offsets: Tensor | None = None,
) -> None:
    """Put a discriminant into a linear head, at the temperature that suits held-out features best.

    Few images make a discriminant far too sure of itself, and training would spend its first steps on undoing
    that.

    Parameters
    ----------
    weight, bias
        The discriminant.
    features, labels
        What was held out, (n, width) and (n,).
    label_smoothing
        Of the training that follows, whose loss the temperature is for.
    max_norm
        Norm that a class's weights may have at most, on average. A discriminant of features that hardly vary
        has very large ones, whose gradients would tear up the stages before the head; what it predicts does
        not depend on their scale.
    offsets
        What is added to logits as they are trained, (classes,), see `class_balance.logit_offsets`.
    """
    if len(labels):
        logits = F.linear(features.float(), weight, bias)
        losses = [
            F.cross_entropy(t * logits, labels, label_smoothing=label_smoothing).nan_to_num(torch.inf).item()
            for t in TEMPERATURES
        ]
        temperature = TEMPERATURES[min(range(len(losses)), key=losses.__getitem__)]
    else:
        temperature = 1.0
    if max_norm is not None:
        temperature = min(temperature, max_norm / weight.norm(dim=1).mean().clamp(min=1e-12).item())
    head.weight.copy_(temperature * weight)
    if head.bias is not None:
        head.bias.copy_(temperature * bias if offsets is None else temperature * bias - offsets)
