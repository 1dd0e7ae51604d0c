"""Hands of photos, cut out along their bones, in front of photos of other places: for the detector."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from service.inference.geometry import overlaps
from training.augment import Image, square_crop_matrix, stretched, transform, warp
from training.batched.covering import BONES, FINGER, PALM, PALM_BONES, PALM_WIDTH, WRIST
from training.canvas import LARGEST_SCALE, Canvas, transform_box
from training.datasets.types import HandLabel, LabelledImage
from training.evaluate import known_keypoints

_MOST_OVERLAP = 0.3  # of the smaller box, between two hands
_FOREARM = (0.2, 1.4)  # how much of the forearm comes along, in palms
_EDGE = (0.4, 3.0)  # spread of the blur between hand and place, in pixels
_MOST_EDGE = 0.1  # of a palm, or tiny hands would be nothing but edge
_TURN = 0.5  # spread of the angles in radians


@dataclass(frozen=True, eq=False)
class CutOut:
    """A hand on its way to a canvas of S × S pixels.

    picture: (S, S, 3) uint8 RGB, its photo moved there. mask: (S, S) float32 in [0, 1], what of it is the hand.
    box: (4,) x0, y0, x1, y1 in the canvas's pixels.
    """

    picture: Image
    mask: NDArray[np.float32]
    box: NDArray[np.float64]


def can_be_cut_out(hand: HandLabel) -> bool:
    """Whether all of a hand's keypoints are known."""
    return hand.keypoints is not None and bool(known_keypoints(hand).all())


def cut_out_hand(
    photo: LabelledImage, hand: HandLabel, size: int, side: float, rng: np.random.Generator
) -> CutOut:
    """A hand of a photo, turned, mirrored and stretched at random, somewhere on a canvas.

    hand: one that `can_be_cut_out`. side: the wanted larger side of its box on the canvas, in pixels.
    """
    assert hand.keypoints is not None
    own = float(hand.box[2:].max())
    side = min(side, LARGEST_SCALE * own)
    centre = hand.box[:2] + hand.box[2:] / 2
    angle, mirror = rng.normal(0, _TURN), bool(rng.random() < 0.5)
    matrix = stretched(square_crop_matrix(centre, size * own / side, size, angle, mirror), size, rng)
    room = min(0.4 * side, size / 2)
    matrix[:, 2] += rng.uniform(room, size - room, 2) - size / 2
    mask = _hand_mask(transform(hand.keypoints, matrix), size, rng)
    height, width = photo.image.shape[:2]
    corners = transform(np.array([[0, 0], [width, 0], [width, height], [0, height]]), matrix)
    within = np.zeros((size, size), np.float32)
    cv2.fillConvexPoly(within, corners.round().astype(np.int32), 1.0)
    moved = warp(photo.image, matrix, size, replicate=True)  # no black at the edge of what is within
    return CutOut(moved, mask * within, transform_box(hand, matrix, photo.image))


def _hand_mask(points: NDArray[np.float64], size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """points: (21, 2) pixels. Returns (S, S) float32 in [0, 1]: the hand and a part of its forearm."""
    palm = max(_length(points[9] - points[0]), 1.3 * _length(points[17] - points[5]))
    knuckles = points[PALM[1:]].mean(0)
    elbow = points[0] + rng.uniform(*_FOREARM) * (points[0] - knuckles)
    mask = np.zeros((size, size), np.float32)
    lines = [(points[a], points[b], FINGER) for a, b in BONES]
    lines += [(points[a], points[b], PALM_WIDTH) for a, b in PALM_BONES]
    for start, end, half in (*lines, (points[0], elbow, WRIST)):
        ends = [tuple(int(v) for v in point.round()) for point in (start, end)]
        cv2.line(mask, ends[0], ends[1], 1.0, max(1, round(2 * half * palm)))
    softest = float(np.clip(_MOST_EDGE * palm, *_EDGE))
    blurred = cv2.GaussianBlur(mask, (0, 0), rng.uniform(_EDGE[0], softest))
    return np.asarray(blurred, np.float32)


def _length(line: NDArray[np.float64]) -> float:
    return math.hypot(*line.tolist())


def paste(canvas: Canvas, cut: CutOut, rng: np.random.Generator) -> bool:
    """Draw a hand onto a canvas, in a light of its own, and add it to the canvas's hands; not where another hand is.

    Returns whether it was drawn.
    """
    others = np.array([target.box for target in canvas.targets]).reshape(-1, 4)
    if (overlaps(cut.box, others)[1] > _MOST_OVERLAP).any():
        return False
    _blend(canvas, cut.picture, cut.mask, rng)
    canvas.add(cut.box, (0, 0, canvas.size, canvas.size))
    return True


def paste_shape(canvas: Canvas, cut: CutOut, other: Image, rng: np.random.Generator) -> None:
    """Draw something else in the shape of a hand, so that shapes alone and their edges say nothing.

    other: (S, S, 3) uint8 RGB, without a hand.
    """
    _blend(canvas, other, cut.mask, rng)


def _blend(canvas: Canvas, picture: Image, mask: NDArray[np.float32], rng: np.random.Generator) -> None:
    light = np.exp(rng.normal(0, 0.2) + rng.normal(0, 0.08, 3)).astype(np.float32)
    x, y, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
    there = np.s_[y : y + height, x : x + width]
    behind, share = canvas.image[there].astype(np.float32), mask[there][..., None]
    canvas.image[there] = behind + (np.minimum(picture[there] * light, 255) - behind) * share + 0.5
