from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from training.int8_graph import (
    _channel_means,
    _correct_biases,
    _last_convolutions,
    _lost_by_rounding,
    _narrow_convolutions,
    write_int8_graph,
)

RNG = np.random.default_rng(5)
PICTURES = [RNG.integers(0, 256, (16, 16, 3), np.uint8) for _ in range(8)]


@pytest.fixture(autouse=True)
def _nothing_is_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.int8_graph._NARROW", 0)


def graph(path: Path) -> Path:
    """Pixels, a convolution, one by channel, and two that nothing convolves after: one told as it is, one as a mean."""
    shapes = {"a": (8, 3, 3, 3), "b": (8, 1, 3, 3), "c": (4, 8, 1, 1), "d": (2, 8, 1, 1)}
    weights = {name: RNG.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    weights["b"][3] = 0  # a channel whose weights are all nothing
    weights |= {f"{name}_bias": RNG.normal(size=len(weights[name])).astype(np.float32) for name in shapes}
    weights |= {"scale": np.array(1 / 128, np.float32), "mean": np.array(127, np.uint8)}
    nodes = [
        helper.make_node("DequantizeLinear", ["pictures", "scale", "mean"], ["pixels"], "pixels"),
        helper.make_node("Transpose", ["pixels"], ["planes"], "planes", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "a", "a_bias"], ["first"], "first"),
        helper.make_node("Relu", ["first"], ["positive"], "positive"),
        helper.make_node("Conv", ["positive", "b", "b_bias"], ["second"], "second", group=8),
        helper.make_node("Conv", ["second", "c", "c_bias"], ["told"], "third"),
        helper.make_node("Conv", ["second", "d", "d_bias"], ["fourth"], "fourth"),
        helper.make_node("ReduceMean", ["fourth"], ["mean_of_it"], "reduced", keepdims=1),
    ]
    made = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("pictures", TensorProto.UINT8, ["B", 16, 16, 3])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("told", "mean_of_it")],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def run(path: Path, picture: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return list(session.run(None, {"pictures": picture[None]}))


def test_the_last_convolutions_are_those_that_no_other_reads(tmp_path: Path) -> None:
    assert sorted(_last_convolutions(onnx.load(graph(tmp_path / "model.onnx")))) == ["fourth", "third"]


def test_a_graph_in_8_bit_integers_computes_nearly_the_same(tmp_path: Path) -> None:
    exact, rounded = graph(tmp_path / "model.onnx"), tmp_path / "int8.onnx"
    write_int8_graph(exact, rounded, PICTURES)
    stored = onnx.load(rounded).graph
    weights = {w.name: numpy_helper.to_array(w) for w in stored.initializer}
    kinds = {name: value.dtype for name, value in weights.items() if value.ndim == 4}
    assert sorted(map(str, kinds.values())) == ["float32", "float32", "int8", "int8"]
    assert {str(kinds["c"]), str(kinds["d"])} == {"float32"}  # the last ones
    steps = [
        value
        for name, value in weights.items()
        if name.endswith("_quantized_scale") or name.endswith("_scale")
    ]
    assert sum(value.shape == (8,) for value in steps) >= 2  # of weights, one for each channel
    assert [opset.domain for opset in onnx.load(rounded).opset_import] == [
        ""
    ]  # nothing newer than what serves needs
    for before, after in zip(run(exact, PICTURES[0]), run(rounded, PICTURES[0]), strict=True):
        assert after.dtype == np.float32
        assert 0 < np.abs(after - before).mean() < 0.02 * np.abs(before).max()


def test_narrow_convolutions_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the graph read or write eight channels, one of them in groups."""
    model = onnx.load(graph(tmp_path / "model.onnx"))
    for most, names in ((7, set()), (8, {"first", "second", "third", "fourth"})):
        monkeypatch.setattr("training.int8_graph._NARROW", most)
        assert _narrow_convolutions(model) == names


@pytest.mark.parametrize("task", ["detector", "pose"])
def test_the_convolutions_that_ship_in_integers_are_wide(root: Path, task: str) -> None:
    stored = onnx.load(root / "service" / "weights" / task / "model-int8.onnx").graph.initializer
    weights = [numpy_helper.to_array(weight) for weight in stored]
    channels = [max(w.shape[:2]) for w in weights if w.ndim == 4 and w.dtype == np.int8]
    assert len(channels) > 40
    assert min(channels) > 96


def test_corners_of_boxes_are_not_rounded(root: Path) -> None:
    """They are sums of places and sizes, wherever in the picture."""
    session = onnxruntime.InferenceSession(str(root / "service" / "weights" / "detector" / "model-int8.onnx"))
    boxes, _ = session.run(["boxes", "scores"], {"images": RNG.integers(0, 256, (1, 512, 512, 3), np.uint8)})
    assert boxes.max() > 480
    assert len(np.unique(boxes)) > 0.9 * boxes.size


def test_biases_are_corrected_and_ranges_are_those_of_all_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact, rounded = graph(tmp_path / "model.onnx"), tmp_path / "int8.onnx"
    made = []
    for pictures in (PICTURES, PICTURES[:1]):
        write_int8_graph(exact, rounded, pictures)
        made.append(rounded.read_bytes())
    monkeypatch.setattr("training.int8_graph._correct_biases", lambda *_: None)
    write_int8_graph(exact, rounded, PICTURES)
    assert len({*made, rounded.read_bytes()}) == 3


def test_biases_make_up_for_what_rounding_weights_does_to_means(tmp_path: Path) -> None:
    exact, feeds = onnx.load(graph(tmp_path / "model.onnx")), [{"pictures": p[None]} for p in PICTURES]
    before = _channel_means(exact, ["first", "second"], feeds)
    off = []
    for corrected in (False, True):
        rounded = onnx.ModelProto()
        rounded.CopyFrom(exact)
        if corrected:
            _correct_biases(rounded, ["third", "fourth"], feeds)
        for weight in rounded.graph.initializer:
            if weight.name in ("a", "b"):
                value = numpy_helper.to_array(weight)
                weight.CopyFrom(numpy_helper.from_array(value - _lost_by_rounding(value), weight.name))
        after = _channel_means(rounded, ["first", "second"], feeds)
        off.append(np.concatenate([np.abs(after[name] - before[name]) for name in before]))
    assert off[1].mean() < 0.2 * off[0].mean()
    assert off[0].max() < 0.1  # of weights around 1: there are 255 levels
