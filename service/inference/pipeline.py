"""Pictures in, hands out.

    from service.inference.pipeline import Pipeline
    pipeline = Pipeline.load()
    hands = pipeline.hands(image)          # (H, W, 3) uint8 RGB

Two steps, each usable alone: `detect` finds boxes in the whole picture, `pose` finds the keypoints in
boxes. A tracker calls `pose` with the boxes of the frame before.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.engines.base import DetectorEngine, EngineError, PoseEngine
from service.engines.factory import Runtime, load_pair
from service.engines.loaded import LoadedModel
from service.inference.calibration import PairCalibration, combined_score
from service.inference.geometry import (
    Crop,
    Image,
    Pyramid,
    agreed_box,
    hand_box,
    letterbox,
    non_maximum_suppression,
    too_large,
    within,
)
from service.inference.hands import Box, Detection, Hand, side_of
from service.inference.looks import (
    HINT,
    SURE,
    every_size,
    large,
    merge_looks,
    size_in_turn,
    sizes_worth_a_look,
)
from service.inference.sides import settle_sides

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
DEFAULT_DETECTOR = WEIGHTS / "detector"
DEFAULT_POSE = WEIGHTS / "pose"

T = TypeVar("T")

_HARDLY_A_HAND = 0.1  # presence of what is not worth a second look


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where the pipeline draws its lines; each in [0, 1].

    detection: what the detector scores below this is no hand; from `HINT` on it may be worth a look at another size.
    presence: crops in which the pose model sees a hand with less than this probability are dropped.
    duplicate: two poses are one hand when their keypoints lie less than this share of the hand's size
        apart, on average.
    doubtful: hands whose presence times mean keypoint score is less are looked at again, in single pictures; 0: none.
    doubtful_side: so are hands of which it is less sure whether they are left or right; 0: none.
    """

    detection: float = 0.25
    presence: float = 0.3
    duplicate: float = 0.2
    doubtful: float = 0.6
    doubtful_side: float = 0.9

    def __post_init__(self) -> None:
        for name in ("detection", "presence", "duplicate", "doubtful", "doubtful_side"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be between 0 and 1, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Result:
    """The hands of a picture, best first, and the milliseconds each step took."""

    hands: list[Hand]
    detect_ms: float
    pose_ms: float


class Pipeline:
    """Detector and pose model together. Safe to use from several threads at once when its engines are."""

    def __init__(
        self,
        detector: DetectorEngine,
        pose: PoseEngine,
        *,
        models: Sequence[LoadedModel] = (),
        thresholds: Thresholds | None = None,
        calibration: PairCalibration | None = None,
    ) -> None:
        """models: what the engines loaded, detector first; for `GET /v1/models` only. calibration: of the scores that
        `hands` and a tracker give out.
        """
        self.detector_engine = detector
        self.pose_engine = pose
        self.models = tuple(models)
        self.thresholds = thresholds or Thresholds()
        self.calibration = calibration or PairCalibration()
        # Told the size of each batch of crops, in its thread.
        self.on_pose: Callable[[int], None] | None = None
        self._failures = {"detector": 0, "pose": 0}

    @property
    def failures(self) -> int:
        """How many inferences of one of the engines have failed in a row: one that fails now and then had no memory,
        one that always fails has lost its device.
        """
        return max(self._failures.values())

    @classmethod
    def load(
        cls,
        detector: Path = DEFAULT_DETECTOR,
        pose: Path = DEFAULT_POSE,
        thresholds: Thresholds | None = None,
        runtime: Runtime | None = None,
    ) -> Self:
        """Load two checkpoint folders; without arguments the pair that comes with the package, into ONNX
        Runtime. `Pipeline.load(runtime=Runtime(device="cuda"))` loads it onto a GPU.

        Raises CheckpointError for a folder that is not what its card says, EngineError for a graph that
        does not run or a device that is not there.
        """
        pair = load_pair(detector, pose, runtime)
        return cls(
            pair.detector,
            pair.pose,
            models=pair.models,
            thresholds=thresholds,
            calibration=pair.calibration,
        )

    def hands(
        self, image: Image, *, max_hands: int = 4, min_score: float = 0.5, mirrored: bool = False
    ) -> list[Hand]:
        """The hands of a picture, best score first, at most `max_hands`, none scored below `min_score`. Where they are
        two and there is nothing more to look at, their sides are told together (`settle_sides`).

        image: (H, W, 3) uint8 RGB. mirrored: the picture was mirrored (a selfie view): swaps the handedness
            and nothing else. Raises ValueError for an image of another shape or type, max_hands below 1, or a min_score
            that is no probability.
        """
        return self.run(image, max_hands=max_hands, min_score=min_score, mirrored=mirrored).hands

    def run(
        self, image: Image, *, max_hands: int = 4, min_score: float = 0.5, mirrored: bool = False
    ) -> Result:
        """`hands`, with timings."""
        if max_hands < 1:
            raise ValueError(f"max_hands must be at least 1, not {max_hands}")
        if not 0 <= min_score <= 1:
            raise ValueError(f"min_score must be between 0 and 1, not {min_score}")
        started = time.perf_counter()
        pyramid = Pyramid(check_image(image))
        least = self.calibration.hand.inverse(min_score)
        waiting = self._detect(pyramid, wanted=max_hands)
        detected = time.perf_counter()
        found: list[Hand] = []  # those scored too low as well: they may be the second or third in the picture
        room = max_hands
        while waiting and room > 0:
            batch, waiting = waiting[:room], waiting[room:]
            found += [
                hand for hand in self._pose_again(pyramid, batch) if hand.presence >= self.thresholds.presence
            ]
            found = merge_duplicates(found, self.thresholds.duplicate)
            room = max_hands - sum(hand.score >= least for hand in found)
        done = time.perf_counter()
        height, width = image.shape[:2]
        hands = [
            self.calibration.apply(replace(hand, box=agreed_box(hand.box, hand.keypoints, width, height)))
            for hand in found
        ]
        hands = hands if waiting else settle_sides(hands)
        hands = [hand for hand, seen in zip(hands, found, strict=True) if seen.score >= least]
        hands = [hand.mirrored() for hand in hands] if mirrored else hands
        return Result(hands, (detected - started) * 1e3, (done - detected) * 1e3)

    def detect(self, image: Image, turn: int | None = None) -> list[Detection]:
        """Where the detector sees hands: above its threshold, after non-maximum suppression, best first.

        A picture in which it is not sure of a hand, or of tiny ones only, or beside small ones not of everything that
        may be a hand, is looked at again at other sizes (`sizes_worth_a_look`). turn: at one of these at most
        (`size_in_turn`); for streams, which have the next frames for the others.
        image: (H, W, 3) uint8 RGB, else ValueError. Boxes are in pixels of the picture, clipped to it.
        """
        return self._detect(Pyramid(check_image(image)), turn)

    def pose(self, image: Image, detections: Sequence[Detection]) -> list[Hand]:
        """One hand for each detection, in the same order, all crops in one batch.

        Hands keep the detector's boxes; where one proves far too large, the hand is looked at again, closer. Nothing is
        dropped: `Hand.presence` says whether the crop shows a hand at all. Scores are not calibrated yet.
        image: (H, W, 3) uint8 RGB, else ValueError. Boxes are in pixels of the picture.
        """
        return self._pose(Pyramid(check_image(image)), detections)

    def warm_up(self) -> None:
        """One inference through both engines, the detector's at every size, so that the first request does not pay for
        what they set up lazily. Raises EngineError, or ValueError from `Hand`, when their answers are no numbers, as
        those of damaged weights are.
        """
        usual = self.detector_engine.input_size
        sizes = every_size(usual) if self.detector_engine.flexible else (usual,)
        pictures = [np.full((size, size, 3), 127, np.uint8) for size in sizes]
        answers = [self.detector_engine(picture[None]) for picture in pictures]
        self.pose(pictures[0], [Detection(Box(0, 0, usual, usual), 1.0)])
        if not all(np.isfinite(found.boxes).all() and np.isfinite(found.scores).all() for found in answers):
            raise EngineError("the models run, but their answers are no numbers")

    def _detect(
        self, pyramid: Pyramid, turn: int | None = None, wanted: int | None = None
    ) -> list[Detection]:
        found = self._look(pyramid, self.detector_engine.input_size)
        if self.detector_engine.flexible:
            found = self._look_on(pyramid, found, turn, wanted)
        return [detection for detection in found if detection.score >= self.thresholds.detection]

    def _look_on(
        self, pyramid: Pyramid, found: list[Detection], turn: int | None, wanted: int | None
    ) -> list[Detection]:
        """What was found, and what other sizes show that are worth a look."""
        usual, longer = self.detector_engine.input_size, max(pyramid.size)
        sure = max(SURE, self.thresholds.detection)
        if turn is not None:
            size = size_in_turn(found, longer, usual, turn, sure)
            return found if size is None else self._look_again(pyramid, found, size)
        for other in every_size(usual)[1:]:
            if other in sizes_worth_a_look(found, longer, usual, wanted, sure):
                found = self._look_again(pyramid, found, other)
        return found

    def _look_again(self, pyramid: Pyramid, found: list[Detection], size: int) -> list[Detection]:
        """What was found, and what the detector finds at another size."""
        more = self._look(pyramid, size)
        if size < self.detector_engine.input_size:
            more = large(more, max(pyramid.size))
        return _best_of(found + more)

    def _look(self, pyramid: Pyramid, size: int) -> list[Detection]:
        """What may be a hand, `HINT` or more. size: the longer side of the picture that the detector gets."""
        width, height = pyramid.size
        fitted, placing = letterbox(pyramid, size)
        raw = self._infer("detector", self.detector_engine, fitted[None])  # (1, K, 4), (1, K)
        likely = raw.scores[0] >= min(HINT, self.thresholds.detection)
        boxes, scores = placing.to_picture(raw.boxes[0][likely]).tolist(), raw.scores[0][likely].tolist()
        found = []
        for corners, score in zip(boxes, scores, strict=True):
            x0, y0, x1, y1 = within(corners, width, height)
            if x1 > x0 and y1 > y0:
                found.append(Detection(Box.from_corners(x0, y0, x1, y1), min(score, 1.0)))
        return _best_of(found)

    def _pose(self, pyramid: Pyramid, detections: Sequence[Detection]) -> list[Hand]:
        """What the detections show; those whose boxes prove far too large are looked at once more, closer, and so told
        where that is not less like a hand.
        """
        hands = self._ask_around(pyramid, detections)
        closer: dict[int, Detection] = {}
        for i, (hand, detection) in enumerate(zip(hands, detections, strict=True)):
            loose = hand.presence >= _HARDLY_A_HAND and too_large(hand.box, hand.keypoints)
            if loose and (box := hand_box(hand.keypoints, *pyramid.size)) is not None:
                closer[i] = Detection(box, detection.score)
        for i, hand in zip(closer, self._ask_around(pyramid, list(closer.values())), strict=True):
            if hand.presence >= hands[i].presence:
                hands[i] = hand
        return hands

    def _pose_again(self, pyramid: Pyramid, detections: Sequence[Detection]) -> list[Hand]:
        """As `_pose`, with a second look at doubtful hands, turned upright and mirrored."""
        hands = self._pose(pyramid, detections)
        doubtful = [i for i, hand in enumerate(hands) if self._is_doubtful(hand)]
        crops = [Crop.upright(hands[i].keypoints, self.pose_engine.input_size).mirror() for i in doubtful]
        again = self._ask(pyramid, [detections[i] for i in doubtful], crops)
        for i, hand in zip(doubtful, again, strict=True):
            hands[i] = merge_looks([hands[i], hand])
        return hands

    def _is_doubtful(self, hand: Hand) -> bool:
        if hand.presence < _HARDLY_A_HAND:
            return False
        sure = hand.presence * float(hand.keypoint_scores.mean())
        return sure < self.thresholds.doubtful or hand.handedness_score < self.thresholds.doubtful_side

    def _ask_around(self, pyramid: Pyramid, detections: Sequence[Detection]) -> list[Hand]:
        """What the pose model sees around the detections' boxes."""
        crops = [Crop.around(detection.box, self.pose_engine.input_size) for detection in detections]
        return self._ask(pyramid, detections, crops)

    def _ask(self, pyramid: Pyramid, detections: Sequence[Detection], crops: Sequence[Crop]) -> list[Hand]:
        """What the pose model sees in the crops, one for each detection."""
        if not crops:
            return []
        if self.on_pose is not None:
            self.on_pose(len(crops))
        batch = np.stack([crop.cut(pyramid) for crop in crops])  # (B, S, S, 3)
        poses = self._infer("pose", self.pose_engine, batch)
        hands = []
        for i, (detection, crop) in enumerate(zip(detections, crops, strict=True)):
            keypoints = crop.to_picture(poses.keypoints[i])
            keypoint_scores = np.clip(poses.scores[i], 0.0, 1.0)
            presence, right = _probability(poses.hand[i]), _probability(poses.right[i])
            handedness, handedness_score = side_of(1.0 - right if crop.mirrored else right)
            hands.append(
                Hand(
                    box=detection.box,
                    score=combined_score(detection.score, presence, float(keypoint_scores.mean())),
                    presence=presence,
                    handedness=handedness,
                    handedness_score=handedness_score,
                    keypoints=keypoints,
                    keypoint_scores=keypoint_scores,
                    depth=None if poses.depth is None else poses.depth[i] * np.float32(crop.side / crop.size),
                )
            )
        return hands

    def _infer(
        self,
        task: Literal["detector", "pose"],
        engine: Callable[[NDArray[np.uint8]], T],
        batch: NDArray[np.uint8],
    ) -> T:
        try:
            answers = engine(batch)
        except Exception:
            self._failures[task] += 1
            raise
        self._failures[task] = 0
        return answers


def check_image(image: Image) -> Image:
    """The image itself. Raises ValueError unless it is (H, W, 3) uint8 with at least one pixel."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        what = f"{image.shape} {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"an image is an (H, W, 3) uint8 RGB array, not {what}")
    if not image.size:
        raise ValueError("the image has no pixels")
    return image


def _probability(answer: np.float32) -> float:
    """What a network answered, within [0, 1] whatever its precision."""
    return min(max(float(answer), 0.0), 1.0)


def _best_of(found: Sequence[Detection]) -> list[Detection]:
    """After non-maximum suppression, best first."""
    found = sorted(found, key=lambda d: -d.score)
    boxes = np.array([d.box.corners for d in found], np.float32).reshape(-1, 4)
    return [found[i] for i in non_maximum_suppression(boxes)]


def merge_duplicates(hands: Sequence[Hand], threshold: float) -> list[Hand]:
    """The hands best score first, without those whose keypoints lie on a better one's.

    Boxes cannot tell a hand seen twice from two clasped hands; keypoints can, since each is compared with
    its namesake.
    threshold: mean distance between namesakes as a share of the larger box side.
    """
    kept: list[Hand] = []
    for hand in sorted(hands, key=lambda h: h.score, reverse=True):
        if not any(_distance(hand, other) < threshold for other in kept):
            kept.append(hand)
    return kept


def _distance(a: Hand, b: Hand) -> float:
    return float(np.linalg.norm(a.keypoints - b.keypoints, axis=1).mean()) / max(a.box.side, b.box.side)
