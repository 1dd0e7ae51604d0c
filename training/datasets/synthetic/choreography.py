"""What happens in a sequence: a script of beats - hands that rest, drift, reach, wave, cross, are hidden, leave."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np

from training.datasets.synthetic.gestures import draw_gesture
from training.datasets.synthetic.hand import Identity, Pose
from training.datasets.synthetic.motion import (
    Move,
    Passage,
    Path,
    Phase,
    Posture,
    Wave,
    bends_of,
    draw_obstacle,
    draw_tremor,
)
from training.datasets.synthetic.poses import draw_pose
from training.datasets.synthetic.vectors import Array

Generator = np.random.Generator
Beat = Literal["still", "drift", "reach", "wave", "cross", "hide", "leave"]

BEATS: tuple[Beat, ...] = get_args(Beat)
BEAT_SECONDS: dict[Beat, float] = {
    "still": 1.0,
    "drift": 1.1,
    "reach": 1.0,
    "wave": 1.2,
    "cross": 1.5,
    "hide": 1.4,
    "leave": 2.0,
}
ALONE: tuple[Beat, ...] = ("wave", "drift", "hide", "leave", "reach", "still")
TOGETHER: tuple[Beat, ...] = ("wave", "cross", "hide", "drift", "leave", "cross", "still")
STRETCH = 0.95  # beats may be this much shorter than BEAT_SECONDS before one is left out

GESTURES = ("open", "relaxed", "partly_closed", "point", "victory", "four", "thumb_up", "fist", "ok", "claw")
HAND_SHARE = (0.3, 0.4)  # hand length as a share of the picture's height, for one hand
CROWDING = (1.0, 0.92, 0.78)  # smaller when there are two or three
LANE_SCALE = (1.07, 0.97, 0.88)  # the further back, the smaller
MOST_HANDS = len(LANE_SCALE)


@dataclass(frozen=True, eq=False)
class Choreography:
    """One path for each hand, what passes in front of them, and the beats by the time each one starts."""

    paths: tuple[Path, ...]
    passages: tuple[Passage, ...]
    beats: tuple[tuple[float, Beat], ...]


def draw_script(rng: Generator, hands: int, seconds: float) -> tuple[Beat, ...]:
    """Beats for so many seconds: a rest first, then each kind in any order, again and again. Ten seconds hold every
    kind at least once, and two crossings where there are two hands."""
    script: list[Beat] = ["still"]
    while True:
        kinds = ALONE if hands == 1 else TOGETHER
        for kind in rng.permutation(len(kinds)):
            if sum(BEAT_SECONDS[beat] for beat in script) * STRETCH >= seconds:
                return tuple(script)
            script.append(kinds[kind])


@dataclass(eq=False)
class _Role:
    """One hand's role while it is written: its posture after the last move, and its slot, counted from the left."""

    identity: Identity
    posture: Posture
    slot: int
    first: Posture
    moves: list[Move] = field(default_factory=list)
    waves: list[Wave] = field(default_factory=list)

    def move(self, start: float, end: float, posture: Posture, phase: Phase) -> None:
        self.moves.append(Move(start, end, posture, phase))
        self.posture = posture


