"""Hands drawn on a picture, as the service draws them. Needs the extra `video`."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from handpose_client.errors import MissingExtraError
from handpose_client.keypoints import FINGERS
from handpose_client.results import Hand

try:
    import cv2
except ImportError as error:
    raise MissingExtraError("drawing") from error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# RGB; one colour a finger, thumb first, told apart with red-green colour blindness too (after Okabe and Ito).
FINGER_COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 160))
HAND_COLOURS = {"left": (86, 180, 233), "right": (255, 145, 60)}
_WRIST_COLOUR = (255, 255, 255)
_RIM = (20, 20, 20)
_SURE = 0.5  # bones to keypoints scored below this are drawn thin
_SURE_SIDE = 0.75  # sides told below this are drawn with a question mark
_SHIFT = 4  # OpenCV takes fractions of a pixel as whole sixteenths
_FAR = 2**20  # beyond any picture, within OpenCV's integers


def draw_hands(image: "NDArray[np.uint8]", hands: Sequence[Hand]) -> "NDArray[np.uint8]":
    """A copy of the picture with each hand's skeleton, box, handedness, score and track id.

    image: (H, W, 3) uint8 RGB, the picture the hands were found in. The best hand lies on top.
    """
    canvas: NDArray[np.uint8] = image.copy()
    for hand in reversed(hands):
        side = max(hand.box.width, hand.box.height)
        width = max(1, round(max(min(side / 60, 8), max(image.shape[:2]) / 800)))
        _draw_box(canvas, hand, width)
        _draw_skeleton(canvas, hand, width)
    return canvas


def _draw_skeleton(canvas: "NDArray[np.uint8]", hand: Hand, width: int) -> None:
    for finger, colour in zip(FINGERS, FINGER_COLOURS, strict=True):
        points = [hand.keypoints[index] for index in finger]
        for start, end in pairwise(points):
            thickness = width if min(start.score, end.score) >= _SURE else max(1, width // 2)
            ends = _fixed(start.x, start.y), _fixed(end.x, end.y)
            cv2.line(canvas, *ends, colour, thickness, cv2.LINE_AA, _SHIFT)
        for index, point in zip(finger, points, strict=True):
            centre = _fixed(point.x, point.y)
            for radius, fill in ((width + 1.5, _RIM), (width + 0.5, colour if index else _WRIST_COLOUR)):
                cv2.circle(canvas, centre, round(radius * 2**_SHIFT), fill, -1, cv2.LINE_AA, _SHIFT)


def _draw_box(canvas: "NDArray[np.uint8]", hand: Hand, width: int) -> None:
    colour, thickness = HAND_COLOURS[hand.handedness.label], max(1, width // 2)
    x0, y0, x1, y1 = hand.box.corners
    cv2.rectangle(canvas, _fixed(x0, y0), _fixed(x1, y1), colour, thickness, cv2.LINE_AA, _SHIFT)
    name = "" if hand.track_id is None else f"{hand.track_id} "
    doubt = "?" if hand.handedness.score < _SURE_SIDE else ""
    text = f"{name}{hand.handedness.label}{doubt} {hand.score:.2f}"
    font, scale, pad = cv2.FONT_HERSHEY_SIMPLEX, 0.35 + 0.13 * width, 2 + width
    (text_width, text_height), base = cv2.getTextSize(text, font, scale, thickness)
    label_width, label_height = text_width + 2 * pad, text_height + base + 2 * pad
    left = min(max(0, round(x0)), max(0, canvas.shape[1] - label_width))
    top = max(0, round(y0) - label_height)
    cv2.rectangle(canvas, (left, top), (left + label_width, top + label_height), colour, -1)
    origin = (left + pad, top + label_height - base - pad)
    cv2.putText(canvas, text, origin, font, scale, (0, 0, 0), thickness, cv2.LINE_AA)


def _fixed(x: float, y: float) -> tuple[int, int]:
    """Sixteenths from the first pixel's centre, which lies at (0.5, 0.5) of ours."""
    return (
        round((min(max(x, -_FAR), _FAR) - 0.5) * 2**_SHIFT),
        round((min(max(y, -_FAR), _FAR) - 0.5) * 2**_SHIFT),
    )
