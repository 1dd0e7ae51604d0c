"""How hands move: postures, smooth moves between them, waves, the tremor of a hand held still, and what passes by.

Places are pixels of the picture, times seconds, turns degrees as in `stage.turned`.
"""

import math
from dataclasses import astuple, dataclass, replace
from typing import Literal

import numpy as np

from training.datasets.synthetic.appearance import draw_material, draw_skin
from training.datasets.synthetic.hand import Pose, Thumb
from training.datasets.synthetic.objects import BALL, BOX, CYLINDER, skin_blob, solid_part
from training.datasets.synthetic.surfaces import Part
from training.datasets.synthetic.vectors import Array, Z, rotation

Generator = np.random.Generator
Phase = Literal["still", "drift", "reach", "wave", "cross", "leave"]

WAVE_ONSET = 0.25  # seconds in which a wave swells and dies away
# Amplitudes in hand lengths, about what a healthy arm held out does: a slow sway, and the tremor on top of it.
SWAY, SWAY_HERTZ = 0.004, (0.15, 0.5)
TREMOR, TREMOR_HERTZ = 0.0012, (7.0, 11.0)
SWAY_DEGREES, TREMOR_DEGREES = 0.25, 0.08


def minimum_jerk(share: float) -> float:
    """How far a reach has got, 0 to 1, when `share` of its time has passed; clipped outside 0..1.

    T. Flash, N. Hogan: The coordination of arm movements, J. Neuroscience 5, 1985. Its top speed is 1.875 times
    the mean.
    """
    share = min(max(share, 0.0), 1.0)
    return share**3 * (10 - 15 * share + 6 * share**2)


def bends_of(pose: Pose) -> Array:
    """Every angle of a pose (25,), radians."""
    fingers = np.concatenate([pose.mcp, pose.pip, pose.dip, pose.spread])
    arm = (pose.wrist_extension, pose.wrist_deviation, pose.elbow, pose.elbow_direction)
    return np.concatenate([fingers, astuple(pose.thumb), arm])


def pose_of(bends: Array) -> Pose:
    """The pose with these angles (25,); the inverse of `bends_of`."""
    values = [float(value) for value in bends]
    mcp, pip, dip, spread = ((values[i], values[i + 1], values[i + 2], values[i + 3]) for i in (0, 4, 8, 12))
    return Pose(mcp, pip, dip, spread, Thumb(*values[16:21]), *values[21:])


@dataclass(frozen=True, eq=False)
class Posture:
    """Where a hand is and how it is held.

    place: (2,) pixels, where the mean of its keypoints lands. scale: pixels per hand length. turn: (3,) yaw, pitch
    and roll in degrees. bends: (25,) joint angles in radians, see `bends_of`.
    """

    place: Array
    scale: float
    turn: Array
    bends: Array

    @property
    def pose(self) -> Pose:
        """The joint angles by name."""
        return pose_of(self.bends)

    def towards(self, other: "Posture", share: float) -> "Posture":
        """The posture `share` (0 to 1) of the way to another one."""
        return Posture(
            self.place + share * (other.place - self.place),
            self.scale + share * (other.scale - self.scale),
            self.turn + share * (other.turn - self.turn),
            self.bends + share * (other.bends - self.bends),
        )


@dataclass(frozen=True, eq=False)
class Move:
    """From wherever the hand is to `posture`, between two times, by minimum jerk."""

    start: float
    end: float
    posture: Posture
    phase: Phase


@dataclass(frozen=True, eq=False)
class Wave:
    """To and fro between two times: `swing` (2,) pixels to either side, `roll` degrees, `hertz` times a second."""

    start: float
    end: float
    swing: Array
    roll: float
    hertz: float

    def at(self, time: float) -> float:
        """-1 to 1; 0 outside its times, swelling and dying away smoothly inside them."""
        inside = min(time - self.start, self.end - time)
        if inside <= 0:
            return 0.0
        return minimum_jerk(inside / WAVE_ONSET) * math.sin(2 * math.pi * self.hertz * (time - self.start))


