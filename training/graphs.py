"""ONNX graphs of the default networks: as torch writes them, then with less to do and half the size."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxscript import ir
from onnxscript.rewriter import rewrite
from onnxscript.rewriter.pattern import RewriteRule
from torch import Tensor, nn

from service.inference.geometry import STRIDE
from service.models.detector import HandDetector
from service.models.layers import PIXEL_MEAN, PIXEL_SCALE
from service.models.pose import HandPose

# Attributes of a convolution that looks at every cell once.
_EVERY_CELL: dict[str, Any] = {"group": 1, "strides": (1, 1), "pads": (0, 0, 0, 0)}
_LARGE = 1024  # numbers in a tensor that is worth storing in half precision


class _Served(nn.Module):
    """What serving asks of a network, as its forward pass."""

    def __init__(self, network: HandDetector | HandPose) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        if isinstance(self.network, HandDetector):
            return self.network.detect(pictures)
        return self.network.estimate(pictures)


def write_graph(network: HandDetector | HandPose, path: Path, pictures: NDArray[np.uint8]) -> None:
    """Export to ONNX, computing in float32, with a dynamic batch, and for a detector dynamic sides.

    Batch norms are folded into the convolutions.
    """
    dynamic: dict[int, Any] = {0: torch.export.Dim("batch", min=1, max=4096)}
    if isinstance(network, HandDetector):
        inputs, outputs = "images", ["boxes", "scores"]
        dynamic[1] = STRIDE * torch.export.Dim("rows", min=2, max=64)
        dynamic[2] = STRIDE * torch.export.Dim("columns", min=2, max=64)
    else:
        inputs, outputs = "crops", ["keypoints", "scores", "hand", "right", "depth"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Served(network),
            (
                torch.from_numpy(np.resize(pictures, (2, *pictures.shape[1:]))),
            ),  # of one, its batch would be fixed
            path,
            input_names=[inputs],
            output_names=outputs,
            dynamic_shapes=(dynamic,),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    save_compact(simplified(onnx.load(path)), path)


def save_compact(model: onnx.ModelProto, path: Path) -> None:
    """Save a graph without what its exporter noted, its large weights in half precision where nothing is lost."""
    _store_in_half(model)
    _forget_origin(model)
    onnx.save(model, path)


def simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    """A graph that computes the same, up to rounding, with less to do."""
    return rewrite(model, pattern_rewrite_rules=_SIMPLER)


def _normalised(op: Any, pixels: Any) -> Any:
    floats = op.Cast(pixels, to=onnx.TensorProto.FLOAT)
    return op.Div(op.Sub(floats, PIXEL_MEAN), PIXEL_SCALE)


def _dequantised(op: Any, pixels: Any) -> Any:
    """The same numbers in one pass over the picture rather than three."""
    scale = op.Constant(value=ir.tensor(np.array(1 / PIXEL_SCALE, np.float32)))
    mean = op.Constant(value=ir.tensor(np.array(PIXEL_MEAN, np.uint8)))
    return op.DequantizeLinear(pixels, scale, mean)


def _two_convolutions(op: Any, x: Any, first: Any, bias: Any, second: Any, other_bias: Any) -> Any:
    return op.Conv(op.Conv(x, first, bias, **_EVERY_CELL), second, other_bias, **_EVERY_CELL)


def _are_one(
    context: Any, first: ir.Value, bias: ir.Value, second: ir.Value, other_bias: ir.Value, **others: Any
) -> bool:
    """Two 1×1 convolutions with nothing in between are one, which here multiplies less than both."""
    if any(value.const_value is None for value in (first, bias, second, other_bias)):
        return False
    (between, inputs, *kernel), (outputs, _, *other) = _numbers(first).shape, _numbers(second).shape
    return [*kernel, *other] == [1, 1, 1, 1] and outputs * inputs < between * (inputs + outputs)


def _numbers(value: ir.Value) -> NDArray[np.float64]:
    """What a constant is."""
    assert value.const_value is not None
    return value.const_value.numpy().astype(float)


def _one_convolution(
    op: Any, x: Any, first: ir.Value, bias: ir.Value, second: ir.Value, other_bias: ir.Value
) -> Any:
    a, b, c, d = (_numbers(value) for value in (first, bias, second, other_bias))
    a, c = a[:, :, 0, 0], c[:, :, 0, 0]
    weight, offset = (c @ a)[:, :, None, None].astype(np.float32), (c @ b + d).astype(np.float32)
    return op.Conv(
        x,
        op.initializer(ir.tensor(weight), f"{second.name}_merged"),
        op.initializer(ir.tensor(offset), f"{other_bias.name}_merged"),
    )


_SIMPLER = (
    RewriteRule(_normalised, _dequantised),
    RewriteRule(_two_convolutions, _one_convolution, _are_one),
)


def _store_in_half(model: onnx.ModelProto) -> None:
    """Keep large weights in half precision where nothing is lost by that, and cast them up: half the file. What loads
    the graph does that once, so that it computes the same as before, as fast as before.
    """
    graph = model.graph
    casts = []
    for weight in graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT or np.prod(weight.dims) < _LARGE:
            continue
        value = numpy_helper.to_array(weight)
        half = value.astype(np.float16)
        if np.array_equal(half.astype(np.float32), value):
            name = weight.name
            weight.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
            casts.append(
                helper.make_node("Cast", [weight.name], [name], f"{name}_cast", to=onnx.TensorProto.FLOAT)
            )
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _forget_origin(model: onnx.ModelProto) -> None:
    """Drop what the exporter notes of every node: the lines of Python it came from, with the paths of this machine."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        del part.metadata_props[:]
        part.doc_string = ""
    del model.metadata_props[:]
    used = {node.domain for node in graph.node}
    for opset in [opset for opset in model.opset_import if opset.domain not in used]:
        model.opset_import.remove(opset)
    model.producer_name, model.producer_version, model.doc_string = "handpose", "", ""
