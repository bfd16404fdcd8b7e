"""The part of a network that is trained."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from nni_nasoa.zoo.staged import Staged


class Trainable(nn.Module):
    """What follows the frozen stages.

    Parameters
    ----------
    network
        A `zoo.staged` view.
    frozen
        How many of its stages to leave out.
    """

    def __init__(self, network: Staged, frozen: int) -> None:
        super().__init__()
        self.network, self.frozen = network, frozen

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits of inputs."""
        return self.network.head(self.network.forward_stages(inputs, self.frozen))

    def relative_rates(self, layer_decay: float) -> dict[nn.Parameter, float]:
        """Of the stages' parameters, the learning rate as a share of the head's.

        Each stage has `layer_decay` times the rate of what follows it (Bao et al., BEiT, arXiv 2106.08254).
        """
        rates: dict[nn.Parameter, float] = {}
        for behind, stage in enumerate(reversed(self.network.stages), 1):
            rates |= dict.fromkeys(stage.parameters(), layer_decay**behind)
        return rates

    def own_buffers(self) -> Iterator[Tensor]:
        """The buffers that training changes: statistics of the normalisation that is not frozen."""
        for stage in self.network.stages[self.frozen :]:
            yield from stage.buffers()
