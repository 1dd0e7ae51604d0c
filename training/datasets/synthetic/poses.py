"""Poses a hand can take: gestures drawn with variation, kept inside the limits of the joints and out of each other.

Angles in this module are degrees until `_finish` makes a `Pose` of them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from training.datasets.synthetic.hand import Identity, Pose, Thumb, bone_motions, keypoints_at, rest_shape
from training.datasets.synthetic.vectors import Array

Generator = np.random.Generator

# Active range of motion of an adult hand, rounded; flexion positive.
MCP_LIMITS, PIP_LIMITS, DIP_LIMITS = (-22.0, 92.0), (-3.0, 108.0), (-8.0, 80.0)
WRIST_EXTENSION_LIMITS, WRIST_DEVIATION_LIMITS = (-70.0, 60.0), (-30.0, 20.0)
# How much each finger moves when the hand is spread, and how bending a finger takes its sideways freedom away.
SPREAD_SHARES = np.array([1.2, 0.25, -0.6, -1.4])
SPREAD_GONE_AT = 70.0
INDEX, MIDDLE, RING, LITTLE = range(4)

FINGER_THICKNESS = 0.048  # closer than this, the axes of two fingers mean that their flesh overlaps
TUBE_STEPS = 5  # points per bone at which the distance is taken


@dataclass
class _Draft:
    """A gesture before limits: flexion of four fingers (4,), one spread, and the thumb."""

    mcp: NDArray[np.float64]
    pip: NDArray[np.float64]
    spread: float
    thumb: Thumb


def draw_identity(rng: Generator, body_count: int) -> Identity:
    """A random person: a blend of three of the mesh's bodies with finger proportions of their own."""
    a, b, c = (int(body) for body in rng.integers(0, body_count, 3))
    x, y, z = (float(share) for share in rng.dirichlet([0.8] * 3))
    length, diameter, spacing = (float(np.clip(amount, -1.5, 1.5)) for amount in rng.normal(0, 0.6, 3))
    return Identity((a, b, c), (x, y, z), length, diameter, spacing)


def _loose_thumb(rng: Generator) -> Thumb:
    radial, palmar, roll, mcp, ip = rng.normal([0, -3, 5, 5, 10], [8, 11, 6, 8, 10])
    return Thumb(radial, palmar, roll, mcp, ip)


def _folded_thumb(rng: Generator) -> Thumb:
    """Laid across the palm or over bent fingers."""
    radial, palmar, roll, mcp, ip = rng.normal([-23, 30, 35, 38, 40], [9, 10, 10, 13, 16])
    return Thumb(radial, palmar, roll, mcp, ip)


def _opposed_thumb(rng: Generator) -> Thumb:
    """Turned to face the fingers, as in a pinch."""
    radial, palmar, roll, mcp, ip = rng.normal([-6, 28, 35, 18, 25], [7, 8, 8, 8, 10])
    return Thumb(radial, palmar, roll, mcp, ip)


def _gripping_thumb(rng: Generator) -> Thumb:
    radial, palmar, roll, mcp, ip = rng.normal([0, 22, 30, 15, 20], [10, 14, 12, 10, 12])
    return Thumb(radial, palmar, roll, mcp, ip)


def _raised_thumb(rng: Generator) -> Thumb:
    radial, palmar, roll, mcp, ip = rng.normal([22, 0, 0, 0, -3], [10, 8, 8, 8, 10])
    return Thumb(radial, palmar, roll, mcp, ip)


def _straight(rng: Generator, count: int = 4) -> Array:
    """(2, count) flexion of MCP and PIP of straight fingers."""
    return np.stack([rng.normal(2, 7, count), np.abs(rng.normal(6, 7, count))])


def _closed(rng: Generator, count: int = 4) -> Array:
    """(2, count) flexion of fingers closed to a fist."""
    return np.stack([rng.normal(78, 10, count), rng.normal(95, 10, count)])


def _open(rng: Generator) -> _Draft:
    thumb = replace(_loose_thumb(rng), radial=rng.normal(8, 12))
    return _Draft(*_straight(rng), rng.uniform(-4, 14), thumb)


def _relaxed(rng: Generator) -> _Draft:
    fingers, bend = np.arange(4), rng.uniform(8, 42)
    mcp = bend + 4 * fingers + rng.normal(0, 5, 4)
    pip = bend + 5 + 4 * fingers + rng.normal(0, 7, 4)
    radial, palmar, roll, thumb_mcp, ip = rng.normal([0, 12, 10, 5, 15], [8, 8, 8, 8, 10])
    return _Draft(mcp, pip, rng.normal(0, 4), Thumb(radial, palmar, roll, thumb_mcp, ip))


def _fist(rng: Generator) -> _Draft:
    return _Draft(*_closed(rng), rng.normal(0, 3), _folded_thumb(rng))


def _partly_closed(rng: Generator) -> _Draft:
    closing = float(rng.uniform(0, 1))
    each = np.clip(closing + rng.normal(0, 0.15, 4), 0, 1)
    mcp, pip = 80 * each + rng.normal(0, 6, 4), 98 * each + rng.normal(0, 6, 4)
    return _Draft(mcp, pip, rng.normal(0, 5), _folded_thumb(rng) if closing > 0.6 else _loose_thumb(rng))


def _fingers_up(
    *up: int, thumb: Callable[[Generator], Thumb] = _folded_thumb
) -> Callable[[Generator], _Draft]:
    """A gesture with these fingers straight and the others closed."""

    def draw(rng: Generator) -> _Draft:
        bends = _closed(rng)
        bends[:, list(up)] = _straight(rng, len(up))
        return _Draft(*bends, rng.uniform(-3, 12), thumb(rng))

    return draw


