"""Which engine runs, on what, and what is said about it. No network is loaded but the pair that ships."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from service.__main__ import main
from service.engines.base import EngineError
from service.engines.factory import Runtime, choose_engine, load_pair
from service.engines.loaded import ServedPrecision
from service.engines.onnx import OnnxDetector
from service.engines.torch import TorchDetector, TorchPose, place
from service.inference.calibration import Calibration, CalibrationCurve, PairCalibration
from service.inference.pipeline import DEFAULT_DETECTOR, DEFAULT_POSE, Pipeline
from service.models.architectures import FASTER_RCNN_MOBILENET, UNET
from service.models.checkpoint import CARD, GRAPH, INT8_GRAPH, Checkpoint, CheckpointError
from service.models.faster_rcnn import HandFasterRCNN
from service.models.unet import HandUNet
from training.datasets.coco import read_rgb


@pytest.fixture(autouse=True)
def threads() -> Any:
    """Loading onto the CPU sets the number of threads for the process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def default_pair() -> tuple[Checkpoint, Checkpoint]:
    return Checkpoint.load(DEFAULT_DETECTOR), Checkpoint.load(DEFAULT_POSE)


@pytest.fixture
def unet(write_checkpoint: Callable[..., Checkpoint]) -> Checkpoint:
    return write_checkpoint("pose", UNET, 64, HandUNet().state_dict())


@pytest.mark.parametrize(
    ("runtime", "engine", "why"),
    [
        (Runtime(), "onnx", "engine=auto: ONNX Runtime serves on the CPU unless"),
        (Runtime(device="cpu"), "onnx", "engine=auto"),
        (Runtime("onnx"), "onnx", "engine=onnx was asked for"),
        (Runtime("torch"), "torch", "engine=torch was asked for"),
        (Runtime(device="cuda"), "torch", "not on device=cuda"),
        (Runtime(device="cuda:1"), "torch", "not on device=cuda:1"),
        (Runtime(device="mps"), "torch", "not on device=mps"),
        (Runtime(precision="float16"), "torch", "not in precision=float16"),
    ],
)
def test_onnx_runtime_serves_unless_only_torch_can(
    default_pair: tuple[Checkpoint, Checkpoint], runtime: Runtime, engine: str, why: str
) -> None:
    found, reason = choose_engine(runtime, default_pair)
    assert found == engine
    assert why in reason


def test_a_checkpoint_without_a_graph_is_served_by_torch(
    default_pair: tuple[Checkpoint, Checkpoint], unet: Checkpoint
) -> None:
    pair = (default_pair[0], unet)
    assert choose_engine(Runtime(), pair) == ("torch", "engine=auto: tiny-pose has no ONNX graph")


@pytest.mark.parametrize(
    "runtime", [Runtime("onnx", "cuda"), Runtime("onnx", "mps"), Runtime("onnx", "cpu", "float16")]
)
def test_onnx_runtime_refuses_what_it_cannot_do(
    default_pair: tuple[Checkpoint, Checkpoint], runtime: Runtime
) -> None:
    with pytest.raises(EngineError, match=r"engine=onnx cannot serve this: .*use engine=torch"):
        choose_engine(runtime, default_pair)


def test_onnx_runtime_asked_for_a_checkpoint_without_a_graph_says_what_to_do(unet: Checkpoint) -> None:
    with pytest.raises(CheckpointError, match=f"{UNET} has no ONNX graph.*use engine=torch"):
        load_pair(DEFAULT_DETECTOR, unet.folder, Runtime("onnx"))


@pytest.mark.parametrize(
    ("asked", "instructions", "found", "why"),
    [
        ("auto", "avx_vnni", "int8", "precision=auto: the CPU has avx_vnni"),
        ("auto", "", "float32", "precision=auto: the CPU is not known to have instructions for int8"),
        ("float32", "avx_vnni", "float32", "precision=float32 was asked for"),
        ("int8", "avx_vnni", "int8", "precision=int8 was asked for"),
        ("int8", "", "int8", "precision=int8 was asked for"),
    ],
)
def test_onnx_runtime_computes_in_int8_where_it_is_fast_or_asked_for(
    monkeypatch: pytest.MonkeyPatch, asked: ServedPrecision, instructions: str, found: str, why: str
) -> None:
    monkeypatch.setattr("service.engines.factory.int8_instructions", lambda: instructions)
    for model in load_pair(DEFAULT_DETECTOR, DEFAULT_POSE, Runtime(precision=asked)).models:
        assert model.precision == found
        assert model.reason.endswith(f"; {why}")
        checkpoint = Checkpoint.load(DEFAULT_DETECTOR if model.task == "detector" else DEFAULT_POSE)
        assert model.sha256 == checkpoint.card.sha256[INT8_GRAPH if found == "int8" else GRAPH]


