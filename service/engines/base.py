"""The two things a pipeline needs from an engine, whatever runs underneath."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.inference.geometry import STRIDE


class EngineError(RuntimeError):
    """What was asked for cannot be run: a graph that is not what its checkpoint says, a device that is not there, a
    library that is not installed. The message says which.
    """


@dataclass(frozen=True, eq=False)
class Detections:
    """Raw detections of a batch, best first, before any threshold or non-maximum suppression.

    boxes: (B, K, 4) float32, x0, y0, x1, y1 in pixels of the network's input picture; may reach outside it.
    scores: (B, K) float32 in [0, 1].
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Poses:
    """Poses of a batch of crops.

    keypoints: (B, 21, 2) float32, x, y in pixels of the crop.
    scores: (B, 21) float32 in [0, 1], how sure each keypoint is.
    hand: (B,) float32 in [0, 1], the probability that the crop shows a hand.
    right: (B,) float32 in [0, 1], the probability that it is a right hand (unmirrored picture).
    depth: (B, 21) float32, z in pixels of the crop relative to the wrist, positive away from the camera; None from a
        model that does not know it.
    """

    keypoints: NDArray[np.float32]
    scores: NDArray[np.float32]
    hand: NDArray[np.float32]
    right: NDArray[np.float32]
    depth: NDArray[np.float32] | None = None


class DetectorEngine(Protocol):
    """Finds hands. `input_size` is the longer side of its input in pixels, a multiple of 32. `flexible`: it also takes
    smaller inputs, and larger ones up to `closest_size`.
    """

    input_size: int
    flexible: bool

    def __call__(self, images: NDArray[np.uint8]) -> Detections:
        """images: (B, H, W, 3) uint8 RGB, H and W multiples of 32 within these sizes."""
        ...


class PoseEngine(Protocol):
    """Finds the keypoints of the one hand in each square crop."""

    input_size: int

    def __call__(self, crops: NDArray[np.uint8]) -> Poses:
        """crops: (B, input_size, input_size, 3) uint8 RGB."""
        ...


def closer_size(input_size: int) -> int:
    """The longer side for a closer look, at small hands: one and a half times the usual one."""
    return round(1.5 * input_size / STRIDE) * STRIDE


def closest_size(input_size: int) -> int:
    """The longer side for a look from still closer, at tiny hands: twice the usual one."""
    return 2 * input_size


def largest_size(input_size: int, flexible: bool) -> int:
    """The longer side of the largest input of an engine, which takes other sizes than the usual one where it is
    `flexible`.
    """
    return closest_size(input_size) if flexible else input_size


def farther_size(input_size: int) -> int:
    """The longer side for a look from farther away, at hands that fill the picture: five eighths of the usual one."""
    return max(STRIDE, round(0.625 * input_size / STRIDE) * STRIDE)


def check_batch(batch: NDArray[np.uint8], size: int, flexible: bool) -> None:
    """Raises ValueError unless `batch` is (B, H, W, 3) uint8, with H = W = size, or where they are flexible, multiples
    of `STRIDE` up to it.
    """
    if batch.dtype == np.uint8 and batch.ndim == 4 and batch.shape[3] == 3:
        sides = batch.shape[1:3]
        if flexible and all(0 < side <= size and side % STRIDE == 0 for side in sides):
            return
        if sides == (size, size):
            return
    expected = f"H, W multiples of {STRIDE} up to {size}" if flexible else f"{size}, {size}"
    raise ValueError(f"expected (B, {expected}, 3) uint8, not {batch.shape} {batch.dtype}")
