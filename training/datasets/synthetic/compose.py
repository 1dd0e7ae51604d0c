"""From parts in image space to a labelled picture: render, lay over the background, read the labels off."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from training.datasets.synthetic.appearance import draw_lighting
from training.datasets.synthetic.mesh import hand_mesh
from training.datasets.synthetic.raster import SAMPLES, Fragments, rasterise
from training.datasets.synthetic.shading import shade
from training.datasets.synthetic.stage import StagedHand, hand_box
from training.datasets.synthetic.surfaces import Geometry, Part, join
from training.datasets.types import HandLabel

Generator = np.random.Generator
Picture = NDArray[np.float32]  # (S, S, 3), RGB in 0..1, display encoded

# A keypoint lies inside the hand. It counts as seen while the hand's surface stands no further in front of it than
# this many times the hand's own thickness there (and never less than a finger's, in hand lengths).
THICKNESS_SEEN_THROUGH, FINGER_SEEN_THROUGH = 1.5, 0.08


def paint(
    rng: Generator,
    background: NDArray[np.uint8],
    parts: Sequence[Part],
    hand_size: float,
    cast_shadow: float = 0.3,
) -> tuple[Picture, Geometry, Fragments]:
    """Render parts (at least one) of image space over a background (S, S, 3) uint8 RGB.

    hand_size: the typical size of a hand in pixels. cast_shadow: how likely hands throw a soft shadow on what is
    behind them. Returns the picture, and what is needed to read visibility off it.
    """
    size = background.shape[0]
    behind = background.astype(np.float32) / np.float32(255) * np.float32(rng.uniform(0.55, 1.1))
    if rng.random() < 0.3:
        blur = rng.uniform(0.5, 3) * size / 160
        behind = np.asarray(cv2.GaussianBlur(behind, (0, 0), blur), np.float32)
    lighting = draw_lighting(
        rng, np.asarray(cv2.resize(behind, (8, 8), interpolation=cv2.INTER_AREA) ** 2.2).mean((0, 1))
    )
    geometry = join(parts)
    fragments = rasterise(geometry, size)
    rendering = shade(geometry, fragments, lighting, hand_size / 13)
    coverage = rendering.coverage[..., None]
    if rng.random() < cast_shadow:
        behind = behind * (1 - _soft_shadow(rng, rendering.coverage, hand_size))
    return behind * (1 - coverage) + rendering.colour * coverage, geometry, fragments


def _soft_shadow(rng: Generator, coverage: NDArray[np.float32], hand_size: float) -> NDArray[np.float32]:
    """(S, S, 1): the silhouette, moved, blurred and faint."""
    dx, dy = rng.normal(0, 0.09 * hand_size, 2)
    size = len(coverage)
    moved = cv2.warpAffine(
        coverage, np.array([[1, 0, dx], [0, 1, dy]]), (size, size), borderMode=cv2.BORDER_REPLICATE
    )
    soft = cv2.GaussianBlur(moved, (0, 0), rng.uniform(0.02, 0.09) * hand_size + 0.3)
    return soft[..., None] * np.float32(rng.uniform(0.2, 0.65))


def label(hand: StagedHand, scale: float, geometry: Geometry, fragments: Fragments) -> HandLabel:
    """The label of a hand in image space, `scale` pixels per hand length. Its box is not clipped to the picture."""
    keypoints = hand.keypoints
    visible = np.zeros(21, bool)
    side = len(fragments.depth)
    allowed = np.maximum(THICKNESS_SEEN_THROUGH * hand_mesh().thickness, FINGER_SEEN_THROUGH) * scale
    for index, (x, y, depth) in enumerate(keypoints):
        column, row = int(np.floor(x * SAMPLES)), int(np.floor(y * SAMPLES))
        if not (0 <= column < side and 0 <= row < side):
            continue
        triangle = fragments.triangle[row, column]
        if triangle < 0:  # just outside the silhouette: nothing stands before it
            visible[index] = True
            continue
        nearest = float(fragments.depth[row, column])
        if geometry.owners[geometry.part[triangle]] == hand.owner:
            visible[index] = depth - nearest < allowed[index]
        else:  # anything else, clothes too, hides what it stands before
            visible[index] = nearest > depth
    return HandLabel(
        box=hand_box(hand),
        keypoints=keypoints[:, :2].astype(np.float32),
        labelled=np.ones(21, bool),
        visible=visible,
        depth=(keypoints[:, 2] - keypoints[0, 2]).astype(np.float32),
        handedness=hand.handedness,
    )
