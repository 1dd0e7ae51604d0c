"""Pictures of one hand for the pose model."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from training.datasets.synthetic.appearance import draw_skin
from training.datasets.synthetic.backgrounds import Backgrounds, table
from training.datasets.synthetic.casting import GRIPPING, draw_pair, draw_single
from training.datasets.synthetic.compose import label, paint
from training.datasets.synthetic.degrade import degrade
from training.datasets.synthetic.gestures import GRASPS
from training.datasets.synthetic.objects import obstacle, person, skin_blob
from training.datasets.synthetic.stage import Stage, View, draw_rotation, framed_view, project
from training.datasets.synthetic.surfaces import Part
from training.datasets.types import HandLabel, LabelledImage

Generator = np.random.Generator

CROP_STREAM = 1  # keeps the random numbers of crops and scenes apart
LEAST_SEEN, MOST_TRIES = 0.25, 8  # a crop in which less of the hand is visible is drawn again
MARGIN = (1.35, 2.3)  # picture side over the larger side of the hand's box

VIEWS = {
    "upright": 44,
    "side": 8,
    "lying": 7,
    "hanging": 8,
    "reaching": 11,
    "pointing": 4,
    "above": 6,
    "any": 12,
}
VIEW_NAMES = tuple(VIEWS)
VIEW_SHARES = np.array([*VIEWS.values()]) / sum(VIEWS.values())


def generator(*key: int) -> Generator:
    """The random numbers of one picture: they depend on nothing but the numbers of the key."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def render_crop(seed: int, size: int, backgrounds: Backgrounds) -> LabelledImage:
    """Render one main hand with room around it; other hands and things may intrude.

    The larger side of the hand's box is 1/1.35 to 1/2.3 of the picture, the hand about in its middle. The image is
    (size, size, 3) uint8 RGB and `hands` holds exactly the main hand, every keypoint labelled, `visible` and `depth`
    known. Equal arguments give equal bytes.
    """
    for attempt in range(MOST_TRIES):
        rng = generator(CROP_STREAM, seed, attempt)
        picture, hand = _compose(rng, size, backgrounds)
        if hand.visible is not None and hand.visible.mean() >= LEAST_SEEN:
            break
    return LabelledImage(
        degrade(rng, picture), (hand,), complete=False, source="synthetic", group="synthetic"
    )


def _compose(rng: Generator, size: int, backgrounds: Backgrounds) -> tuple[NDArray[np.float32], HandLabel]:
    """One picture before the camera's flaws, and its main hand."""
    kind = str(rng.choice(VIEW_NAMES, p=VIEW_SHARES))
    stage, main = _main_stage(rng, kind)
    side = size / rng.uniform(*MARGIN)
    slack = (size - side) / 2
    target = size / 2 + np.clip(rng.normal(0, 0.05 * size, 2), -0.8 * slack, 0.8 * slack)
    turn = draw_rotation(rng, kind)
    view = framed_view(stage, main, turn, rng.uniform(2.2, 9), side, target, depth=0.0)
    seen = project(stage, view)
    parts = [*seen.parts, *_surroundings(rng, view, size)]
    background = backgrounds.crop(rng, size)
    on_table = kind in ("above", "reaching") and rng.random() < 0.6
    if on_table:
        background = table(rng, size, background)
    picture, geometry, fragments = paint(rng, background, parts, side, 0.7 if on_table else 0.3)
    main_label = label(seen.hands[main], view.scale, geometry, fragments)
    if rng.random() < 0.06:
        picture, main_label = _covered(rng, picture, main_label, backgrounds)
    return picture, main_label


def _main_stage(rng: Generator, kind: str) -> tuple[Stage, int]:
    """The hands in the middle of the picture, and which of them is labelled."""
    chance = rng.random()
    if chance < 0.11:
        return draw_pair(rng, 0), int(rng.integers(2))
    if chance < 0.22:
        return draw_single(rng, 0, GRIPPING), 0
    if chance < 0.4:
        return draw_single(rng, 0, tuple(GRASPS)), 0
    if kind in ("above", "reaching") and chance < 0.62:
        return draw_single(
            rng, 0, ("resting", "relaxed", "point", "pinch", "tripod", "grip", "hold", "fist")
        ), 0
    return draw_single(rng, 0), 0


def _surroundings(rng: Generator, view: View, size: int) -> list[Part]:
    """Bodies behind the main hand, another hand that comes into the picture, something in front."""
    parts: list[Part] = []
    if rng.random() < 0.16:
        skin = draw_skin(rng)
        if rng.random() < 0.5:
            centre = np.array([*(size / 2 + rng.normal(0, 0.3 * size, 2)), 1.5 * view.scale])
            parts.append(skin_blob(rng, centre, 0.6 * size, skin))
        else:
            head = rng.uniform(0.9, 1.7) * view.scale
            centre = np.array([*(size / 2 + rng.normal(0, 0.35, 2) * size), 1.2 * view.scale + head])
            parts += person(rng, centre, head, skin)
    if rng.random() < 0.1:
        other = draw_single(rng, 10)
        angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(0.55, 0.8) * size
        target = size / 2 + away * np.array([np.cos(angle), np.sin(angle)])
        depth = view.scale * (0.8 if rng.random() < 0.7 else -0.8)
        side = size / rng.uniform(1.6, 2.6)
        turn = draw_rotation(rng, "any")
        parts += project(other, framed_view(other, 0, turn, rng.uniform(2.2, 9), side, target, depth)).parts
    if rng.random() < 0.07:
        centre = np.array([*(size / 2 + rng.normal(0, 0.16 * size, 2)), -1.5 * view.scale])
        parts.append(obstacle(rng, centre, 0.5 * view.scale))
    return parts


def _covered(
    rng: Generator, picture: NDArray[np.float32], hand: HandLabel, backgrounds: Backgrounds
) -> tuple[NDArray[np.float32], HandLabel]:
    """Lay a flat piece of another picture over part of the hand."""
    assert hand.keypoints is not None
    assert hand.visible is not None
    size = len(picture)
    mask = np.zeros((size, size), np.float32)
    x, y = hand.keypoints[int(rng.integers(21))]
    corners = cv2.boxPoints(
        ((x, y), tuple(rng.uniform([0.08, 0.12], [0.28, 0.7]) * size), rng.uniform(0, 180))
    )
    cv2.fillConvexPoly(mask, corners.astype(np.int32), 1.0)
    cover = backgrounds.crop(rng, size).astype(np.float32) / np.float32(255)
    picture = picture * (1 - mask[..., None]) + cover * mask[..., None]
    pixels = np.clip(hand.keypoints.astype(int), 0, size - 1)
    visible = hand.visible & (mask[pixels[:, 1], pixels[:, 0]] < 0.5)
    return picture, replace(hand, visible=visible)
