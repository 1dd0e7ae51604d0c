"""The engine over the checkpoints that ship with the package, and over graphs that are wrong."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from service.engines.onnx import EngineError, OnnxDetector, OnnxPose
from service.inference.geometry import Pyramid, letterbox
from service.inference.pipeline import DEFAULT_DETECTOR, DEFAULT_POSE
from service.models.checkpoint import Checkpoint
from training.datasets.coco import read_rgb


@pytest.fixture(scope="module")
def detector() -> OnnxDetector:
    return OnnxDetector(Checkpoint.load(DEFAULT_DETECTOR, "detector"))


@pytest.fixture(scope="module")
def pose() -> OnnxPose:
    return OnnxPose(Checkpoint.load(DEFAULT_POSE, "pose"))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("sides", [(256, 256), (192, 256), (256, 32), (288, 512)])
def test_the_detector_keeps_its_contract(detector: OnnxDetector, batch: int, sides: tuple[int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 255, (batch, *sides, 3), np.uint8)
    found = detector(images)
    candidates = found.boxes.shape[1]
    assert found.boxes.shape == (batch, candidates, 4)
    assert found.scores.shape == (batch, candidates)
    assert found.boxes.dtype == found.scores.dtype == np.float32
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
    assert (np.diff(found.scores, axis=1) <= 0).all()
    assert (found.boxes[..., 2:] > found.boxes[..., :2]).all()


@pytest.mark.parametrize("batch", [1, 3])
def test_the_pose_model_keeps_its_contract(pose: OnnxPose, batch: int) -> None:
    size = pose.input_size
    crops = np.random.default_rng(0).integers(0, 255, (batch, size, size, 3), np.uint8)
    found = pose(crops)
    assert found.keypoints.shape == (batch, 21, 2)
    assert found.scores.shape == (batch, 21)
    assert found.hand.shape == found.right.shape == (batch,)
    assert found.depth is not None
    assert found.depth.shape == (batch, 21)
    assert (found.depth[:, 0] == 0).all()  # of the wrist, which the others are relative to
    for values in (found.scores, found.hand, found.right):
        assert values.dtype == np.float32
        assert ((values >= 0) & (values <= 1)).all()


def test_a_picture_gives_the_same_alone_and_in_a_batch(pose: OnnxPose) -> None:
    size = pose.input_size
    crops = np.random.default_rng(1).integers(0, 255, (2, size, size, 3), np.uint8)
    assert pose(crops).keypoints[1] == pytest.approx(pose(crops[1:]).keypoints[0], abs=0.01)


def test_8_bit_integers_find_the_same(root: Path, pose: OnnxPose, detector: OnnxDetector) -> None:
    rounded = OnnxDetector(Checkpoint.load(DEFAULT_DETECTOR), precision="int8")
    rounded_pose = OnnxPose(Checkpoint.load(DEFAULT_POSE), precision="int8")
    assert rounded.model.precision == rounded_pose.model.precision == "int8"
    for path in sorted((root / "tests" / "photos").glob("*.jpg")):
        pyramid = Pyramid(read_rgb(path))
        picture = letterbox(pyramid, detector.input_size)[0][None]
        expected, found = detector(picture), rounded(picture)
        sure = expected.scores[0] > 0.5
        assert found.scores[0, sure] == pytest.approx(expected.scores[0, sure], abs=0.1)
        assert 0 < np.abs(found.boxes - expected.boxes)[0, sure].max() < 5
        crop = letterbox(pyramid, pose.input_size, multiple=pose.input_size)[0][None]
        poses, others = pose(crop), rounded_pose(crop)
        moved = np.linalg.norm(others.keypoints - poses.keypoints, axis=-1)[poses.scores > 0.5]
        assert 0 < moved.mean() < 1
        assert others.hand == pytest.approx(poses.hand, abs=0.05)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 256, 250, 3), np.uint8),
        np.zeros((1, 544, 256, 3), np.uint8),
        np.zeros((1, 256, 256, 4), np.uint8),
        np.zeros((256, 256, 3), np.uint8),
        np.zeros((1, 256, 256, 3), np.float32),
    ],
)
def test_another_shape_or_type_is_refused(detector: OnnxDetector, images: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected \(B, "):
        detector(images)


def test_it_says_what_really_runs(detector: OnnxDetector) -> None:
    model = detector.model
    assert (model.task, model.device, model.precision) == ("detector", "cpu", "float32")
    assert model.engine.startswith("onnxruntime 1.")
    assert len(model.sha256) == 64


def graph(path: Path, inputs: dict[str, tuple], outputs: dict[str, tuple]) -> Path:
    """A graph with these inputs and outputs; every output is a constant."""
    nodes = []
    for name, shape in outputs.items():
        value = helper.make_tensor("", TensorProto.FLOAT, shape, np.zeros(shape).ravel())
        nodes.append(helper.make_node("Constant", [], [name], value=value))
    made = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(n, TensorProto.UINT8, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path / "model.onnx")
    return path


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        ({"pictures": (1, 256, 256, 3)}, {"boxes": (1, 8, 4), "scores": (1, 8)}, "its inputs are"),
        ({"images": (1, 128, 128, 3)}, {"boxes": (1, 8, 4), "scores": (1, 8)}, r"expected tensor\(uint8\)"),
        ({"images": ("B", "H", "W", 3)}, {"boxes": (1, 8, 4)}, "no output scores"),
        ({"images": ("B", "H", "W", 3)}, {"boxes": (1, 8, 5), "scores": (1, 8)}, "output boxes has shape"),
    ],
)
def test_a_graph_that_breaks_the_contract_is_refused_by_name(
    tmp_path: Path, inputs: dict, outputs: dict, words: str
) -> None:
    checkpoint = replace(Checkpoint.load(DEFAULT_DETECTOR), folder=graph(tmp_path, inputs, outputs))
    with pytest.raises(EngineError, match=words) as caught:
        OnnxDetector(checkpoint)
    assert "model.onnx" in str(caught.value)


def test_a_file_that_is_no_graph_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"nonsense")
    with pytest.raises(EngineError, match=r"model\.onnx: onnxruntime cannot load it"):
        OnnxPose(replace(Checkpoint.load(DEFAULT_POSE), folder=tmp_path))


def test_the_runtime_keeps_nothing_and_tells_nobody(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    homes = {name: str(tmp_path) for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA")}
    program = "from service.inference.pipeline import Pipeline; Pipeline.load()"
    subprocess.run([sys.executable, "-c", program], env=kept | homes, check=True)
    assert list(tmp_path.rglob("*")) == []
