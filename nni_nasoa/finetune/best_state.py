"""The best state of a network so far."""

from __future__ import annotations

import torch
from torch import Tensor

from .validation import Evaluation


class Best:
    """A copy of the tensors that training changes, and how they were evaluated.

    Parameters
    ----------
    network
        A `zoo.staged` view.
    frozen
        How many of its stages training leaves as they are.
    evaluation
        Of its present state.
    """

    def __init__(self, network, frozen: int, evaluation: Evaluation) -> None:
        self.frozen, self.evaluation = frozen, evaluation
        self.saved = False
        self._state = {name: tensor.detach().clone() for name, tensor in self._own(network).items()}

    @torch.no_grad()
    def restore(self, network) -> None:
        """Give the network this state, and put it into eval mode."""
        own = self._own(network)
        for name, tensor in self._state.items():
            own[name].copy_(tensor)
        network.eval()

    def _own(self, network) -> dict[str, Tensor]:
        frozen = tuple(f"stages.{number}." for number in range(self.frozen))
        return {name: tensor for name, tensor in network.state_dict().items() if not name.startswith(frozen)}
