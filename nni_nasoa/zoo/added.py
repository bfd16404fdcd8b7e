"""The family `searched`: networks of a search that a user has pretrained and added to a zoo of their own.

A model is one file, NAME.safetensors, in the folder that the environment variable NASOA_ZOO names (default:
nni_nasoa/zoo in XDG_DATA_HOME, which is ~/.local/share). Its metadata hold the encoding and how images are
normalised. It is written under another name and renamed, so that a model is registered as a whole or not at
all.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nni_nasoa.architecture import Architecture, ArchitectureError
from nni_nasoa.files import own_folder, parse_json, write_bytes, zoo_folder
from nni_nasoa.values import reason, shown

from .family import IMAGE_RULES, ModelInfo, create_et_net

if TYPE_CHECKING:
    from torch import Tensor

    from nni_nasoa.networks import ETNet

FORMAT, VERSION = "nni-nasoa model", 1
_KEY, _SUFFIX = "nni-nasoa", ".safetensors"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ENCODING = re.compile(r"[0-9].*_")
_MAX_CARD = 2**20  # bytes


class ZooError(ValueError):
    """A model that cannot be added to the user's zoo, removed from it or read there.

    The message is one line.
    """


class _AddedModels(Mapping):
    """The models in the folder, read when they are asked for.

    Damaged ones are left out of the list, with a warning each.
    """

    def __iter__(self) -> Iterator[str]:
        folder = zoo_folder()
        try:
            files = sorted(
                path for path in folder.iterdir() if path.suffix == _SUFFIX and not path.name.startswith(".")
            )
        except FileNotFoundError:
            return
        except OSError as error:
            warnings.warn(f"{folder}: the zoo cannot be read ({reason(error)})", stacklevel=2)
            return
        for path in files:
            try:
                _read(path)
            except ZooError as error:
                warnings.warn(f"left out of the zoo: {error}", stacklevel=2)
            else:
                yield path.stem

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, name: str) -> ModelInfo:
        path = _path(name)
        if path is None or not path.is_file():
            raise KeyError(name)
        return _read(path)


class AddedFamily:
    """What `add_model` has added."""

    name = "searched"

    def models(self) -> Mapping[str, ModelInfo]:
        """Every model by its name, in alphabetical order."""
        return _AddedModels()

    def available(self) -> list[str]:
        """Every model: its weights are in its file."""
        return list(_AddedModels())

    def create(self, info: ModelInfo, num_classes: int, weights: str | os.PathLike | None) -> ETNet:
        """Build a model; see `create_model`."""
        return create_et_net(info, num_classes, _path(info.name) if weights == "default" else weights)


FAMILY = AddedFamily()


def add_model(name: str, weights: str | os.PathLike, network: str | None = None) -> ModelInfo:
    """Register an ET-NAS network and its weights under a name, for every later process of this user.

    Parameters
    ----------
    name
        Letters, digits, '.', '_' and '-', at most 64.
    weights
        A `.safetensors` file, a published or own `.pth`, or a folder that `nasoa finetune` has saved. Files
        of pretraining, their card beside them, and such folders know their network, input size and
        normalisation; for others, those of ImageNet at 224 pixels are noted.
    network
        An encoding, or the name of a model that has one, such as `front.json#2`; may be left out where
        `weights` knows it.

    Raises
    ------
    ZooError, WeightsError, ArchitectureError, FrontError
        The name is taken or not a good one, the weights cannot be read or do not fit, or the folder cannot be
        written; all are ValueErrors of one line. Nothing is registered then.
    """
    path = _free_path(name)
    file, known = _described(Path(weights))
    encoding = _encoding(network) if network is not None else known.get("encoding")
    if encoding is None:
        raise ZooError(
            f"{weights}: does not say which network it is of; "
            "name it (--network), by encoding or as front.json#2"
        )
    if known.get("encoding", encoding) != encoding:
        raise ZooError(f"{weights}: weights of the network {known['encoding']}, not of {encoding}")
    from nni_nasoa.networks import WeightsError
    from nni_nasoa.networks.weights import read_weights

    if known.get("weights_of") == "pooled":
        state = _without_pooling(file, encoding)
    else:
        state = read_weights(file, encoding)
    known = {key: value for key, value in known.items() if key != "weights_of"}
    for tensor_name, tensor in state.items():
        if not tensor.isfinite().all():
            raise WeightsError(f"{file}: tensor '{tensor_name}' has values that are not finite")
    images = ModelInfo(name, FAMILY.name)  # the defaults
    card = {
        "format": FORMAT,
        "version": VERSION,
        "input_size": images.input_size,
        "mean": images.mean,
        "std": images.std,
        **known,
        "encoding": encoding,
        "added": datetime.date.today().isoformat(),
    }
    _write(path, state, card)
    return _read(path)


def _without_pooling(file: Path, encoding: str) -> dict[str, Tensor]:
    """The weights of a network whose classifier has a head on all its stages: by its own names, no head.

    Raises
    ------
    WeightsError
        They do not fit.
    """
    from nni_nasoa.networks import ETNet, WeightsError
    from nni_nasoa.networks.weights import read_state_dict

    from .stage_pooling import PooledStages
    from .staged import staged

    state, network = read_state_dict(file), ETNet(encoding, 2)
    classes = len(state["head.weight"]) if "head.weight" in state else 2
    try:
        PooledStages(staged(network), classes, 2 * network.architecture.total_stride).load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"{file}: not the weights of {encoding} ({reason(error)})") from None
    return {name: tensor for name, tensor in network.state_dict().items() if not name.startswith("head.")}


def remove_model(name: str) -> None:
    """Take a model out of the user's zoo, also a damaged one, and delete its weights there.

    Raises
    ------
    ZooError
        There is no such model, or it cannot be deleted.
    """
    path = _path(name)
    if path is None or not path.is_file():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            there = ", ".join(FAMILY.models()) or "none"
        raise ZooError(f"zoo: {shown(name)} is not among the models that were added: {there}")
    try:
        path.unlink()
    except OSError as error:
        raise ZooError(f"{path}: cannot be deleted ({reason(error)})") from None


def _path(name: str) -> Path | None:
    """The file of a name; None where it is not a good name."""
    if not _NAME.fullmatch(name) or _ENCODING.match(name):
        return None
    return zoo_folder() / (name + _SUFFIX)


def _free_path(name: str) -> Path:
    from .registry import get, list_models

    if (path := _path(name)) is None:
        raise ZooError(
            f"zoo: {shown(name)} is not a name for a model: 1 to 64 letters, digits, '.', '_' and '-', "
            "a letter or digit first, and not like an encoding"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damaged networks in the folder have nothing to do with this one
        taken = next((known for known in list_models() if known.lower() == name.lower()), None)
    if taken is None and not path.exists():
        return path
    if taken is None or get(taken).family == FAMILY.name:
        there = taken or name
        raise ZooError(
            f"zoo: there is already a model '{there}'; "
            f"take another name, or remove it (nasoa zoo remove {there})"
        )
    raise ZooError(f"zoo: '{taken}' is a model of the family {get(taken).family}; take another name")


def _encoding(network: str) -> str:
    """The encoding of what is given as --network, in its canonical form."""
    from .registry import get

    if _ENCODING.match(network) and "#" not in network:
        return str(Architecture.parse(network))
    if (encoding := get(network).encoding) is None:
        raise ZooError(f"zoo: {network} is not an ET-NAS network; only those can be added")
    return encoding


def _described(weights: Path) -> tuple[Path, dict[str, Any]]:
    """The file with the tensors, and what it or its card tells, if so: encoding, input size, mean, std."""
    file = weights / "model.safetensors" if weights.is_dir() else weights
    if not file.is_file():
        raise ZooError(
            f"{weights}: "
            + (
                "not saved by 'nasoa finetune' (no model.safetensors in it); give a file of weights"
                if weights.is_dir()
                else "no such file"
            )
        )
    if file.suffix != _SUFFIX:
        return file, {}
    metadata = _metadata(file)
    for key in (_KEY, "classifier"):
        if key in metadata:
            return file, _card(metadata[key], str(file))
    card = file.with_suffix(".json")
    with suppress(FileNotFoundError):
        text = _text(card)
        if '"nni-nasoa pretraining"' in text:
            known = _card(text, str(card))
            if parse_json(text).get("sha256") != hashlib.sha256(file.read_bytes()).hexdigest():
                raise ZooError(f"{card}: the card of other weights than {file.name} (their sha256 differs)")
            return file, known
    return file, {}


def _text(card: Path) -> str:
    try:
        with card.open(encoding="utf-8") as file:
            return file.read(_MAX_CARD)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ZooError(f"{card}: cannot be read ({error})") from None


def _metadata(file: Path) -> dict[str, str]:
    """The metadata of a safetensors file, whose header and length are checked; loads no torch."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "numpy") as opened:
            return opened.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ZooError(f"{file}: damaged, or not a safetensors file ({reason(error)})") from None


