"""How the pictures of rendered hold-outs are laid out: which hands stand where in each slice."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from training.datasets.synthetic.appearance import HandAppearance, draw_appearance, draw_material
from training.datasets.synthetic.casting import GRIPPING, draw_actor, draw_pair
from training.datasets.synthetic.layouts import Scene, crowd
from training.datasets.synthetic.objects import person
from training.datasets.synthetic.stage import (
    PALM_TO_CAMERA,
    Stage,
    draw_rotation,
    framed_view,
    project,
    stage_hand,
    turned,
)
from training.datasets.synthetic.vectors import Array
from training.datasets.types import HandLabel

Generator = np.random.Generator
Picture = NDArray[np.float32]  # (S, S, 3), RGB in 0..1, display encoded
Turn = Callable[[], Array]

VIEW_TRIES = 12
ARM_STRAIGHT = 0.6  # radians: an elbow bent by less takes its arm out of the picture
DARK_SKIN, PALE_SKIN = 0.16, 0.52  # mean linear colour of the back of the hand: below, above
DOWN = np.array([0.0, 1.0])


@dataclass(frozen=True)
class SliceLayout:
    """One slice: the picture's size in pixels, how hands are put into it, and which pictures count.

    draw: fills a square scene whose middle is the picture; returns False for a draw that is to be thrown away.
    hands: fewest and most. in_picture: the least and the most of a hand's box that may lie in the picture. seen: the
    least share of a hand's keypoints that is visible.
    """

    title: str
    width: int
    height: int
    draw: Callable[[Generator, Scene], bool]
    hands: tuple[int, int] = (1, 1)
    in_picture: tuple[float, float] = (0.9, 1.0)
    seen: float = 0.4
    on_table: bool = False
    dark: bool = False

    def accepts(self, hand: HandLabel, share: float) -> bool:
        """Whether a hand with this share of its box in the picture may be in it."""
        assert hand.visible is not None
        return self.in_picture[0] <= share <= self.in_picture[1] and hand.visible.mean() >= self.seen


def _arm(
    rng: Generator,
    scene: Scene,
    gestures: tuple[str, ...] = (),
    appearance: HandAppearance | None = None,
    holding: bool = False,
) -> Stage | None:
    """One arm, nearly straight, left or right; None when `holding` and nothing was held."""
    actor, props = draw_actor(rng, gestures, appearance)
    if holding and not props:
        return None
    actor = replace(actor, pose=replace(actor.pose, elbow=float(rng.uniform(0, ARM_STRAIGHT))))
    stage = stage_hand(actor, len(scene.hands), props)
    return stage.mirrored() if rng.random() < 0.5 else stage


def _put(
    rng: Generator,
    scene: Scene,
    stage: Stage,
    turn: Turn,
    side: float,
    target: Array,
    leave: Array | None = None,
    depth: float = 0.0,
) -> None:
    """Put a stage in so that the larger side of its first hand's box is `side` pixels and its centre on `target` (2,).

    leave: (2,) unit direction in which the arm should go; the best of a few turns is taken. None: out of the picture.
    """
    best, best_merit = None, -math.inf
    for _ in range(VIEW_TRIES):
        view = framed_view(stage, 0, turn(), float(rng.uniform(2.4, 8)), side, target, depth)
        shoulder = project(Stage((), stage.hands), view).hands[0].shoulder[:2]
        away = (shoulder - target) / side
        merit = float(away @ leave) if leave is not None else float(np.abs(away).max())
        if merit > best_merit:
            best, best_merit = view, merit
    assert best is not None
    seen = project(stage, best)
    scene.parts += seen.parts
    scene.hands += seen.hands
    scene.scales += [best.scale] * len(seen.hands)


def _view(rng: Generator, *kinds: str) -> Turn:
    return lambda: draw_rotation(rng, str(rng.choice(kinds)))


def _back(rng: Generator) -> Array:
    """The back of the hand, fingers up, aside or away."""
    return turned(180 + rng.normal(0, 20), rng.normal(-12, 22), rng.normal(0, 45))


def _centre(rng: Generator, scene: Scene, spread: float = 0.12) -> Array:
    return np.asarray(scene.size * (0.5 + rng.normal(0, spread, 2) * [1, 0.6]))


def _single(
    gestures: tuple[str, ...] = (),
    turn: Callable[[Generator], Turn] | None = None,
    sides: tuple[float, float] = (140, 300),
    choose: Callable[[Generator], HandAppearance] | None = None,
    holding: bool = False,
) -> Callable[[Generator, Scene], bool]:
    """A layout of one arm about the middle of the picture, hand `sides` pixels large."""

    def draw(rng: Generator, scene: Scene) -> bool:
        stage = _arm(rng, scene, gestures, choose(rng) if choose else None, holding)
        if stage is None:
            return False
        how = turn(rng) if turn else _view(rng, "upright", "side", "lying", "reaching", "above", "any")
        _put(rng, scene, stage, how, float(rng.uniform(*sides)), _centre(rng, scene))
        return True

    return draw


def _over_table(rng: Generator, seat: float, slant: float) -> Array:
    """A hand over a table, palm down for the most part; `seat` turns it to its owner's side of the table, and the
    camera looks down at a slant (degrees)."""
    from_above = turned(180 + rng.normal(0, 45), rng.normal(0, 15), seat + rng.normal(0, 30))
    return turned(0, slant, 0) @ PALM_TO_CAMERA @ from_above


TABLE_GESTURES = (
    "resting", "relaxed", "point", "pinch", "tripod", "grip", "hold", "fist", "partly_closed", "open",
)  # fmt: skip


def _egocentric(rng: Generator, scene: Scene) -> bool:
    """One's own hands from below and those of somebody who sits opposite."""
    slant = -float(rng.uniform(15, 60))
    size = scene.size
    own = float(rng.uniform(95, 185))
    for seat, count, share in (
        (0.0, int(rng.integers(1, 3)), 1.0),
        (180.0, int(rng.integers(1, 3)), float(rng.uniform(0.45, 0.8))),
    ):
        appearance = draw_appearance(rng)
        sides = rng.permutation([-1.0, 1.0])[:count]
        for where in sides:
            stage = _arm(rng, scene, TABLE_GESTURES, appearance)
            assert stage is not None
            row = rng.uniform(0.5, 0.7) if seat == 0 else rng.uniform(0.27, 0.45)
            target = np.array([0.5 + where * rng.uniform(0.05, 0.33), row]) * size
            leave = DOWN if seat == 0 else -DOWN
            _put(
                rng,
                scene,
                stage,
                lambda seat=seat: _over_table(rng, seat, slant),  # type: ignore[misc]
                own * share * float(rng.uniform(0.85, 1.15)),
                target,
                leave,
            )
    return True