@dataclass(frozen=True, eq=False)
class Tremor:
    """What a hand does that is held still. (S,) sine waves: frequencies in Hz; phases and amplitudes (S, 3) of x and
    y in hand lengths and of roll in degrees."""

    hertz: Array
    phases: Array
    amplitudes: Array

    def at(self, time: float) -> Array:
        """(3,) x and y in hand lengths, roll in degrees."""
        angles = 2 * math.pi * self.hertz[:, None] * time + self.phases
        return np.asarray((self.amplitudes * np.sin(angles)).sum(axis=0))


def draw_tremor(rng: Generator) -> Tremor:
    """One person's: two slow waves of sway and three fast ones of tremor."""
    hertz = np.concatenate([rng.uniform(*SWAY_HERTZ, 2), rng.uniform(*TREMOR_HERTZ, 3)])
    slow, fast = [SWAY, SWAY, SWAY_DEGREES], [TREMOR, TREMOR, TREMOR_DEGREES]
    amplitudes = np.array([slow] * 2 + [fast] * 3) * rng.uniform(0.3, 1.0, (5, 3))
    return Tremor(hertz, rng.uniform(0, 2 * math.pi, (5, 3)), amplitudes)


@dataclass(frozen=True, eq=False)
class Path:
    """A hand's whole way: where it starts, its moves in order of time (none overlap), its waves and its tremor."""

    first: Posture
    moves: tuple[Move, ...]
    waves: tuple[Wave, ...]
    tremor: Tremor

    def at(self, time: float) -> Posture:
        """The posture at any time; constant but for the tremor before, between and after the moves."""
        posture = self.first
        for move in self.moves:
            if time < move.start:
                break
            posture = posture.towards(
                move.posture, minimum_jerk((time - move.start) / (move.end - move.start))
            )
        place, roll = posture.place, posture.turn[2]
        for wave in self.waves:
            place, roll = place + wave.at(time) * wave.swing, roll + wave.at(time) * wave.roll
        x, y, twist = self.tremor.at(time)
        return replace(
            posture,
            place=place + posture.scale * np.array([x, y]),
            turn=np.array([*posture.turn[:2], roll + twist]),
        )

    def phase(self, time: float) -> Phase:
        """What the hand is doing; "still" while nothing but its tremor moves it."""
        for move in self.moves:
            if move.start < time < move.end:
                return move.phase
        return "wave" if any(wave.start < time < wave.end for wave in self.waves) else "still"


@dataclass(frozen=True, eq=False)
class Passage:
    """Something that comes into the picture, stays before a hand and goes on. Parts lie about the origin of image
    space; points (2,) are pixels; times are seconds."""

    part: Part
    times: tuple[float, float, float, float]  # comes, is there, goes on, is gone
    points: tuple[Array, Array, Array]

    def present(self, time: float) -> bool:
        """Whether it has come and is not gone yet."""
        return self.times[0] < time < self.times[3]

    def at(self, time: float) -> Part:
        """The part where it is."""
        comes, there, goes, gone = self.times
        start, middle, end = self.points
        place = start + minimum_jerk((time - comes) / (there - comes)) * (middle - start)
        place = place + minimum_jerk((time - goes) / (gone - goes)) * (end - middle)
        return self.part.moved(self.part.vertices + np.array([*place, 0.0]), self.part.normals)


def draw_obstacle(rng: Generator, scale: float) -> Part:
    """A thing or a bare part of a body, about the origin of image space, that hides a hand of this scale."""
    nearer = np.array([0.0, 0.0, -3.0 * scale])  # in front of every hand
    if rng.random() < 0.35:
        return skin_blob(rng, nearer, 0.75 * scale, draw_skin(rng))
    solid = (CYLINDER, BOX, BALL)[int(rng.integers(3))]
    half_sizes = scale * np.array([rng.uniform(0.4, 0.55), rng.uniform(0.55, 0.8), rng.uniform(0.1, 0.4)])
    return solid_part(solid, half_sizes, rotation(Z, rng.uniform(-0.7, 0.7)), nearer, draw_material(rng))
