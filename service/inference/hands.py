"""What the core answers with: values that check themselves when they are made.

Every coordinate is in pixels of the picture, x to the right and y down from its top-left corner: the centre
of the first pixel is (0.5, 0.5) and the picture spans [0, width] × [0, height].
"""

import math
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from service.models.keypoints import KEYPOINT_NAMES

Label = Literal["left", "right"]


def _check_probability(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must be between 0 and 1, not {value}")


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle: its top-left corner and its size in pixels. Raises ValueError unless finite and
    not empty.
    """

    x: float
    y: float
    width: float
    height: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) for v in (self.x, self.y, self.width, self.height)):
            raise ValueError(f"a box needs finite numbers: {self}")
        if self.width <= 0 or self.height <= 0:
            raise ValueError(f"a box needs a width and a height above 0: {self}")

    @classmethod
    def from_corners(cls, x0: float, y0: float, x1: float, y1: float) -> Self:
        """The box between (x0, y0) and (x1, y1)."""
        return cls(float(x0), float(y0), float(x1) - float(x0), float(y1) - float(y0))

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1."""
        return self.x, self.y, self.x + self.width, self.y + self.height

    @property
    def centre(self) -> tuple[float, float]:
        """x, y."""
        return self.x + self.width / 2, self.y + self.height / 2

    @property
    def side(self) -> float:
        """The larger of width and height."""
        return max(self.width, self.height)


@dataclass(frozen=True, slots=True)
class Detection:
    """A box in which the detector sees a hand, and how sure it is, in [0, 1]."""

    box: Box
    score: float

    def __post_init__(self) -> None:
        _check_probability("score", self.score)


def side_of(right: float) -> tuple[Label, float]:
    """The likelier label and its probability, by the probability of a right hand in [0, 1]."""
    return ("right", right) if right >= 0.5 else ("left", 1.0 - right)


@dataclass(frozen=True, slots=True, eq=False)
class Hand:
    """One hand of a picture.

    box: tight around the visible hand, wrist included, forearm not.
    score: how sure the pipeline is of this hand, in [0, 1]: `combined_score`, and once it is calibrated
        (`PairCalibration`) the probability that it is one.
    presence: the pose model's own probability that the crop shows a hand.
    handedness: the anatomical hand, as seen in an unmirrored picture.
    handedness_score: the probability of that label, in [0.5, 1]; of a picture's only two hands, by what is seen of the
        other one, too (`settle_sides`).
    keypoints: (21, 2) float32, x, y in pixels, in the order of `KEYPOINT_NAMES`; may lie outside the
        picture where the picture cuts the hand off.
    keypoint_scores: (21,) float32 in [0, 1]: how much of the heatmap lies in one place, and once it is calibrated the
        probability that the keypoint is within a tenth of the hand's size of where it truly is.
    depth: (21,) float32, z in pixels of the picture at the hand's distance, relative to the wrist, positive away from
        the camera; None where the pose model does not know it.

    Raises ValueError when a shape or a range is wrong.
    """

    box: Box
    score: float
    presence: float
    handedness: Label
    handedness_score: float
    keypoints: NDArray[np.float32]
    keypoint_scores: NDArray[np.float32]
    depth: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        n = len(KEYPOINT_NAMES)
        if self.keypoints.shape != (n, 2):
            raise ValueError(f"keypoints must be ({n}, 2), not {self.keypoints.shape}")
        if self.keypoint_scores.shape != (n,):
            raise ValueError(f"keypoint_scores must be ({n},), not {self.keypoint_scores.shape}")
        if not (np.isfinite(self.keypoints).all() and np.isfinite(self.keypoint_scores).all()):
            raise ValueError("keypoints and their scores must be finite")
        if self.depth is not None and (self.depth.shape != (n,) or not np.isfinite(self.depth).all()):
            raise ValueError(f"depth must be ({n},) finite numbers, not {self.depth}")
        if self.handedness not in ("left", "right"):
            raise ValueError(f"handedness must be left or right, not {self.handedness}")
        for name in ("score", "presence", "handedness_score"):
            _check_probability(name, getattr(self, name))

    @property
    def right(self) -> float:
        """The probability that it is a right hand, in [0, 1]."""
        return self.handedness_score if self.handedness == "right" else 1.0 - self.handedness_score

    def mirrored(self) -> Self:
        """The same hand with its handedness swapped: for pictures mirrored before they were sent."""
        return replace(self, handedness="left" if self.handedness == "right" else "right")

    def scaled(self, factor: float) -> Self:
        """The same hand in a picture `factor` times as large."""
        box = Box(*(v * factor for v in (self.box.x, self.box.y, self.box.width, self.box.height)))
        depth = None if self.depth is None else self.depth * np.float32(factor)
        return replace(self, box=box, keypoints=self.keypoints * np.float32(factor), depth=depth)
