"""The torch engine on the CPU: the default pair against ONNX Runtime, the reference pair by its contract."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from service.engines.batching import JointBatches
from service.engines.factory import Pair, Runtime, load_pair
from service.engines.torch import Placement, Precision, TorchDetector, TorchPose, place
from service.inference.geometry import Crop, Pyramid, letterbox
from service.inference.pipeline import DEFAULT_DETECTOR, DEFAULT_POSE, Pipeline, Thresholds
from service.models.architectures import FASTER_RCNN_MOBILENET, FASTER_RCNN_RESNET50, UNET
from service.models.checkpoint import Checkpoint
from service.models.faster_rcnn import HandFasterRCNN
from service.models.unet import HandUNet

Image = NDArray[np.uint8]
PHOTOS = 12  # of the real ones, where there are any


@pytest.fixture(autouse=True, scope="module")
def threads() -> Iterator[None]:
    """Loading onto the CPU sets the number of threads for the process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def photos(root: Path, shared_data: Path | None) -> list[Image]:
    if shared_data is None:
        paths = sorted((root / "tests" / "photos").glob("*.jpg"))
    else:
        labels = shared_data / "hands" / "val.json"
        every = json.loads(labels.read_text(encoding="utf-8"))["images"]
        paths = [labels.parent / image["file_name"] for image in every[:: len(every) // PHOTOS]]
    return [np.asarray(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), np.uint8) for path in paths]


@pytest.fixture(scope="module")
def onnx() -> Pair:
    return load_pair(DEFAULT_DETECTOR, DEFAULT_POSE, Runtime("onnx", precision="float32"))


@pytest.fixture(scope="module")
def crops(onnx: Pair, photos: list[Image]) -> Image:
    """(B, S, S, 3): the best hand of each photo that has one."""
    pipeline = Pipeline(onnx.detector, onnx.pose)
    cut = []
    for photo in photos:
        for detection in pipeline.detect(photo)[:1]:
            cut.append(Crop.around(detection.box, onnx.pose.input_size).cut(Pyramid(photo)))
    return np.stack(cut)


def default_pair(precision: Precision = "float32") -> Pair:
    return load_pair(DEFAULT_DETECTOR, DEFAULT_POSE, Runtime("torch", "cpu", precision))


def test_keypoints_are_those_of_onnx(onnx: Pair, crops: Image) -> None:
    expected, found = onnx.pose(crops), default_pair().pose(crops)
    sure = expected.scores > 0.5
    assert sure.sum() >= 20
    assert np.abs(found.keypoints - expected.keypoints)[sure].max() < 0.1
    for name in ("scores", "hand", "right"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-3), name
    assert found.depth == pytest.approx(expected.depth, abs=0.1)


def test_boxes_are_those_of_onnx(onnx: Pair, photos: list[Image]) -> None:
    engine = default_pair().detector
    compared = 0
    for photo in photos:
        fitted, _ = letterbox(Pyramid(photo), onnx.detector.input_size)
        expected, found = onnx.detector(fitted[None]), engine(fitted[None])
        sure = expected.scores > 0.3
        assert np.abs(found.boxes - expected.boxes)[sure].max(initial=0) < 0.1
        assert found.scores == pytest.approx(expected.scores, abs=1e-3)
        compared += int(sure.sum())
    assert compared >= 3


# What half precision may move, in pixels of the crop: float16 is the same network, bfloat16 a little off.
@pytest.mark.parametrize(("precision", "mean", "score"), [("float16", 0.05, 0.03), ("bfloat16", 0.4, 0.12)])
def test_half_precision_moves_keypoints_by_little(
    onnx: Pair, crops: Image, precision: Precision, mean: float, score: float
) -> None:
    pair = default_pair(precision)
    assert [model.precision for model in pair.models] == [precision, precision]
    expected, found = onnx.pose(crops), pair.pose(crops)
    sure = expected.scores > 0.5
    moved = np.abs(found.keypoints - expected.keypoints)[sure].mean()
    assert 0 < moved < mean
    assert found.keypoints.dtype == found.scores.dtype == np.float32
    assert found.hand == pytest.approx(expected.hand, abs=score)


def test_it_says_what_really_runs() -> None:
    for model in default_pair("bfloat16").models:
        assert model.engine == f"torch {torch.__version__}"
        assert (model.device, model.precision) == ("cpu", "bfloat16")
        checkpoint = Checkpoint.load(DEFAULT_DETECTOR if model.task == "detector" else DEFAULT_POSE)
        assert model.sha256 == checkpoint.card.sha256["model.safetensors"]


def test_every_inference_has_one_thread() -> None:
    torch.set_num_threads(2)
    pose = default_pair().pose
    crop = np.zeros((1, pose.input_size, pose.input_size, 3), np.uint8)
    seen: list[int] = []
    thread = threading.Thread(target=lambda: (pose(crop), seen.append(torch.get_num_threads())))
    thread.start()
    thread.join()
    assert seen == [1]


def test_joint_batches_are_for_devices_other_than_the_cpu(crops: Image) -> None:
    checkpoint = Checkpoint.load(DEFAULT_POSE)
    elsewhere = TorchPose(checkpoint, Placement(torch.device("meta"), "float32", ""))
    assert isinstance(elsewhere._network.run, JointBatches)
    here = TorchPose(checkpoint, place("cpu"))
    assert not isinstance(here._network.run, JointBatches)
    expected = here(crops[:8])
    here._network.run = JointBatches(here._network.run)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda i: here(crops[i : i + 1]), range(8)))
    keypoints = np.concatenate([poses.keypoints for poses in found])
    assert keypoints == pytest.approx(expected.keypoints, abs=0.05)


