"""Who is in a sequence and where it is filmed: the hands, what is behind them, the light, the camera. The same for
the whole clip."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from training.datasets.synthetic.appearance import (
    HandAppearance,
    draw_appearance,
    draw_lighting,
    draw_material,
)
from training.datasets.synthetic.backgrounds import Backgrounds
from training.datasets.synthetic.camera import Camera, draw_camera
from training.datasets.synthetic.hand import Identity
from training.datasets.synthetic.mesh import hand_mesh
from training.datasets.synthetic.objects import person
from training.datasets.synthetic.poses import draw_identity
from training.datasets.synthetic.shading import Lighting
from training.datasets.synthetic.surfaces import Part
from training.datasets.synthetic.vectors import Array
from training.datasets.types import Handedness

Generator = np.random.Generator

PERSON_SHARE = 0.5  # how often somebody sits behind the hands
BRIGHTEST = 0.85  # linear, of skin that faces the light
MARGIN = 0.05  # of the square's side, by which the background reaches over it, for a camera that wanders


@dataclass(frozen=True, eq=False)
class Setting:
    """Everything is rendered in a square of side S, of which the picture is a part (see `corner_in_square`).

    background: (S + 2 margin, S + 2 margin, 3) float32 RGB in 0..1, display encoded. complete: whether it is known to
    show no hand. scenery: parts in image space that stand behind the hands.
    """

    background: NDArray[np.float32]
    margin: int
    complete: bool
    scenery: tuple[Part, ...]
    lighting: Lighting
    camera: Camera

    def backdrop(self, offset: Array) -> NDArray[np.float32]:
        """What is behind everything, (S, S, 3), moved by `offset` (2,) pixels."""
        side = len(self.background) - 2 * self.margin
        to_background = np.array([[1, 0, self.margin - offset[0]], [0, 1, self.margin - offset[1]]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        moved = cv2.warpAffine(
            self.background, to_background, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(moved, np.float32)


def corner_in_square(width: int, height: int) -> NDArray[np.int64]:
    """(2,) pixels, where a picture's top-left corner lies in the square that is rendered: in the middle of its width,
    at its lower edge, since below the picture there would be nothing but arms, which take long to shade."""
    side = max(width, height)
    return np.array([(side - width) // 2, side - height])


def draw_setting(
    rng: Generator,
    backgrounds: Backgrounds,
    wearers: Sequence[HandAppearance],
    width: int,
    height: int,
    scale: float,
    behind: float,
    moving_camera: bool,
) -> Setting:
    """A place for hands of `scale` pixels per hand length, the rearmost at depth `behind` (pixels).

    wearers: what the hands' owners look like; it is the first one who may sit behind them. width, height: of the
    picture. The light is dimmed where it would burn out the fairest skin, as a camera's exposure would.
    """
    side = max(width, height)
    margin = round(MARGIN * side)
    scenery: list[Part] = []
    if rng.random() < PERSON_SHARE:
        head = scale * rng.uniform(0.9, 1.3)
        place = rng.uniform([0.3, 0.15], [0.7, 0.4]) * [width, height] + corner_in_square(width, height)
        owner = wearers[0]
        cloth = owner.sleeve.surface if owner.sleeve else draw_material(rng, 0.15)
        scenery = person(rng, np.array([*place, behind + head]), head, owner.skin, cloth)
    photo, hand_free = backgrounds.draw(rng, side + 2 * margin, free_only=True)
    background = photo.astype(np.float32) / np.float32(255) * np.float32(rng.uniform(0.6, 1.1))
    if rng.random() < 0.4:  # out of focus
        blur = rng.uniform(0.002, 0.008) * side
        background = np.asarray(cv2.GaussianBlur(background, (0, 0), blur), np.float32)
    surroundings = cv2.resize(background, (8, 8), interpolation=cv2.INTER_AREA) ** 2.2
    lighting = draw_lighting(rng, np.asarray(surroundings, float).mean((0, 1)))
    fairest = max(float(np.max(wearer.skin["colour"])) for wearer in wearers)
    most = fairest * float(np.max(lighting.above + lighting.colours[0] + 0.5 * lighting.colours[1]))
    lighting = replace(lighting, exposure=min(lighting.exposure, BRIGHTEST / most))
    return Setting(
        background=np.asarray(background, np.float32),
        margin=margin,
        complete=hand_free,
        scenery=tuple(scenery),
        lighting=lighting,
        camera=draw_camera(rng, float(background.mean()), width, moving_camera),
    )


def draw_cast(rng: Generator, hands: int) -> list[tuple[Identity, HandAppearance, Handedness]]:
    """Whose hands: the first two are one person's pair, the third is somebody else's."""
    sides: list[Handedness] = ["left", "right"]
    first, other = (sides[int(side)] for side in rng.permutation(2))
    bodies = len(hand_mesh().vertices)
    one, another = ((draw_identity(rng, bodies), draw_appearance(rng)) for _ in range(2))
    cast: list[tuple[Identity, HandAppearance, Handedness]] = [
        (*one, first),
        (*one, other),
        (*another, sides[int(rng.integers(2))]),
    ]
    return cast[:hands]
