"""Weights for networks of other libraries: from a file, or by their own download."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nni_nasoa.values import MAX_REASON, one_line

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nni_nasoa.networks import WeightsError


def load_checkpoint(network: nn.Module, path: str | os.PathLike, heads: Iterable[str], owner: str) -> None:
    """Load a state_dict from a `.safetensors` or `.pth` file into a network, in place.

    Parameters
    ----------
    network
        Its tensors have the names that they have in the file.
    path
        The file. Where its head is for another number of classes, the network's own head stays, and a warning
        says so.
    heads
        Names of the layers that give logits.
    owner
        What the network is called in messages.

    Raises
    ------
    WeightsError
        The file is missing or unreadable, or its tensors do not fit. The message is one line that names the
        file.
    """
    from nni_nasoa.networks import WeightsError
    from nni_nasoa.networks.published import check_tensors
    from nni_nasoa.networks.weights import read_state_dict

    path, own = Path(path), network.state_dict()
    try:
        state = read_state_dict(path)
        if found := _other_classes(state, own, heads):
            warnings.warn(
                f"{path}: the head there is for {found} classes; the network's head starts afresh",
                stacklevel=4,
            )
            state |= {name: tensor for name, tensor in own.items() if name.rpartition(".")[0] in heads}
        check_tensors(state, own, owner)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None
    network.load_state_dict(state)


def _other_classes(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor], heads: Iterable[str]
) -> int | None:
    """The number of classes in the state, where it is another than the network's own."""
    for head in heads:
        found, wanted = state.get(f"{head}.weight"), own[f"{head}.weight"]
        if found is not None and found.shape != wanted.shape and found.shape[1:] == wanted.shape[1:]:
            return len(found)
    return None


def download_error(name: str, error: Exception, instead: str) -> WeightsError:
    """The one line that says that weights could not be had, and what can be done."""
    from nni_nasoa.networks import WeightsError

    why = one_line(getattr(error, "reason", None) or error, MAX_REASON)
    return WeightsError(f"{name}: its weights could not be downloaded ({why}); {instead}")
