"""A saved classifier in OpenVINO's format, for Intel's processors, graphics and accelerators."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from nni_nasoa.files import check_can_be_written, replacing
from nni_nasoa.values import reason

from .errors import ClassifierError
from .onnx_export import require_onnx

SUFFIX, WEIGHTS_SUFFIX = ".xml", ".bin"
ABOUT = "nni_nasoa"  # where the model's runtime information has what ONNX has as metadata


def check_openvino(path: Path) -> None:
    """Raise ClassifierError where a package is missing, or the file does not end as it has to."""
    if path.suffix != SUFFIX:
        raise ClassifierError(
            f"{path}: OpenVINO reads files that end in {SUFFIX}, with weights beside them in {WEIGHTS_SUFFIX}"
        )
    if find_spec("openvino") is None:
        raise ClassifierError("OpenVINO export needs the package openvino: pip install 'nni-nasoa[openvino]'")
    require_onnx()


def export_openvino(path: str | os.PathLike[str], export_onnx: Callable[[Path], Path]) -> Path:
    """Write a classifier as OpenVINO's XML, with its weights beside it.

    Inputs, outputs and metadata are those of the ONNX file that it is made of; the metadata is runtime
    information, ``model.get_rt_info(["nni_nasoa", "classes"])``. Weights stay in float32.

    Parameters
    ----------
    path
        The file, which ends in ".xml"; its folder is there. The weights' ends in ".bin".
    export_onnx
        Writes the classifier to a file, see `onnx_export.export_onnx`.

    Raises
    ------
    ClassifierError
        A package is missing, the network cannot be exported, or a file cannot be written. One line.
    """
    path = Path(path)
    check_openvino(path)
    try:
        check_can_be_written(path)
    except ValueError as error:
        raise ClassifierError(str(error)) from None
    import onnx
    import openvino

    with TemporaryDirectory(prefix="nasoa-openvino-") as place:
        made = Path(place, "model").with_suffix(SUFFIX)
        given = export_onnx(Path(place, "model.onnx"))
        try:
            model = openvino.Core().read_model(given)
            for one in onnx.load(given, load_external_data=False).metadata_props:
                model.set_rt_info(one.value, [ABOUT, one.key])
            openvino.save_model(model, made, compress_to_fp16=False)
        except Exception as error:  # of whatever kind its libraries raise
            raise ClassifierError(f"{path}: the network cannot be converted ({reason(error)})") from None
        try:
            # The weights first: the other file says how to read them.
            for suffix in (WEIGHTS_SUFFIX, SUFFIX):
                with replacing(path.with_suffix(suffix)) as draft:
                    shutil.copyfile(made.with_suffix(suffix), draft)
        except OSError as error:
            raise ClassifierError(f"{path}: cannot be written ({reason(error)})") from None
    return path
