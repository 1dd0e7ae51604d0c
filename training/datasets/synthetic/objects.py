"""Things besides hands: what a hand holds, what stands in front of it, and heads and torsos behind it."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from training.datasets.synthetic.appearance import draw_material, linear, plain
from training.datasets.synthetic.surfaces import Part
from training.datasets.synthetic.vectors import Array, rotation, unit

Generator = np.random.Generator
Solid = tuple[
    Array, Array, NDArray[np.int32]
]  # vertices (V, 3) within -1..1, normals (V, 3), triangles (T, 3)


def _cylinder(sides: int = 24) -> Solid:
    """Along y, closed at both ends."""
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    rim = np.stack([np.cos(angle), np.zeros(sides), np.sin(angle)], axis=1)
    up = np.array([0.0, 1.0, 0.0])
    vertices = np.concatenate([rim - up, rim + up, rim - up, rim + up, [-up, up]])
    normals = np.concatenate([rim, rim, np.tile(-up, (sides, 1)), np.tile(up, (sides, 1)), [-up, up]])
    i = np.arange(sides)
    k = (i + 1) % sides
    sheets = [(i, k, sides + i), (k, sides + k, sides + i)]
    caps = [
        (2 * sides + i, 2 * sides + k, 0 * i + 4 * sides),
        (3 * sides + i, 3 * sides + k, 0 * i + 4 * sides + 1),
    ]
    return vertices, normals, np.concatenate([np.stack(t, axis=1) for t in sheets + caps]).astype(np.int32)


def _box() -> Solid:
    """Six faces with edges of their own, so that they shade flat."""
    vertices, normals, triangles = [], [], []
    for axis in range(3):
        for side in (-1.0, 1.0):
            for a, b in ((-1, -1), (-1, 1), (1, 1), (1, -1)):
                corner = np.zeros(3)
                corner[axis], corner[(axis + 1) % 3], corner[(axis + 2) % 3] = side, a, b
                vertices.append(corner)
                normals.append(side * np.eye(3)[axis])
            first = len(vertices) - 4
            triangles += [(first, first + 1, first + 2), (first, first + 2, first + 3)]
    return np.array(vertices), np.array(normals), np.array(triangles, np.int32)


def _ball(around: int = 28, down: int = 16) -> Solid:
    longitude = np.linspace(0, 2 * np.pi, around, endpoint=False)
    latitude = np.linspace(0, np.pi, down + 1)[:, None]
    vertices = np.stack(
        [
            np.cos(longitude) * np.sin(latitude),
            np.cos(latitude) + 0 * longitude,
            np.sin(longitude) * np.sin(latitude),
        ],
        axis=2,
    ).reshape(-1, 3)
    row, column = np.meshgrid(np.arange(down), np.arange(around), indexing="ij")
    a, b = row * around + column, row * around + (column + 1) % around
    quads = np.stack([a, b, a + around, b, b + around, a + around], axis=2)
    return vertices, vertices.copy(), quads.reshape(-1, 3).astype(np.int32)


CYLINDER, BOX, BALL = _cylinder(), _box(), _ball()

_TOOL_GRIPS = ("pinch", "ok", "tripod", "prismatic", "lateral", "grip", "partly_closed", "fist", "hold")
_TOOL_SHARE = 0.35
# Keypoints between which something thin is held.
_PINCHED = {"pinch": [4, 8], "ok": [4, 8], "prismatic": [4, 8, 12], "lateral": [4, 7]}


def solid_part(solid: Solid, half_sizes: Array, axes: Array, centre: Array, surface: np.void) -> Part:
    """A solid with these half sizes (3,) along the columns of `axes` (3, 3), about `centre` (3,).
    Its texture is laid out so that the largest half size is 0.5."""
    vertices, normals, triangles = solid
    scaled = vertices * half_sizes
    return Part(
        vertices=scaled @ axes.T + centre,
        normals=unit(normals / half_sizes) @ axes.T,
        texture=scaled * (0.5 / float(np.max(half_sizes))),
        triangles=triangles,
        surface=surface,
    )


def _frame(along: Array, hint: Array) -> Array:
    """Axes (3, 3) as columns whose second is `along`, the third near `hint`."""
    y = unit(along)
    z = unit(hint - y * (hint @ y))
    return np.stack([np.cross(y, z), y, z], axis=1)


def held_object(rng: Generator, gesture: str, keypoints: Array) -> list[Part]:
    """Parts of something this hand could be holding, in the hand frame; keypoints (21, 3) of the posed (left) hand."""
    surface = draw_material(rng)
    if gesture in _TOOL_GRIPS and rng.random() < _TOOL_SHARE:
        return _tool(rng, gesture, keypoints, surface)
    return [_held_solid(rng, gesture, keypoints, surface)]


def _held_solid(rng: Generator, gesture: str, keypoints: Array, surface: np.void) -> Part:
    tips = keypoints[[4, 8, 12]].mean(axis=0)
    if gesture == "tripod":
        along = unit(keypoints[5] + [0, -0.1, 0.02] - tips)
        half = rng.uniform(0.3, 0.55)
        centre = tips + along * half * rng.uniform(0.4, 0.8)
        radius = rng.uniform(0.012, 0.028)
        return solid_part(
            CYLINDER,
            np.array([radius, half, radius]),
            _frame(along, np.array([0.1, 0.2, 1])),
            centre,
            surface,
        )
    if gesture in _PINCHED:
        pinched = keypoints[_PINCHED[gesture]].mean(axis=0)
        half_sizes = np.array([rng.uniform(0.05, 0.3), rng.uniform(0.05, 0.3), rng.uniform(0.005, 0.03)])
        across = unit(keypoints[8] - keypoints[4])
        axes = _frame(rng.normal(size=3), across)
        centre = pinched + axes[:, 1] * half_sizes[1] * rng.uniform(0, 0.9)
        return solid_part(BOX if rng.random() < 0.7 else BALL, half_sizes, axes, centre, surface)
    if gesture in ("hold", "grip", "partly_closed", "fist"):
        return _gripped(rng, keypoints, surface)
    palm = keypoints[[0, 5, 9, 13, 17]].mean(axis=0)
    half_sizes = np.array([rng.uniform(0.15, 0.4), rng.uniform(0.2, 0.6), rng.uniform(0.012, 0.12)])
    solid = BOX if rng.random() < 0.7 else BALL
    centre = palm + np.array([0, rng.uniform(-0.05, 0.25), 0.09 + half_sizes[2]])
    axes = rotation(np.array([0.0, 0, 1]), rng.normal(0, 0.4)) @ rotation(
        np.array([1.0, 0, 0]), rng.normal(0, 0.12)
    )
    return solid_part(solid, half_sizes, axes, centre, surface)


def _tool(rng: Generator, gesture: str, keypoints: Array, surface: np.void) -> list[Part]:
    """A thin rod, often with something at its end: a spoon, a brush, a screwdriver, a stick."""
    if gesture in ("prismatic", "lateral"):  # it may point anywhere but into the palm
        middle = keypoints[_PINCHED[gesture]].mean(axis=0)
        along = unit(keypoints[5] - middle + rng.normal(0, 0.6, 3))
    elif gesture in ("pinch", "ok", "tripod"):
        middle = keypoints[[4, 8]].mean(axis=0)
        along = unit(keypoints[5] - middle + rng.normal(0, 0.25, 3))  # it leans on the index finger
    else:
        middle, along, _ = _ring(rng, keypoints)
        along = along if rng.random() < 0.6 else -along  # out at the thumb, or at the little finger
    radius, half = rng.uniform(0.012, 0.045), rng.uniform(0.35, 0.9)
    centre = middle + along * half * rng.uniform(-0.1, 0.85)
    axes = _frame(along, np.array([0.1, 0.2, 1]))
    rod = solid_part(CYLINDER, np.array([radius, half, radius]), axes, centre, surface)
    if rng.random() < 0.4:
        return [rod]
    end = centre + along * half * (1 if rng.random() < 0.7 else -1)
    half_sizes = np.array([rng.uniform(0.04, 0.14), rng.uniform(0.05, 0.16), rng.uniform(0.02, 0.06)])
    head = solid_part(BALL if rng.random() < 0.6 else BOX, half_sizes, axes, end, surface)
    return [rod, head]


def _ring(rng: Generator, keypoints: Array) -> tuple[Array, Array, Array]:
    """The ring of bent fingers and palm: its middle (3,), the way through it (3,), its corners (5, 3)."""
    fingers = keypoints[5:].reshape(4, 4, 3).mean(axis=0)  # (4, 3): mean knuckle, PIP, DIP, tip
    ring = np.concatenate([fingers, [0.6 * fingers[0] + [0, 0, 0.02]]])
    return ring.mean(axis=0), unit(keypoints[6] - keypoints[18] + rng.normal(0, 0.06, 3)), ring


def _gripped(rng: Generator, keypoints: Array, surface: np.void) -> Part:
    """A cylinder, ball or block that fills the ring of fingers and palm."""
    centre, along, ring = _ring(rng, keypoints)
    flat = ring - np.outer(ring @ along, along)
    steps = np.linspace(0, 1, 6)[:, None]
    bones = np.concatenate([a + (b - a) * steps for a, b in pairwise(flat)])
    nearest = np.linalg.norm(bones - (centre - along * (centre @ along)), axis=1).min()
    radius = float(np.clip(nearest - 0.035, 0.025, 0.3))
    axes = _frame(along, np.array([0, 0.3, 1]))
    kind = rng.random()
    if kind < 0.6:
        half = rng.uniform(0.3, 1.1)
        centre = centre + along * half * rng.uniform(-0.6, 0.6)
        return solid_part(CYLINDER, np.array([radius, half, radius]), axes, centre, surface)
    if kind < 0.8:
        return solid_part(BALL, np.full(3, max(radius * 1.15, 0.06)), axes, centre, surface)
    half_sizes = np.array([radius * rng.uniform(0.6, 1), rng.uniform(0.2, 0.6), radius * rng.uniform(0.3, 1)])
    return solid_part(BOX, half_sizes, axes, centre, surface)


def obstacle(rng: Generator, centre: Array, reach: float) -> Part:
    """A bar, block or ball in image space about `centre` (3,) pixels, `reach` pixels large: something in front."""
    solid = (CYLINDER, BOX, BALL)[int(rng.integers(3))]
    half_sizes = reach * np.array([rng.uniform(0.06, 0.25), rng.uniform(0.2, 1.5), rng.uniform(0.06, 0.25)])
    axes = _frame(rng.normal(size=3), np.array([0.0, 0.1, 1]))
    return solid_part(solid, half_sizes, axes, centre, draw_material(rng))


def person(
    rng: Generator, centre: Array, head: float, skin: np.void, cloth: np.void | None = None
) -> list[Part]:
    """A simple head and torso in image space. `centre` (3,) is the head's centre in pixels, `head` its height in
    pixels; a torso hangs below it, in `cloth` when given. The face is turned a little to either side."""
    turn = rotation(np.array([0.0, 1, 0]), rng.normal(0, 0.5)) @ rotation(
        np.array([0.0, 0, 1]), rng.normal(0, 0.12)
    )
    half = head * np.array([0.38, 0.5, 0.42])
    face = skin.copy()
    face["band_end"], face["texture"] = face["band_start"], 0.4

    def on_face(x: float, y: float, z: float, sizes: tuple[float, float, float], surface: np.void) -> Part:
        return solid_part(BALL, half * sizes, turn, centre + turn @ (half * [x, y, z]), surface)

    hair = plain(linear(np.array([0.5, 0.38, 0.25]) * rng.uniform(0.1, 1.3)), 0.2)
    dark = plain(np.full(3, 0.02), 0.5)
    lips = plain(np.asarray(skin["flush"], float) * [0.8, 0.5, 0.5])
    parts = [on_face(0, 0, 0, (1, 1, 1), face), on_face(0, 0.12, -0.95, (0.16, 0.2, 0.25), face)]
    for side in (-1, 1):
        parts.append(on_face(0.37 * side, -0.12, -0.86, (0.13, 0.06, 0.08), dark))
        parts.append(on_face(1.0 * side, 0, 0.05, (0.12, 0.2, 0.15), face))
    parts.append(on_face(0, 0.5, -0.8, (0.28, 0.06, 0.08), lips))
    if rng.random() < 0.85:
        parts.append(on_face(0, -0.28, 0.22, (1.08, 0.92, 1.0), hair))
    down = np.array([0.0, 1.0, 0.0])
    width = head * rng.uniform(0.85, 1.15)
    neck = solid_part(
        CYLINDER, head * np.array([0.2, 0.35, 0.2]), np.eye(3), centre + down * head * 0.65, face
    )
    if cloth is None:
        cloth = draw_material(rng, 0.15) if rng.random() < 0.85 else face
    torso_half = np.array([width, head * 1.9, head * 0.55])
    torso = solid_part(BALL, torso_half, np.eye(3), centre + down * head * 2.65 + [0, 0, 0.1 * head], cloth)
    skinlike = [replace(part, palmar=np.full(len(part.vertices), -0.6)) for part in (*parts, neck, torso)]
    return skinlike


def skin_blob(rng: Generator, centre: Array, reach: float, skin: np.void) -> Part:
    """A bare patch of body - a cheek, a shoulder, a knee - as an ellipsoid in image space."""
    half_sizes = reach * rng.uniform(0.5, 1.5, 3) * [1, 1, 0.4]
    axes = _frame(rng.normal(size=3) * [1, 1, 0.2], np.array([0.0, 0.1, 1]))
    surface = skin.copy()
    surface["band_end"], surface["texture"] = surface["band_start"], 0.5
    part = solid_part(BALL, half_sizes, axes, centre, surface)
    return replace(part, palmar=np.full(len(part.vertices), -0.6))
