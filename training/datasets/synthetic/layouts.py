"""How scenes are laid out: which hands and bodies stand where in the picture."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from training.datasets.synthetic.appearance import (
    HandAppearance,
    Sleeve,
    draw_appearance,
    draw_material,
    draw_skin,
)
from training.datasets.synthetic.casting import draw_actor, draw_pair, draw_single
from training.datasets.synthetic.crops import VIEW_NAMES, VIEW_SHARES
from training.datasets.synthetic.gestures import GRASPS
from training.datasets.synthetic.hand import Pose, bone_motions, keypoints_at, rest_shape, shoulders_at
from training.datasets.synthetic.mesh import hand_mesh
from training.datasets.synthetic.objects import obstacle, person, skin_blob
from training.datasets.synthetic.poses import draw_identity
from training.datasets.synthetic.stage import (
    MIRROR,
    PALM_TO_CAMERA,
    Actor,
    Stage,
    StagedHand,
    View,
    any_rotations,
    draw_rotation,
    framed_view,
    hand_box,
    placed_view,
    project,
    stage_hand,
    turned,
)
from training.datasets.synthetic.surfaces import Part
from training.datasets.synthetic.vectors import Array

Generator = np.random.Generator

DESIGN_SIZE = 320  # pixel figures below are for scenes of this side
SMALLEST_HAND, LARGEST_HAND, LARGEST_SHARE = 12.0, 400.0, 0.92
MOST_HANDS = 4
LEAST_IN_PICTURE = 0.5  # of a hand's box
MOST_OVERLAP = 0.3  # of the smaller box, between hands that do not touch on purpose
HEAD_IN_HANDS = 1.25  # a head's height in hand lengths
REACH_TRIES, FARTHEST_REACH = (
    400,
    0.6,
)  # arms tried, and how far from its shoulder one may end, in hand lengths
TABLE_GESTURES = (
    "resting",
    "relaxed",
    "point",
    "pinch",
    "tripod",
    "grip",
    "hold",
    "fist",
    "partly_closed",
    "prismatic",
    "lateral",
)
GRASP_SHARE = 0.2  # of the hands of near people


@dataclass(eq=False)
class Scene:
    """A scene while it is set: parts and hands in image space, with pixels per hand length of each hand."""

    size: int
    parts: list[Part]
    hands: list[StagedHand]
    scales: list[float]

    def add(self, seen: Stage, scale: float, check: bool = True) -> bool:
        """Take these hands and their parts in, unless one lies too far outside the picture or (with `check`) on
        another hand, or there are enough. Returns whether they were taken."""
        if len(self.hands) + len(seen.hands) > MOST_HANDS:
            return False
        for hand in seen.hands:
            box = hand_box(hand)
            if _area(clipped(box, self.size)) < LEAST_IN_PICTURE * _area(box):
                return False
            if max(box[2:]) < SMALLEST_HAND:
                return False
            if check and any(overlap(box, hand_box(other)) > MOST_OVERLAP for other in self.hands):
                return False
        self.parts += seen.parts
        self.hands += seen.hands
        self.scales += [scale] * len(seen.hands)
        return True

    @property
    def next_owner(self) -> int:
        return len(self.hands)

    @property
    def unit(self) -> float:
        """Pixels of this scene per pixel of one of the design size."""
        return self.size / DESIGN_SIZE


def _area(box: NDArray[np.float32]) -> float:
    return float(box[2] * box[3])


def clipped(box: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """The part of a box (4,), x, y, width, height, inside a square picture."""
    low, high = np.clip(box[:2], 0, size), np.clip(box[:2] + box[2:], 0, size)
    return np.concatenate([low, high - low]).astype(np.float32)


def overlap(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """The share of the smaller box that the other one covers."""
    sides = np.minimum(a[:2] + a[2:], b[:2] + b[2:]) - np.maximum(a[:2], b[:2])
    return float(np.prod(np.maximum(sides, 0))) / max(min(_area(a), _area(b)), 1e-6)


def _draw_side(rng: Generator, scene: Scene, low: float, high: float) -> float:
    """A hand's larger side in pixels, log-uniform between two figures for the design size."""
    side = np.exp(rng.uniform(np.log(low), np.log(high))) * scene.unit
    return float(np.clip(side, SMALLEST_HAND, min(LARGEST_HAND, LARGEST_SHARE * scene.size)))


