"""One number for NNI's web UI, which ranks by a single metric."""

from __future__ import annotations

import math

DEFAULT_WEIGHT = 0.07


def reward(
    accuracy: float, relative_speed: float, target: float = 1.0, weight: float = DEFAULT_WEIGHT
) -> float:
    """Accuracy, scaled by training speed: accuracy * (relative_speed / target) ** weight.

    The weighted product of MnasNet (Tan et al., CVPR 2019, arXiv 1807.11626, equation 2), of speed instead of
    latency. Its default weight 0.07 follows the same rule of thumb: twice the speed is worth 5% of the
    accuracy. The search itself optimises accuracy and speed as two objectives; the reward only orders the
    trials on screen.

    Parameters
    ----------
    accuracy
        Validation accuracy, 0 to 1.
    relative_speed
        Training throughput as a multiple of the reference network's, above 0.
    target
        The relative speed at which the reward equals the accuracy.
    weight
        How much speed counts, 0 or more; 0 leaves the accuracy.

    Raises
    ------
    ValueError
        A value is out of its range.
    """
    if not 0 <= accuracy <= 1:
        raise ValueError(f"accuracy: {accuracy} is not from 0 to 1")
    if not (0 < relative_speed < math.inf):
        raise ValueError(f"relative speed: {relative_speed} is not a positive number")
    if not (0 < target < math.inf):
        raise ValueError(f"target: {target} is not a positive number")
    if not (0 <= weight < math.inf):
        raise ValueError(f"weight: {weight} is not a number from 0")
    return accuracy * (relative_speed / target) ** weight
