"""A fine-tuned classifier, and the folder that it is saved in.

    model.safetensors   the network's weights; its metadata holds the description, too
    classifier.json     the description: classes, model, regime, normalisation, metrics, outcome, versions

Each file is written under another name and renamed. `model.safetensors` is whole in itself, so that a process
that is killed between the two leaves the new weights with the new description in them, and never a mixture.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import uuid
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from nni_nasoa.data.rendering import PLAIN, Rendering
from nni_nasoa.device.allocation import keep_freed_memory
from nni_nasoa.device.device import resolve_device
from nni_nasoa.device.precision import autocast, faster_type
from nni_nasoa.files import read_json, write_bytes, write_text
from nni_nasoa.training.outcome import NOT_KNOWN, Outcome
from nni_nasoa.training.regime import FineTuneRegime
from nni_nasoa.values import reason

from .errors import ClassifierError
from .image_inputs import ImageWarning, UnreadableImage, as_list, computed, without_pillows_warnings
from .onnx_export import export_onnx
from .openvino_export import export_openvino

FORMAT, VERSION = "nni-nasoa classifier", 1
WEIGHTS, DESCRIPTION = "model.safetensors", "classifier.json"
BATCH = 64
TYPE_IMAGES = 8  # by which the type to predict in is chosen


class Prediction(NamedTuple):
    """A class and its probability."""

    label: str
    probability: float


class Classifier:
    """A network that knows its classes and how it wants its images.

    Parameters
    ----------
    network
        Takes normalised images (n, 3, input_size, input_size), gives logits (n, classes). It is put into eval
        mode.
    about
        The description, see `describe`.
    device
        Where to predict.
    """

    def __init__(
        self, network: nn.Module, about: Mapping[str, Any], device: str | torch.device = "cpu"
    ) -> None:
        keep_freed_memory()
        self.device = resolve_device(device)
        self.network, self.about = network.to(self.device).eval(), dict(about)
        self._type: torch.dtype | None = None  # in which it predicts
        self.classes: tuple[str, ...] = tuple(about["classes"])
        self.input_size: int = about["input_size"]
        self._rendering = Rendering.of_description(about)
        self._mean, self._std = (
            torch.tensor(about[key], dtype=torch.float32, device=self.device).view(3, 1, 1)
            for key in ("mean", "std")
        )

    @property
    def regime(self) -> FineTuneRegime:
        """How it was fine-tuned."""
        return FineTuneRegime.from_json(self.about["regime"])

    @property
    def metrics(self) -> dict[str, Any]:
        """What was measured when it was saved, such as "val_accuracy"."""
        return self.about["metrics"]

    @property
    def outcome(self) -> Outcome:
        """What its run ended with.

        The reason is unknown where the run's process was killed, or an earlier release saved it.
        """
        return Outcome.from_json(self.about["outcome"])

    @torch.inference_mode()
    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Probabilities (n, classes) float32 of images (n, 3, input_size, input_size) uint8."""
        parts = []
        for start in range(0, len(images), BATCH):
            batch = torch.from_numpy(np.array(images[start : start + BATCH])).to(self.device)
            batch = ((batch.float() / 255 - self._mean) / self._std).contiguous(
                memory_format=torch.channels_last
            )
            if start == 0 and len(images) > BATCH:  # only then the type matters, and can be measured
                self._type = faster_type(self.device, partial(self.network, batch[:TYPE_IMAGES]))
            with autocast(self.device, self._type):
                logits = self.network(batch)
            parts.append(logits.float().softmax(1).cpu())
        return torch.cat(parts).numpy() if parts else np.empty((0, len(self.classes)), np.float32)

    def stream(self, images: Iterable[Any]) -> Iterator[np.ndarray | UnreadableImage]:
        """The probabilities of each image, in order: (classes,) float32, or why it cannot be read.

        Files are read in threads, some ahead of what was consumed, and computed in batches.

        Parameters
        ----------
        images
            As `predict` takes them, or functions that open a PIL image.
        """
        return computed(images, self.probabilities, self.input_size, self.device, self._rendering)

    def predict(self, images: Any, top_k: int = 1) -> list[list[Prediction]]:
        """The most probable classes of each image, the best first.

        Parameters
        ----------
        images
            One image or several: paths of files, their bytes, PIL images, arrays (height, width),
            (height, width, 1) or (height, width, 3) uint8, tensors (height, width), (1, height, width) or
            (3, height, width), uint8 or floats from 0 to 1. They become squares as the training
            images did; those that are given stay as they are.
        top_k
            How many classes to give for each.

        Returns
        -------
        A list for each image; it is empty where one of several cannot be read.

        Raises
        ------
        ClassifierError
            An image is of a kind, type or shape that cannot be taken, or none of them can be read.

        Warns
        -----
        ImageWarning
            Of each image that cannot be read, where others can: one line that names it.
        """
        with without_pillows_warnings():
            found = list(self.stream(as_list(images)))
        bad = [one for one in found if isinstance(one, UnreadableImage)]
        if bad and len(bad) == len(found):
            raise bad[0]
        for one in bad:
            warnings.warn(str(one), ImageWarning, stacklevel=2)
        return [[] if isinstance(one, UnreadableImage) else self.best(one, top_k) for one in found]

    def best(self, row: np.ndarray, top_k: int = 1) -> list[Prediction]:
        """The most probable classes by their probabilities (classes,), the best first."""
        order = np.argsort(-row, kind="stable")[: max(1, top_k)]
        return [Prediction(self.classes[i], float(row[i])) for i in order]

    def export_onnx(self, path: str | os.PathLike, preprocessing: bool = False) -> Path:
        """Write an ONNX file; see `onnx_export.export_onnx`."""
        return export_onnx(
            self.network,
            path,
            input_size=self.input_size,
            mean=self.about["mean"],
            std=self.about["std"],
            classes=self.classes,
            preprocessing=preprocessing,
            geometry=self._rendering.geometry,
        )

    def export_openvino(self, path: str | os.PathLike[str], preprocessing: bool = False) -> Path:
        """Write OpenVINO's XML and weights; see `openvino_export.export_openvino`."""
        return export_openvino(path, lambda onnx: self.export_onnx(onnx, preprocessing))


