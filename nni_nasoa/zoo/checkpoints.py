"""Weights for networks of other libraries: from a file, or by their own download."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nni_nasoa.values import MAX_REASON, one_line

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nni_nasoa.networks import WeightsError

HUB_FILES = (
    "model.safetensors",
    "pytorch_model.bin",
)  # what Hugging Face's models consist of, the best first


def torch_checkpoints() -> Path:
    """The folder that torch.hub downloads weights into, found without torch."""
    if "torch" in sys.modules:
        return Path(sys.modules["torch"].hub.get_dir(), "checkpoints")
    home = os.environ.get("TORCH_HOME") or _user_cache("torch")
    return Path(home, "hub", "checkpoints").expanduser()


def hub_cache() -> Path:
    """The folder that Hugging Face's library downloads repositories into, found without that library."""
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    home = os.environ.get("HF_HOME") or _user_cache("huggingface")
    return Path(named or Path(home, "hub")).expanduser()


def hub_file(repository: str) -> Path | None:
    """The weights of one of Hugging Face's repositories, such as `timm/resnet18.a1_in1k`, if they are cached.

    They are those of its main branch, when that was last looked at.
    """
    folder = hub_cache() / f"models--{repository.replace('/', '--')}"
    try:
        revision = (folder / "refs" / "main").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    files = (folder / "snapshots" / revision / name for name in HUB_FILES)
    return next((file for file in files if file.is_file()), None)


def _user_cache(library: str) -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", library)


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