def test_a_checkpoint_without_an_int8_graph_is_in_float32(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("service.engines.factory.int8_instructions", lambda: "avx_vnni")
    pose = shutil.copytree(DEFAULT_POSE, tmp_path / "pose")
    card = json.loads((pose / CARD).read_text())
    del card["sha256"][INT8_GRAPH]
    (pose / CARD).write_text(json.dumps(card))
    models = load_pair(DEFAULT_DETECTOR, pose).models
    assert [model.precision for model in models] == ["int8", "float32"]
    assert models[1].reason.endswith("; precision=auto: default-pose has no int8 graph")
    with pytest.raises(CheckpointError, match=f"lists no {INT8_GRAPH}"):
        load_pair(DEFAULT_DETECTOR, pose, Runtime(precision="int8"))


@pytest.mark.parametrize(
    ("runtime", "why"),
    [
        (Runtime("torch", precision="int8"), "engine=torch was asked for"),
        (Runtime(device="cuda", precision="int8"), "not on device=cuda"),
        (Runtime("onnx", "mps", "int8"), "not on device=mps"),
    ],
)
def test_int8_anywhere_else_is_refused(
    default_pair: tuple[Checkpoint, Checkpoint], runtime: Runtime, why: str
) -> None:
    with pytest.raises(EngineError, match=f"precision=int8 is for ONNX Runtime on the CPU: .*{why}"):
        choose_engine(runtime, default_pair)


def test_int8_of_what_only_torch_serves_is_refused(
    default_pair: tuple[Checkpoint, Checkpoint], unet: Checkpoint
) -> None:
    with pytest.raises(EngineError, match=r"precision=int8 .*: tiny-pose has no ONNX graph"):
        choose_engine(Runtime(precision="int8"), (default_pair[0], unet))


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CPU", "", "cuda:0,1"])
def test_a_device_that_no_machine_has_is_refused(device: str) -> None:
    with pytest.raises(ValueError, match="auto, cpu, cuda, cuda:N or mps"):
        Runtime(device=device)


def machine(patch: pytest.MonkeyPatch, *, cuda: int, mps: bool, built: str | None = "12.4") -> None:
    """Make torch find so many CUDA devices, and MPS or not."""
    patch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    patch.setattr(torch.cuda, "device_count", lambda: cuda)
    patch.setattr(torch.backends.mps, "is_available", lambda: mps)
    patch.setattr(torch.version, "cuda", built)


@pytest.mark.parametrize(
    ("cuda", "mps", "built", "asked", "chosen", "why"),
    [
        (2, True, "12.4", "auto", "cuda:0", "device=auto: there is CUDA"),
        (0, True, None, "auto", "mps", "device=auto: there is MPS; this PyTorch was built without CUDA"),
        (
            0,
            False,
            "12.4",
            "auto",
            "cpu",
            "device=auto: PyTorch finds no CUDA device; PyTorch finds no Metal device",
        ),
        (2, False, "12.4", "cpu", "cpu", "device=cpu was asked for"),
        (2, False, "12.4", "cuda", "cuda:0", "device=cuda was asked for"),
        (2, False, "12.4", "cuda:1", "cuda:1", "device=cuda:1 was asked for"),
        (1, True, "12.4", "mps", "mps", "device=mps was asked for"),
    ],
)
def test_the_device_and_why(
    monkeypatch: pytest.MonkeyPatch,
    cuda: int,
    mps: bool,
    built: str | None,
    asked: str,
    chosen: str,
    why: str,
) -> None:
    machine(monkeypatch, cuda=cuda, mps=mps, built=built)
    placement = place(asked)
    assert placement.device == torch.device(chosen)
    assert placement.reason == why


@pytest.mark.parametrize(
    ("cuda", "built", "asked", "words"),
    [
        (0, None, "cuda", "device=cuda: this PyTorch was built without CUDA"),
        (0, "12.4", "cuda:0", "device=cuda:0: PyTorch finds no CUDA device"),
        (2, "12.4", "cuda:2", "device=cuda:2: there is no such device, the last is cuda:1"),
        (1, "12.4", "mps", "device=mps: PyTorch finds no Metal device"),
    ],
)
def test_a_device_that_is_not_there_is_never_replaced(
    monkeypatch: pytest.MonkeyPatch, cuda: int, built: str | None, asked: str, words: str
) -> None:
    machine(monkeypatch, cuda=cuda, mps=False, built=built)
    with pytest.raises(EngineError, match=words):
        place(asked)


def test_the_service_does_not_start_without_the_device_it_was_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(monkeypatch, cuda=0, mps=False)
    assert main(["--device", "cuda", "--port", "0"]) == 2
    error = capsys.readouterr().err
    assert error == "handpose: device=cuda: PyTorch finds no CUDA device\n"


def test_a_misspelt_device_is_a_bad_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--device", "gpu", "--port", "0"]) == 2
    assert "HANDPOSE_DEVICE (--device)" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["torch", "torchvision", "safetensors"])
