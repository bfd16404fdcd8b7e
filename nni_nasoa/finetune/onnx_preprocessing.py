"""What an ONNX file says of how images are prepared for it, and the graph that does so within it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnx import ModelProto

PREFIX = "preprocessing/"
AXES = (1, 2)  # height and width of pixels
CUBIC = -0.5  # the coefficient of Pillow's bicubic filter


def metadata(classes: Sequence[str], input_size: int, inside: bool) -> dict[str, str]:
    """The metadata of a model: "classes", a list of names, and "preprocessing", an object, as JSON in ASCII.

    Parameters
    ----------
    classes
        In the order of the probabilities.
    input_size
        Height and width of the images, in pixels.
    inside
        Whether the model crops and resizes by itself.
    """
    steps = {
        "colour": "RGB",
        "orientation": "as EXIF notes it",
        "crop": "a square of the shorter side, at the centre",
        "resize": [input_size, input_size],
        "filter": "bicubic, antialiased",
        "range": [0, 255] if inside else [0, 1],
        "type": "uint8" if inside else "float32",
        "layout": "n, height, width, channels" if inside else "n, channels, height, width",
        "inside": ["crop", "resize", "scale", "normalise"] if inside else ["normalise"],
    }
    return {"classes": json.dumps(list(classes)), "preprocessing": json.dumps(steps)}


def with_preprocessing(model: ModelProto, input_size: int) -> ModelProto:
    """A model that takes "pixels" (n, height, width, 3) uint8 where the given one takes "images".

    They are cropped and resized as `data.decode.to_array` does it, but that a square begins at a whole pixel.
    """
    from onnx import TensorProto, compose, helper

    def name(what: str) -> str:
        return PREFIX + what

    def node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        names = [one if one in ("", "pixels") else name(one) for one in inputs]
        nodes.append(helper.make_node(kind, names, [name(output)], name=name(output), **attributes))

    def constant(what: str, kind: int, values: Sequence[float], *shape: int) -> None:
        constants.append(helper.make_tensor(name(what), kind, shape, values))

    nodes: list = []
    constants: list = []
    constant("axes", TensorProto.INT64, AXES, 2)
    constant("two", TensorProto.INT64, [2], 1)
    constant("size", TensorProto.INT64, [input_size], 1)
    constant("black", TensorProto.FLOAT, [0.0])
    constant("white", TensorProto.FLOAT, [255.0])
    node("Shape", ["pixels"], "height_width", start=AXES[0], end=AXES[1] + 1)
    node("ReduceMin", ["height_width"], "side", keepdims=1)
    node("Sub", ["height_width", "side"], "beyond")
    node("Div", ["beyond", "two"], "begin")
    node("Add", ["begin", "side"], "end")
    node("Slice", ["pixels", "begin", "end", "axes"], "square")
    node("Transpose", ["square"], "channels_first", perm=[0, 3, 1, 2])
    node("Cast", ["channels_first"], "floats", to=TensorProto.FLOAT)
    for axis, given, done in ((3, "floats", "wide"), (2, "wide", "high")):  # as Pillow does
        filtered = {"mode": "cubic", "cubic_coeff_a": CUBIC, "antialias": 1, "exclude_outside": 1}
        node("Resize", [given, "", "", "size"], f"resized_{done}", axes=[axis], **filtered)
        node("Clip", [f"resized_{done}", "black", "white"], f"clipped_{done}")
        node("Round", [f"clipped_{done}"], done)
    node("Div", ["high", "white"], "images")
    graph = helper.make_graph(
        nodes,
        "preprocessing",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", "height", "width", 3])],
        [helper.make_tensor_value_info(name("images"), TensorProto.FLOAT, ["n", 3, input_size, input_size])],
        constants,
    )
    before = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    return compose.merge_models(before, model, io_map=[(name("images"), "images")])
