"""Pretrain small networks on fractal images: how the weights of the nano family are made, and made again.

Beside each NAME.safetensors stands NAME.json, a card that says how it was made. A run that is interrupted
goes on from its last whole epoch; networks that are finished are not trained again.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import os
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nni_nasoa.architecture import Architecture
from nni_nasoa.files import read_json, remove_drafts, write_bytes, write_text
from nni_nasoa.values import reason

from .pretraining_recipe import DEFAULT_RECIPE, MEAN, STD, PretrainError, PretrainRecipe

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

    from nni_nasoa.networks import ETNet

FORMAT, VERSION = "nni-nasoa pretraining", 1
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Epoch:
    """What is told after each epoch: its number from 1, the mean loss, accuracy on unseen images (0 to 1).

    The seconds are since the start, those of interrupted runs included.
    """

    name: str
    number: int
    loss: float
    accuracy: float
    seconds: float


def pretrain_all(
    networks: Mapping[str, str],
    folder: str | os.PathLike,
    recipe: PretrainRecipe = DEFAULT_RECIPE,
    *,
    jobs: int = 1,
    device: str = "cpu",
    on_epoch: Callable[[Epoch], None] | None = None,
) -> list[dict[str, Any]]:
    """Pretrain networks, `jobs` at a time, each in a process of its own with its share of the cores.

    Parameters
    ----------
    networks
        Names and ET-NAS encodings.
    folder, recipe, device, on_epoch
        See `pretrain`; `on_epoch` is called in this process.

    Returns
    -------
    The cards, in the order of `networks`.

    Raises
    ------
    PretrainError, ArchitectureError, DatasetError
        See `pretrain`; what is wrong with a network or a checkpoint is found before anything is trained.
    """
    from nni_nasoa.data.fractals import open_fractals

    waiting = {}
    for name, encoding in networks.items():
        if _finished(Path(folder), name, identity := _identity(name, encoding, recipe)) is None:
            _check(Path(folder), name, identity, device)
            waiting[name] = encoding
    _make(Path(folder))
    if jobs > 1 and waiting:
        open_fractals(**_images_of(recipe), processes=jobs)
        _in_processes(waiting, folder, recipe, jobs, device, on_epoch)
    return [
        pretrain(name, encoding, folder, recipe, device=device, on_epoch=on_epoch)
        for name, encoding in networks.items()
    ]


def _in_processes(
    networks: Mapping[str, str],
    folder: str | os.PathLike,
    recipe: PretrainRecipe,
    jobs: int,
    device: str,
    on_epoch: Callable[[Epoch], None] | None,
) -> None:
    context, others = get_context("spawn"), set(active_children())
    told, threads = context.SimpleQueue(), max(1, (os.cpu_count() or 1) // jobs)
    # The costliest ones first, so that the end is not one long run on one core.
    order = sorted(networks, key=lambda name: -Architecture.parse(networks[name]).macs(recipe.size))
    # They inherit that Ctrl-C is held back: it is for this process, which ends them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        pool = ProcessPoolExecutor(
            jobs, mp_context=context, initializer=_begin_process, initargs=(threads, told)
        )
        runs = [
            pool.submit(_pretrain_in_process, name, networks[name], folder, recipe, device) for name in order
        ]
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        waiting = set(runs)
        while waiting:
            waiting = wait(waiting, timeout=_POLL_SECONDS).not_done
            while not told.empty():
                epoch = told.get()
                if on_epoch is not None:
                    on_epoch(epoch)
        for run in runs:
            run.result()
    except BrokenExecutor:
        raise PretrainError(
            "a process that trained was ended from outside; fewer jobs need less memory"
        ) from None
    finally:
        if waiting:
            for process in set(active_children()) - others:
                process.terminate()
        pool.shutdown(cancel_futures=True)


# In a process that is one of several: the queue that it tells of its epochs.
_told_to: list[SimpleQueue[Epoch]] = []


def _begin_process(threads: int, told: SimpleQueue[Epoch]) -> None:
    import torch

    _told_to.append(told)
    torch.set_num_threads(threads)


def _pretrain_in_process(
    name: str, encoding: str, folder: str | os.PathLike, recipe: PretrainRecipe, device: str
) -> None:
    pretrain(name, encoding, folder, recipe, device=device, on_epoch=_told_to[0].put)


def pretrain(
    name: str,
    encoding: str,
    folder: str | os.PathLike,
    recipe: PretrainRecipe = DEFAULT_RECIPE,
    *,
    device: str = "cpu",
    on_epoch: Callable[[Epoch], None] | None = None,
) -> dict[str, Any]:
    """Pretrain a network, or go on with it, and write `folder`/NAME.safetensors and its card.

    The weights are without the head, which knows fractals only; matrices are stored in half precision.

    Parameters
    ----------
    name, encoding
        What the network is called, and its ET-NAS encoding.
    folder
        Where the results and, until then, the checkpoint NAME.partial.pth are written.
    device
        Where to train, see `resolve_device`.
    on_epoch
        Called after each epoch.

    Returns
    -------
    The card. It is read from `folder` where the same network with the same recipe is finished there.

    Raises
    ------
    PretrainError
        The folder cannot be made or has a checkpoint of another recipe, the images are too small for the
        network, or the loss is not finite.
    ArchitectureError, DatasetError
        The encoding is wrong; the images cannot be cached.
    """
    import torch

    from nni_nasoa.data.fractals import open_fractals
    from nni_nasoa.device.allocation import keep_freed_memory
    from nni_nasoa.device.device import resolve_device

    from .pretrainer import Pretrainer

    architecture, folder, identity = (
        Architecture.parse(encoding),
        Path(folder),
        _identity(name, encoding, recipe),
    )
    if (card := _finished(folder, name, identity)) is not None:
        return card
    _check(folder, name, identity, device)
    _make(folder)
    where = resolve_device(device)
    keep_freed_memory()
    split = open_fractals(**_images_of(recipe))
    run = Pretrainer(architecture, split, recipe, where, _checkpoint(folder, name), json.dumps(identity))
    for epoch in run.epochs():
        if on_epoch is not None:
            on_epoch(Epoch(name, **epoch))
    card = {
        **identity,
        "params_m": round(architecture.parameters(recipe.classes) / 1e6, 4),
        "input_size": recipe.size,
        "mean": MEAN,
        "std": STD,
        "accuracy": run.history[-1]["accuracy"] if run.history else None,
        "history": run.history,
        "device": where.type,
        "threads": torch.get_num_threads(),
        "date": datetime.date.today().isoformat(),
        "versions": {
            package: importlib.metadata.version(package) for package in ("nni-nasoa", "torch", "numpy")
        },
    }
    return _save(folder, name, run.network, card)


def _identity(name: str, encoding: str, recipe: PretrainRecipe) -> dict[str, Any]:
    """What a checkpoint or a card must say to be of this run."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": name,
        "encoding": str(Architecture.parse(encoding)),
        "recipe": dataclasses.asdict(recipe),
    }


