"""A saved classifier as an ONNX file, for programs without torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from nni_nasoa.data.rendering import CROP
from nni_nasoa.files import check_can_be_written, replacing
from nni_nasoa.values import reason

from .errors import ClassifierError

PACKAGES = ("onnx", "onnxscript")


def require_onnx() -> None:
    """Raise ClassifierError where a package that export needs is missing."""
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        raise ClassifierError(f"ONNX export needs the package {missing[0]}: pip install 'nni-nasoa[onnx]'")


class _Exported(nn.Module):
    """The network with its normalisation before it, and softmax after it."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor) -> Tensor:
        return self.network((images - self.mean) / self.std).softmax(1)


def export_onnx(
    network: nn.Module,
    path: str | os.PathLike,
    *,
    input_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    classes: Sequence[str],
    preprocessing: bool = False,
    geometry: str = CROP,
) -> Path:
    """Write an ONNX file of a classifier, with its normalisation and softmax.

    It takes "images" (n, 3, input_size, input_size) float32 from 0 to 1 and gives "probabilities"
    (n, classes), or takes "pixels" of any height and width. Its metadata has the names of the classes and how
    images are to be prepared, as JSON; see `metadata`.

    Parameters
    ----------
    network
        Takes normalised images, gives logits; in eval mode, and on the same device afterwards.
    path
        The file; its folder is there.
    input_size
        Height and width of the images, in pixels.
    mean, std
        The normalisation, three numbers each, for images from 0 to 1.
    classes
        Their names, in the order of the probabilities.
    preprocessing
        Whether the model resizes images by itself: it then takes (n, height, width, 3) uint8, RGB.
    geometry
        How it makes them square, see `Rendering`.

    Raises
    ------
    ClassifierError
        The package onnx or onnxscript is missing, the network cannot be exported, or the file cannot be
        written.
    """
    require_onnx()
    path, device = Path(path), next(network.parameters()).device
    try:
        check_can_be_written(path)
    except ValueError as error:
        raise ClassifierError(str(error)) from None
    import onnx

    from .onnx_preprocessing import metadata, with_preprocessing

    columns = (torch.tensor(values, dtype=torch.float32).view(3, 1, 1) for values in (mean, std))
    exported = _Exported(network.cpu(), *columns).eval()
    try:
        # Two images, for a batch of one would be taken for a constant.
        with replacing(path) as draft:
            torch.onnx.export(
                exported,
                (torch.zeros(2, 3, input_size, input_size),),
                str(draft),
                input_names=["images"],
                output_names=["probabilities"],
                dynamic_shapes={"images": {0: torch.export.Dim("n")}},
                dynamo=True,
                external_data=False,
                verbose=False,
            )
            model = onnx.load(str(draft))
            if preprocessing:
                model = with_preprocessing(model, input_size, geometry)
            onnx.helper.set_model_props(model, metadata(classes, input_size, preprocessing, geometry))
            onnx.save(model, str(draft))
    except OSError as error:
        raise ClassifierError(f"{path}: cannot be written ({reason(error)})") from None
    except Exception as error:  # the exporter fails in many ways
        raise ClassifierError(f"{path}: the network cannot be exported ({reason(error)})") from None
    finally:
        network.to(device)
    return path