def _small(rng: Generator, scene: Scene) -> bool:
    """People at some distance."""
    crowd(rng, scene)
    return bool(scene.hands)


def _edge(rng: Generator, scene: Scene) -> bool:
    """A hand that one of the four edges cuts off; its arm leaves there, or on the other side."""
    stage = _arm(rng, scene)
    assert stage is not None
    side = float(rng.uniform(130, 280))
    outwards = np.array([(1, 0), (-1, 0), (0, 1), (0, -1)][int(rng.integers(4))], float)
    half = np.array([0.5, 0.375]) * scene.size  # of a 4:3 picture in the square
    shift = rng.uniform(-0.3, 0.2) * side  # of the box's centre beyond the edge
    along = np.array([outwards[1], outwards[0]]) * rng.uniform(-0.6, 0.6) * half
    target = scene.size / 2 + outwards * (half + shift) + along
    turn = _view(rng, "upright", "side", "lying", "reaching", "hanging", "any")
    _put(rng, scene, stage, turn, side, target, outwards if rng.random() < 0.7 else -outwards)
    return True


def _crossing(rng: Generator, scene: Scene) -> bool:
    """Two hands of one person that lie across each other, or touch."""
    side = float(rng.uniform(130, 230))
    middle = _centre(rng, scene, 0.06)
    if rng.random() < 0.4:
        pair = draw_pair(rng, 0)
        _put(rng, scene, pair, _view(rng, "upright", "reaching", "above", "any"), side, middle)
        return True
    appearance = draw_appearance(rng)
    angle = rng.uniform(0, 2 * math.pi)
    apart = 0.5 * side * rng.uniform(0.35, 0.85) * np.array([math.cos(angle), math.sin(angle)])
    for way in (-1.0, 1.0):
        stage = _arm(rng, scene, (), appearance)
        assert stage is not None
        lean = way * rng.uniform(15, 75)
        _put(
            rng,
            scene,
            stage,
            lambda lean=lean: turned(rng.choice([0, 180]) + rng.normal(0, 30), rng.normal(0, 20), lean),  # type: ignore[misc]
            side * float(rng.uniform(0.85, 1.15)),
            middle + way * apart,
            depth=way * 1.2 * side,
        )
    return True