def test_a_missing_library_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch, write_checkpoint: Callable[..., Checkpoint], module: str
) -> None:
    state = HandFasterRCNN(FASTER_RCNN_MOBILENET, 320).state_dict()
    detector = write_checkpoint("detector", FASTER_RCNN_MOBILENET, 320, state).folder
    for name in ("service.engines.torch", "service.models.networks", f"{module}.models", f"{module}.torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)  # as if they had not been imported yet
    monkeypatch.setitem(sys.modules, module, None)
    words = rf"has no ONNX graph, but {module}\S* is not installed: pip install '\.\[gpu\]'"
    with pytest.raises(EngineError, match=words):
        load_pair(detector, DEFAULT_POSE)


def test_the_default_engine_imports_no_torch(root: Path) -> None:
    code = (
        "import sys; from service.app import load_pipeline; from service.settings import load; "
        "pipeline = load_pipeline(load([])); print(pipeline.models[0].engine, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("onnxruntime ")
    assert done.stdout.endswith(" False\n")


def test_both_engines_serve_the_same_pipeline() -> None:
    onnx = Pipeline.load()
    torched = Pipeline.load(runtime=Runtime("torch", "cpu"))
    assert isinstance(onnx.detector_engine, OnnxDetector)
    assert isinstance(torched.detector_engine, TorchDetector)
    assert isinstance(torched.pose_engine, TorchPose)
    for first, second in zip(onnx.models, torched.models, strict=True):
        assert (first.name, first.version) == (second.name, second.version)
        assert first.sha256 != second.sha256  # of the files they really read
        assert second.engine.startswith("torch ")
        assert second.device == "cpu"
        assert second.reason == "engine=torch was asked for; device=cpu was asked for"


def test_both_precisions_find_the_same_hands(root: Path) -> None:
    pairs = [Pipeline.load(runtime=Runtime(precision=precision)) for precision in ("float32", "int8")]
    assert [pair.models[0].precision for pair in pairs] == ["float32", "int8"]
    for path in sorted((root / "tests" / "photos").glob("*.jpg")):
        exact, rounded = (pair.hands(read_rgb(path)) for pair in pairs)
        assert len(exact) == len(rounded)
        for hand, other in zip(exact, rounded, strict=True):
            assert other.handedness == hand.handedness
            assert other.score == pytest.approx(hand.score, abs=0.1)
            assert other.keypoints == pytest.approx(hand.keypoints, abs=0.04 * hand.box.side)
            assert other.box.corners == pytest.approx(hand.box.corners, abs=0.04 * hand.box.side)
            assert (other.keypoints != hand.keypoints).any()


def test_a_calibration_holds_for_the_pair_it_was_fitted_on(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weights = root / "service" / "weights"
    detector = Checkpoint.load(weights / "detector")
    folder = shutil.copytree(weights / "pose", tmp_path / "pose")
    card = json.loads((folder / CARD).read_text())

    def loaded(fitted_with: str | None, keypoints: bool = True) -> PairCalibration:
        fitted = {"detector": fitted_with, "slope": 3.0, "offset": -1.0, "command": "fit"}
        curve = {"scores": [0, 0.7, 1], "probabilities": [0, 0.9, 1], "command": "fit"}
        card["score_calibration"] = fitted if fitted_with else None
        card["keypoint_calibration"] = curve if keypoints else None
        (folder / CARD).write_text(json.dumps(card))
        return Pipeline.load(pose=folder).calibration

    hand, places = Calibration(3.0, -1.0), CalibrationCurve((0, 0.7, 1), (0, 0.9, 1))
    assert loaded(detector.identity) == PairCalibration(hand, places)
    assert not caplog.messages
    # Another detector of the same name and version is another detector.
    other = f"{detector.card.name} {detector.card.version} (sha256 0123456789ab)"
    assert loaded(other) == PairCalibration(keypoints=places)
    assert loaded(None) == PairCalibration(keypoints=places)
    assert loaded(detector.identity, keypoints=False) == PairCalibration(hand)
    first, second, third = caplog.messages
    assert third.startswith("scores of keypoints are not probabilities: default-pose")
    card["keypoint_calibration"] = {"scores": [0, 1], "probabilities": [0.2, 1], "command": "fit"}
    (folder / CARD).write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match=r"card\.json: keypoint_calibration: .* two ends"):
        Pipeline.load(pose=folder)
    assert f"was not calibrated with {detector.identity}, but with default-detector" in first
    assert second.endswith(f"was not calibrated with {detector.identity}")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"precision": "fp32"},
            "precision must be one of auto, float32, int8, float16, bfloat16, not 'fp32'",
        ),
        ({"precision": None}, "precision must be one of .*, not None"),
        ({"engine": "tf"}, "engine must be one of auto, onnx, torch, not 'tf'"),
        ({"device": None}, "a device is .*, not None"),
        ({"device": "tpu"}, "a device is auto, cpu, cuda, cuda:N or mps, not 'tpu'"),
    ],
)
def test_what_nothing_can_run_on_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Runtime(**options)
