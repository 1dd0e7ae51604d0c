"""The camera that films a sequence: one exposure for the whole clip, noise anew in every frame, motion blur."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.datasets.synthetic.raster import Fragments
from training.datasets.synthetic.surfaces import Geometry
from training.datasets.synthetic.vectors import Array

Generator = np.random.Generator
Picture = NDArray[np.float32]  # (H, W, 3), RGB in 0..1, display encoded

BLUR_STEP = 1.5  # pixels between the exposures that a blur is summed from
MOST_BLUR_STEPS = 15


@dataclass(frozen=True, eq=False)
class Camera:
    """gain: (3,) RGB factors: exposure and white balance. gamma: exponent of the tone curve. sharpness: sigma in pixels
    of the lens's blur. noise: deviation of the sensor's noise at full light. shutter: seconds of each exposure.
    pan, pan_hertz, pan_phase: (2, 2), two slow waves by which x and y of the whole picture wander, in pixels and Hz.
    """

    gain: NDArray[np.float32]
    gamma: float
    sharpness: float
    noise: float
    shutter: float
    pan: Array
    pan_hertz: Array
    pan_phase: Array

    def offset(self, time: float) -> Array:
        """(2,) pixels by which everything is moved in the picture; 0 at all times for a camera on a stand."""
        angles = 2 * math.pi * self.pan_hertz * time + self.pan_phase
        return np.asarray((self.pan * np.sin(angles)).sum(axis=0))

    def develop(self, rng: Generator, picture: Picture) -> NDArray[np.uint8]:
        """The picture as the camera gives it out, (H, W, 3) uint8 RGB; `rng` makes the noise of this frame."""
        if self.sharpness > 0.2:
            picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), self.sharpness), np.float32)
        picture = cv2.pow(np.clip(picture * self.gain, 0, 1), self.gamma)
        grains = rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(self.noise)
        picture += grains * cv2.sqrt(picture + np.float32(0.1))
        return np.asarray(cv2.convertScaleAbs(np.maximum(picture, 0, out=picture), alpha=255.0), np.uint8)


def draw_camera(rng: Generator, brightness: float, width: int, moving: bool) -> Camera:
    """A webcam or phone that looks at a scene of this mean brightness (0..1). moving: held in a hand, it wanders by up
    to 4 % of the picture's width."""
    exposure = np.clip((rng.uniform(0.35, 0.5) / (brightness + 1e-3)) ** 0.5, 0.7, 1.15)
    return Camera(
        gain=(exposure * np.exp(rng.normal(0, 0.05, 3))).astype(np.float32),
        gamma=float(rng.uniform(0.88, 1.15)),
        sharpness=float(rng.uniform(0.3, 0.8)) * width / 640,
        noise=float(rng.uniform(0.006, 0.025)),
        shutter=float(rng.uniform(1 / 120, 1 / 45)),
        pan=rng.uniform(0.01, 0.02, (2, 2)) * width * moving,
        pan_hertz=rng.uniform(0.05, 0.2, (2, 2)),
        pan_phase=rng.uniform(0, 2 * math.pi, (2, 2)),
    )


def motion_at(
    geometry: Geometry, fragments: Fragments, moved: Array, chosen: NDArray[np.int32]
) -> NDArray[np.float32]:
    """How far what each pixel shows moves during an exposure, (S, S, 2) pixels; 0 where nothing is.

    moved: (V, 3) the geometry's vertices at the end of the exposure, its own being those at the start.
    chosen: (S, S), the sample that each pixel shows, or -1 (see `raster.resolve`).
    """
    motion = np.zeros((*chosen.shape, 2), np.float32)
    covered = chosen >= 0
    travel = (moved - geometry.vertices)[:, :2][geometry.triangles].mean(axis=1)  # (T, 2)
    motion[covered] = travel[fragments.triangle.ravel()[chosen[covered]]]
    return motion


def blurred(
    colour: Picture, coverage: NDArray[np.float32], motion: NDArray[np.float32]
) -> tuple[Picture, NDArray[np.float32]]:
    """Colour, multiplied by coverage, and coverage of a layer blurred along its motion, centred on where it is.

    colour: (S, S, 3), not multiplied by coverage. coverage: (S, S). motion: (S, S, 2) pixels during the exposure.
    """
    colour = colour * coverage[..., None]
    longest = float(np.abs(motion).max(initial=0.0))
    steps = min(math.ceil(longest / BLUR_STEP), MOST_BLUR_STEPS)
    if steps < 2:
        return colour, coverage
    layer = np.dstack([colour, coverage])
    # Motion is carried over the silhouette, since what moves smears over what is behind it.
    small = cv2.resize(np.dstack([motion, coverage]), None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), max(longest / 6, 1.0))
    travel = small[..., :2] / np.maximum(small[..., 2:], 1e-3)
    spread = cv2.resize(travel, layer.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    rows, columns = np.indices(coverage.shape, dtype=np.float32)
    total = np.zeros_like(layer)
    for share in np.linspace(-0.5, 0.5, steps, dtype=np.float32):
        source_x, source_y = columns - share * spread[..., 0], rows - share * spread[..., 1]
        total += cv2.remap(layer, source_x, source_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    total /= np.float32(steps)
    return total[..., :3], total[..., 3]
