"""torchvision's datasets by name, downloaded by torchvision where there is a network.

torchvision is imported only to decode a dataset: once that lies in the cache, a trial does without.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nni_nasoa.files import cache_folder, locked, own_folder
from nni_nasoa.values import reason

from .arrays import DatasetError, Holdout, ImageSplit
from .decoded import Loaded, Sample, Source, open_decoded

if TYPE_CHECKING:
    from PIL import Image


class _LabelledImages(Protocol):
    """What torchvision's datasets are for this module; torchvision has no types."""

    def __getitem__(self, index: int) -> tuple[Image.Image, int]: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class TorchvisionSet:
    """How a class of `torchvision.datasets` is opened.

    Parameters
    ----------
    class_name
        Name of the class.
    train, val, test
        Its arguments for the training, the validation and the test part; None where it has no such part.
    mirrored
        Whether an image means the same when mirrored left to right.
    """

    class_name: str
    train: Mapping[str, Any] = field(default_factory=dict)
    val: Mapping[str, Any] | None = None
    mirrored: bool = True
    test: Mapping[str, Any] | None = field(default_factory=lambda: {"split": "test"})


KNOWN = {
    "cifar10": TorchvisionSet("CIFAR10", {"train": True}, test={"train": False}),
    "cifar100": TorchvisionSet("CIFAR100", {"train": True}, test={"train": False}),
    "mnist": TorchvisionSet("MNIST", {"train": True}, mirrored=False, test={"train": False}),
    "fashionmnist": TorchvisionSet("FashionMNIST", {"train": True}, test={"train": False}),
    "kmnist": TorchvisionSet("KMNIST", {"train": True}, mirrored=False, test={"train": False}),
    "usps": TorchvisionSet("USPS", {"train": True}, mirrored=False, test={"train": False}),
    "svhn": TorchvisionSet("SVHN", {"split": "train"}, mirrored=False),
    "stl10": TorchvisionSet("STL10", {"split": "train"}),
    "gtsrb": TorchvisionSet("GTSRB", {"split": "train"}, mirrored=False),
    "flowers102": TorchvisionSet("Flowers102", {"split": "train"}, {"split": "val"}),
    "food101": TorchvisionSet("Food101", {"split": "train"}),
    "oxfordiiitpet": TorchvisionSet("OxfordIIITPet", {"split": "trainval"}),
    "dtd": TorchvisionSet("DTD", {"split": "train"}, {"split": "val"}),
    "fgvcaircraft": TorchvisionSet("FGVCAircraft", {"split": "train"}, {"split": "val"}),
    "eurosat": TorchvisionSet("EuroSAT", test=None),
    "caltech101": TorchvisionSet("Caltech101", test=None),
    "caltech256": TorchvisionSet("Caltech256", test=None),
    "sun397": TorchvisionSet("SUN397", test=None),
    "country211": TorchvisionSet("Country211", {"split": "train"}, {"split": "valid"}),
    "imagenette": TorchvisionSet("Imagenette", {"split": "train"}, test={"split": "val"}),
    "renderedsst2": TorchvisionSet("RenderedSST2", {"split": "train"}, {"split": "val"}, mirrored=False),
}


def normalized(name: str) -> str:
    """The name as it stands in `KNOWN`: CIFAR-10 is cifar10."""
    return name.lower().replace("-", "").replace("_", "")


def open_torchvision(
    name: str, folder: Path | None, holdout: Holdout, input_size: int, show_progress: bool | None = None
) -> ImageSplit:
    """Open one of `KNOWN`, whose files lie in a folder, by default in the cache; see `Dataset.open`."""
    known = KNOWN[name]
    root = _root(folder)
    key: dict[str, str | int | float] = {"torchvision": name, "root": str(root.resolve())}
    if known.val is None:
        key |= {"seed": holdout.seed, "val_fraction": holdout.fraction}
    return open_decoded(
        Loaded(name, known.mirrored),
        key,
        input_size,
        lambda: _source(name, holdout, root),
        show_progress=show_progress,
    )


def test_part(name: str, folder: Path | None) -> tuple[tuple[str, ...], list[Sample]] | None:
    """The classes and images of the official test part of one of `KNOWN`; None where it has none.

    Raises
    ------
    DatasetError
        It can neither be loaded nor downloaded.
    """
    arguments = KNOWN[name].test
    if arguments is None:
        return None
    dataset = _load(name, _root(folder), arguments)
    labels = _labels(dataset)
    return _class_names(dataset, int(labels.max()) + 1), _samples(dataset, labels, range(len(labels)))


def _root(folder: Path | None) -> Path:
    return folder.expanduser() if folder is not None else cache_folder() / "torchvision"


def _source(name: str, holdout: Holdout, root: Path) -> Source:
    known = KNOWN[name]
    dataset = _load(name, root, known.train)
    labels = _labels(dataset)
    if known.val is None:
        train, val = (_samples(dataset, labels, indices) for indices in holdout.parts(labels))
    else:
        other = _load(name, root, known.val)
        other_labels = _labels(other)
        train, val = (
            _samples(dataset, labels, range(len(labels))),
            _samples(other, other_labels, range(len(other_labels))),
        )
        labels = np.concatenate([labels, other_labels])
    return Source(_class_names(dataset, int(labels.max()) + 1), train, val)


def _load(name: str, root: Path, arguments: Mapping[str, Any]) -> _LabelledImages:
    from torchvision import datasets

    try:
        if not root.is_dir():
            own_folder(root)
        with locked(root / f".{name}.lock"):  # two trials that start together download once
            return getattr(datasets, KNOWN[name].class_name)(root, download=True, **arguments)
    # No network, a broken archive, no room: each dataset has its own way to say so.
    except Exception as error:
        raise DatasetError(
            f"{name}: torchvision could not load or download it ({reason(error)}); "
            f"where there is no network, put its files into {root} first"
        ) from error


def _labels(dataset: _LabelledImages) -> np.ndarray:
    """All labels; torchvision has no common name for them, and to read each would decode every image."""
    for attribute in ("targets", "labels", "_labels", "y"):
        if hasattr(dataset, attribute):
            return np.asarray(getattr(dataset, attribute), dtype=np.int64)
    if hasattr(dataset, "_samples"):
        return np.array([label for _, label in dataset._samples], dtype=np.int64)
    return np.array([dataset[i][1] for i in range(len(dataset))], dtype=np.int64)


def _class_names(dataset: _LabelledImages, count: int) -> tuple[str, ...]:
    for attribute in ("classes", "categories"):
        names = getattr(dataset, attribute, None)
        if names is not None and len(names) == count:
            return tuple(name[0] if isinstance(name, tuple) else str(name) for name in names)
    return tuple(map(str, range(count)))


def _samples(dataset: _LabelledImages, labels: np.ndarray, indices: Iterable[int]) -> list[Sample]:
    return [Sample(partial(_image, dataset, int(i)), int(labels[i]), f"image {i}") for i in indices]


def _image(dataset: _LabelledImages, index: int) -> Image.Image:
    return dataset[index][0]
