from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from training.graphs import simplified


def model(nodes: list[onnx.NodeProto], of: str, shape: list[int], **weights: np.ndarray) -> onnx.ModelProto:
    """A graph from `x`, of uint8 or float as `of` says, to `y`."""
    inputs = [helper.make_tensor_value_info("x", getattr(TensorProto, of), shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    stored = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def run(graph: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], {"x": x})[0])


def kinds(graph: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in graph.graph.node if node.op_type != "Constant"]


def convolutions(
    between: int, kernel: int = 1, stride: int = 1, used_twice: bool = False, computed_bias: bool = False
) -> onnx.ModelProto:
    """Eight channels, `between`, and eight again, without anything in between."""
    rng = np.random.default_rng(3)
    shapes = {"a": (between, 8, 1, 1), "b": (between,), "c": (8, between, kernel, kernel), "d": (8,)}
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    plain = {"group": 1, "strides": (1, 1), "pads": (0, 0, 0, 0)}
    other = {**plain, "strides": (stride, stride), "pads": [kernel // 2] * 4}
    nodes = [
        helper.make_node("Conv", ["x", "a", "negated" if computed_bias else "b"], ["between"], **plain),
        helper.make_node("Conv", ["between", "c", "d"], ["after" if used_twice else "y"], **other),
    ]
    if computed_bias:
        nodes = [helper.make_node("Neg", ["b"], ["negated"]), *nodes]
    if used_twice:
        nodes += [
            helper.make_node("ReduceSum", ["between"], ["sum"], keepdims=1),
            helper.make_node("Add", ["after", "sum"], ["y"]),
        ]
    return model(nodes, "FLOAT", [1, 8, 5, 6], **weights)


def test_two_convolutions_become_one_that_computes_the_same() -> None:
    x = np.random.default_rng(4).normal(size=(1, 8, 5, 6)).astype(np.float32)
    before = convolutions(between=12)
    after = simplified(convolutions(between=12))
    assert kinds(after) == ["Conv"]
    assert run(after, x) == pytest.approx(run(before, x), abs=1e-4)


@pytest.mark.parametrize(
    "before",
    [
        convolutions(between=3),
        convolutions(between=12, kernel=3),
        convolutions(between=12, stride=2),
        convolutions(between=12, used_twice=True),
        convolutions(between=12, computed_bias=True),
    ],
    ids=[
        "a narrow place saves work",
        "the second looks around",
        "the second skips cells",
        "both are needed",
        "a bias is computed",
    ],
)
def test_two_convolutions_stay_where_one_is_not_the_same_or_no_less_work(before: onnx.ModelProto) -> None:
    assert kinds(simplified(before)).count("Conv") == 2


def test_pixels_are_normalised_in_one_pass() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["floats", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["y"]),
    ]
    constants = {"mean": np.array(127, np.float32), "scale": np.array(128, np.float32)}
    x = np.arange(256, dtype=np.uint8)[None]
    before, after = (model(nodes, "UINT8", [1, 256], **constants) for _ in range(2))
    after = simplified(after)
    assert kinds(after) == ["DequantizeLinear"]
    assert (run(after, x) == run(before, x)).all()


@pytest.mark.parametrize(("task", "merged"), [("detector", 2), ("pose", 0)])
def test_the_graphs_that_ship_are_simple(root: Path, task: str, merged: int) -> None:
    path = root / "service" / "weights" / task / "model.onnx"
    shipped = onnx.load(path)
    assert b'File "' not in path.read_bytes()  # nothing of where it was made
    assert kinds(shipped).count("DequantizeLinear") == 1
    # The detector's last stage and what its pyramid takes of it: a weight and a bias.
    assert sum(weight.name.endswith("_merged") for weight in shipped.graph.initializer) == merged
