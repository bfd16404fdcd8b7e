"""What of a network is trained, where its first stages may be frozen, and what enters it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nni_nasoa.training.images import Images
from nni_nasoa.training.inputs import Inputs
from nni_nasoa.training.trainable import Trainable
from nni_nasoa.zoo.staged import Staged

from .options import Resources


@dataclass(frozen=True, eq=False)
class TrainedPart:
    """The stages and the head behind the frozen stages, and their inputs.

    Parameters
    ----------
    network
        All of it.
    frozen
        How many stages are frozen; all of them leave the head alone.
    module
        What is trained.
    inputs, val_inputs
        Its inputs, for this process's training and validation images.
    """

    network: Staged
    frozen: int
    module: Trainable
    inputs: Inputs
    val_inputs: Inputs

    @classmethod
    def behind(
        cls,
        frozen: int,
        network: Staged,
        train: Images,
        val: Images,
        resources: Resources,
        seed: int,
        now: Callable[[], float],
    ) -> TrainedPart:
        """That of a network whose first stages, as many as there are at most, are frozen by this call.

        `now` is the clock of the run.
        """
        frozen = min(frozen, len(network.stages))
        network.freeze(frozen)
        inputs, val_inputs = (
            Inputs(
                images,
                network,
                frozen,
                cached=resources.feature_cache,
                memory_limit=resources.memory_limit,
                seed=seed,
                now=now,
            )
            for images in (train, val)
        )
        return cls(network, frozen, Trainable(network, frozen), inputs, val_inputs)

    @property
    def head_only(self) -> bool:
        """Whether the head alone is trained."""
        return self.frozen == len(self.network.stages)
