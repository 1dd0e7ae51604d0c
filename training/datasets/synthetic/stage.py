"""Puts posed hands together in space and projects them into a picture.

A stage is the hand frame of its first hand (see `hand.py`); a view turns it in front of the camera (x right, y down,
z away) and projects it to image space (pixels; depth in pixels too, growing away from the camera).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.datasets.synthetic.appearance import HandAppearance
from training.datasets.synthetic.hand import Identity, Pose, pose_hand
from training.datasets.synthetic.mesh import hand_mesh
from training.datasets.synthetic.surfaces import Part
from training.datasets.synthetic.vectors import Array, rotation, unit
from training.datasets.types import Handedness

Generator = np.random.Generator

MIRROR = np.array([-1.0, 1.0, 1.0])
HAND_ENDS_AT = 0.04  # along the arm: what lies below belongs to the hand's box
GLOVE_ENDS_AT = 0.12
GLOVE_THICKNESS = 0.012
NEAREST = 0.12  # nothing nearer to the camera than this share of the view's distance is drawn
# The left palm faces the camera, its fingers point up: hand x is right, hand y is up, hand z is towards the camera.
PALM_TO_CAMERA = np.diag([1.0, -1.0, -1.0])


@dataclass(frozen=True, eq=False)
class Actor:
    """One arm on the stage. A right hand is the mirror image of the mesh, then turned by `turn` (3, 3) and moved to
    `place` (3,). The arm ends at its shoulder, or goes on straight for as long again if `endless`."""

    identity: Identity
    pose: Pose
    appearance: HandAppearance
    handedness: Handedness
    turn: Array
    place: Array
    endless: bool = True


@dataclass(frozen=True, eq=False)
class StagedHand:
    """keypoints (21, 3), the vertices (N, 3) that the hand's box is put around, and the shoulder (3,)."""

    keypoints: Array
    outline: Array
    shoulder: Array
    handedness: Handedness
    owner: int

    def moved(self, move: Callable[[Array], Array]) -> "StagedHand":
        """The same hand with every point (N, 3) moved."""
        keypoints, outline, shoulder = move(self.keypoints), move(self.outline), move(self.shoulder[None])[0]
        return replace(self, keypoints=keypoints, outline=outline, shoulder=shoulder)


@dataclass(frozen=True, eq=False)
class Stage:
    """Parts and hands in one frame."""

    parts: tuple[Part, ...]
    hands: tuple[StagedHand, ...]

    def mapped(self, points: Array, normals: Array) -> "Stage":
        """Every point and every normal multiplied from the right by a matrix (3, 3)."""
        return Stage(
            tuple(part.moved(part.vertices @ points, part.normals @ normals) for part in self.parts),
            tuple(hand.moved(lambda places: places @ points) for hand in self.hands),
        )

    def mirrored(self) -> "Stage":
        """The mirror image: every left hand becomes a right one."""
        other: dict[Handedness, Handedness] = {"left": "right", "right": "left"}
        stage = self.mapped(np.diag(MIRROR), np.diag(MIRROR))
        return Stage(
            stage.parts, tuple(replace(hand, handedness=other[hand.handedness]) for hand in stage.hands)
        )


@dataclass(frozen=True, eq=False)
class View:
    """A pinhole camera. rotation (3, 3) takes the stage to the camera frame; the camera stands `distance` hand lengths
    before `centre` (3,), a point of the turned stage, which lands on the pixel `target` (2,). `scale` is pixels per
    hand length there, and `depth` pixels are added to all depths."""

    rotation: Array
    distance: float
    centre: Array
    scale: float
    target: Array
    depth: float = 0.0


def stage_hand(actor: Actor, owner: int, props: Sequence[Part] = ()) -> Stage:
    """Pose an arm and dress it. `props` are parts in the frame of the (left) posed hand, such as what it holds."""
    mesh = hand_mesh()
    posed = pose_hand(actor.identity, actor.pose)
    flip = np.diag(MIRROR) if actor.handedness == "right" else np.eye(3)
    to_stage = flip @ actor.turn.T  # points are rows: multiplied from the left
    appearance = actor.appearance
    short = None if actor.endless else mesh.along_arm[mesh.shoulder].max() - mesh.along_arm
    bare = Part(
        posed.vertices,
        posed.normals,
        mesh.texture,
        mesh.triangles,
        surface=appearance.skin,
        owner=owner,
        keep=short,
        palmar=mesh.palmar,
        finger=mesh.finger,
        along_arm=mesh.along_arm,
    )
    parts = [bare]
    if appearance.glove is not None:
        thick = posed.vertices + GLOVE_THICKNESS * posed.normals
        worn = GLOVE_ENDS_AT - mesh.along_arm
        parts.append(replace(bare, vertices=thick, surface=appearance.glove, keep=worn))
    if appearance.sleeve is not None:
        sleeve = appearance.sleeve
        stand_off = sleeve.thickness * (1 + sleeve.flare * np.clip(1 - mesh.along_arm, 0, 1))
        cloth = posed.vertices + stand_off[:, None] * posed.normals
        covered = np.where(mesh.finger < 0, mesh.along_arm - sleeve.start, -1.0)
        covered = covered if short is None else np.minimum(covered, short)
        parts.append(replace(bare, vertices=cloth, surface=sleeve.surface, owner=-1, keep=covered))
    parts += props
    outline, shoulder = (
        posed.vertices[mesh.along_arm < HAND_ENDS_AT],
        posed.vertices[mesh.shoulder].mean(axis=0),
    )
    hand = StagedHand(posed.keypoints, outline, shoulder, actor.handedness, owner)
    stage = Stage(tuple(parts), (hand,)).mapped(to_stage, to_stage)
    return Stage(
        tuple(part.moved(part.vertices + actor.place, part.normals) for part in stage.parts),
        tuple(staged.moved(lambda places: places + actor.place) for staged in stage.hands),
    )


