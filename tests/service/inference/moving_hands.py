"""A world of moving hands stands in for pictures and models: what is where is known exactly."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from service.inference.calibration import PairCalibration, combined_score
from service.inference.hands import Box, Detection, Hand
from service.inference.pipeline import Thresholds
from service.inference.tracking import TrackedFrame, TrackedHand, Tracker

WIDTH, HEIGHT = 640, 480
Path = Callable[[float], tuple[float, float] | None]  # time to centre; None: not there


_SURE = 0.8  # of every keypoint


@cache
def outline(shape: int) -> NDArray[np.float64]:
    """(21, 2) keypoints of a hand around (0, 0), spread over exactly 1 in both directions."""
    points = np.random.default_rng(shape).uniform(-0.5, 0.5, (21, 2))
    points[[0, 12, 4, 20]] = (0, 0.5), (0, -0.5), (-0.5, 0), (0.5, 0)
    return points


@dataclass
class Actor:
    """A hand that moves. layer: hands with a lower one hide those behind them. detected: a face is not, and yet the
    pose model takes it for a hand.
    """

    path: Path
    size: float = 120.0
    right: bool = True
    layer: int = 0
    shape: int = 0
    detected: bool = True

    def keypoints(self, time: float) -> NDArray[np.float32] | None:
        """(21, 2) pixels."""
        centre = self.path(time)
        if centre is None:
            return None
        return (np.array(centre) + outline(self.shape) * self.size).astype(np.float32)


class World:
    """Plays detector and pose model: both see only hands that are not hidden, the pose model only those inside
    its crop, and both make mistakes of the kind that the real ones make.
    """

    thresholds = Thresholds(presence=0.5)
    calibration = PairCalibration()

    def __init__(self, *actors: Actor, seed: int = 0, missed: float = 0.0, flipped: float = 0.0) -> None:
        self.actors = actors
        self.time = 0.0
        self.missed, self.flipped = missed, flipped
        self.noise = 0.015
        self.presence = 0.9
        self.rng = np.random.default_rng(seed)
        self.detections = 0
        self.batches: list[int] = []

    def visible(self) -> list[tuple[Actor, NDArray[np.float32]]]:
        there = [(actor, k) for actor in self.actors if (k := actor.keypoints(self.time)) is not None]

        def hidden(actor: Actor, keypoints: NDArray[np.float32]) -> bool:
            return any(
                other.layer < actor.layer
                and np.linalg.norm(k.mean(axis=0) - keypoints.mean(axis=0)) < 0.45 * other.size
                for other, k in there
            )

        return [(actor, keypoints) for actor, keypoints in there if not hidden(actor, keypoints)]

    def detect(self, image: NDArray[np.uint8], turn: int | None = None) -> list[Detection]:
        self.detections += 1
        found = []
        for actor, keypoints in ((a, k) for a, k in self.visible() if a.detected):
            margin = 0.07 * actor.size
            low = np.clip(keypoints.min(axis=0) - margin, 0, (WIDTH, HEIGHT))
            high = np.clip(keypoints.max(axis=0) + margin, 0, (WIDTH, HEIGHT))
            if (high - low).min() > 4 and self.rng.random() >= self.missed:
                found.append(Detection(Box.from_corners(*low, *high), float(self.rng.uniform(0.6, 0.95))))
        return sorted(found, key=lambda detection: detection.score, reverse=True)

    def pose(self, image: NDArray[np.uint8], detections: Sequence[Detection]) -> list[Hand]:
        assert detections, "an empty batch is a wasted call"
        self.batches.append(len(detections))
        return [self._pose(detection) for detection in detections]

    def _pose(self, detection: Detection) -> Hand:
        box = detection.box
        centre = np.array([box.x + box.width / 2, box.y + box.height / 2])

        def off(seen: tuple[Actor, NDArray[np.float32]]) -> float:
            return float(np.abs((seen[1].min(axis=0) + seen[1].max(axis=0)) / 2 - centre).max())

        nearest = min(self.visible(), key=off, default=None)
        if nearest is None or off(nearest) > 0.6 * box.side:
            keypoints = (centre + self.rng.normal(0, box.side / 4, (21, 2))).astype(np.float32)
            presence, right = float(self.rng.uniform(0.02, 0.3)), bool(self.rng.random() < 0.5)
        else:
            actor, exact = nearest
            keypoints = (exact + self.rng.normal(0, self.noise * actor.size, (21, 2))).astype(np.float32)
            presence = self.presence
            right = actor.right ^ bool(self.rng.random() < self.flipped)
        score = combined_score(detection.score, presence, _SURE)
        return Hand(
            box, score, presence, "right" if right else "left", 0.9, keypoints, np.full(21, _SURE, np.float32)
        )


@dataclass
class Play:
    """What came of a sequence. ids: of each actor, those it was given, in order, without repetitions."""

    frames: list[TrackedFrame]
    ids: list[list[int]]
    seen: int  # actors visible, over all frames
    told: int  # of those, told where they are
    extra: int  # told where nobody is, or twice


def play(world: World, tracker: Tracker, seconds: float = 10, rate: float = 30, start: float = 0.0) -> Play:
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    result = Play([], [[] for _ in world.actors], 0, 0, 0)
    for index in range(round(seconds * rate)):
        world.time = start + index / rate
        frame = tracker.update(picture, world.time)
        result.frames.append(frame)
        used = 0
        for actor, keypoints in world.visible():
            result.seen += 1
            on_it = [t for t in frame.hands if distance(t, keypoints) < 0.2 * actor.size]
            used += bool(on_it)
            result.told += bool(on_it)
            ids = result.ids[world.actors.index(actor)]
            if on_it and ids[-1:] != [on_it[0].track_id]:
                ids.append(on_it[0].track_id)
        result.extra += len(frame.hands) - used
    return result


def distance(tracked: TrackedHand, keypoints: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(tracked.hand.keypoints - keypoints, axis=1).mean())


def still(x: float = 320, y: float = 240) -> Path:
    return lambda t: (x, y)


def sway(speed: float, y: float = 240, reach: float = 200) -> Path:
    """From side to side, `speed` pixels a second in the middle."""
    return lambda t: (320 + reach * math.sin(t * speed / reach), y)


def gone(path: Path, *spans: tuple[float, float]) -> Path:
    return lambda t: None if any(a <= t < b for a, b in spans) else path(t)