def _gestures(rng: Generator) -> tuple[str, ...]:
    """What a near hand may do: grasp something small or show fingers in any combination, or any other gesture."""
    return tuple(GRASPS) if rng.random() < GRASP_SHARE else ()


def _any_view(rng: Generator) -> Array:
    return draw_rotation(rng, str(rng.choice(VIEW_NAMES, p=VIEW_SHARES)))


def empty(rng: Generator, scene: Scene) -> None:
    """No hand; perhaps a person, bare skin or a thing."""
    where = np.array([*rng.uniform(0.2, 0.8, 2) * scene.size, 0])
    if rng.random() < 0.4:
        scene.parts += person(rng, where, rng.uniform(0.15, 0.6) * scene.size, draw_skin(rng))
    if rng.random() < 0.3:
        where = np.array([*rng.uniform(0, 1, 2) * scene.size, 0])
        scene.parts.append(skin_blob(rng, where, rng.uniform(0.1, 0.4) * scene.size, draw_skin(rng)))
    if rng.random() < 0.3:
        where = np.array([*rng.uniform(0, 1, 2) * scene.size, -scene.size])
        scene.parts.append(obstacle(rng, where, rng.uniform(0.1, 0.4) * scene.size))


def free(rng: Generator, scene: Scene) -> None:
    """One to four unrelated arms anywhere; the larger, the nearer. Sometimes bare skin behind."""
    low, high = (70, 330) if rng.random() < 0.45 else (24, 180)
    for _ in range(int(rng.choice([1, 2, 3, 4], p=[0.45, 0.3, 0.15, 0.1]))):
        actor, props = draw_actor(rng, _gestures(rng))
        stage = stage_hand(_straightened(rng, actor), scene.next_owner, props)
        stage = stage.mirrored() if rng.random() < 0.5 else stage
        side = _draw_side(rng, scene, low, high)
        target = _target(rng, scene, side)
        view = _arm_leaving(rng, scene, stage, side, target, lambda: _any_view(rng))
        scene.add(project(stage, view), view.scale)
    if rng.random() < 0.15:
        where = np.array([*rng.uniform(0, 1, 2) * scene.size, 2.0 * scene.size])
        scene.parts.append(skin_blob(rng, where, rng.uniform(0.2, 0.5) * scene.size, draw_skin(rng)))


def _straightened(rng: Generator, actor: Actor) -> Actor:
    """The same arm with a nearly straight elbow, so that it runs out of the picture."""
    return replace(actor, pose=replace(actor.pose, elbow=float(rng.uniform(0, 0.6))))


def _arm_leaving(
    rng: Generator, scene: Scene, stage: Stage, side: float, target: Array, draw_turn: Callable[[], Array]
) -> View:
    """A view in which the larger side of the first hand's box is `side` pixels, the box's centre on `target` (2,), and
    in which the arm runs out of the picture, if one of a few tries does."""
    outermost = -1.0
    for _ in range(8):
        tried = framed_view(stage, 0, draw_turn(), rng.uniform(2.2, 9), side, target, -2 * side)
        shoulder = project(Stage((), stage.hands), tried).hands[0].shoulder[:2]
        away = float(np.abs(shoulder - scene.size / 2).max())
        if away > outermost:
            view, outermost = tried, away
        if away > scene.size / 2:
            break
    return view


def _target(rng: Generator, scene: Scene, side: float) -> Array:
    """A place for a hand that leaves most of it in the picture."""
    margin = min(0.35 * side, 0.45 * scene.size)
    return rng.uniform(margin, scene.size - margin, 2)