@pytest.mark.parametrize(
    ("images", "flexible"),
    [
        (np.zeros((1, 256, 250, 3), np.uint8), True),
        (np.zeros((1, 544, 256, 3), np.uint8), True),
        (np.zeros((256, 256, 3), np.uint8), True),
        (np.zeros((1, 256, 256, 3), np.float32), True),
        (np.zeros((1, 160, 192, 3), np.uint8), False),
        (np.zeros((1, 192, 192, 4), np.uint8), False),
    ],
)
def test_another_shape_or_type_is_refused(images: np.ndarray, flexible: bool) -> None:
    pair = default_pair()
    with pytest.raises(ValueError, match=r"expected \(B, .* uint8, not"):
        (pair.detector if flexible else pair.pose)(images)


def test_a_picture_that_may_not_be_written_to_is_read() -> None:
    pose = default_pair().pose
    crop = np.full((1, pose.input_size, pose.input_size, 3), 90, np.uint8)
    expected = pose(crop).keypoints
    crop.flags.writeable = False
    assert np.array_equal(pose(crop).keypoints, expected)


@pytest.fixture
def write_reference(write_checkpoint: Callable[..., Checkpoint]) -> Callable[..., tuple[Path, Path]]:
    """A reference pair with random weights."""

    def write(architecture: str = FASTER_RCNN_MOBILENET, size: int = 320) -> tuple[Path, Path]:
        torch.manual_seed(0)
        network = HandFasterRCNN(architecture, size)
        detector = write_checkpoint("detector", architecture, size, network.state_dict())
        pose = write_checkpoint("pose", UNET, 128, HandUNet().state_dict())
        return detector.folder, pose.folder

    return write


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_the_reference_pair_keeps_the_contract(
    write_reference: Callable[..., tuple[Path, Path]], precision: Precision
) -> None:
    pair = load_pair(*write_reference(), Runtime(device="cpu", precision=precision))
    rng = np.random.default_rng(0)
    found = pair.detector(rng.integers(0, 255, (2, 192, 320, 3), np.uint8))
    assert found.boxes.shape == (2, 64, 4)
    assert found.scores.shape == (2, 64)
    assert (np.diff(found.scores, axis=1) <= 0).all()
    poses = pair.pose(rng.integers(0, 255, (3, 128, 128, 3), np.uint8))
    assert poses.keypoints.shape == (3, 21, 2)
    assert poses.scores.shape == (3, 21)
    assert poses.hand.shape == poses.right.shape == (3,)
    assert poses.depth is None  # the UNet does not know it
    for values in (found.boxes, found.scores, poses.keypoints, poses.scores, poses.hand, poses.right):
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
    for values in (found.scores, poses.scores, poses.hand, poses.right):
        assert ((values >= 0) & (values <= 1)).all()


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_anchors_and_boxes_stay_in_float32(
    write_reference: Callable[..., tuple[Path, Path]], precision: Precision
) -> None:
    folder, _ = write_reference()
    engine = TorchDetector(Checkpoint.load(folder), place("cpu", precision))
    network = engine._network._compute.__self__.network  # type: ignore[attr-defined]
    kinds = []
    network.backbone.body.register_forward_hook(
        lambda *args: kinds.append(next(iter(args[2].values())).dtype)
    )
    network.roi_heads.box_roi_pool.register_forward_hook(lambda *args: kinds.append(args[2].dtype))
    network.roi_heads.box_predictor.register_forward_hook(lambda *args: kinds.append(args[2][1].dtype))
    engine(np.random.default_rng(0).integers(0, 255, (1, 256, 320, 3), np.uint8))
    assert kinds == [getattr(torch, precision), torch.float32, torch.float32]
    assert all(cell.dtype == torch.float32 for cell in network.rpn.anchor_generator.cell_anchors)


def test_the_reference_pair_serves_photos(
    write_reference: Callable[..., tuple[Path, Path]], photos: list[Image]
) -> None:
    detector, pose = write_reference()
    everything = Thresholds(detection=0.0, presence=0.0, duplicate=0.0)
    pipeline = Pipeline.load(detector, pose, everything)
    assert {model.engine.split()[0] for model in pipeline.models} == {"torch"}
    assert pipeline.models[0].reason.startswith("engine=auto: tiny-detector has no ONNX graph; device=auto: ")
    pipeline.warm_up()
    photo = photos[0]
    height, width = photo.shape[:2]
    hands = pipeline.hands(photo, max_hands=3, min_score=0.0)
    assert len(hands) == 3
    for hand in hands:
        assert hand.keypoints.shape == (21, 2)
        assert 0 <= hand.box.x <= hand.box.x + hand.box.width <= width
        assert 0 <= hand.box.y <= hand.box.y + hand.box.height <= height


def test_the_resnet_runs(write_reference: Callable[..., tuple[Path, Path]]) -> None:
    folder, _ = write_reference(FASTER_RCNN_RESNET50, 192)
    engine = TorchDetector(Checkpoint.load(folder, "detector"), place("cpu"))
    found = engine(np.zeros((1, 128, 192, 3), np.uint8))
    assert found.boxes.shape == (1, 64, 4)
    assert engine.model.architecture == FASTER_RCNN_RESNET50


def test_a_batch_is_its_pictures(write_reference: Callable[..., tuple[Path, Path]]) -> None:
    _, folder = write_reference()
    engine = TorchPose(Checkpoint.load(folder, "pose"), place("cpu"))
    crops = np.random.default_rng(1).integers(0, 255, (3, 128, 128, 3), np.uint8)
    together = engine(crops)
    for i in range(3):
        alone = engine(crops[i : i + 1])
        assert alone.keypoints[0] == pytest.approx(together.keypoints[i], abs=0.01)
        assert alone.right[0] == pytest.approx(together.right[i], abs=1e-4)
