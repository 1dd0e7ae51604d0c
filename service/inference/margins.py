"""How far a hand's box reaches beyond its keypoints, learnt over time from the boxes of single frames."""

import math

import numpy as np

from service.inference.hands import Box

# As a share of the larger side of the keypoints' tight box, where nothing is known: over the validation photos the
# detector's boxes are 14 % larger than the keypoints' (median).
BOX_MARGIN = 0.07
_RANGE = (-0.1, 0.3)
_SECONDS = 5.0  # margins that no detector confirms fade into BOX_MARGIN over about this long
_CONFIRMED = 0.2  # weight of a new box's margins against those before


class Margins:
    """Those of one hand. `shares`: (4,) left, top, right, bottom, of the larger side of the keypoints' tight box."""

    def __init__(self) -> None:
        self.shares = np.full(4, BOX_MARGIN)
        self._known = False

    def learn(self, outer: Box, inner: Box, width: int, height: int) -> None:
        """What a single picture's box would be, and the tight box of the keypoints, in a picture of that size.

        Nothing is learnt from a hand that the picture cuts off: there boxes end, and keypoints go on.
        """
        if not (_inside(outer, width, height) and _inside(inner, width, height)):
            return
        difference = (np.array(outer.corners) - np.array(inner.corners)) * np.array([-1, -1, 1, 1])
        found = np.clip(difference / inner.side, *_RANGE)
        self.shares = self.shares + (_CONFIRMED if self._known else 1.0) * (found - self.shares)
        self._known = True

    def fade(self, elapsed: float) -> None:
        """So many seconds have gone by."""
        self.shares = BOX_MARGIN + math.exp(-elapsed / _SECONDS) * (self.shares - BOX_MARGIN)


def _inside(box: Box, width: int, height: int) -> bool:
    """Whether a box ends before the picture does, on every side."""
    x0, y0, x1, y1 = box.corners
    return min(x0, y0) >= 1 and x1 <= width - 1 and y1 <= height - 1
