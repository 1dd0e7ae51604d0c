"""Engines that find coloured rectangles: exact, instant, and strict about what they are given."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from service.engines.base import Detections, Poses
from service.engines.loaded import LoadedModel
from service.inference.pipeline import Pipeline
from service.models.checkpoint import GRAPH, WEIGHTS, Checkpoint, write_card
from service.models.keypoints import KEYPOINT_NAMES

Image = NDArray[np.uint8]

RIGHT = (255, 0, 0)  # RGB: a red rectangle is a right hand
LEFT = (255, 0, 255)  # a magenta one a left hand
CANDIDATES = 8


class FakeDetector:
    """Every red or magenta rectangle is a hand, scored 0.9; an orange one is a hand to the detector alone."""

    input_size = 128
    flexible = False
    largest = 128

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, images: Image) -> Detections:
        assert images.shape[3] == 3
        assert all(0 < side <= self.largest and side % 32 == 0 for side in images.shape[1:3])
        assert images.dtype == np.uint8
        self.batches.append(len(images))
        boxes = np.zeros((len(images), CANDIDATES, 4), np.float32)
        scores = np.zeros((len(images), CANDIDATES), np.float32)
        for i, image in enumerate(images):
            mask = ((image[:, :, 0] > 200) & (image[:, :, 1] < 160)).astype(np.uint8)
            _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
            for j, (x, y, width, height, _) in enumerate(stats[1 : CANDIDATES + 1]):
                boxes[i, j] = x, y, x + width, y + height
                scores[i, j] = 0.9 - 0.01 * j
        return Detections(boxes, scores)


class FakePose:
    """21 points on the diagonal of the rectangle nearest the middle of the crop, top left to bottom right; each is as
    far behind the first as it is right of it.
    """

    input_size = 96

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, crops: Image) -> Poses:
        assert crops.shape[1:] == (self.input_size, self.input_size, 3)
        assert crops.dtype == np.uint8
        assert len(crops) > 0
        self.batches.append(len(crops))
        n = len(crops)
        keypoints = np.zeros((n, 21, 2), np.float32)
        hand, right = np.zeros(n, np.float32), np.zeros(n, np.float32)
        for i, crop in enumerate(crops):
            mask = ((crop[:, :, 0] > 128) & (crop[:, :, 1] < 100)).astype(np.uint8)
            _, labels, stats, centres = cv2.connectedComponentsWithStats(mask)
            if len(stats) == 1:
                continue
            nearest = 1 + np.linalg.norm(centres[1:] - self.input_size / 2, axis=1).argmin()
            x, y, width, height, _ = stats[nearest]
            keypoints[i] = np.linspace((x, y), (x + width, y + height), 21)
            hand[i] = 0.99
            right[i] = 0.95 if crop[labels == nearest][:, 2].mean() < 128 else 0.05
        depth = keypoints[:, :, 0] - keypoints[:, :1, 0]
        return Poses(keypoints, np.full((n, 21), 0.8, np.float32), hand, right, depth)


def _model(task: str, size: int) -> LoadedModel:
    return LoadedModel(
        task,  # type: ignore[arg-type]
        f"fake-{task}", "1", "none", "Apache-2.0", "0" * 64, size, "fake", "cpu", "float32",
    )  # fmt: skip


@pytest.fixture
def pipeline() -> Pipeline:
    """A pipeline over the fakes."""
    detector, pose = FakeDetector(), FakePose()
    models = (_model("detector", detector.input_size), _model("pose", pose.input_size))
    return Pipeline(detector, pose, models=models)


@pytest.fixture
def until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    """Waits for what other threads and tasks do: `await until(lambda: workers.waiting == 2)`."""

    async def wait(true: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not true():  # noqa: ASYNC110 - it may change in another thread
                await asyncio.sleep(0.001)

    return wait


@pytest.fixture
def draw() -> Callable[..., Image]:
    """Makes pictures: `draw(width, height, (x, y, width, height, colour), …)` on a grey ground."""

    def make(width: int, height: int, *rectangles: tuple[int, int, int, int, tuple[int, int, int]]) -> Image:
        image = np.full((height, width, 3), 90, np.uint8)
        for x, y, w, h, colour in rectangles:
            image[y : y + h, x : x + w] = colour
        return image

    return make


@pytest.fixture
def write_checkpoint(tmp_path: Path) -> Callable[..., Checkpoint]:
    """Makes checkpoint folders: `write_checkpoint("pose", "unet-16-32-64-128", 128, network.state_dict())`; for other
    architectures with a file that is no graph.
    """
    from safetensors.torch import save_file

    from service.models.architectures import has_graph

    def write(task: str, architecture: str, input_size: int, state: dict[str, Any]) -> Checkpoint:
        folder = tmp_path / f"{task}-{architecture}"
        folder.mkdir()
        save_file({k: v.half() if v.ndim > 1 else v for k, v in state.items()}, folder / WEIGHTS)
        if has_graph(architecture):
            (folder / GRAPH).write_bytes(b"no graph")
        card = {
            "name": f"tiny-{task}",
            "version": "1",
            "task": task,
            "architecture": architecture,
            "input_size": input_size,
            "normalisation": {"mean": (123.675, 116.28, 103.53), "scale": (58.395, 57.12, 57.375)},
            "keypoints": KEYPOINT_NAMES if task == "pose" else (),
            "licence": "Apache-2.0",
            "initialised_from": "nothing",
            "recipe": {},
            "trained_samples": 0,
            "data": [],
            "metrics": [],
        }
        return write_card(folder, card)

    return write