def _card(text: str, where: str) -> dict[str, Any]:
    """Encoding, input size, mean and std from JSON; all others are left out."""
    try:
        card = parse_json(text)
    except ValueError:
        card = None
    if not isinstance(card, dict) or not {"encoding", *IMAGE_RULES} <= set(card):
        raise ZooError(f"{where}: damaged (its description lacks encoding, {', '.join(IMAGE_RULES)})")
    if card["encoding"] is None:
        raise ZooError(f"{where}: not an ET-NAS network; only those can be added")
    try:
        encoding = str(Architecture.parse(card["encoding"]))
    except ArchitectureError as error:
        raise ZooError(f"{where}: {error}") from None
    images = {
        name: rule(f"{where}: damaged, {name}", card[name], ZooError) for name, rule in IMAGE_RULES.items()
    }
    return {"encoding": encoding, "weights_of": card.get("weights_of", "network"), **images}


def _read(path: Path) -> ModelInfo:
    """What a file of the zoo says of its model."""
    if _path(path.stem) is None:
        raise ZooError(f"{path}: {shown(path.stem)} is not a name for a model")
    metadata = _metadata(path)
    if _KEY not in metadata:
        raise ZooError(f"{path}: not added by 'nasoa zoo add'")
    card = _card(metadata[_KEY], str(path))
    architecture = Architecture.parse(card["encoding"])
    return ModelInfo(
        path.stem,
        FAMILY.name,
        card["encoding"],
        architecture.parameters() / 1e6,
        architecture.macs() / 1e9,
        input_size=card["input_size"],
        mean=card["mean"],
        std=card["std"],
    )


def _write(path: Path, state: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    from safetensors.torch import save

    # Clones, for tensors of a .pth may share memory.
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}
    try:
        if not path.parent.is_dir():
            own_folder(path.parent)
        write_bytes(path, save(tensors, {"format": "pt", _KEY: json.dumps(card)}))
    except OSError as error:
        raise ZooError(
            f"zoo: cannot write {path} ({reason(error)}); NASOA_ZOO names another folder"
        ) from None
