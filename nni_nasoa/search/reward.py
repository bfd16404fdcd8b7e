"""One number for NNI's web UI, which ranks by a single metric."""

from __future__ import annotations

from nni_nasoa.values import LARGEST, POSITIVE, SHARE, number

DEFAULT_WEIGHT = 0.07
POINTS = 10_000
"""The score of a network that classifies everything right at the target speed: too much for an accuracy."""
_WEIGHT = number(0, LARGEST, "a number from 0")


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
    ratio = POSITIVE("relative speed", relative_speed) / POSITIVE("target", target)
    return SHARE("accuracy", accuracy) * ratio ** _WEIGHT("weight", weight)


def score(
    accuracy: float, relative_speed: float, target: float = 1.0, weight: float = DEFAULT_WEIGHT
) -> float:
    """The reward in points, `POINTS` times as much, to a tenth: what trials report as NNI's default metric.

    NNI shows a number without a unit. The reward itself, 0.9993 say, reads as an accuracy, and so would a
    hundred times as much. Parameters and errors are those of `reward`.
    """
    return round(POINTS * reward(accuracy, relative_speed, target, weight), 1)
