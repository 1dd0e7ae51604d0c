"""Takes the tremble out of keypoints without making them late: the One-Euro filter.

G. Casiez, N. Roussel, D. Vogel: 1 € Filter, CHI 2012. An exponential low-pass filter whose cut-off rises with
speed: a still hand is averaged over several frames, a moving one follows at once. Speed is measured in hand
sizes a second, so that the same parameters serve a hand that fills a 4K frame and one of 20 pixels. One thing
is added to the paper's filter: speeds that the tremble itself makes count as none, so that a still hand may be
averaged for longer than would suit the slope that a moving one needs.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]

# Frames that arrive closer together than this were held up on their way: real cameras are not that fast, and
# dividing by the time between them would make speed out of noise.
MIN_STEP = 1 / 120


@dataclass(frozen=True, slots=True)
class OneEuro:
    """Parameters. Raises ValueError unless the cut-offs are above 0 and the others not below.

    still_cutoff: Hz, the cut-off of a point that does not move; lower is steadier and later.
    slope: Hz for each hand size a second; higher follows motion sooner and lets more tremble through.
    speed_cutoff: Hz, the cut-off of the filter in front of the speed.
    still_speed: hand sizes a second; slower than this counts as not moving.

    The defaults were chosen at 30 frames/s with the pose model's own noise (1 to 1.5 % of the hand's size,
    from frame to frame independent): a still hand trembles 70 % less (50 % less at 3 %); a hand that crosses
    its own size in a second is 0.35 frames late, one that takes three seconds 0.96. Waved at up to 3 sizes a
    second it is off by 2.4 % of its size, 1.5 % of that the noise that came in.
    """

    still_cutoff: float = 0.8
    slope: float = 12.0
    speed_cutoff: float = 2.0
    still_speed: float = 0.3

    def __post_init__(self) -> None:
        if not min(self.still_cutoff, self.speed_cutoff) > 0 or not min(self.slope, self.still_speed) >= 0:
            raise ValueError(f"cut-offs must be above 0, slope and still_speed not below: {self}")


class KeypointFilter:
    """Smooths the points of one hand, each with its own speed. Remembers the frame before."""

    def __init__(self, parameters: OneEuro | None = None) -> None:
        self.parameters = parameters or OneEuro()
        self._timestamp = 0.0
        self._points: Points | None = None  # (N, 2 or 3), as last given out
        self._velocity: Points | None = None  # of the same shape, pixels a second, low-pass filtered

    def __call__(self, points: Points, timestamp: float, size: float) -> Points:
        """points: (N, 2) pixels x, y, or (N, 3) with z, which follows the speed in x and y: depth is guessed, and
        trembles more than it moves. timestamp: seconds, not before the last one. size: of the hand, in pixels.

        Returns the smoothed points, float32; the first ones are returned as they are. Raises ValueError for a size
        not above 0, for a timestamp in the past, and when the shape is not that of the points before.
        """
        if not size > 0:
            raise ValueError(f"a hand's size must be above 0, not {size}")
        if self._points is None or self._velocity is None:
            smooth = points.astype(np.float32)
            self._velocity = np.zeros_like(smooth)
        else:
            if points.shape != self._points.shape:
                raise ValueError(f"{points.shape} points after {self._points.shape}")
            if timestamp < self._timestamp:
                raise ValueError(f"time went back from {self._timestamp} to {timestamp}")
            step = max(timestamp - self._timestamp, MIN_STEP)
            p = self.parameters
            velocity = (points - self._points) / np.float32(step)
            self._velocity = self._velocity + _weight(p.speed_cutoff, step) * (velocity - self._velocity)
            in_plane = np.linalg.norm(self._velocity[:, :2], axis=1, keepdims=True)
            speed = in_plane / size  # (N, 1) hand sizes a second
            cutoff = p.still_cutoff + p.slope * np.maximum(speed - p.still_speed, 0)
            smooth = self._points + _weights(cutoff, step) * (points - self._points)
        self._points, self._timestamp = smooth, timestamp
        return smooth.copy()

    def scale(self, factor_x: float, factor_y: float) -> None:
        """The picture's size changed: go on with coordinates this many times as large."""
        if self._points is not None and self._velocity is not None:
            of_axis = [factor_x, factor_y, math.sqrt(factor_x * factor_y)]
            factor = np.array(of_axis[: self._points.shape[1]], np.float32)
            self._points, self._velocity = self._points * factor, self._velocity * factor


def _weight(cutoff: float, step: float) -> float:
    """How much of a new value an exponential filter takes, for a cut-off in Hz and a step in seconds."""
    return 1 - 1 / (1 + 2 * math.pi * cutoff * step)


def _weights(cutoff: Points, step: float) -> Points:
    return np.asarray(1 - 1 / (1 + np.float32(2 * math.pi * step) * cutoff), np.float32)
