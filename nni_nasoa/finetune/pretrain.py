"""Pretrain small networks on fractal images: how the weights of the nano family are made, and made again.

Beside each NAME.safetensors stands NAME.json, a card that says how it was made. A run that is interrupted goes on from
its last whole epoch; networks that are finished are not trained again.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import math
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Mapping

from nni_nasoa.architecture import Architecture

if TYPE_CHECKING:
    import torch

    from nni_nasoa.data import ImageSplit
    from nni_nasoa.networks import ETNet

MEAN, STD = (0.5, 0.5, 0.5), (0.33, 0.33, 0.33)  # of fractal images, rounded
FORMAT, VERSION = "nni-nasoa pretraining", 1
_EVAL_BATCH = 256


class PretrainError(RuntimeError):
    """A pretraining run that cannot go on. The message is one line."""


@dataclass(frozen=True)
class PretrainRecipe:
    """How networks are pretrained.

    Parameters
    ----------
    classes, instances, val_instances, size, seed
        Of the images, see `data.fractals.open_fractals`; the seed is that of initial weights, order and augmentation, too.
    epochs, batch_size
        Passes over all images, and images a step.
    learning_rate, weight_decay, label_smoothing
        Of AdamW, and of the cross-entropy; the rate is the peak. SGD hardly gets off the ground with so many classes.
    warmup
        Share of all steps in which the learning rate rises; half a cosine brings it down to 0.
    """

    classes: int = 500
    instances: int = 200
    val_instances: int = 2
    size: int = 48
    epochs: int = 6
    batch_size: int = 64
    learning_rate: float = 0.01
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    warmup: float = 0.05
    seed: int = 0


@dataclass(frozen=True)
class Epoch:
    """What is told after each epoch: its number from 1, the mean loss, top-1 accuracy on unseen images (0 to 1), and the
    seconds since the start, those of interrupted runs included."""

    name: str
    number: int
    loss: float
    accuracy: float
    seconds: float


def pretrain_all(networks: Mapping[str, str], folder: str | os.PathLike, recipe: PretrainRecipe = PretrainRecipe(), *,
                 jobs: int = 1, device: str = "cpu", on_epoch: Callable[[Epoch], None] | None = None) -> list[dict[str, Any]]:
    """Pretrain networks, `jobs` at a time, each in a process of its own with its share of the cores.

    Parameters
    ----------
    networks
        Names and ET-NAS encodings.
    folder, recipe, device, on_epoch
        See `pretrain`. With several jobs, `on_epoch` must be a function that can be pickled; it is called in their processes.

    Returns
    -------
    The cards, in the order of `networks`.

    Raises
    ------
    PretrainError, ArchitectureError, DatasetError
        See `pretrain`.
    """
    from nni_nasoa.data.fractals import open_fractals

    for encoding in networks.values():
        Architecture.parse(encoding)
    if jobs == 1:
        return [pretrain(name, encoding, folder, recipe, device=device, on_epoch=on_epoch) for name, encoding in networks.items()]
    open_fractals(**_images_of(recipe), processes=jobs)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    # The costliest ones first, so that the end is not one long run on one core.
    order = sorted(networks, key=lambda name: -Architecture.parse(networks[name]).macs(recipe.size))
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_set_threads, initargs=(threads,)) as pool:
        cards = {name: pool.submit(pretrain, name, networks[name], folder, recipe, device=device, on_epoch=on_epoch)
                 for name in order}
        return [cards[name].result() for name in networks]


def _set_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def pretrain(name: str, encoding: str, folder: str | os.PathLike, recipe: PretrainRecipe = PretrainRecipe(), *,
             device: str = "cpu", on_epoch: Callable[[Epoch], None] | None = None) -> dict[str, Any]:
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
        The folder has a checkpoint of another recipe, or the loss is not finite.
    ArchitectureError, DatasetError
        The encoding is wrong; the images cannot be cached.
    """
    import torch

    from nni_nasoa.data.fractals import open_fractals

    from .devices import resolve_device

    architecture = Architecture.parse(encoding)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    identity = {"format": FORMAT, "version": VERSION, "name": name, "encoding": str(architecture),
                "recipe": dataclasses.asdict(recipe)}
    if (card := _finished(folder, name, identity)) is not None:
        return card
    device = resolve_device(device)
    split = open_fractals(**_images_of(recipe))
    run = _Run(architecture, split, recipe, device, folder / f"{name}.partial.pth", json.dumps(identity))
    for epoch in run.epochs():
        if on_epoch is not None:
            on_epoch(Epoch(name, **epoch))
    card = {**identity, "params_m": round(architecture.parameters(recipe.classes) / 1e6, 4),
            "input_size": recipe.size, "mean": MEAN, "std": STD,
            "accuracy": run.history[-1]["accuracy"] if run.history else None, "history": run.history,
            "device": device.type, "threads": torch.get_num_threads(), "date": datetime.date.today().isoformat(),
            "versions": {package: importlib.metadata.version(package) for package in ("nni-nasoa", "torch", "numpy")}}
    return _save(folder, name, run.network, card)


def _images_of(recipe: PretrainRecipe) -> dict[str, int]:
    return {key: getattr(recipe, key) for key in ("classes", "instances", "val_instances", "size", "seed")}


