"""Whether training has diverged, by its loss."""

from __future__ import annotations

import math

from torch import Tensor

from nni_nasoa.training.distributed import Alone, Together

DIVERGED = 10  # A loss of so many times that of guessing, or that of the first step, has diverged.


class Divergence:
    """Knows the loss from which training has diverged, by that of the first step, which has learned nothing.

    That can be large though the head is a good start: in training, batch normalisation goes by other
    statistics than those that the head was fitted behind.

    Parameters
    ----------
    classes, group
        How many classes there are, and the processes of the run.
    """

    def __init__(self, classes: int, group: Alone | Together) -> None:
        self._guessing, self._group, self._most = math.log(classes), group, math.inf

    def observe(self, loss: Tensor) -> None:
        """A step had this loss; but for the first one that is of no account."""
        if math.isinf(self._most):
            own = self._group.most(float(loss))
            self._most = DIVERGED * max(self._guessing, own if math.isfinite(own) else 0.0)

    def has_come(self, loss: float) -> bool:
        """Whether a loss is one of training that has diverged."""
        return not math.isfinite(loss) or loss > self._most
