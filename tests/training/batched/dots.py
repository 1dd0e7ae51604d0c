"""Pictures whose keypoints can be seen."""

import cv2
import numpy as np

from training.batched.windows import Windows, around
from training.datasets.types import HandLabel

MARKED = (0, 5, 9, 17, 20)


def dotted(depth: bool = False, size: int = 192) -> Windows:
    """A window with one right hand, of which the keypoints `MARKED` are white dots on grey."""
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(150, 250, (21, 2)).astype(np.float32)
    keypoints[list(MARKED)] = [[200, 250], [160, 190], [200, 150], [245, 200], [170, 235]]
    image = np.full((400, 400, 3), 40, np.uint8)
    for index in MARKED:
        x, y = keypoints[index] - 0.5
        cv2.circle(
            image, (round(float(x) * 16), round(float(y) * 16)), 5 * 16, (255, 255, 255), -1, cv2.LINE_AA, 4
        )
    label = HandLabel(
        np.array([145, 145, 110, 110], np.float32),
        keypoints,
        np.ones(21, bool),
        depth=np.linspace(0, 80, 21).astype(np.float32) if depth else None,
        handedness="right",
    )
    return around(image, label, size)
