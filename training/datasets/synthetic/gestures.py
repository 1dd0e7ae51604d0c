"""How fingers lie: gestures and grasps, drawn with variation. Angles are degrees; `poses` makes a `Pose` of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.datasets.synthetic.hand import Thumb
from training.datasets.synthetic.vectors import Array

Generator = np.random.Generator

INDEX, MIDDLE, RING, LITTLE = range(4)


@dataclass
class Draft:
    """A gesture before limits: flexion of four fingers (4,), one spread, and the thumb."""

    mcp: NDArray[np.float64]
    pip: NDArray[np.float64]
    spread: float
    thumb: Thumb


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


def _open(rng: Generator) -> Draft:
    thumb = replace(_loose_thumb(rng), radial=rng.normal(8, 12))
    mcp, pip = _straight(rng)
    return Draft(mcp, pip, rng.uniform(-4, 14), thumb)


def _relaxed(rng: Generator) -> Draft:
    fingers, bend = np.arange(4), rng.uniform(8, 42)
    mcp = bend + 4 * fingers + rng.normal(0, 5, 4)
    pip = bend + 5 + 4 * fingers + rng.normal(0, 7, 4)
    radial, palmar, roll, thumb_mcp, ip = rng.normal([0, 12, 10, 5, 15], [8, 8, 8, 8, 10])
    return Draft(mcp, pip, rng.normal(0, 4), Thumb(radial, palmar, roll, thumb_mcp, ip))


def _fist(rng: Generator) -> Draft:
    mcp, pip = _closed(rng)
    return Draft(mcp, pip, rng.normal(0, 3), _folded_thumb(rng))


def _partly_closed(rng: Generator) -> Draft:
    closing = float(rng.uniform(0, 1))
    each = np.clip(closing + rng.normal(0, 0.15, 4), 0, 1)
    mcp, pip = 80 * each + rng.normal(0, 6, 4), 98 * each + rng.normal(0, 6, 4)
    return Draft(mcp, pip, rng.normal(0, 5), _folded_thumb(rng) if closing > 0.6 else _loose_thumb(rng))


def _fingers_up(
    *up: int, thumb: Callable[[Generator], Thumb] = _folded_thumb
) -> Callable[[Generator], Draft]:
    """A gesture with these fingers straight and the others closed."""

    def draw(rng: Generator) -> Draft:
        bends = _closed(rng)
        bends[:, list(up)] = _straight(rng, len(up))
        mcp, pip = bends
        return Draft(mcp, pip, rng.uniform(-3, 12), thumb(rng))

    return draw


def _pinch(rng: Generator) -> Draft:
    bends = np.stack([rng.normal(50, 15, 4), rng.normal(55, 18, 4)])
    if rng.random() < 0.2:
        bends = _closed(rng)
    bends[:, INDEX] = rng.normal([48, 52], [8, 9])
    mcp, pip = bends
    return Draft(mcp, pip, rng.normal(0, 5), _opposed_thumb(rng))


def _ok(rng: Generator) -> Draft:
    bends = _straight(rng)
    bends[:, INDEX] = rng.normal([48, 52], [8, 9])
    mcp, pip = bends
    return Draft(mcp, pip, rng.uniform(-2, 12), _opposed_thumb(rng))


def _tripod(rng: Generator) -> Draft:
    """Holding a pen: thumb, index and middle finger meet, the others are tucked in."""
    mcp = rng.normal([45, 50, 58, 60], 7)
    pip = rng.normal([45, 58, 70, 72], 8)
    return Draft(mcp, pip, rng.normal(-2, 2), _opposed_thumb(rng))


def _claw(rng: Generator) -> Draft:
    return Draft(
        rng.normal(5, 12, 4), rng.uniform(40, 95) + rng.normal(0, 8, 4), rng.normal(3, 6), _loose_thumb(rng)
    )


def _flat_bend(rng: Generator) -> Draft:
    return Draft(
        rng.uniform(30, 85) + rng.normal(0, 5, 4), rng.normal(8, 8, 4), rng.normal(0, 4), _loose_thumb(rng)
    )


def _hold(rng: Generator) -> Draft:
    """Around something large: a cup, a bottle, a ball."""
    mcp = rng.uniform(20, 60) + 2 * np.arange(4) + rng.normal(0, 5, 4)
    pip = rng.uniform(25, 65) + rng.normal(0, 7, 4)
    return Draft(mcp, pip, rng.normal(1, 4), _gripping_thumb(rng))


def _grip(rng: Generator) -> Draft:
    """Around something slim: a handle, a bar, a steering wheel."""
    mcp = rng.uniform(50, 75) + rng.normal(0, 5, 4)
    pip = rng.uniform(65, 95) + rng.normal(0, 6, 4)
    return Draft(mcp, pip, rng.normal(0, 3), _gripping_thumb(rng))


def _prismatic(rng: Generator) -> Draft:
    """A small thing between the thumb and two to four nearly straight fingers: a brush, a spoon, a piece of a game."""
    mcp = rng.uniform(30, 68) + rng.normal(0, 5, 4)
    pip = rng.uniform(8, 45) + rng.normal(0, 7, 4)
    if rng.random() < 0.5:  # ring and little finger are tucked in
        pip += np.array([0, 0, 22, 34]) * rng.uniform(0.4, 1.6)
    thumb = replace(_opposed_thumb(rng), ip=rng.normal(8, 14))
    return Draft(mcp, pip, rng.normal(-1, 4), thumb)


def _lateral(rng: Generator) -> Draft:
    """The thumb on the side of the bent index finger: a key, a card, a cup's handle."""
    mcp = rng.uniform(28, 72) + rng.normal(0, 6, 4)
    pip = rng.uniform(45, 92) + rng.normal(0, 8, 4)
    radial, palmar, roll, thumb_mcp, ip = rng.normal([-12, 14, 22, 12, 12], [8, 9, 10, 10, 14])
    return Draft(mcp, pip, rng.normal(0, 3), Thumb(radial, palmar, roll, thumb_mcp, ip))


