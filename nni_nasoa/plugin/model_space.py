"""The ET-NAS space as a model space of NNI (NASOA, arXiv 2108.03434, section 3.1 and figure 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from nni.mutable import (
    Categorical,
    Constraint,
    ConstraintViolation,
    LabeledMutable,
    Mutable,
    Sample,
    SampleValidationError,
)
from nni.nas.nn.pytorch import ModelSpace
from torch import Tensor, nn

from nni_nasoa import zoo
from nni_nasoa.architecture import Architecture, ArchitectureError, ArchitectureSpace, random_architecture
from nni_nasoa.networks import ETNet
from nni_nasoa.search.choices import choices, decode, encode
from nni_nasoa.values import shown

if TYPE_CHECKING:
    from nni.nas.profiler.pytorch.flops import FlopsParamsCounterConfig, FlopsResult
    from nni.nas.profiler.pytorch.utils import MutableShape

# How many random networks are drawn, of which the smallest becomes the default, where the first values do not
# make a network.
_DRAWS = 32


class ArchitectureConstraint(Constraint):
    """The choices must make a network: channels divide into groups, and more of that kind.

    It only checks the choices, which the space registers before it: as a part of the constraint, they would
    make NNI's grid search list the whole space to find out whether it is finite.
    """

    def __init__(self, mutables: Sequence[Categorical], *, label: str) -> None:
        self.label = label
        self.mutables = list(mutables)

    def leaf_mutables(self, is_leaf: Callable[[Mutable], bool]) -> Iterable[LabeledMutable]:
        """Yield the constraint itself."""
        yield self

    def check_contains(self, sample: Sample) -> SampleValidationError | None:
        """Return what is wrong with the sample, or None."""
        for mutable in self.mutables:
            if (error := mutable.check_contains(sample)) is not None:
                return error
        try:
            decode({mutable.label: sample[mutable.label] for mutable in self.mutables})
        except ArchitectureError as error:
            return ConstraintViolation(str(error))
        return None

    def extra_repr(self) -> str:
        """What NNI shows of it."""
        return f"label={self.label!r}"


class ETNASSpace(ModelSpace):
    """The joint block and macro search space of ET-NAS, NASOA's training-efficient networks.

    One block design (1 to 3 operations, their channel ratios, extra skips) is stacked in stages; where the
    channels double is searched as well. The labels are those of `nni_nasoa.search.choices`, the same as in
    the `searchSpace` of a config. Not every sample is a network, so NNI's strategies have to take note of
    constraints: Random and RegularizedEvolution do, and draw again; TPE (any tuner as a strategy) cannot with
    NNI 3.0. `NasoaEvolution` only proposes valid ones.

    The space restricts to either phase of the paper's search: `macros` for block-level search (the macro is
    fixed, or one of a few), `block_designs` for macro-level search (the block is one of a given set).

    `freeze(sample)`, and constructing the space under `model_context(sample)`, both give a plain
    `nni_nasoa.networks.ETNet` with fresh weights, so weights of the network, of the zoo and of the search
    load into each other. The space itself holds its default network as `network`, for a dry run; it is not a
    supernet.

    Parameters
    ----------
    num_labels
        Number of labels for classification.
    layers
        Numbers of operations in a block.
    ops
        Operation codes (see `nni_nasoa.architecture.OPS`).
    ratios
        Codes of channel ratios 1/4, 1/2, 1, 2, 4.
    skips
        Kinds of extra skips: "none", "add", "concat".
    channels
        Channels after the stem.
    stages
        Numbers of stages.
    blocks
        Numbers of blocks in a stage.
    doublings
        How many times in all the channels double.
    block_designs
        Encodings of the only blocks allowed, such as "10001-"; layers, ops, ratios and skips are then not
        used.
    macros
        Encodings CHANNELS_MACRO of the only macros allowed, such as "64_1-1-221-11121"; channels, stages,
        blocks and doublings are then not used.

    Raises
    ------
    ArchitectureError
        A candidate is not one that the encoding knows, or the candidates do not make a network.

    Examples
    --------
    >>> space = ETNASSpace(num_labels=10, channels=(16, 32), stages=(3,), blocks=(1, 2, 3))
    >>> with model_context({"architecture": "031-a02_32_11-221-112"}):
    ...     network = ETNASSpace(num_labels=10)
    """

    def __init__(
        self,
        *,
        num_labels: int = 1000,
        layers: Sequence[int] = ArchitectureSpace.layers,
        ops: Sequence[int] = ArchitectureSpace.ops,
        ratios: Sequence[int] = ArchitectureSpace.ratios,
        skips: Sequence[str] = ArchitectureSpace.skips,
        channels: Sequence[int] = ArchitectureSpace.channels,
        stages: Sequence[int] = ArchitectureSpace.stages,
        blocks: Sequence[int] = ArchitectureSpace.blocks,
        doublings: Sequence[int] = ArchitectureSpace.doublings,
        block_designs: Sequence[str] = (),
        macros: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.num_labels = num_labels
        given: dict[str, Any] = dict(
            layers=layers,
            ops=ops,
            ratios=ratios,
            skips=skips,
            channels=channels,
            stages=stages,
            blocks=blocks,
            doublings=doublings,
            block_designs=block_designs,
            macros=macros,
        )
        self.architectures = ArchitectureSpace(**given)
        default = _default_architecture(self.architectures)
        sample = encode(default, self.architectures)
        mutables = [
            self.add_mutable(Categorical(choice.values, default=sample[choice.label], label=choice.label))
            for choice in choices(self.architectures)
        ]
        self.add_mutable(ArchitectureConstraint(mutables, label="valid_network"))
        self.network = ETNet(default, num_labels)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, num_labels) of images (n, 3, height, width), by the default network."""
        return self.network(x)

    def freeze(self, sample: Sample) -> ETNet:
        """Return the network of a sample, with fresh weights; an evaluator's labels are not looked at.

        Raises
        ------
        SampleValidationError
            The sample is not one of the space.
        """
        self.validate(sample)
        return self.create_fixed_module(sample, num_labels=self.num_labels)

    def _count_flops(
        self,
        inputs: tuple[MutableShape, ...],
        outputs: tuple[MutableShape, ...],  # NNI gives both
        *,
        config: FlopsParamsCounterConfig,
    ) -> FlopsResult:
        """What NNI's profilers of FLOPs and parameters call: for each sample, what its network has."""
        from nni.mutable import MutableExpression
        from nni.nas.profiler.pytorch.flops import FlopsResult

        shape = tuple(inputs[0].freeze({}))
        mutables = [one for one in self.mutables if not isinstance(one, Constraint)]

        def counted(what: str) -> MutableExpression:
            def of_sample(*values: Any) -> float:
                sample = {mutable.label: value for mutable, value in zip(mutables, values)}
                network = self.create_fixed_module(sample, num_labels=self.num_labels)
                return float(getattr(_counts(network, shape, config), what))

            return MutableExpression(of_sample, f"{what}({', '.join(['{}'] * len(mutables))})", mutables)

        return FlopsResult(counted("flops"), counted("params"))

    @classmethod
    def create_fixed_module(cls, sample: Sample, *, num_labels: int = 1000, **candidates: Any) -> ETNet:
        """Return the network of a sample without a space: what the constructor does under `model_context`."""
        return ETNet(decode(sample), num_labels)

    @classmethod
    def load_searched_model(
        cls, name: str, pretrained: bool = False, download: bool = False, progress: bool = True
    ) -> nn.Module:
        """Return a network that was found in this space, for 1000 labels.

        Parameters
        ----------
        name
            One of the zoo's, such as "et-nas-a" .. "et-nas-l", or "front.json#1", the first network of a
            front file.
        pretrained
            Load its published weights, from where the zoo keeps them.
        download, progress
            As in NNI's hub; without effect, as the published weights are not offered for download by
            programs.

        Raises
        ------
        ValueError
            There is no network of this name (the message lists those there are), or it has no weights here.
        """
        known = [known for known in zoo.list_models() if zoo.get(known).encoding is not None]
        if name not in known and "#" not in name:
            raise ValueError(f"{shown(name)} is not a searched model; there are {', '.join(known)}")
        return zoo.create_model(name, weights="default" if pretrained else None)


def _counts(network: ETNet, shape: tuple[int, ...], config: FlopsParamsCounterConfig) -> FlopsResult:
    """What NNI counts in a network for images of a shape (n, 3, height, width)."""
    from dataclasses import asdict

    import torch
    from nni.nas.profiler.pytorch.flops import FlopsParamsProfiler

    return FlopsParamsProfiler(network, torch.zeros(shape), **asdict(config)).flops_result


def _default_architecture(space: ArchitectureSpace) -> Architecture:
    """The network of everyone's first candidate; a small one where those do not make a network."""
    try:
        return decode({choice.label: choice.values[0] for choice in choices(space)})
    except ArchitectureError:
        rng = np.random.default_rng(0)
        return min((random_architecture(rng, space) for _ in range(_DRAWS)), key=Architecture.parameters)
