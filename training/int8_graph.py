"""A graph that computes in 8-bit integers, made of one in float32 without training.

Weights are rounded a channel at a time, activations a tensor at a time, over the ranges that they have on some pictures
(ONNX Runtime's static quantisation). What rounding its weights does to the mean of a channel is taken out of its bias
again: "Data-free quantization through weight equalization and bias correction", Nagel et al. 2019. The last
convolutions stay in float32, since boxes and peaks are read from what they say, and so does all that is done with it:
sums are left out, since corners of boxes are sums. Narrow convolutions stay in float32, too: integers would save little
there, and cost the most.
"""

import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from training.graphs import save_compact

Picture = NDArray[np.uint8]

_NARROW = 96  # channels, at most, of convolutions that stay in float32
_INTEGER = ["Conv", "Clip", "Relu"]  # operators that compute in integers
_LEVELS = 127  # a weight is one of -127 to 127, times its channel's step
_CORRECTED_ON = 100  # pictures that biases are corrected on


def write_int8_graph(graph: Path, path: Path, pictures: Sequence[Picture]) -> None:
    """Write what a float32 graph computes in 8-bit integers.

    graph: of a default network; each of its convolutions has a weight and a bias of its own, and one group or one for
    each channel. pictures: inputs as serving makes them, (H, W, 3) uint8 RGB each, in an order that means nothing.
    """
    model = _folded(graph)
    add_pre_process_metadata(model)  # quantisation asks for it
    given = model.graph.input[0].name
    exact = _narrow_convolutions(model) | set(_last_convolutions(model))
    _correct_biases(model, exact, [{given: picture[None]} for picture in pictures[:_CORRECTED_ON]])
    with tempfile.TemporaryDirectory() as scratch:
        written = Path(scratch) / "int8.onnx"
        quantize_static(
            model,
            written,
            _Inputs(given, pictures),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_INTEGER,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=sorted(exact),
        )
        save_compact(onnx.load(written), path)


class _Inputs(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, pictures: Sequence[Picture]) -> None:
        self._feeds: Iterator[dict[str, Picture]] = iter([{name: picture[None]} for picture in pictures])

    def get_next(self) -> dict[str, Picture] | None:
        return next(self._feeds, None)


def _folded(graph: Path) -> onnx.ModelProto:
    """The graph with what is constant in it computed: weights in float32, as quantisation wants them."""
    with tempfile.TemporaryDirectory() as scratch:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(scratch) / "folded.onnx")
        _session(str(graph), options)
        return onnx.load(options.optimized_model_filepath)


def _session(model: str | bytes, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _narrow_convolutions(model: onnx.ModelProto) -> set[str]:
    """Names of the convolutions that read and write at most `_NARROW` channels."""
    shapes = {weight.name: weight.dims for weight in model.graph.initializer}
    names = set()
    for node in model.graph.node:
        if node.op_type == "Conv":
            outputs, inputs = shapes[node.input[1]][:2]  # of a group
            if max(outputs, inputs) <= _NARROW:
                names.add(node.name)
    return names


def _last_convolutions(model: onnx.ModelProto) -> list[str]:
    """Names of the convolutions on whose outputs no other convolution depends."""
    read_later: set[str] = set()  # by a convolution, at once or after other nodes
    last = []
    for node in reversed(model.graph.node):  # a graph's nodes come after what they read
        leads_on = any(output in read_later for output in node.output)
        if node.op_type == "Conv" and not leads_on:
            last.append(node.name)
        if node.op_type == "Conv" or leads_on:
            read_later.update(node.input)
    return last


def _correct_biases(
    model: onnx.ModelProto, left_alone: Collection[str], feeds: Sequence[dict[str, Picture]]
) -> None:
    """Take out of each bias what rounding the weights adds to the mean of its channel."""
    weights = {weight.name: weight for weight in model.graph.initializer}
    convolutions = [n for n in model.graph.node if n.op_type == "Conv" and n.name not in left_alone]
    means = _channel_means(model, sorted({node.input[0] for node in convolutions}), feeds)
    for node in convolutions:
        read, weight, bias = node.input
        lost = _lost_by_rounding(numpy_helper.to_array(weights[weight])).sum((2, 3))
        mean = means[read]  # (inputs,); lost is (outputs, inputs / group)
        shift = lost @ mean if lost.shape[1] == len(mean) else lost[:, 0] * mean  # in groups of one channel
        corrected = numpy_helper.to_array(weights[bias]) + shift
        weights[bias].CopyFrom(numpy_helper.from_array(corrected.astype(np.float32), bias))


def _lost_by_rounding(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """What each weight is above the level that it is rounded to; weight: (outputs, inputs / group, height, width)."""
    step = np.abs(weight).max((1, 2, 3), keepdims=True) / _LEVELS
    step[step == 0] = 1
    lost: NDArray[np.float32] = weight - np.round(weight / step) * step
    return lost


def _channel_means(
    model: onnx.ModelProto, names: Sequence[str], feeds: Sequence[dict[str, Picture]]
) -> dict[str, NDArray[np.float64]]:
    """The mean of each channel of the tensors of these names, (B, C, H, W) each, over some inputs of the graph."""
    inspected = onnx.ModelProto()
    inspected.CopyFrom(model)
    inspected.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names
    )
    session = _session(inspected.SerializeToString(), onnxruntime.SessionOptions())
    sums: dict[str, NDArray[np.float64]] = {}
    for feed in feeds:
        for name, value in zip(names, session.run(list(names), feed), strict=True):
            sums[name] = sums.get(name, 0.0) + value.mean((0, 2, 3), dtype=np.float64)
    return {name: total / len(feeds) for name, total in sums.items()}
