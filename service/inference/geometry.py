"""Between the pixels of a picture and the pixels a network sees.

Coordinates are continuous: a picture of width W spans [0, W] and its first pixel's centre is at 0.5.
OpenCV's warps count from pixel centres instead, hence the half pixels in `crop`.
"""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from service.inference.hands import Box

Image = NDArray[np.uint8]

STRIDE = 32  # sides of a detector's input are multiples of this
PADDING = 127  # the grey around a letterboxed picture; detectors are trained with the same
CROP_FACTOR = 1.4  # side of a pose crop over the larger side of the hand's box
# By which an upright crop reaches beyond a hand's keypoints on each side, as a share of their larger extent.
_CROP_MARGIN = 0.06
# How far the hand reaches beyond each of its keypoints, as a share of their larger extent: most at the wrist, least at
# the fingertips. Fitted on rendered hands, whose boxes are exact (docs/decisions/0018).
_REACH = np.array([0.14] + [0.09, 0.065, 0.065, 0.045] * 5, np.float32)
# A detector's box is far too large, as those of tiny hands in photos often are, if the keypoints' extent is less than
# this share of its side (docs/decisions/0019).
_LOOSE = 0.65


class Pyramid:
    """A picture and its halvings, made when first asked for.

    Linear interpolation skips pixels when a picture shrinks by more than two, so both the letterbox and the
    crops read from the halving that leaves a factor below two. Averaging 2 × 2 pixels costs about 0.1 ms
    for VGA.
    """

    def __init__(self, image: Image) -> None:
        """image: (H, W, 3) uint8 RGB."""
        self._levels = [image]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture in pixels."""
        height, width = self._levels[0].shape[:2]
        return width, height

    def at(self, shrink: float) -> tuple[Image, int]:
        """The smallest level that need not be enlarged when the picture shrinks by `shrink`, and its factor
        1, 2, 4, …
        """
        level = 0
        while shrink >= 2 ** (level + 1):
            if level + 1 == len(self._levels):
                image = self._levels[-1]
                height, width = image.shape[0] // 2, image.shape[1] // 2
                if not height or not width:
                    break
                # An odd last row or column is left out, so that every level is exactly half of the one
                # before.
                even = image[: 2 * height, : 2 * width]
                self._levels.append(
                    np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
                )
            level += 1
        return self._levels[level], 2**level


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where a picture lies in the one it was fitted into: picture × scale + offset = fitted, in pixels."""

    scale_x: float
    scale_y: float
    left: int
    top: int

    def to_picture(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """boxes: (N, 4) x0, y0, x1, y1 in the fitted picture. Returns the same boxes in the picture's pixels."""
        offset = np.array([self.left, self.top, self.left, self.top], np.float32)
        scale = np.array([self.scale_x, self.scale_y, self.scale_x, self.scale_y], np.float32)
        return np.asarray((boxes - offset) / scale, np.float32)


def letterbox(pyramid: Pyramid, size: int, multiple: int = STRIDE) -> tuple[Image, Letterbox]:
    """Shrink or enlarge a picture so that its longer side is `size`, and pad its shorter side with grey up to the
    next multiple: a detector need not look at a whole square when the picture is none.

    Returns (H, W, 3) uint8, H and W multiples of `multiple` and at most `size` (itself a multiple), and the way back.
    The picture lies in the middle. A side never falls below one pixel, however narrow the picture.
    """
    width, height = pyramid.size
    scale = size / max(height, width)
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    source, factor = pyramid.at(1 / scale)
    rows, columns = (-(-side // multiple) * multiple for side in (new_height, new_width))
    padded = np.full((rows, columns, 3), PADDING, np.uint8)
    left, top = (columns - new_width) // 2, (rows - new_height) // 2
    shown = padded[top : top + new_height, left : left + new_width]
    cv2.resize(source, (new_width, new_height), shown, interpolation=cv2.INTER_LINEAR)
    # A halving may leave out a last row or column: what is shown is `factor` times the source.
    shown_width, shown_height = source.shape[1] * factor, source.shape[0] * factor
    return padded, Letterbox(new_width / shown_width, new_height / shown_height, left, top)


@dataclass(frozen=True, slots=True)
class Crop:
    """A square window of a picture, drawn at `size` × `size` pixels: where its first corner lies and its side, in
    picture pixels, by how many radians it is turned clockwise, and whether what it shows is mirrored then.
    """

    x: float
    y: float
    side: float
    size: int
    turn: float = 0.0
    mirrored: bool = False

    @classmethod
    def around(cls, box: Box, size: int) -> "Crop":
        """The square around a box's centre, `CROP_FACTOR` times its larger side."""
        side = max(box.side * CROP_FACTOR, 1.0)
        x, y = box.centre
        return cls(x - side / 2, y - side / 2, side, size)

    @classmethod
    def upright(cls, keypoints: NDArray[np.float32], size: int) -> "Crop":
        """The square in which the hand with these keypoints (21, 2) points up, from the wrist to the middle finger's
        knuckle; as wide as `around` its box.
        """
        right, down = (keypoints[9] - keypoints[0]).astype(float)
        turn = math.atan2(right, -down)
        axes = _rotation(turn)
        turned = keypoints.astype(float) @ axes
        low, high = turned.min(axis=0), turned.max(axis=0)
        side = max(float((high - low).max()) * (1 + 2 * _CROP_MARGIN) * CROP_FACTOR, 1.0)
        x, y = axes @ ((low + high) / 2 - side / 2)
        return cls(float(x), float(y), side, size, turn)

    def mirror(self) -> "Crop":
        """The same window, mirrored."""
        return replace(self, mirrored=not self.mirrored)

    def cut(self, pyramid: Pyramid) -> Image:
        """(size, size, 3) uint8. What lies outside the picture is black."""
        shrink = self.side / self.size
        image, factor = pyramid.at(shrink)
        step = shrink / factor  # pixels of `image` from one pixel of the crop to the next
        (a, b), (c, d) = (_rotation(self.turn) * step).tolist()
        x, y = self.x / factor + (a + b) / 2 - 0.5, self.y / factor + (c + d) / 2 - 0.5
        crop = cv2.warpAffine(
            image,
            np.array([[a, b, x], [c, d, y]]),
            (self.size, self.size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
        )
        return np.asarray(crop[:, ::-1] if self.mirrored else crop, np.uint8)

    def to_picture(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """points: (N, 2) x, y in pixels of the crop. Returns them in pixels of the picture, float32."""
        axes = _rotation(self.turn) * (self.side / self.size)
        if self.mirrored:
            points = np.array([self.size, 0], np.float32) + points * np.array([-1, 1], np.float32)
        return np.asarray(points @ axes.T + np.array([self.x, self.y]), np.float32)


def within(
    corners: tuple[float, float, float, float], width: int, height: int
) -> tuple[float, float, float, float]:
    """The part of x0, y0, x1, y1 that lies in a picture; x1 <= x0 or y1 <= y0 if none does."""
    x0, y0, x1, y1 = corners
    return max(x0, 0.0), max(y0, 0.0), min(x1, width), min(y1, height)


def tight_box(keypoints: NDArray[np.floating]) -> Box:
    """The box from the outermost keypoints to the opposite ones, never thinner than a pixel."""
    (x0, y0), (x1, y1) = keypoints.min(axis=0).tolist(), keypoints.max(axis=0).tolist()
    return Box.from_corners(x0, y0, max(x1, x0 + 1), max(y1, y0 + 1))


def inside(keypoints: NDArray[np.floating], width: int, height: int) -> NDArray[np.bool_]:
    """(21,) which of the keypoints (21, 2) lie in a picture of that size."""
    return np.asarray(((keypoints >= 0) & (keypoints < (width, height))).all(axis=1))


def hand_box(keypoints: NDArray[np.float32], width: int, height: int) -> Box | None:
    """The box around what keypoints belong to, clipped to the picture; None where all of that lies outside."""
    reach = _REACH[:, None] * np.float32(tight_box(keypoints).side)  # (21, 1)
    low, high = (keypoints - reach).min(axis=0).tolist(), (keypoints + reach).max(axis=0).tolist()
    x0, y0, x1, y1 = within((*low, *high), width, height)
    return Box.from_corners(x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def too_large(box: Box, keypoints: NDArray[np.float32]) -> bool:
    """Whether a box is far too large for the keypoints that were found in it."""
    return tight_box(keypoints).side < _LOOSE * box.side


def agreed_box(box: Box, keypoints: NDArray[np.float32], width: int, height: int) -> Box:
    """Midway between a detector's box and the `hand_box` of the keypoints that were found in it, which is closer to the
    truth than either; the keypoints' where the detector's is far too large, the detector's where they have none.
    """
    hand = hand_box(keypoints, width, height)
    if hand is None:
        return box
    if too_large(box, keypoints):
        return hand
    return Box.from_corners(*((a + b) / 2 for a, b in zip(box.corners, hand.corners, strict=True)))


def _rotation(angle: float) -> NDArray[np.float64]:
    """(2, 2): turns x, y by `angle` radians, clockwise as y points down."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])


def overlaps(box: NDArray[np.floating], others: NDArray[np.floating]) -> tuple[NDArray[np.floating], ...]:
    """Intersection over union, and intersection over the smaller area, of one box with (N, 4) others: two
    (N,) arrays.
    """
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    intersection = np.clip(high - low, 0, None).prod(axis=1)
    area = (box[2:] - box[:2]).prod()
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    tiny = np.float32(1e-9)
    return intersection / (area + areas - intersection + tiny), intersection / (
        np.minimum(area, areas) + tiny
    )


def non_maximum_suppression(
    boxes: NDArray[np.float32], iou: float = 0.5, containment: float = 0.75
) -> list[int]:
    """Greedy non-maximum suppression.

    boxes: (N, 4) x0, y0, x1, y1, best first. Returns the indices that stay, best first. A box goes when its
        overlap with a better one exceeds `iou`, or when the intersection exceeds `containment` of the
        smaller of the two: that takes the nested boxes of one hand (fingers inside the hand), which plain
        IoU leaves.
    """
    kept: list[int] = []
    for index, box in enumerate(boxes):
        if kept:
            shared, contained = overlaps(box, boxes[kept])
            if (shared > iou).any() or (contained > containment).any():
                continue
        kept.append(index)
    return kept