def together(rng: Generator, scene: Scene) -> None:
    """Two hands that touch; perhaps their owner's body behind them, perhaps a third hand."""
    stage = draw_pair(rng, 0)
    side = _draw_side(rng, scene, 28, 200)
    target = scene.size / 2 + rng.uniform(-0.25, 0.25, 2) * scene.size
    view = framed_view(stage, 0, _any_view(rng), rng.uniform(2.5, 9), side, target, -2 * side)
    scene.add(project(stage, view), view.scale, check=False)
    if rng.random() < 0.4:
        head = view.scale * rng.uniform(0.9, 1.3)
        centre = np.array([target[0] + rng.normal(0, head), target[1] - rng.uniform(0, 3) * head, 2 * head])
        scene.parts += person(rng, centre, head, draw_skin(rng))
    if rng.random() < 0.3:
        other = draw_single(rng, scene.next_owner)
        side = _draw_side(rng, scene, 28, 160)
        view = framed_view(
            other, 0, _any_view(rng), rng.uniform(2.2, 9), side, _target(rng, scene, side), -2 * side
        )
        scene.add(project(other, view), view.scale)


def people(rng: Generator, scene: Scene) -> None:
    """One person or two before the camera, each showing up to two hands."""
    for _ in range(1 if rng.random() < 0.7 else 2):
        head = float(np.exp(rng.uniform(np.log(50), np.log(150)))) * scene.unit
        centre = rng.uniform([0.15, 0.1], [0.85, 0.5]) * scene.size
        _one_person(rng, scene, centre, head, int(rng.choice([0, 1, 2], p=[0.06, 0.34, 0.6])), near=True)


def crowd(rng: Generator, scene: Scene) -> None:
    """People further off, with hands of 12 to 40 pixels."""
    for _ in range(int(rng.integers(1, 5))):
        head = float(np.exp(rng.uniform(np.log(17), np.log(50)))) * scene.unit
        centre = rng.uniform([0.08, 0.08], [0.92, 0.7]) * scene.size
        _one_person(rng, scene, centre, head, int(rng.choice([0, 1, 2], p=[0.15, 0.3, 0.55])), near=False)


def _one_person(rng: Generator, scene: Scene, centre: Array, head: float, hands: int, *, near: bool) -> None:
    """A head `head` pixels tall at `centre` (2,), a torso, and arms that come from its shoulders. near: its fingers are
    large enough to show what they grasp."""
    clothed = draw_appearance(rng)
    cloth = clothed.sleeve.surface if clothed.sleeve is not None else draw_material(rng, 0.15)
    identity = draw_identity(rng, len(hand_mesh().vertices))
    depth = 4e4 / head * scene.unit**2  # the smaller, the further
    scene.parts += person(rng, np.array([*centre, depth]), head, clothed.skin, cloth)
    start = rng.uniform(-0.1, 0.3) if rng.random() < 0.5 else rng.uniform(0.4, 2.0)
    sleeve = Sleeve(start, rng.uniform(0.02, 0.09), rng.uniform(0, 0.4), cloth)  # long, rolled up or short
    dressed = replace(clothed, sleeve=sleeve)
    # The left hand of somebody who faces the camera is on the right (side 1).
    for side in rng.permutation([1.0, -1.0])[:hands]:
        actor, props = draw_actor(rng, _gestures(rng) if near else (), dressed, identity)
        scale = head / HEAD_IN_HANDS * rng.uniform(0.85, 1.35)  # larger when held out
        shoulder = np.array([*(centre + head * np.array([0.5 * side, 1.25])), depth + 0.1 * head])
        for _ in range(4):
            target = centre + head * rng.uniform([-0.3, -0.5], [1.9, 3.0]) * [side, 1]
            target = np.clip(target, 0.4 * scale, scene.size - 0.4 * scale)
            hand = np.array([*target, depth - rng.uniform(0.8, 1.4) * head])
            found = _reach(rng, actor, side < 0, scale, hand, shoulder)
            if found is not None:
                break
        else:
            continue
        pose, turn, distance = found
        stage = stage_hand(replace(actor, pose=pose, endless=False), scene.next_owner, props)
        stage = stage.mirrored() if side < 0 else stage
        scene.add(project(stage, placed_view(stage, turn, distance, scale, hand[:2], float(hand[2]))), scale)


