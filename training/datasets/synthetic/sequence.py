"""Rendered video of moving hands with exact labels and ids, for tests and for measuring a tracker.

sequence = HandSequence(seed=1, backgrounds=Backgrounds([]), hands=2)
for frame in sequence:
    frame.picture.image, frame.timestamp, dict(zip(frame.ids, frame.picture.hands))
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.inference.geometry import inside
from training.datasets.synthetic.appearance import HandAppearance
from training.datasets.synthetic.backgrounds import Backgrounds
from training.datasets.synthetic.camera import blurred, motion_at
from training.datasets.synthetic.choreography import (
    BEATS,
    MOST_HANDS,
    Beat,
    Choreographer,
    draw_script,
)
from training.datasets.synthetic.compose import label
from training.datasets.synthetic.crops import generator
from training.datasets.synthetic.hand import Identity
from training.datasets.synthetic.motion import Passage, Path, Phase
from training.datasets.synthetic.raster import SAMPLES, Fragments, rasterise, resolve
from training.datasets.synthetic.setting import corner_in_square, draw_cast, draw_setting
from training.datasets.synthetic.shading import shade
from training.datasets.synthetic.stage import (
    Actor,
    Stage,
    StagedHand,
    placed_view,
    project,
    stage_hand,
    turned,
)
from training.datasets.synthetic.surfaces import Geometry, Part, join
from training.datasets.types import Handedness, HandLabel, LabelledImage

Generator = np.random.Generator

SEQUENCE_STREAM = 3  # keeps the random numbers of crops, scenes and sequences apart
PLAN, NOISE = 0, 1
LEAST_IN_PICTURE = 0.15  # of a hand's box; with less of it in the picture a hand is not labelled
LANE_DEPTH = 1.2  # hand lengths between hands that cross


@dataclass(frozen=True, eq=False)
class SequenceFrame:
    """One frame of a sequence.

    index: counted from 0. timestamp: seconds since the first frame. picture: (H, W, 3) uint8 RGB and the labels of the
    hands of which at least a little is in the picture, hidden or not; keypoints may lie outside of it.
    ids: for each of them a number from 1 that the hand keeps for the whole sequence. phases: what each one is doing.
    clear: for each, the share of its keypoints, 0..1, that are in the picture with only the hand itself in front.
    owners: (H, W) int16, the id of the hand whose skin or glove, forearm included, is seen at a pixel; 0 elsewhere.
    """

    index: int
    timestamp: float
    picture: LabelledImage
    ids: tuple[int, ...]
    phases: tuple[Phase, ...]
    clear: tuple[float, ...]
    owners: NDArray[np.int16]

    def __post_init__(self) -> None:
        if not len(self.ids) == len(self.phases) == len(self.clear) == len(self.picture.hands):
            raise ValueError("a frame needs an id, a phase and a clear share for each of its hands")


@dataclass(frozen=True, eq=False)
class _Performer:
    """One hand of the cast, and its way through the sequence. depth: of its lane, in pixels."""

    id: int
    identity: Identity
    appearance: HandAppearance
    handedness: Handedness
    path: Path
    depth: float


class HandSequence:
    """A clip of one to three hands; any frame can be had at any time, and equal arguments give equal bytes.

    Appearance, background, light and exposure are those of the clip; what happens is drawn from the seed or told by
    `script`. The lower a hand's id, the nearer it is to the camera.
    """

    def __init__(
        self,
        seed: int,
        backgrounds: Backgrounds,
        *,
        hands: int = 2,
        frames: int = 300,
        width: int = 640,
        height: int = 480,
        fps: float = 30.0,
        script: Sequence[Beat] | None = None,
        moving_camera: bool = False,
    ) -> None:
        """script: what happens, one beat after the other, stretched over the whole clip; None draws one. Only
        backgrounds known to be free of hands are used.

        Raises ValueError for a number of hands, frames, pixels or a beat that is not possible.
        """
        if not 1 <= hands <= MOST_HANDS:
            raise ValueError(f"a sequence shows 1 to {MOST_HANDS} hands, not {hands}")
        if frames < 1 or not fps > 0:
            raise ValueError(f"{frames} frames at {fps} a second are not possible")
        if min(width, height) < 64 or width % 2 or height % 2:
            raise ValueError(f"{width} × {height} pixels: both must be even and at least 64")
        if script is not None and (not script or not set(script) <= set(BEATS)):
            raise ValueError(f"a script is made of {', '.join(BEATS)}, not {script!r}")
        self.seed, self.frames, self.width, self.height, self.fps = seed, frames, width, height, fps
        rng = generator(SEQUENCE_STREAM, seed, PLAN)
        self._side = max(width, height)
        self._corner = corner_in_square(width, height)
        seconds = frames / fps
        cast = draw_cast(rng, hands)
        script = tuple(script or draw_script(rng, hands, seconds))
        self.choreography = Choreographer(rng, [identity for identity, _, _ in cast], width, height).write(
            script, seconds
        )
        self._performers = [
            _Performer(number + 1, *each, path, number * LANE_DEPTH * path.first.scale)
            for number, (each, path) in enumerate(zip(cast, self.choreography.paths, strict=True))
        ]
        self._distance = float(rng.uniform(4, 7))
        self._scale = float(np.mean([performer.path.first.scale for performer in self._performers]))
        behind = self._performers[-1].depth + self._scale
        self._setting = draw_setting(
            rng,
            backgrounds,
            [wearer for _, wearer, _ in cast],
            width,
            height,
            self._scale,
            behind,
            moving_camera,
        )

    def __len__(self) -> int:
        return self.frames

    def __iter__(self) -> Iterator[SequenceFrame]:
        return (self[index] for index in range(self.frames))

    def __getitem__(self, index: int) -> SequenceFrame:
        """Render frame `index`, 0 to `frames` - 1. Raises IndexError."""
        if not 0 <= index < self.frames:
            raise IndexError(f"frame {index} of a sequence of {self.frames}")
        time = index / self.fps
        setting = self._setting
        passing = [passage for passage in self.choreography.passages if passage.present(time)]
        stage, later = (self._staged(moment, passing) for moment in (time, time + setting.camera.shutter))
        geometry = join(stage.parts)
        fragments = rasterise(geometry, self._side)
        rendering = shade(geometry, fragments, setting.lighting, self._scale / 13)
        _, chosen = resolve(fragments.depth, fragments.triangle)
        moved = np.concatenate([part.vertices for part in later.parts])
        motion = motion_at(geometry, fragments, moved, chosen)
        colour, coverage = blurred(rendering.colour, rendering.coverage, motion)
        behind = setting.backdrop(setting.camera.offset(time))
        filmed = self._cut(behind * (1 - coverage[..., None]) + colour)
        image = setting.camera.develop(generator(SEQUENCE_STREAM, self.seed, NOISE, index), filmed)
        owners = _owners(geometry, fragments)  # of every sample
        labels: list[tuple[HandLabel, int, Phase, float]] = []
        for performer, hand in zip(self._performers, stage.hands, strict=True):
            whole = label(hand, performer.path.at(time).scale, geometry, fragments)
            if (placed := self._in_picture(whole)) is not None:
                clear = self._clear(hand, fragments, owners)
                labels.append((placed, performer.id, performer.path.phase(time), clear))
        hands, ids, phases, clears = zip(*labels, strict=True) if labels else ((), (), (), ())
        picture = LabelledImage(image, hands, setting.complete, "synthetic", "synthetic")
        shown = np.where(chosen >= 0, owners.ravel()[chosen], 0).astype(np.int16)
        return SequenceFrame(index, time, picture, ids, phases, clears, self._cut(shown))

    def _staged(self, time: float, passing: Sequence[Passage]) -> Stage:
        """Everything in image space at a time: parts always in the same order, `passing` as listed."""
        offset = self._setting.camera.offset(time)
        parts: list[Part] = [
            part.moved(part.vertices + np.array([*offset, 0.0]), part.normals)
            for part in self._setting.scenery
        ]
        hands: list[StagedHand] = []
        for performer in self._performers:
            posture = performer.path.at(time)
            actor = Actor(
                performer.identity, posture.pose, performer.appearance, "left", np.eye(3), np.zeros(3)
            )
            stage = stage_hand(actor, performer.id)
            stage = stage.mirrored() if performer.handedness == "right" else stage
            target = posture.place + self._corner + offset
            view = placed_view(
                stage, turned(*posture.turn), self._distance, posture.scale, target, performer.depth
            )
            seen = project(stage, view)
            parts += seen.parts
            hands += seen.hands
        for passage in passing:
            part = passage.at(time)
            parts.append(part.moved(part.vertices + np.array([*(self._corner + offset), 0.0]), part.normals))
        return Stage(tuple(parts), tuple(hands))

    def _in_picture(self, hand: HandLabel) -> HandLabel | None:
        """A label of the square that is rendered as one of the picture; None for a hand that is hardly in it."""
        assert hand.keypoints is not None
        assert hand.visible is not None
        corner, size = self._corner.astype(np.float32), np.array([self.width, self.height])
        low = np.clip(hand.box[:2] - corner, 0, size)
        high = np.clip(hand.box[:2] + hand.box[2:] - corner, 0, size)
        if np.prod(high - low) < LEAST_IN_PICTURE * np.prod(hand.box[2:]):
            return None
        keypoints = hand.keypoints - corner
        visible = hand.visible & inside(keypoints, self.width, self.height)
        box = np.concatenate([low, high - low]).astype(np.float32)
        return replace(hand, box=box, keypoints=keypoints, visible=visible)

    def _clear(self, hand: StagedHand, fragments: Fragments, owners: NDArray[np.int16]) -> float:
        """The share of a hand's keypoints that lie in the picture with nothing but the hand itself in front of them."""
        places = hand.keypoints[:, :2] - self._corner
        there = inside(places, self.width, self.height)
        columns, rows = np.floor(hand.keypoints[there, :2] * SAMPLES).astype(int).T
        covered = (fragments.depth[rows, columns] < hand.keypoints[there, 2]) & (
            owners[rows, columns] != hand.owner
        )
        return float((~covered).sum() / len(there))

    def _cut(self, square: NDArray[Any]) -> NDArray[Any]:
        """The picture's part of the square that is rendered."""
        left, top = self._corner
        return square[top : top + self.height, left : left + self.width]


def _owners(geometry: Geometry, fragments: Fragments) -> NDArray[np.int16]:
    """Whose skin each sample shows (n, n), 0 where nobody's."""
    by_triangle = np.append(
        np.maximum(geometry.owners, 0)[geometry.part], 0
    )  # its last entry is for "nothing", -1
    return by_triangle.astype(np.int16)[fragments.triangle]
