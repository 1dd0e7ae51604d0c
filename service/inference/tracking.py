"""Hands followed from frame to frame, so that most frames need no detector.

    tracker = Tracker(pipeline)
    for image, timestamp in frames:            # (H, W, 3) uint8 RGB, seconds
        for tracked in tracker.update(image, timestamp).hands:
            print(tracked.track_id, tracked.hand.keypoints)

The keypoints of one frame say where to cut the next one's crops; the pose model's own "is there a hand" says
when a hand is lost, and the detector, which looks again from time to time (`tracking_schedule`), when what is
followed is none.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Protocol

import numpy as np

from service.inference.assignment import assign, match_boxes, widened
from service.inference.calibration import PairCalibration
from service.inference.geometry import Image
from service.inference.hands import Detection, Hand
from service.inference.pipeline import Thresholds, check_image, merge_duplicates
from service.inference.tracking_schedule import Schedule
from service.inference.tracks import NO_PAIR, Track, in_picture, pairing_cost
from service.inference.tracks_crossing import rivals, uncross

_LOST_PRESENCE = 0.5  # what a followed hand needs where the thresholds ask for less; a new one needs it too
_KEEP_SCORE = 0.8  # of min_score; between the two a hand is followed and not told
_TELL_AGAIN = 0.1  # of the way from min_score to 1: so far above it must a hand rise that sank below it
# The detector did not see it so often in a row, at each of its sizes twice: it is no hand, or another one.
_UNCONFIRMED_LOOKS = 6
_SAME_SHAPE = 1.05  # by how much a new picture's sides may grow differently and show the same
_MEMORY_SECONDS = 2.0  # a hand that comes back within this keeps its id


class HandFinder(Protocol):
    """What a tracker needs of a `Pipeline`."""

    @property
    def thresholds(self) -> Thresholds:
        """Where it draws its lines."""
        ...

    @property
    def calibration(self) -> PairCalibration:
        """Of the scores that are told."""
        ...

    def detect(self, image: Image, turn: int | None = None) -> list[Detection]:
        """Boxes, best first; turn: as `Pipeline.detect` has it."""
        ...

    def pose(self, image: Image, detections: Sequence[Detection]) -> list[Hand]:
        """One hand for each box, in order."""
        ...


@dataclass(frozen=True, slots=True)
class TrackingOptions:
    """What a stream asks for; may change between frames. Raises ValueError when out of bounds.

    max_hands: at most this many are followed. min_score: hands scored below this are not told.
    mirrored: the pictures are mirrored (a selfie view): swaps the handedness and nothing else.
    smoothing: take the tremble out of keypoints and boxes.
    """

    max_hands: int = 4
    min_score: float = 0.5
    mirrored: bool = False
    smoothing: bool = True

    def __post_init__(self) -> None:
        if self.max_hands < 1 or not 0 <= self.min_score <= 1:
            raise ValueError(f"max_hands must be at least 1 and min_score between 0 and 1: {self}")


@dataclass(frozen=True, slots=True)
class TrackedHand:
    """A hand and its number: unique in the stream, counted from 1, the same as long as the hand is followed."""

    track_id: int
    hand: Hand


@dataclass(frozen=True, slots=True)
class TrackedFrame:
    """The hands of a frame, best score first; whether the detector ran, and the milliseconds of each step."""

    hands: list[TrackedHand]
    detector_ran: bool
    detect_ms: float
    pose_ms: float


class Tracker:
    """Follows the hands of one stream. Not for several threads at once."""

    def __init__(
        self, pipeline: HandFinder, options: TrackingOptions | None = None, *, detect_every: int = 6
    ) -> None:
        """detect_every: while there is room for another hand the detector runs on one of so many frames.

        Raises ValueError when it is below 1.
        """
        self.options = options or TrackingOptions()
        self._pipeline = pipeline
        self._schedule = Schedule(detect_every)
        self._tracks: list[Track] = []
        self._next_id = 1
        self._searches = 0  # how often the detector ran
        self._size: tuple[int, int] | None = None  # width, height
        self._timestamp = -math.inf
        self._detect_ms = self._pose_ms = 0.0

    def update(self, image: Image, timestamp: float) -> TrackedFrame:
        """The hands of the next frame.

        image: (H, W, 3) uint8 RGB. Its size may change from frame to frame; where the ratio of its sides does, hands
            are looked for anew. timestamp: seconds on any clock.
        Raises ValueError for an image of another shape or type and for a timestamp before the last one.
        """
        self._begin(check_image(image), timestamp)
        detector_ran = self._schedule.due(self._tracks, self._room > 0)
        detections = self._detect(image) if detector_ran else []
        followed = self._active
        self._look(image, detections, detector_ran)
        if not detector_ran and any(track.lost for track in followed):
            detector_ran = True
            self._look(image, self._detect(image), True)
        return TrackedFrame(self._report(), detector_ran, self._detect_ms, self._pose_ms)

    @property
    def _active(self) -> list[Track]:
        return [track for track in self._tracks if not track.lost]

    @property
    def _least(self) -> float:
        """`min_score` before calibration, as the scores are in here."""
        return self._pipeline.calibration.hand.inverse(self.options.min_score)

    @property
    def _room(self) -> int:
        return self.options.max_hands - len(self._active)

    def _begin(self, image: Image, timestamp: float) -> None:
        if timestamp < self._timestamp:
            raise ValueError(f"time went back from {self._timestamp} to {timestamp}")
        self._timestamp = timestamp
        self._forget()
        self._schedule.next_frame(timestamp)
        self._detect_ms = self._pose_ms = 0.0
        size = (image.shape[1], image.shape[0])
        if self._size is not None and size != self._size:
            self._resize(size[0] / self._size[0], size[1] / self._size[1])
        self._size = size
        best = sorted(self._active, key=lambda track: track.score, reverse=True)
        for track in best[self.options.max_hands :]:  # max_hands was lowered
            self._tracks.remove(track)

    def _resize(self, factor_x: float, factor_y: float) -> None:
        """The pictures are so many times as wide and as high as before."""
        for track in self._tracks:
            track.rescale(factor_x, factor_y)
        # Another shape: a camera that was turned, or that shows more or less of the scene. Where the hands would be now
        # may be anything, and the crop of one may creep from there to another hand.
        if max(factor_x, factor_y) > _SAME_SHAPE * min(factor_x, factor_y):
            for track in self._active:
                self._lose(track)

    def _detect(self, image: Image) -> list[Detection]:
        started = time.perf_counter()
        detections = self._pipeline.detect(image, turn=self._searches)
        self._searches += 1
        self._detect_ms += (time.perf_counter() - started) * 1e3
        self._schedule.ran()
        return detections

    def _look(self, image: Image, detections: list[Detection], detector_ran: bool) -> None:
        """Look where hands should be and where the detector saw others, and settle which is which."""
        expected = self._expected(image)
        confirmed, others = self._confirmed(image, expected, detections)
        # A doubtful track may have slid off its hand, and that hand be among the others.
        doubtful = sum(track.doubtful for track in expected)
        following = {
            track: _looks(detection, confirmed.get(track))
            for track, detection in expected.items()
            if track.seen != self._timestamp
        }
        while following or others:
            count = self._room + doubtful
            candidates, others = others[: max(count, 0)], others[max(count, 0) :]
            if not following and not candidates:
                break
            self._settle(image, following, candidates)
            following, doubtful = {}, 0
        if detector_ran:
            self._judge(expected, confirmed)

    def _expected(self, image: Image) -> dict[Track, Detection]:
        """Where the followed hands should be. Those that have left the picture are lost."""
        expected: dict[Track, Detection] = {}
        for track in self._active:
            box = track.crop_box(self._timestamp, image.shape[1], image.shape[0])
            if box is None:
                self._lose(track)
            else:
                expected[track] = Detection(box, track.detection_score)
        return expected

    def _confirmed(
        self, image: Image, expected: dict[Track, Detection], detections: Sequence[Detection]
    ) -> tuple[dict[Track, Detection], list[Detection]]:
        """Which expected hands the detector saw, and its boxes for others, best first. Doubtful tracks whose hand it
        saw where it was before are taken back, and expected there.
        """
        tracks, others = list(expected), list(detections)
        matches = match_boxes([expected[track].box for track in tracks], [d.box for d in others])
        confirmed = {tracks[i]: others[j] for i, j in matches.items()}
        others = [d for j, d in enumerate(others) if j not in matches.values()]
        # A doubtful track may have slid off a hand that is still where it was.
        for track in tracks:
            if track.doubtful and track not in confirmed:
                box = track.trusted_box(self._timestamp, image.shape[1], image.shape[0])
                for j in match_boxes([box], [d.box for d in others]).values() if box else ():
                    track.fall_back()
                    confirmed[track] = others.pop(j)
                    expected[track] = Detection(confirmed[track].box, track.detection_score)
        return confirmed, others

    def _judge(self, expected: Mapping[Track, Detection], confirmed: Mapping[Track, Detection]) -> None:
        """The detector has looked: those it saw are trusted, those it has not seen for several times are lost."""
        assert self._size is not None
        for track in expected:
            if track not in confirmed:
                track.doubt()
            elif track.seen == self._timestamp:
                track.confirm(confirmed[track], *self._size)
            if not track.lost and track.unconfirmed >= _UNCONFIRMED_LOOKS:
                self._lose(track)

    def _lose(self, track: Track) -> None:
        track.lose(self._timestamp)
        track.rivals = rivals(track, self._active)

    def _settle(
        self, image: Image, following: dict[Track, list[Detection]], candidates: Sequence[Detection]
    ) -> None:
        """One batch through the pose model; its hands, the surest look at each that is followed, go to the tracks they
        fit best, or start new ones.
        """
        assert self._size is not None
        now = self._timestamp
        asked = [*chain.from_iterable(following.values()), *candidates]
        started = time.perf_counter()
        found = self._pipeline.pose(image, asked)
        self._pose_ms += (time.perf_counter() - started) * 1e3
        answers = iter(found)
        followed = [
            max(islice(answers, len(looks)), key=lambda hand: hand.score) for looks in following.values()
        ]
        least = self._least
        present = max(self._pipeline.thresholds.presence, _LOST_PRESENCE)
        usable = [
            hand
            for track, hand in zip(following, followed, strict=True)
            if track.shows(hand) and in_picture(hand, *self._size, followed=True)
        ]
        usable += [
            hand for hand in answers if hand.score >= least and in_picture(hand, *self._size, followed=False)
        ]
        usable = [hand for hand in usable if hand.presence >= present]
        origin = {id(hand): detection for hand, detection in zip(found, asked, strict=True)}
        known = [track.hand for track in self._tracks if track.seen == now]
        hands = self._distinct(usable, known)
        waiting = [track for track in self._tracks if track.seen != now]
        costs = [[pairing_cost(track, hand, now) for hand in hands] for track in waiting]
        matrix = np.array(costs, float).reshape(len(waiting), len(hands))
        pairs = {waiting[row]: column for row, column in assign(matrix, NO_PAIR)}
        pairs = uncross(pairs, waiting, hands, now)
        for track in following:
            if track not in pairs:
                self._lose(track)
        left = set(range(len(hands)))
        for track, column in sorted(pairs.items(), key=lambda pair: pair[0].lost):
            if not track.lost or self._room > 0:
                track.observe(hands[column], now)
                left.remove(column)
        for track in following:
            if not track.lost and track.score < _KEEP_SCORE * least:
                self._lose(track)
        for index in sorted(left):  # best first
            hand = hands[index]
            if self._room > 0 and hand.score >= least:
                self._tracks.append(Track(self._next_id, hand, origin[id(hand)], now, *self._size))
                self._next_id += 1

    def _distinct(self, hands: Sequence[Hand], known: Sequence[Hand]) -> list[Hand]:
        """The hands best first, without those that lie on a better one's or on a known one's keypoints."""
        threshold = self._pipeline.thresholds.duplicate
        return [
            hand
            for hand in merge_duplicates(hands, threshold)
            if all(len(merge_duplicates([hand, other], threshold)) == 2 for other in known)
        ]

    def _forget(self) -> None:
        """Those that were lost too long ago, and of the others all but the latest."""
        lost = [t for t in self._tracks if t.lost and self._timestamp - t.lost_at <= _MEMORY_SECONDS]
        lost = sorted(lost, key=lambda t: t.lost_at)[-2 * self.options.max_hands :]
        self._tracks = [t for t in self._tracks if not t.lost or t in lost]

    def _report(self) -> list[TrackedHand]:
        assert self._size is not None
        options, least = self.options, self._least
        hands = []
        for track in self._active:
            hand = track.report(*self._size, smoothing=options.smoothing, mirrored=options.mirrored)
            enough = least + (0 if track.told else _TELL_AGAIN * (1 - least))
            track.told = hand is not None and hand.score >= enough
            if hand is not None and track.told:
                hands.append(TrackedHand(track.id, self._pipeline.calibration.apply(hand)))
        return sorted(hands, key=lambda tracked: tracked.hand.score, reverse=True)


def _looks(expected: Detection, confirmed: Detection | None) -> list[Detection]:
    """Where to look for a hand: where it is expected and, if the detector saw it elsewhere, there as well. Either may
    be wrong, and the pose model is surer of the right one.
    """
    boxes = [expected.box] if confirmed is None else [expected.box, widened(expected.box, confirmed.box)]
    return [Detection(box, expected.score) for box in dict.fromkeys(boxes)]