def _reach(
    rng: Generator, actor: Actor, mirrored: bool, scale: float, hand: Array, shoulder: Array
) -> tuple[Pose, Array, float] | None:
    """Bend the elbow and turn the arm so that its hand at `hand` (3,) comes from `shoulder` (3,), both in image space:
    the best of many tries. Returns pose, view rotation and camera distance, or None when nothing comes near."""
    _, joints = rest_shape(actor.identity)
    elbow, direction = rng.uniform(0, 2.4, REACH_TRIES), rng.uniform(0, 2 * np.pi, REACH_TRIES)
    turns, distance = any_rotations(rng, REACH_TRIES), float(rng.uniform(4, 10))
    middle = keypoints_at(joints, bone_motions(joints, actor.pose)).mean(axis=0)
    arm = shoulders_at(joints, actor.pose, elbow, direction) - middle
    arm = np.einsum("nij,nj->ni", turns, arm * (MIRROR if mirrored else 1.0))  # (N, 3), camera frame
    arm[:, :2] /= np.maximum(1 + arm[:, 2:] / distance, 0.2)
    miss = np.linalg.norm((arm - (shoulder - hand) / scale) * [1, 1, 0.4], axis=1)
    drooping = np.maximum(turns[:, 1, 1], 0)  # prefer fingers that do not point down
    best = int(np.argmin(miss + 0.25 * drooping))
    if miss[best] > FARTHEST_REACH:
        return None
    pose = replace(actor.pose, elbow=float(elbow[best]), elbow_direction=float(direction[best]))
    return pose, turns[best], distance


def table_top(rng: Generator, scene: Scene) -> None:
    """Forearms that come over the edges of a table, seen by one who sits there: gripping, pointing, resting."""
    seats = [0.0, 0.0, 180.0, 90.0, -90.0]  # roll of the hands of the viewer and of those opposite and beside
    slant = -rng.uniform(5, 60)
    own_size = rng.uniform(50, 190)
    people: dict[float, HandAppearance] = {}
    for _ in range(int(rng.choice([1, 2, 3, 4], p=[0.25, 0.4, 0.2, 0.15]))):
        seat = seats[int(rng.integers(len(seats)))]
        appearance = people.setdefault(seat, draw_appearance(rng))
        actor, props = draw_actor(rng, TABLE_GESTURES, appearance)
        stage = stage_hand(_straightened(rng, actor), scene.next_owner, props)
        stage = stage.mirrored() if rng.random() < 0.5 else stage
        far = {0.0: 1.0, 180.0: 0.45}.get(seat, 0.7)
        side = _draw_side(rng, scene, own_size * far * 0.75, own_size * far * 1.25)
        reach = {0.0: (0.5, 0.75), 180.0: (0.5, 0.3), 90.0: (0.3, 0.5), -90.0: (0.7, 0.5)}[seat]
        target = np.clip(np.array(reach) + rng.normal(0, 0.17, 2), 0.08, 0.92) * scene.size
        view = _arm_leaving(rng, scene, stage, side, target, partial(_on_table, rng, seat, slant))
        scene.add(project(stage, view), view.scale)


def _on_table(rng: Generator, seat: float, slant: float) -> Array:
    """A view's rotation (3, 3) of a hand that lies on a table, palm down for the most part, its arm coming from the
    side of the table that `seat` says; the camera looks down at the table at a slant (both in degrees)."""
    seen_from_above = turned(180 + rng.normal(0, 40), rng.normal(0, 12), seat + rng.normal(0, 30))
    return turned(0, slant, 0) @ PALM_TO_CAMERA @ seen_from_above


Layout = Callable[[Generator, Scene], None]

LAYOUTS: dict[Layout, float] = {
    empty: 0.07,
    free: 0.29,
    together: 0.14,
    people: 0.19,
    crowd: 0.13,
    table_top: 0.18,
}


def draw_layout(rng: Generator) -> Layout:
    """One of the layouts, by their shares."""
    shares = np.array([*LAYOUTS.values()])
    return tuple(LAYOUTS)[int(rng.choice(len(LAYOUTS), p=shares / shares.sum()))]
