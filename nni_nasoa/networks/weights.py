"""Read weights into an ETNet from a safetensors file or a .pth, without ever unpickling code."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import torch
from torch import Tensor

from nni_nasoa.architecture import Architecture
from nni_nasoa.values import reason

from .et_net import ETNet
from .published import WeightsError, check_tensors, convert_published, is_published


def load_weights(network: ETNet, path: str | os.PathLike) -> None:
    """Load a weights file into the network, in place.

    Parameters
    ----------
    network
        An ETNet of the architecture that the file holds. Where its number of classes is not the file's, its
        head keeps the values that it has, and a warning says so. Where the file has no head at all, as those
        of pretraining on fractals, the network's stays as it is without a warning.
    path
        A `.safetensors` file, or a `.pth` (a state_dict; published ET-NAS checkpoints are recognised by their
        names).

    Raises
    ------
    WeightsError
        The file is missing or unreadable, or its tensors do not fit. The message is one line that names the
        file.
    """
    state = read_weights(path, network.architecture)
    head = {name: tensor for name, tensor in network.state_dict().items() if name.startswith("head.")}
    classes = len(state["head.weight"]) if "head.weight" in state else None
    if classes not in (None, network.num_classes):
        warnings.warn(
            f"{path}: the head there is for {classes} classes; the network's head for {network.num_classes} "
            "classes starts afresh",
            stacklevel=2,
        )
    network.load_state_dict(state if classes == network.num_classes else {**state, **head})


def read_weights(path: str | os.PathLike, architecture: Architecture | str) -> dict[str, Tensor]:
    """Read a weights file of an architecture.

    Returns
    -------
    The tensors by ETNet's names, as many and of such shapes as the architecture has them. The head may be for
    any number of classes, or missing as a whole.

    Raises
    ------
    WeightsError
        As `load_weights` does.
    """
    path = Path(path)
    try:
        state = read_state_dict(path)
        if is_published(state):
            state = convert_published(state, architecture)
        weight = state.get("head.weight")
        with torch.device("meta"):  # names and shapes only
            network = ETNet(
                architecture,
                len(weight) if weight is not None and weight.dim() == 2 and len(weight) else 1000,
            )
        headless = not any(name.startswith("head.") for name in state)
        check_tensors(
            state,
            {
                name: tensor
                for name, tensor in network.state_dict().items()
                if not (headless and name.startswith("head."))
            },
            f"architecture {network.architecture}",
        )
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None
    return state


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` or `.pth` file by their names.

    Raises
    ------
    WeightsError
        The file is missing or unreadable. The message does not name the file.
    """
    if not path.is_file():
        raise WeightsError("no such file")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except Exception as error:  # a header that safetensors lets pass may name a type that torch lacks
            raise WeightsError(f"not a safetensors file ({reason(error)})") from None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    # torch's reader trusts that a file is a pickle: a damaged one makes it raise whatever Python can.
    except Exception as error:
        raise WeightsError(f"not a state_dict saved by torch ({reason(error)})") from None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and _is_plain(value) for name, value in state.items()
    ):
        raise WeightsError("not a plain state_dict, which has names and tensors only")
    return dict(state)


def _is_plain(value: object) -> bool:
    """Whether something is a tensor whose numbers lie in memory, as a state_dict's do."""
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
    )