def _before_face(rng: Generator, scene: Scene) -> bool:
    """A hand before its owner's face."""
    appearance = draw_appearance(rng)
    head = float(rng.uniform(130, 230))
    face = _centre(rng, scene, 0.08)
    cloth = appearance.sleeve.surface if appearance.sleeve else draw_material(rng, 0.15)
    scene.parts += person(rng, np.array([*face, 3 * head]), head, appearance.skin, cloth)
    for number in range(1 if rng.random() < 0.7 else 2):
        stage = _arm(rng, scene, (), appearance)
        assert stage is not None
        side = head * float(rng.uniform(0.6, 1.0))
        place = face + head * rng.uniform([-0.45, -0.2], [0.45, 0.5])
        if number:
            place = face + head * np.array(
                [rng.choice([-1, 1]) * rng.uniform(0.8, 1.3), rng.uniform(-0.2, 1)]
            )
        _put(rng, scene, stage, _view(rng, "upright", "upright", "side", "lying"), side, place, DOWN)
    return True


def _dark_or_pale(rng: Generator) -> HandAppearance:
    """Somebody of very dark or very pale skin, without gloves."""
    dark = rng.random() < 0.5
    while True:
        appearance = draw_appearance(rng)
        tone = float(np.mean(appearance.skin["colour"]))
        if appearance.glove is None and (tone < DARK_SKIN if dark else tone > PALE_SKIN):
            return appearance


def poor_light(rng: Generator, picture: Picture) -> Picture:
    """The picture in a dim room: dark, flat, noisy, sometimes lit from one side or tinted by a screen."""
    side = len(picture)
    light = float(rng.uniform(0.12, 0.5))
    if rng.random() < 0.5:  # a lamp or window on one side
        angle = rng.uniform(0, 2 * math.pi)
        rows, columns = np.mgrid[:side, :side].astype(np.float32) / side - 0.5
        fall = np.cos(angle) * columns + np.sin(angle) * rows + 0.5
        picture = picture * (0.4 + 1.2 * np.clip(fall, 0, 1))[..., None].astype(np.float32)
    grey = picture.mean(axis=2, keepdims=True)
    picture = (grey + (picture - grey) * np.float32(rng.uniform(0.35, 0.9))) * np.float32(light)
    picture = picture * np.exp(rng.normal(0, 0.12, 3)).astype(np.float32)
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 0.8) * np.float32(rng.uniform(0.01, 0.05))
    return np.asarray(np.clip(picture + noise, 0, 1), np.float32)


def _turned_back(rng: Generator) -> Turn:
    return lambda: _back(rng)


SLICES: dict[str, SliceLayout] = {
    "egocentric": SliceLayout(
        "two people's hands over a table", 640, 360, _egocentric, (2, 4), (0.7, 1.0), 0.3, on_table=True
    ),
    "small": SliceLayout("small hands in a wide frame", 640, 360, _small, (1, 4), (0.7, 1.0), 0.3),
    "edge": SliceLayout("at the edge of the picture", 640, 480, _edge, (1, 1), (0.35, 0.85), 0.25),
    "back": SliceLayout("back of the hand", 640, 480, _single(turn=_turned_back)),
    "fists": SliceLayout("fists", 640, 480, _single(("fist", "fist", "thumb_up")), seen=0.3),
    "poor_light": SliceLayout(
        "dark and pale skin in poor light", 640, 480, _single(choose=_dark_or_pale), dark=True
    ),
    "crossing": SliceLayout("two crossing hands", 640, 480, _crossing, (2, 2), (0.8, 1.0), 0.35),
    "holding": SliceLayout("hands that hold something", 640, 480, _single(GRIPPING, holding=True), seen=0.3),
    "face": SliceLayout("in front of a face", 640, 480, _before_face, (1, 2), (0.8, 1.0), 0.4),
    "close_up": SliceLayout(
        "a hand that fills the picture", 480, 480, _single(sides=(310, 450)), in_picture=(0.85, 1.0)
    ),
}