def _any_fingers(rng: Generator) -> Draft:
    """Some fingers straight, some closed, some in between, in no usual combination; any thumb."""
    states = rng.choice(3, 4, p=[0.45, 0.35, 0.2])
    half = np.stack([rng.normal(40, 18, 4), rng.normal(50, 20, 4)])
    bends = np.where(states == 0, _straight(rng), np.where(states == 1, _closed(rng), half))
    thumbs = (_loose_thumb, _folded_thumb, _opposed_thumb, _gripping_thumb, _raised_thumb)
    mcp, pip = bends
    return Draft(mcp, pip, rng.uniform(-4, 12), thumbs[int(rng.integers(len(thumbs)))](rng))


def _resting(rng: Generator) -> Draft:
    """Lying on a table or a mouse."""
    mcp = rng.uniform(5, 35) + rng.normal(0, 5, 4)
    pip = rng.uniform(15, 50) + rng.normal(0, 8, 4)
    radial, palmar, roll, thumb_mcp, ip = rng.normal([4, 8, 8, 5, 10], [9, 8, 8, 8, 10])
    return Draft(mcp, pip, rng.uniform(-3, 9), Thumb(radial, palmar, roll, thumb_mcp, ip))


def _anything(rng: Generator) -> Draft:
    closing = rng.uniform(0, 80)
    mcp = np.clip(closing + rng.normal(0, 35, 4), -15, 90)
    pip = np.clip(rng.uniform(0, 100, 4) * 0.6 + 0.4 * closing, 0, 105)
    radial, palmar, roll, thumb_mcp, ip = rng.uniform([-22, -8, -5, -5, -15], [28, 45, 40, 50, 70])
    return Draft(mcp, pip, rng.normal(0, 6), Thumb(radial, palmar, roll, thumb_mcp, ip))


GESTURES: dict[str, tuple[float, Callable[[Generator], Draft]]] = {
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
# Drawn where asked for by name: how fingers hold small things, and combinations that have no name.
GRASPS: dict[str, Callable[[Generator], Draft]] = {
    "prismatic": _prismatic,
    "lateral": _lateral,
    "any_fingers": _any_fingers,
}
DRAFTS = {name: draft for name, (_, draft) in GESTURES.items()} | GRASPS
_NAMES = list(GESTURES)
_SHARES = np.array([share for share, _ in GESTURES.values()]) / sum(share for share, _ in GESTURES.values())
# Keypoints that the thumb's tip meets: fingertips, or the side of the index finger.
TOUCHING = {"pinch": (8,), "ok": (8,), "tripod": (8, 12), "prismatic": (8, 12), "lateral": (6, 7)}


def draw_gesture(rng: Generator, among: tuple[str, ...] = ()) -> str:
    """The name of a gesture: one of `among` evenly, or of all by their shares."""
    if among:
        return among[int(rng.integers(len(among)))]
    return _NAMES[int(rng.choice(len(_NAMES), p=_SHARES))]
