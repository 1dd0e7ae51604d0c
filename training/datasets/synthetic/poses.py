"""Poses a hand can take: gestures drawn with variation, kept inside the limits of the joints and out of each other.

Angles in this module are degrees until `_finish` makes a `Pose` of them.
"""

import math

import numpy as np
from numba import njit

from training.datasets.synthetic.gestures import DRAFTS, TOUCHING, Draft
from training.datasets.synthetic.hand import Identity, Pose, Thumb, bone_motions, keypoints_at, rest_shape
from training.datasets.synthetic.vectors import Array

Generator = np.random.Generator

# Active range of motion of an adult hand, rounded; flexion positive.
MCP_LIMITS, PIP_LIMITS, DIP_LIMITS = (-22.0, 92.0), (-3.0, 108.0), (-8.0, 80.0)
WRIST_EXTENSION_LIMITS, WRIST_DEVIATION_LIMITS = (-70.0, 60.0), (-30.0, 20.0)
# How much each finger moves when the hand is spread, and how bending a finger takes its sideways freedom away.
SPREAD_SHARES = np.array([1.2, 0.25, -0.6, -1.4])
SPREAD_GONE_AT = 70.0

FINGER_THICKNESS = 0.048  # closer than this, the axes of two fingers mean that their flesh overlaps
TUBE_STEPS = 5  # points per bone at which the distance is taken


def draw_identity(rng: Generator, body_count: int) -> Identity:
    """A random person: a blend of three of the mesh's bodies with finger proportions of their own."""
    a, b, c = (int(body) for body in rng.integers(0, body_count, 3))
    x, y, z = (float(share) for share in rng.dirichlet([0.8] * 3))
    length, diameter, spacing = (float(np.clip(amount, -1.5, 1.5)) for amount in rng.normal(0, 0.6, 3))
    return Identity((a, b, c), (x, y, z), length, diameter, spacing)


def draw_pose(rng: Generator, identity: Identity, gesture: str) -> Pose:
    """A pose of the named gesture for this person: the best of a few tries, in which fingers do not run through
    each other and a pinch nearly closes. Raises KeyError for an unknown gesture."""
    draft = DRAFTS[gesture]
    _, joints = rest_shape(identity)
    touching = TOUCHING.get(gesture, ())
    best, best_cost = None, math.inf
    for _ in range(8 if touching else 4):
        pose = _finish(rng, draft(rng))
        keypoints = keypoints_at(joints, bone_motions(joints, pose))
        cost = finger_overlap(keypoints)
        cost += sum(float(np.linalg.norm(keypoints[4] - keypoints[tip])) for tip in touching)
        if cost < best_cost:
            best, best_cost = pose, cost
        if best_cost < 0.02:
            break
    assert best is not None
    return best


@njit(cache=True)
def finger_overlap(keypoints: Array) -> float:
    """How deep the worst pair of fingers run into each other, in hand lengths; 0 when all are apart.

    keypoints (21, 3) in the hand frame. Fingers are taken as tubes around their bones, from the second joint on,
    since neighbouring knuckles always touch."""
    points = np.empty((5, 2 * TUBE_STEPS, 3))
    for finger in range(5):
        for bone in range(2):
            start, end = keypoints[2 + 4 * finger + bone], keypoints[3 + 4 * finger + bone]
            for step in range(TUBE_STEPS):
                points[finger, bone * TUBE_STEPS + step] = start + (end - start) * (step / (TUBE_STEPS - 1))
    nearest = np.inf
    for one in range(5):
        for other in range(one):
            for a in points[one]:
                for b in points[other]:
                    distance = (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2
                    nearest = min(nearest, distance)
    return max(0.0, FINGER_THICKNESS - math.sqrt(nearest))


def _finish(rng: Generator, draft: Draft) -> Pose:
    """Add individual variation, apply the joints' limits, and draw wrist and elbow."""
    mcp = np.clip(draft.mcp + rng.normal(0, 3, 4), *MCP_LIMITS)
    pip = np.clip(draft.pip + rng.normal(0, 3, 4), *PIP_LIMITS)
    dip = np.clip(
        pip * rng.uniform(0.35, 0.8) + rng.normal(0, 6, 4), *DIP_LIMITS
    )  # DIP follows PIP by tendon
    freedom = np.clip(1 - mcp / SPREAD_GONE_AT, 0.1, 1)
    spread = SPREAD_SHARES * draft.spread * freedom + rng.normal(0, 2, 4) * freedom
    extension = np.clip(rng.normal(5, 22), *WRIST_EXTENSION_LIMITS)
    deviation = np.clip(rng.normal(-4, 10), *WRIST_DEVIATION_LIMITS)
    thumb = draft.thumb
    return Pose(
        mcp=_radians(mcp),
        pip=_radians(pip),
        dip=_radians(dip),
        spread=_radians(spread),
        thumb=Thumb(
            radial=math.radians(np.clip(thumb.radial, -35, 45)),
            palmar=math.radians(np.clip(thumb.palmar, -25, 55)),
            roll=math.radians(np.clip(thumb.roll, -15, 60)),
            mcp=math.radians(np.clip(thumb.mcp, -12, 65)),
            ip=math.radians(np.clip(thumb.ip, -20, 85)),
        ),
        wrist_extension=math.radians(extension),
        wrist_deviation=math.radians(deviation),
        elbow=math.radians(rng.uniform(0, 110)),
        elbow_direction=float(rng.uniform(0, 2 * math.pi)),
    )


def _radians(degrees: Array) -> tuple[float, float, float, float]:
    a, b, c, d = (math.radians(angle) for angle in degrees)
    return a, b, c, d
