"""Who is on the stage: single hands, hands that hold something, and pairs of hands that touch."""

import math

import numpy as np

from training.datasets.synthetic.appearance import HandAppearance, draw_appearance
from training.datasets.synthetic.gestures import GESTURES, draw_gesture
from training.datasets.synthetic.hand import Identity, pose_hand
from training.datasets.synthetic.mesh import hand_mesh
from training.datasets.synthetic.objects import held_object
from training.datasets.synthetic.poses import draw_identity, draw_pose
from training.datasets.synthetic.stage import Actor, Stage, joined, stage_hand
from training.datasets.synthetic.surfaces import Part
from training.datasets.synthetic.vectors import Array, X, Y, Z, rotation

Generator = np.random.Generator

GRIPPING = ("hold", "grip", "tripod", "pinch", "partly_closed")
HOLDING_SHARE = {
    "hold": 0.75,
    "grip": 0.7,
    "tripod": 0.8,
    "pinch": 0.45,
    "partly_closed": 0.3,
    "fist": 0.25,
    "prismatic": 0.6,
    "lateral": 0.6,
}
HOLDING_OTHERWISE = 0.05


def draw_actor(
    rng: Generator,
    gestures: tuple[str, ...] = (),
    appearance: HandAppearance | None = None,
    identity: Identity | None = None,
) -> tuple[Actor, list[Part]]:
    """One left arm and what it holds, in the hand's frame; somebody's when `appearance` or `identity` is given."""
    identity = identity or draw_identity(rng, len(hand_mesh().vertices))
    appearance = appearance or draw_appearance(rng)
    gesture = draw_gesture(rng, gestures)
    pose = draw_pose(rng, identity, gesture)
    props: list[Part] = []
    if rng.random() < HOLDING_SHARE.get(gesture, HOLDING_OTHERWISE):
        props += held_object(rng, gesture, pose_hand(identity, pose).keypoints)
    return Actor(identity, pose, appearance, "left", np.eye(3), np.zeros(3)), props


def draw_single(rng: Generator, owner: int, gestures: tuple[str, ...] = ()) -> Stage:
    """One arm, left or right, with or without something in its hand."""
    actor, props = draw_actor(rng, gestures)
    stage = stage_hand(actor, owner, props)
    return stage.mirrored() if rng.random() < 0.5 else stage


def draw_pair(rng: Generator, owner: int) -> Stage:
    """The two hands of one person, touching or side by side; owners are `owner` and `owner + 1`."""
    identity = draw_identity(rng, len(hand_mesh().vertices))
    appearance = draw_appearance(rng)
    first_gesture, second_gesture, turn, place = _arrangement(rng)
    first = Actor(
        identity, draw_pose(rng, identity, first_gesture), appearance, "left", np.eye(3), np.zeros(3)
    )
    second = Actor(identity, draw_pose(rng, identity, second_gesture), appearance, "right", turn, place)
    stage = joined([stage_hand(first, owner), stage_hand(second, owner + 1)])
    return stage.mirrored() if rng.random() < 0.5 else stage


def _arrangement(rng: Generator) -> tuple[str, str, Array, Array]:
    """Gestures of the left and the right hand, and the right hand's turn and place in the frame of the left one."""
    kind = rng.choice(["palms", "clasped", "beside", "stacked", "cupped"], p=[0.12, 0.28, 0.3, 0.18, 0.12])
    palm_to_palm = rotation(Y, math.pi)
    small = rotation(Z, rng.normal(0, 0.15)) @ rotation(X, rng.normal(0, 0.12))
    if kind == "palms":  # as in prayer or applause
        gesture = "open" if rng.random() < 0.6 else "flat_bend"
        return (
            gesture,
            gesture,
            small @ palm_to_palm,
            np.array([0, rng.normal(0, 0.03), rng.uniform(0.13, 0.4)]),
        )
    if kind == "clasped":
        gestures = [draw_gesture(rng, ("relaxed", "hold", "grip", "partly_closed")) for _ in range(2)]
        across = rotation(Z, rng.uniform(0.3, 1.4) * rng.choice([-1, 1]))
        place = np.array([rng.normal(0, 0.08), rng.normal(0.05, 0.1), rng.uniform(0.14, 0.24)])
        return gestures[0], gestures[1], small @ across @ palm_to_palm, place
    if kind == "stacked":  # one hand on the back of the other
        gestures = [draw_gesture(rng, ("open", "relaxed", "resting", "fist")) for _ in range(2)]
        across = rotation(Z, rng.uniform(-1.6, 1.6))
        return (
            gestures[0],
            gestures[1],
            small @ across,
            np.array([rng.normal(0, 0.15), rng.normal(0, 0.15), -rng.uniform(0.14, 0.22)]),
        )
    if kind == "cupped":  # a fist in the other palm, or a wrist held
        place = np.array([rng.normal(0, 0.1), rng.uniform(-0.3, 0.35), rng.uniform(0.2, 0.32)])
        across = rotation(Z, rng.uniform(-1.8, 1.8))
        return draw_gesture(rng, ("hold", "relaxed")), "fist", small @ across @ palm_to_palm, place
    # beside each other: little fingers or thumbs towards each other
    gestures = (
        [draw_gesture(rng, tuple(GESTURES)) for _ in range(2)] if rng.random() < 0.6 else ["open", "open"]
    )
    side = rng.uniform(0.5, 0.9) if rng.random() < 0.5 else -rng.uniform(0.65, 1.1)
    tilt = rotation(Z, rng.normal(0, 0.3)) @ rotation(Y, rng.normal(0, 0.3))
    return gestures[0], gestures[1], tilt, np.array([side, rng.normal(0, 0.18), rng.normal(0, 0.12)])