def _finished(folder: Path, name: str, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """The card, where card and weights are there and belong together."""
    weights, card = folder / f"{name}.safetensors", folder / f"{name}.json"
    try:
        known = json.loads(card.read_text(encoding="utf-8"))
        whole = known["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return known if whole and {**known, **identity} == known else None


def _save(folder: Path, name: str, network: ETNet, card: dict[str, Any]) -> dict[str, Any]:
    from safetensors.torch import save

    state = {key: (tensor.half() if tensor.ndim > 1 else tensor).contiguous()
             for key, tensor in network.cpu().state_dict().items() if not key.startswith("head.")}
    content = save(state, {"name": name, "encoding": card["encoding"]})
    card = json.loads(json.dumps({**card, "sha256": hashlib.sha256(content).hexdigest()}))
    _replace(folder / f"{name}.safetensors", content)
    _replace(folder / f"{name}.json", (json.dumps(card, indent=1) + "\n").encode())
    (folder / f"{name}.partial.pth").unlink(missing_ok=True)
    return card


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that it is never there in part."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    os.replace(partial, path)


class _Run:
    """The training of one network, epoch by epoch, with a checkpoint after each."""

    def __init__(self, architecture: Architecture, split: ImageSplit, recipe: PretrainRecipe, device: torch.device,
                 checkpoint: Path, identity: str):
        import torch

        from nni_nasoa.networks import ETNet

        from .inputs import Images
        from .optimizers import Optimizer

        self.recipe, self.device, self.checkpoint, self.identity = recipe, device, checkpoint, identity
        self.generator = torch.Generator(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.network = ETNet(architecture, recipe.classes)
        self.network.to(device=device, memory_format=torch.channels_last)
        self.train = Images(split.train, device, MEAN, STD, "crop", generator=self.generator)
        self.val = Images(split.val, device, MEAN, STD)
        self.optimizer = Optimizer("adamw", self.network.parameters(), recipe.weight_decay)
        self.history: list[dict[str, Any]] = []
        self._resume()

    def epochs(self):
        """Train the epochs that are left; yields the record of each."""
        begin = time.monotonic() - (self.history[-1]["seconds"] if self.history else 0)
        for number in range(len(self.history), self.recipe.epochs):
            loss = self._epoch(number)
            if not math.isfinite(loss):
                name = self.checkpoint.name.removesuffix(".partial.pth")
                raise PretrainError(f"{name}: the loss is not finite in epoch {number + 1}; "
                                    f"a learning rate below {self.recipe.learning_rate:g} may help")
            self.history.append({"number": number + 1, "loss": round(loss, 4), "accuracy": round(self._accuracy(), 5),
                                 "seconds": round(time.monotonic() - begin, 1)})
            self._keep()
            yield self.history[-1]

    def _epoch(self, number: int) -> float:
        import torch
        from torch.nn import functional as F

        from nni_nasoa.measure import device_lock

        from .clock import learning_rate_share
        from .devices import autocast

        recipe = self.recipe
        steps = max(1, len(self.train) // recipe.batch_size)
        # A seed for each epoch, so that a resumed run sees what an uninterrupted one sees.
        self.generator.manual_seed(recipe.seed * 1_000_003 + number)
        order = torch.randperm(len(self.train), generator=self.generator, device=self.device)
        total = torch.zeros((), device=self.device)
        self.network.train()
        for step in range(steps):
            progress = (number * steps + step) / (recipe.epochs * steps)
            self.optimizer.learning_rate = recipe.learning_rate * learning_rate_share(progress, recipe.warmup)
            with device_lock(self.device, shared=True):  # whoever measures times on this device is alone meanwhile
                indices = order[step * recipe.batch_size:(step + 1) * recipe.batch_size]
                with autocast(self.device):
                    logits = self.network(self.train.augmented(indices))
                loss = F.cross_entropy(logits.float(), self.train.labels[indices], label_smoothing=recipe.label_smoothing)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                total += loss.detach()
        return total.item() / steps

    def _accuracy(self) -> float:
        import torch

        from .devices import autocast

        self.network.eval()
        correct = 0
        with torch.inference_mode(), autocast(self.device):
            for indices in torch.arange(len(self.val), device=self.device).split(_EVAL_BATCH):
                correct += (self.network(self.val.clean(indices)).argmax(1) == self.val.labels[indices]).sum().item()
        return correct / len(self.val)

    def _keep(self) -> None:
        import torch

        partial = self.checkpoint.with_name(f".{self.checkpoint.name}.{os.getpid()}")
        moments = [{key: group[key] for key in ("momenta", "squares", "steps")} for group in self.optimizer.param_groups]
        torch.save({"identity": self.identity, "history": self.history, "network": self.network.state_dict(),
                    "optimizer": moments}, partial)
        os.replace(partial, self.checkpoint)

    def _resume(self) -> None:
        import torch

        if not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        if state["identity"] != self.identity:
            raise PretrainError(f"{self.checkpoint}: checkpoint of another network or recipe; go on with that one, "
                                "or delete the file")
        self.network.load_state_dict(state["network"])
        for group, kept in zip(self.optimizer.param_groups, state["optimizer"]):
            group.update(kept)
        self.history = state["history"]