def _pinch(rng: Generator) -> _Draft:
    bends = np.stack([rng.normal(50, 15, 4), rng.normal(55, 18, 4)])
    if rng.random() < 0.2:
        bends = _closed(rng)
    bends[:, INDEX] = rng.normal([48, 52], [8, 9])
    return _Draft(*bends, rng.normal(0, 5), _opposed_thumb(rng))


def _ok(rng: Generator) -> _Draft:
    bends = _straight(rng)
    bends[:, INDEX] = rng.normal([48, 52], [8, 9])
    return _Draft(*bends, rng.uniform(-2, 12), _opposed_thumb(rng))


def _tripod(rng: Generator) -> _Draft:
    """Holding a pen: thumb, index and middle finger meet, the others are tucked in."""
    mcp = rng.normal([45, 50, 58, 60], 7)
    pip = rng.normal([45, 58, 70, 72], 8)
    return _Draft(mcp, pip, rng.normal(-2, 2), _opposed_thumb(rng))


def _claw(rng: Generator) -> _Draft:
    return _Draft(
        rng.normal(5, 12, 4), rng.uniform(40, 95) + rng.normal(0, 8, 4), rng.normal(3, 6), _loose_thumb(rng)
    )


def _flat_bend(rng: Generator) -> _Draft:
    return _Draft(
        rng.uniform(30, 85) + rng.normal(0, 5, 4), rng.normal(8, 8, 4), rng.normal(0, 4), _loose_thumb(rng)
    )


def _hold(rng: Generator) -> _Draft:
    """Around something large: a cup, a bottle, a ball."""
    mcp = rng.uniform(20, 60) + 2 * np.arange(4) + rng.normal(0, 5, 4)
    pip = rng.uniform(25, 65) + rng.normal(0, 7, 4)
    return _Draft(mcp, pip, rng.normal(1, 4), _gripping_thumb(rng))


def _grip(rng: Generator) -> _Draft:
    """Around something slim: a handle, a bar, a steering wheel."""
    mcp = rng.uniform(50, 75) + rng.normal(0, 5, 4)
    pip = rng.uniform(65, 95) + rng.normal(0, 6, 4)
    return _Draft(mcp, pip, rng.normal(0, 3), _gripping_thumb(rng))


def _resting(rng: Generator) -> _Draft:
    """Lying on a table or a mouse."""
    mcp = rng.uniform(5, 35) + rng.normal(0, 5, 4)
    pip = rng.uniform(15, 50) + rng.normal(0, 8, 4)
    radial, palmar, roll, thumb_mcp, ip = rng.normal([4, 8, 8, 5, 10], [9, 8, 8, 8, 10])
    return _Draft(mcp, pip, rng.uniform(-3, 9), Thumb(radial, palmar, roll, thumb_mcp, ip))


def _anything(rng: Generator) -> _Draft:
    closing = rng.uniform(0, 80)
    mcp = np.clip(closing + rng.normal(0, 35, 4), -15, 90)
    pip = np.clip(rng.uniform(0, 100, 4) * 0.6 + 0.4 * closing, 0, 105)
    radial, palmar, roll, thumb_mcp, ip = rng.uniform([-22, -8, -5, -5, -15], [28, 45, 40, 50, 70])
    return _Draft(mcp, pip, rng.normal(0, 6), Thumb(radial, palmar, roll, thumb_mcp, ip))


GESTURES: dict[str, tuple[float, Callable[[Generator], _Draft]]] = {
    # name: (how often, relative to the others; how it is drawn)
    "open": (13, _open),
    "relaxed": (14, _relaxed),
    "fist": (9, _fist),
    "partly_closed": (8, _partly_closed),
    "point": (7, _fingers_up(INDEX)),
    "victory": (5, _fingers_up(INDEX, MIDDLE)),
    "three": (3, _fingers_up(INDEX, MIDDLE, RING)),
    "four": (3, _fingers_up(INDEX, MIDDLE, RING, LITTLE)),
    "thumb_up": (5, _fingers_up(thumb=_raised_thumb)),
    "gun": (2, _fingers_up(INDEX, thumb=_raised_thumb)),
    "thumb_and_two": (2, _fingers_up(INDEX, MIDDLE, thumb=_raised_thumb)),
    "horns": (2, _fingers_up(INDEX, LITTLE)),
    "shaka": (2, _fingers_up(LITTLE, thumb=_raised_thumb)),
    "pinch": (6, _pinch),
    "ok": (4, _ok),
    "tripod": (3, _tripod),
    "claw": (4, _claw),
    "flat_bend": (3, _flat_bend),
    "hold": (7, _hold),
    "grip": (7, _grip),
    "resting": (5, _resting),
    "anything": (7, _anything),
}
_NAMES = list(GESTURES)
_SHARES = np.array([share for share, _ in GESTURES.values()]) / sum(share for share, _ in GESTURES.values())
TOUCHING = {"pinch": (8,), "ok": (8,), "tripod": (8, 12)}  # fingertips (keypoints) that the thumb's tip meets


def draw_gesture(rng: Generator, among: tuple[str, ...] = ()) -> str:
    """The name of a gesture: one of `among` evenly, or of all by their shares."""
    if among:
        return among[int(rng.integers(len(among)))]
    return _NAMES[int(rng.choice(len(_NAMES), p=_SHARES))]


def draw_pose(rng: Generator, identity: Identity, gesture: str) -> Pose:
    """A pose of the named gesture for this person: the best of a few tries, in which fingers do not run through
    each other and a pinch nearly closes. Raises KeyError for an unknown gesture."""
    _, draft = GESTURES[gesture]
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


def _finish(rng: Generator, draft: _Draft) -> Pose:
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