def describe(
    *,
    classes: Iterable[str],
    dataset: str,
    regime: FineTuneRegime,
    encoding: str | None,
    weights_of: str,
    mean: Iterable[float],
    std: Iterable[float],
    metrics: Mapping[str, Any],
    rendering: Rendering = PLAIN,
    outcome: Outcome = NOT_KNOWN,
    notes: Iterable[str] = (),
) -> dict[str, Any]:
    """The description of a classifier, as classifier.json holds it.

    Parameters
    ----------
    encoding
        The network's ET-NAS encoding, by which it can be built where its name is not known; None for other
        kinds.
    weights_of
        Whose names the weights go by: "network", or a view that has another head than the network, "staged"
        or "pooled".
    mean, std
        Of the normalisation, three numbers each, for images from 0 to 1.
    rendering
        How pixels of many bits and transparent ones become colours.
    outcome
        What the run has come to so far.
    """
    versions = {
        package: importlib.metadata.version(package) for package in ("nni-nasoa", "torch", "torchvision")
    }
    return {
        "format": FORMAT,
        "version": VERSION,
        "id": uuid.uuid4().hex,
        "model": regime.model,
        "encoding": encoding,
        "weights_of": weights_of,
        "classes": list(classes),
        "dataset": dataset,
        "input_size": regime.input_size,
        "mean": list(mean),
        "std": list(std),
        "rendering": rendering.to_json(),
        "regime": regime.to_json(),
        "metrics": dict(metrics),
        "outcome": outcome.to_json(),
        "notes": list(notes),
        "versions": {"python": platform.python_version(), **versions},
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def save_classifier(folder: str | os.PathLike, state: Mapping[str, Tensor], about: Mapping[str, Any]) -> Path:
    """Save a network's state_dict and its description; the module's text says what a killed process leaves.

    Raises
    ------
    ClassifierError
        The folder cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save as serialize

    folder, text = Path(folder), json.dumps(about, indent=2)
    tensors = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in state.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Not by safetensors' save_file, which maps the file: where the disk is full, that ends the process.
        # Not durable, as waiting for a busy disk may end past the deadline.
        write_bytes(folder / WEIGHTS, serialize(tensors, metadata={"format": "pt", "classifier": text}))
        write_text(folder / DESCRIPTION, text + "\n")
    except (OSError, SafetensorError) as error:
        raise ClassifierError(f"{folder}: the classifier cannot be saved ({reason(error)})") from None
    return folder


def tell_outcome(folder: Path, outcome: Outcome, notes: Iterable[str]) -> None:
    """Put the end of the run into the description of a classifier that may have been saved long before.

    Raises
    ------
    ClassifierError
        The description cannot be read or written.
    """
    _tell(folder, "how the run ended", outcome=outcome.to_json(), notes=list(notes))


def tell_advice(folder: Path, expected: Mapping[str, float]) -> None:
    """Put what an advice expected of the run into the description, as `Choice.predicted` gives it.

    Raises
    ------
    ClassifierError
        The description cannot be read or written.
    """
    _tell(folder, "what was expected", advice=dict(expected))


def _tell(folder: Path, what: str, **fields: Any) -> None:
    try:
        about = read_json(folder / DESCRIPTION)
        if not isinstance(about, dict):
            raise ValueError("not an object")
        write_text(folder / DESCRIPTION, json.dumps(about | fields, indent=2) + "\n")
    except (OSError, ValueError) as error:
        raise ClassifierError(f"{folder}: {what} cannot be written ({reason(error)})") from None