def joined(stages: Sequence[Stage]) -> Stage:
    """Several stages in one frame as one."""
    return Stage(
        tuple(part for stage in stages for part in stage.parts),
        tuple(hand for stage in stages for hand in stage.hands),
    )


def _project(points: Array, view: View) -> tuple[Array, Array]:
    """Points (N, 3) of the turned stage to image space (N, 3), and how far before the camera they are (N,), as a share
    of the view's distance less NEAREST: negative is not drawn."""
    moved = points - view.centre
    share = 1 + moved[:, 2] / view.distance
    image = np.empty_like(moved)
    image[:, :2] = moved[:, :2] / np.maximum(share, NEAREST)[:, None] * view.scale + view.target
    image[:, 2] = moved[:, 2] * view.scale + view.depth
    return image, share - NEAREST


def project(stage: Stage, view: View) -> Stage:
    """The stage in image space, normals in the camera frame."""
    turned = stage.mapped(view.rotation.T, view.rotation.T)
    parts = []
    for part in turned.parts:
        image, before = _project(part.vertices, view)
        keep = before if part.keep is None else np.minimum(part.keep, before)
        parts.append(replace(part, vertices=image, keep=keep))
    return Stage(
        tuple(parts), tuple(hand.moved(lambda places: _project(places, view)[0]) for hand in turned.hands)
    )


def placed_view(
    stage: Stage, turn: Array, distance: float, scale: float, target: Array, depth: float
) -> View:
    """A view of `scale` pixels per hand length in which the middle of the first hand lands on the pixel `target`."""
    return View(turn, distance, stage.hands[0].keypoints.mean(axis=0) @ turn.T, scale, target, depth)


def framed_view(
    stage: Stage, hand: int, turn: Array, distance: float, side: float, target: Array, depth: float
) -> View:
    """A view in which the larger side of this hand's box is `side` pixels and the box's centre lands on `target`."""
    outline = stage.hands[hand].outline @ turn.T
    centre = stage.hands[hand].keypoints.mean(axis=0) @ turn.T
    view = View(turn, distance, centre, 1.0, np.zeros(2))
    image, _ = _project(outline, view)
    low, high = image[:, :2].min(axis=0), image[:, :2].max(axis=0)
    scale = side / max(float((high - low).max()), 0.3)
    return replace(view, scale=scale, target=target - (low + high) / 2 * scale, depth=depth)


def hand_box(hand: StagedHand) -> NDArray[np.float32]:
    """The tight box (4,), x, y, width, height, of a hand in image space."""
    low, high = hand.outline[:, :2].min(axis=0), hand.outline[:, :2].max(axis=0)
    return np.concatenate([low, high - low]).astype(np.float32)


def turned(yaw: float, pitch: float, roll: float) -> Array:
    """A view's rotation (3, 3) from angles in degrees. All 0: the palm faces the camera, fingers up. Yaw turns the hand
    about its fingers (180 shows the back), a positive pitch tips the fingers towards the camera, roll turns the
    picture clockwise."""
    x, y, z = np.eye(3)
    radians = np.radians([yaw, pitch, roll])
    return rotation(z, radians[2]) @ rotation(x, radians[1]) @ rotation(y, radians[0]) @ PALM_TO_CAMERA


def any_rotations(rng: Generator, count: int) -> Array:
    """Rotations (count, 3, 3), uniform over all, from random unit quaternions."""
    w, x, y, z = unit(rng.normal(size=(count, 4))).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.array(rows).transpose(2, 0, 1)


def draw_rotation(rng: Generator, kind: str) -> Array:
    """A view's rotation (3, 3) of one kind. Raises ValueError for an unknown kind."""
    facing = 0.0 if rng.random() < 0.65 else 180.0
    if kind == "upright":
        return turned(facing + rng.normal(0, 32), rng.normal(0, 25), rng.normal(0, 25))
    if kind == "side":
        side = 90.0 if rng.random() < 0.5 else -90.0
        return turned(side + rng.normal(0, 25), rng.normal(0, 25), rng.uniform(-110, 110))
    if kind == "lying":
        side = 90.0 if rng.random() < 0.5 else -90.0
        return turned(facing + rng.normal(0, 35), rng.normal(0, 25), side + rng.normal(0, 30))
    if kind == "hanging":
        return turned(rng.uniform(0, 360), rng.normal(0, 25), 180 + rng.normal(0, 30))
    if kind == "reaching":  # seen by its owner: from behind and above, fingers away from the camera
        return turned(180 + rng.normal(0, 40), -rng.uniform(15, 75), rng.normal(0, 35))
    if kind == "pointing":  # fingers towards the camera
        return turned(facing + rng.normal(0, 40), rng.uniform(30, 90), rng.normal(0, 40))
    if kind == "above":  # flat on a table under the camera
        return turned(180 + rng.normal(0, 20), rng.normal(-5, 20), rng.uniform(-180, 180))
    if kind == "any":
        turn: Array = any_rotations(rng, 1)[0]
        return turn
    raise ValueError(f"unknown kind of view {kind!r}")