class Choreographer:
    """Writes the roles of up to three hands, one beat after the other.

    Hands stand side by side, each in a slot of the picture, the first one in front of the others.
    """

    def __init__(self, rng: Generator, identities: Sequence[Identity], width: int, height: int) -> None:
        self._rng, self._width, self._height = rng, width, height
        share = rng.uniform(*HAND_SHARE) * CROWDING[len(identities) - 1]
        self._passages: list[Passage] = []
        self._roles: list[_Role] = []
        slots = rng.permutation(len(identities))
        for lane, (identity, slot) in enumerate(zip(identities, slots, strict=True)):
            scale = share * height * LANE_SCALE[lane]
            facing = 0.0 if rng.random() < 0.65 else 180.0
            turn = np.array(
                [facing + rng.normal(0, 18), np.clip(rng.normal(14, 11), -8, 38), rng.normal(0, 14)]
            )
            bends = bends_of(_forearm_down(rng, draw_pose(rng, identity, draw_gesture(rng, GESTURES))))
            posture = Posture(self._in_slot(int(slot), scale, len(identities)), scale, turn, bends)
            self._roles.append(_Role(identity, posture, int(slot), posture))

    def write(self, script: Sequence[Beat], seconds: float) -> Choreography:
        """Play the beats one after the other, stretched to fill the time."""
        write: dict[Beat, Callable[[float, float], None]] = {
            "still": self._still,
            "drift": self._drift,
            "reach": self._reach,
            "wave": self._wave,
            "cross": self._cross,
            "hide": self._hide,
            "leave": self._leave,
        }
        stretch = seconds / sum(BEAT_SECONDS[beat] for beat in script)
        start, beats = 0.0, []
        for beat in script:
            end = start + BEAT_SECONDS[beat] * stretch
            write[beat](start, end)
            beats.append((start, beat))
            start = end
        paths = tuple(
            Path(role.first, tuple(role.moves), tuple(role.waves), draw_tremor(self._rng))
            for role in self._roles
        )
        return Choreography(paths, tuple(self._passages), tuple(beats))

    def _in_slot(self, slot: int, scale: float, slots: int) -> Array:
        """A place (2,) in a slot, such that all of the hand is in the picture."""
        x = (slot + 0.5) / slots * self._width + self._rng.normal(0, 0.03) * self._width
        y = (0.5 + self._rng.normal(0, 0.05)) * self._height
        margin = 0.55 * scale
        return np.array([np.clip(x, margin, self._width - margin), np.clip(y, margin, self._height - margin)])

    def _changed(self, role: _Role, place: Array) -> Posture:
        """The hand elsewhere, turned a little, and half of the time in another gesture."""
        rng = self._rng
        # A hand turns about where it was facing at first, so that it never wanders round and round.
        turn = role.first.turn + rng.normal(0, [14, 7, 9])
        bends = role.posture.bends
        if rng.random() < 0.5:
            pose = draw_pose(rng, role.identity, draw_gesture(rng, GESTURES))
            bends = np.concatenate([bends_of(pose)[:21], bends[21:]])  # the arm stays as it is
        return replace(role.posture, place=place, turn=turn, bends=bends)

    def _drift_away(self, role: _Role, start: float, end: float) -> None:
        angle, far = self._rng.uniform(0, 2 * np.pi), self._rng.uniform(0.15, 0.4) * role.posture.scale
        margin = 0.5 * role.posture.scale
        place = role.posture.place + far * np.array([np.cos(angle), np.sin(angle)])
        place = np.clip(place, margin, np.array([self._width, self._height]) - margin)
        role.move(start, end, self._changed(role, place), "drift")

    def _others_drift(self, roles: Sequence[_Role], start: float, end: float) -> None:
        for role in self._roles:
            if role not in roles and self._rng.random() < 0.3:
                self._drift_away(role, start, end)

    def _anyone(self) -> _Role:
        return self._roles[int(self._rng.integers(len(self._roles)))]

    def _still(self, start: float, end: float) -> None:
        """Nobody moves."""

    def _drift(self, start: float, end: float) -> None:
        for role in self._roles:
            self._drift_away(role, start, end)

    def _reach(self, start: float, end: float) -> None:
        role = self._anyone()
        seconds = min(self._rng.uniform(0.6, 0.8), end - start)
        up = -1.0 if role.posture.place[1] > self._height / 2 else 1.0
        far = self._rng.uniform(0.6, 1.0) * role.posture.scale
        angle = self._rng.normal(0, 0.5)
        place = role.posture.place + far * np.array([np.sin(angle), up * np.cos(angle)])
        margin = 0.55 * role.posture.scale
        place = np.clip(place, margin, np.array([self._width, self._height]) - margin)
        role.move(start, start + seconds, self._changed(role, place), "reach")
        self._others_drift([role], start, end)

    def _wave(self, start: float, end: float) -> None:
        role = self._anyone()
        hertz, speed = self._rng.uniform(0.8, 1.6), self._rng.uniform(0.7, 1.6)  # hand lengths a second
        swing = speed / (2 * np.pi * hertz) * role.posture.scale * np.array([1.0, self._rng.normal(0, 0.2)])
        role.waves.append(Wave(start, end, swing, self._rng.uniform(0, 14), hertz))
        self._others_drift([role], start, end)

    def _cross(self, start: float, end: float) -> None:
        """Two neighbours change places, one passing in front of the other; a lone hand drifts."""
        if len(self._roles) < 2:
            self._drift(start, end)
            return
        slot = int(self._rng.integers(len(self._roles) - 1))
        one, other = (next(p for p in self._roles if p.slot == s) for s in (slot, slot + 1))
        one.slot, other.slot = other.slot, one.slot
        for role in (one, other):
            place = self._in_slot(role.slot, role.posture.scale, len(self._roles))
            role.move(start, end, self._changed(role, place), "cross")

    def _hide(self, start: float, end: float) -> None:
        """Something passes in front of a hand that keeps still, and stays there for a moment."""
        role = self._anyone()
        scale, length = role.posture.scale, end - start
        times = (start, start + 0.4 * length, start + 0.6 * length, end)
        side = 1.0 if self._rng.random() < 0.5 else -1.0
        outside = self._width / 2 + 1.1 * scale
        ends = [
            np.array([self._width / 2 + sign * side * outside, self._rng.uniform(0.2, 0.8) * self._height])
            for sign in (1, -1)
        ]
        there = role.posture.place + self._rng.normal(0, 0.06, 2) * scale
        obstacle = draw_obstacle(self._rng, scale)
        self._passages.append(Passage(obstacle, times, (ends[0], there, ends[1])))
        self._others_drift([role], start, end)

    def _leave(self, start: float, end: float) -> None:
        """A hand goes out of the picture, stays away for a while and comes back."""
        role = self._anyone()
        length, home = end - start, role.posture
        outside = 0.85 * home.scale
        if len(self._roles) == 1 or 0 < role.slot < len(self._roles) - 1 or self._rng.random() < 0.3:
            away = np.array([home.place[0], self._height + outside])
        else:
            away = np.array([-outside if role.slot == 0 else self._width + outside, home.place[1]])
        role.move(start, start + 0.38 * length, replace(home, place=away), "leave")
        place = self._in_slot(role.slot, home.scale, len(self._roles))
        role.move(start + 0.62 * length, end, self._changed(role, place), "leave")
        self._others_drift([role], start, end)


def _forearm_down(rng: Generator, pose: Pose) -> Pose:
    """The same pose with a nearly straight arm, so that it runs out of the picture."""
    return replace(
        pose,
        wrist_extension=0.4 * pose.wrist_extension,
        wrist_deviation=0.5 * pose.wrist_deviation,
        elbow=float(rng.uniform(0.05, 0.45)),
    )
