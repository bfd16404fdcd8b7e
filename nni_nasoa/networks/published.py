"""Published ET-NAS checkpoints: their names for the tensors of an ETNet.

A published file is a plain state_dict. `layers` is one sequence: 0, 2, 4 are the stem's convolutions, 6.. the
blocks; the head is `fc`. In a block, `module_list.I.0` is operation I and `module_list.I.J` (J >= 1) the J-th
skip into its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from nni_nasoa.architecture import Architecture
from nni_nasoa.values import shown

from .et_net import ETBlock, ETNet, SkipConnection


class WeightsError(ValueError):
    """Weights that do not fit the network.

    The message is one line that says what is off and what would be right.
    """


def is_published(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of a published checkpoint."""
    return "layers.0.0.weight" in state_dict


def convert_published(
    state_dict: Mapping[str, Tensor], architecture: Architecture | str
) -> dict[str, Tensor]:
    """Turn a published state_dict into one for an `ETNet` with the checkpoint's number of classes.

    Parameters
    ----------
    state_dict
        Tensors by their published names.
    architecture
        The architecture that the checkpoint holds.

    Raises
    ------
    WeightsError
        A tensor is missing, superfluous or of another shape. The message is one line that names the first of
        them.
    """
    bias = state_dict.get("fc.bias")
    num_classes = len(bias) if bias is not None and bias.dim() == 1 and len(bias) else 1000
    with torch.device("meta"):  # names and shapes only
        network = ETNet(architecture, num_classes)
    own = network.state_dict()
    published = published_names(network)
    check_tensors(
        state_dict,
        {published[name]: tensor for name, tensor in own.items()},
        f"architecture {network.architecture}",
    )
    return {name: state_dict[published[name]] for name in own}


def published_names(network: ETNet) -> dict[str, str]:
    """Own name -> published name of every tensor in the network's state_dict, in the published order."""
    return {
        f"{own}.{tensor}": f"{published}.{tensor}"
        for own, published in _published_modules(network)
        for tensor in network.get_submodule(own).state_dict()
    }


def check_tensors(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], owner: str) -> None:
    """Raise a WeightsError unless `found` has the names and shapes of `wanted`, the tensors of `owner`."""
    for name, tensor in wanted.items():
        if name not in found:
            raise WeightsError(f"no tensor '{name}', which {owner} has")
        if found[name].shape != tensor.shape:
            raise WeightsError(
                f"tensor '{name}' has shape {shown(tuple(found[name].shape))}, "
                f"where {owner} has {tuple(tensor.shape)}"
            )
    if surplus := sorted(set(found) - set(wanted)):
        raise WeightsError(f"{len(surplus)} tensors that {owner} does not have, such as {shown(surplus[0])}")


def _published_modules(network: ETNet) -> Iterator[tuple[str, str]]:
    """(own name, published name) of every convolution, BatchNorm and the head, in the published order."""
    for i in (0, 2, 4):
        yield from _conv_norm(network.stem[i], f"stem.{i}", f"layers.{i}")
    blocks = ((own, block) for own, block in network.named_modules() if isinstance(block, ETBlock))
    for layer, (own, block) in enumerate(blocks, start=6):
        for i, (op, skips) in enumerate(zip(block.ops, block.skips)):
            published = f"layers.{layer}.module_list.{i}"
            yield from _conv_norm(op, f"{own}.ops.{i}", f"{published}.0")
            for j, skip in enumerate(skips.children()):
                if isinstance(skip, SkipConnection) and skip.projection is not None:
                    yield from _conv_norm(
                        skip.projection, f"{own}.skips.{i}.{j}.projection", f"{published}.{j + 1}.conv"
                    )
    yield "head", "fc"


def _conv_norm(module: nn.Module, own: str, published: str) -> Iterator[tuple[str, str]]:
    names = {"conv": "0", "depthwise": "0.0", "pointwise": "0.1", "norm": "1"}
    for name, _ in module.named_children():
        yield f"{own}.{name}", f"{published}.{names[name]}"
