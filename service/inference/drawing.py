"""Hands drawn on a picture."""

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np

from service.inference.geometry import Image
from service.inference.hands import Hand
from service.models.keypoints import FINGERS

# RGB; one colour a finger, thumb first. Chosen to be told apart with red-green colour blindness (after
# Okabe and Ito).
FINGER_COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 160))
WRIST_COLOUR = (255, 255, 255)
BOX_COLOURS = {"left": (86, 180, 233), "right": (255, 145, 60)}
_SHIFT = 4  # OpenCV draws at fractions of a pixel when coordinates are given in sixteenths
_SURE = 0.5  # bones to keypoints scored below this are drawn thin
_SURE_SIDE = 0.75  # sides told below this are drawn with a question mark


def draw_hands(image: Image, hands: Sequence[Hand]) -> Image:
    """A copy of the picture with each hand's skeleton, box, handedness and score.

    image: (H, W, 3) uint8 RGB. Lines grow with the hand and with the picture.
    """
    canvas = image.copy()
    for hand in reversed(hands):  # the best hand on top
        width = max(1, round(max(min(hand.box.side / 60, 8), max(image.shape[:2]) / 800)))
        _draw_box(canvas, hand, width)
        for finger, colour in zip(FINGERS, FINGER_COLOURS, strict=True):
            for start, end in pairwise(finger):
                sure = min(hand.keypoint_scores[start], hand.keypoint_scores[end]) >= _SURE
                cv2.line(
                    canvas,
                    _fixed(*hand.keypoints[start]),
                    _fixed(*hand.keypoints[end]),
                    colour,
                    width if sure else max(1, width // 2),
                    cv2.LINE_AA,
                    _SHIFT,
                )
            for index in finger:
                dot = WRIST_COLOUR if index == 0 else colour
                centre = _fixed(*hand.keypoints[index])
                cv2.circle(
                    canvas, centre, round((width + 1.5) * 2**_SHIFT), (20, 20, 20), -1, cv2.LINE_AA, _SHIFT
                )
                cv2.circle(canvas, centre, round((width + 0.5) * 2**_SHIFT), dot, -1, cv2.LINE_AA, _SHIFT)
    return canvas


def _draw_box(canvas: Image, hand: Hand, width: int) -> None:
    colour, thickness = BOX_COLOURS[hand.handedness], max(1, width // 2)
    x0, y0, x1, y1 = hand.box.corners
    cv2.rectangle(canvas, _fixed(x0, y0), _fixed(x1, y1), colour, thickness, cv2.LINE_AA, _SHIFT)
    doubt = "?" if hand.handedness_score < _SURE_SIDE else ""
    text = f"{hand.handedness}{doubt} {hand.score:.2f}"
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.35 + 0.13 * width
    (text_width, text_height), base = cv2.getTextSize(text, font, scale, thickness)
    pad = 2 + width
    left = int(np.clip(x0, 0, max(0, canvas.shape[1] - text_width - 2 * pad)))
    top = max(0, int(y0) - text_height - base - 2 * pad)
    bottom = top + text_height + base + 2 * pad
    cv2.rectangle(canvas, (left, top), (left + text_width + 2 * pad, bottom), colour, -1)
    origin = (left + pad, bottom - base - pad)
    cv2.putText(canvas, text, origin, font, scale, (0, 0, 0), thickness, cv2.LINE_AA)


def _fixed(x: float, y: float) -> tuple[int, int]:
    """Picture coordinates as OpenCV's drawing wants them: sixteenths, counted from the first pixel's
    centre.
    """
    limit = 2**20  # far outside any picture, well inside OpenCV's integers
    return (
        round((float(np.clip(x, -limit, limit)) - 0.5) * 2**_SHIFT),
        round((float(np.clip(y, -limit, limit)) - 0.5) * 2**_SHIFT),
    )
