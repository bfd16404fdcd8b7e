"""What an ONNX file says of how images are prepared for it, and the graph that does so within it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nni_nasoa.data.rendering import CROP, PAD, PADDING, SQUISH

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

PREFIX = "preprocessing/"
AXES = (1, 2)  # height and width of pixels
CUBIC = -0.5  # the coefficient of Pillow's bicubic filter
_IN_WORDS = {
    CROP: "a square of the shorter side, at the centre",
    PAD: f"the whole, with grey of {PADDING} beside it to make it square",
    SQUISH: "the whole, whose sides become equally long",
}


def metadata(classes: Sequence[str], input_size: int, inside: bool, geometry: str = CROP) -> dict[str, str]:
    """The metadata of a model: "classes", a list of names, and "preprocessing", an object, as JSON in ASCII.

    Parameters
    ----------
    classes
        In the order of the probabilities.
    input_size
        Height and width of the images, in pixels.
    inside
        Whether the model resizes images by itself.
    geometry
        See `Rendering`.
    """
    steps = {
        "colour": "RGB",
        "orientation": "as EXIF notes it",
        "geometry": geometry,
        "square": _IN_WORDS[geometry],
        "resize": [input_size, input_size],
        "filter": "bicubic, antialiased",
        "range": [0, 255] if inside else [0, 1],
        "type": "uint8" if inside else "float32",
        "layout": "n, height, width, channels" if inside else "n, channels, height, width",
        "inside": ["square", "resize", "scale", "normalise"] if inside else ["normalise"],
    }
    return {"classes": json.dumps(list(classes)), "preprocessing": json.dumps(steps)}


class _Graph:
    """Nodes and constants of a graph, whose names begin alike; "pixels" is its input, "" no input."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node; the name of its output."""
        from onnx import helper

        names = [one if one in ("", "pixels") else PREFIX + one for one in inputs]
        made = PREFIX + output
        self.nodes.append(helper.make_node(kind, names, [made], name=made, **attributes))
        return output

    def constant(self, name: str, kind: int, values: Sequence[float], *shape: int) -> str:
        """Add a tensor; its name."""
        from onnx import helper

        self.constants.append(helper.make_tensor(PREFIX + name, kind, shape, values))
        return name


def with_preprocessing(model: ModelProto, input_size: int, geometry: str = CROP) -> ModelProto:
    """A model that takes "pixels" (n, height, width, 3) uint8 where the given one takes "images".

    They are made square and resized as `data.decode.to_array` does it, but that what is cropped begins at a
    whole pixel.
    """
    from onnx import TensorProto, compose, helper

    graph, used = _Graph(), "pixels"
    height = width = graph.constant("size", TensorProto.INT64, [input_size], 1)
    black, white = (graph.constant(f"{value:g}", TensorProto.FLOAT, [value]) for value in (0.0, 255.0))
    graph.constant("two", TensorProto.INT64, [2], 1)
    graph.node("Shape", ["pixels"], "height_width", start=AXES[0], end=AXES[1] + 1)
    if geometry == CROP:
        used = _cropped(graph)
    elif geometry == PAD:
        height, width = _inner_size(graph, input_size)
    graph.node("Transpose", [used], "channels_first", perm=[0, 3, 1, 2])
    resized = graph.node("Cast", ["channels_first"], "floats", to=TensorProto.FLOAT)
    for axis, length, done in ((3, width, "wide"), (2, height, "high")):  # as Pillow does
        filtered = {"mode": "cubic", "cubic_coeff_a": CUBIC, "antialias": 1, "exclude_outside": 1}
        graph.node("Resize", [resized, "", "", length], f"resized_{done}", axes=[axis], **filtered)
        graph.node("Clip", [f"resized_{done}", black, white], f"clipped_{done}")
        resized = graph.node("Round", [f"clipped_{done}"], done)
    graph.node("Div", [_padded(graph) if geometry == PAD else resized, white], "images")
    before = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "preprocessing",
            [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", "height", "width", 3])],
            [
                helper.make_tensor_value_info(
                    f"{PREFIX}images", TensorProto.FLOAT, ["n", 3, input_size, input_size]
                )
            ],
            graph.constants,
        ),
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
    )
    return compose.merge_models(before, model, io_map=[(f"{PREFIX}images", "images")])


def _cropped(graph: _Graph) -> str:
    """The square of the shorter side, at the centre of "pixels"."""
    from onnx import TensorProto

    graph.constant("axes", TensorProto.INT64, AXES, 2)
    graph.node("ReduceMin", ["height_width"], "side", keepdims=1)
    graph.node("Sub", ["height_width", "side"], "beyond")
    graph.node("Div", ["beyond", "two"], "begin")
    graph.node("Add", ["begin", "side"], "end")
    return graph.node("Slice", ["pixels", "begin", "end", "axes"], "cropped")


def _inner_size(graph: _Graph, input_size: int) -> tuple[str, str]:
    """Height and width of the whole image in a square, see `data.decode`; "inner" has both."""
    from onnx import TensorProto

    graph.constant("scale", TensorProto.DOUBLE, [input_size], 1)
    graph.constant("least", TensorProto.INT64, [1], 1)
    graph.node("ReduceMax", ["height_width"], "side", keepdims=1)
    for given, made in (("height_width", "lengths"), ("side", "longer")):
        graph.node("Cast", [given], made, to=TensorProto.DOUBLE)
    graph.node("Mul", ["scale", "lengths"], "scaled")
    graph.node("Div", ["scaled", "longer"], "exact")
    graph.node("Round", ["exact"], "whole")
    graph.node("Cast", ["whole"], "whole_pixels", to=TensorProto.INT64)
    graph.node("Max", ["whole_pixels", "least"], "inner")
    for place, what in enumerate(("height", "width")):
        graph.constant(f"place_of_{what}", TensorProto.INT64, [place], 1)
        graph.node("Gather", ["inner", f"place_of_{what}"], f"inner_{what}", axis=0)
    return "inner_height", "inner_width"


def _padded(graph: _Graph) -> str:
    """The whole image "high" with grey beside it."""
    from onnx import TensorProto

    graph.constant("grey", TensorProto.FLOAT, [PADDING])
    graph.constant("image_axes", TensorProto.INT64, [2, 3], 2)
    graph.node("Sub", ["size", "inner"], "beside")
    graph.node("Div", ["beside", "two"], "before")
    graph.node("Sub", ["beside", "before"], "behind")
    graph.node("Concat", ["before", "behind"], "pads", axis=0)
    return graph.node("Pad", ["high", "pads", "grey", "image_axes"], "padded")