def _check(folder: Path, name: str, identity: Mapping[str, Any], device: str) -> None:
    """Find before the work what would stop it."""
    from nni_nasoa.device.device import resolve_device

    from .pretrainer import read_checkpoint

    resolve_device(device)
    stride, size = Architecture.parse(identity["encoding"]).total_stride, identity["recipe"]["size"]
    if size < stride:
        raise PretrainError(
            f"{name}: images of {size} pixels are too small; the network's total stride is {stride}"
        )
    read_checkpoint(_checkpoint(folder, name), json.dumps(identity))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PretrainError(f"{folder}: not a folder that can be written ({reason(error)})") from None


def _checkpoint(folder: Path, name: str) -> Path:
    return folder / f"{name}.partial.pth"


def _images_of(recipe: PretrainRecipe) -> dict[str, int]:
    return {key: getattr(recipe, key) for key in ("classes", "instances", "val_instances", "size", "seed")}


def _finished(folder: Path, name: str, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """The card, where card and weights are there and belong together."""
    weights, card = folder / f"{name}.safetensors", folder / f"{name}.json"
    try:
        known = read_json(card)
        whole = known["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return known if whole and {**known, **identity} == known else None


def _save(folder: Path, name: str, network: ETNet, card: dict[str, Any]) -> dict[str, Any]:
    from safetensors.torch import save

    state = {
        key: (tensor.half() if tensor.ndim > 1 else tensor).contiguous()
        for key, tensor in network.cpu().state_dict().items()
        if not key.startswith("head.")
    }
    content = save(state, {"name": name, "encoding": card["encoding"]})
    card = json.loads(json.dumps({**card, "sha256": hashlib.sha256(content).hexdigest()}))
    write_bytes(folder / f"{name}.safetensors", content)
    write_text(folder / f"{name}.json", json.dumps(card, indent=1) + "\n")
    _checkpoint(folder, name).unlink(missing_ok=True)
    remove_drafts(_checkpoint(folder, name))
    return card
