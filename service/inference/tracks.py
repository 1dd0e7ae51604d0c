"""One hand over time: where it will be, which hand it is, and how likely another sighting is the same one.

All coordinates are pixels of the picture, all times seconds. A hand's size is the larger side of the tight box
around its keypoints; distances between hands are measured in it.
"""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from service.inference.geometry import agreed_box, inside, tight_box, within
from service.inference.hands import Box, Detection, Hand, Label
from service.inference.margins import Margins
from service.inference.smoothing import KeypointFilter, Points

# How far crops reach over the keypoints' tight box at each edge, as a share of its larger side: with 10 % the keypoints
# stay put when each frame's crop comes from the last one's keypoints, at PCK@0.2 0.85; 0.83 with 7 %, and with the
# detector's own boxes.
CROP_MARGIN = 0.10

_VELOCITY_SECONDS = 0.05  # the velocity is averaged over about this long
_COAST_SECONDS = 0.3  # an unseen hand goes on this far at its velocity, slowing down
_SCORE_SECONDS = 0.15
_HANDEDNESS_SECONDS = 2.0
_HANDEDNESS_MARGIN = 0.4  # log-odds by which the other label must lead before it takes over
_UNCONFIRMED = 0.9  # what a detector that looked and did not see the hand leaves of its score
_CONFIRMED = 0.5  # weight of a new detection's score against those before
_TRUSTED_SHARE = (
    0.9  # of the presence that is usual for a hand: a sighting with less may be of something else
)
# Of the mean keypoint score that is usual for a hand: with less its crop shows something else, whatever the presence.
# Blurred by a fiftieth of the picture's side hands keep half of it; what hides a hand leaves a quarter.
_SEEN_SHARE = 0.35
# Of the keypoints that must lie in the picture, for a hand that is followed and for one that is not: at its edge a crop
# of a sleeve looks like a hand that has all but left, and goes on doing so; and what shows less of itself may be of any
# size and either side.
_INSIDE_SHARE, _INSIDE_NEW = 0.25, 0.4
_USUAL_SECONDS = 0.5  # what is usual is averaged over about this long
_DOUBTFUL_PRESENCE = 0.6  # below this a detector should have a look
_FAR_STEP = 0.3  # hand sizes from one frame to the next: the crop may have slid off to something else

_REACH, _REACH_SPEED, _REACH_MOST = 1.0, 6.0, 2.5  # hand sizes; hand sizes a second
_SIZE_RATIO = 2.5
NO_PAIR = 1.5
_SHAPE_WEIGHT, _HANDEDNESS_WEIGHT, _YOUTH_WEIGHT, _LOST_COST = 0.5, 0.5, 0.05, 0.15
_STALE_SECONDS = 0.3  # longer than between the frames of a busy service, four or five a second
_SHORT_SECONDS = 0.15  # longer unseen than this, and …
_SAME_HAND = 0.3  # … less likely than this the same of left and right: it must be …
_REACH_OTHER = 0.5  # … this near, since one frame may be wrong about left and right …
_OTHER_SECONDS = 0.8  # … and not lost for longer than this: then it is the other hand that has come


class Handedness:
    """Which hand it is, from all frames: the mean log-odds, each frame's weight fading with its age."""

    def __init__(self) -> None:
        self._sum = self._weight = 0.0
        self.label: Label = "right"

    def add(self, right: float, elapsed: float) -> None:
        """right: the frame's probability of a right hand. elapsed: seconds since the last frame."""
        fading = math.exp(-elapsed / _HANDEDNESS_SECONDS)
        first = self._weight == 0
        right = min(max(right, 0.02), 0.98)  # no single frame is certain
        self._sum = self._sum * fading + math.log(right / (1 - right))
        self._weight = self._weight * fading + 1
        lead = self._sum / self._weight
        if first or abs(lead) > _HANDEDNESS_MARGIN:
            self.label = "right" if lead >= 0 else "left"

    @property
    def right(self) -> float:
        """The probability of a right hand."""
        return 1 / (1 + math.exp(-self._sum / self._weight))

    @property
    def score(self) -> float:
        """The probability of the label, in [0.5, 1]; 0.5 while it is being outweighed."""
        return max(0.5, self.right if self.label == "right" else 1 - self.right)


@dataclass(frozen=True, slots=True)
class Sighting:
    """Where a hand was at one time. velocity: (2,) pixels a second. size: in pixels."""

    hand: Hand
    timestamp: float
    velocity: Points
    size: float

    def predict(self, timestamp: float) -> Points:
        """(21, 2) where the keypoints should be: moved on as a whole, slowing down over a third of a second."""
        coast = _COAST_SECONDS * (1 - math.exp(-(timestamp - self.timestamp) / _COAST_SECONDS))
        return np.asarray(self.hand.keypoints + self.velocity * np.float32(coast), np.float32)

    def rescaled(self, factor_x: float, factor_y: float) -> Self:
        """The same in a picture that is so many times as wide and as high."""
        factor, scale = np.array([factor_x, factor_y], np.float32), math.sqrt(factor_x * factor_y)
        keypoints = np.asarray(self.hand.keypoints * factor, np.float32)
        hand = replace(self.hand.scaled(scale), keypoints=keypoints)
        return replace(self, hand=hand, velocity=self.velocity * factor, size=self.size * scale)


class Track:
    """A hand that was seen at least once. `lost` says that the last frame did not show it.

    Two sightings are remembered: the last one, and the last that can be trusted. A crop whose hand is being covered
    slides off to whatever is near, so a hand that was lost is expected back where it was trusted last.
    """

    def __init__(
        self, track_id: int, hand: Hand, detection: Detection, timestamp: float, width: int, height: int
    ) -> None:
        """hand: what the pose model found in the box of `detection`, in a picture of that size."""
        self.id = track_id
        self.born = timestamp
        self.lost = False
        self.lost_at = -math.inf  # when it was lost last
        self.rivals: dict[int, Sighting] = {}  # ids of tracks it may be confused with since it was lost
        self.told = True  # whether its score was high enough to be told, when it was last asked
        self.score = hand.score
        self.detection_score = detection.score
        self.unconfirmed = 0  # how often in a row the detector looked and did not see it
        self.handedness = Handedness()
        self.handedness.add(hand.right, 0.0)
        self.filter = KeypointFilter()
        tight = tight_box(hand.keypoints)
        self._last = self.trusted = Sighting(hand, timestamp, np.zeros(2, np.float32), tight.side)
        self._usual_presence = hand.presence
        self._usual_keypoints = float(hand.keypoint_scores.mean())
        self._jumped = False  # so far from one sighting to the next that it may be of something else
        self._margins = Margins()
        self._learn_margins(detection.box, width, height)

    @property
    def hand(self) -> Hand:
        """As it was seen last."""
        return self._last.hand

    @property
    def seen(self) -> float:
        """When it was seen last."""
        return self._last.timestamp

    @property
    def size(self) -> float:
        """In pixels."""
        return self._last.size

    @property
    def doubtful(self) -> bool:
        """Whether a detector should have a look at it."""
        return self.unconfirmed > 0 or self.hand.presence < _DOUBTFUL_PRESENCE or self._jumped

    def predict(self, timestamp: float) -> Points:
        """(21, 2) where the keypoints should be."""
        return self._last.predict(timestamp)

    def crop_box(self, timestamp: float, width: int, height: int) -> Box | None:
        """The box that the pose crop is drawn around, clipped to the picture; None when the hand has left it."""
        return _around(self.predict(timestamp), np.full(4, CROP_MARGIN), width, height)

    def trusted_box(self, timestamp: float, width: int, height: int) -> Box | None:
        """The same for where it should be if the sightings that cannot be trusted were of something else."""
        return _around(self.trusted.predict(timestamp), np.full(4, CROP_MARGIN), width, height)

    def shows(self, hand: Hand) -> bool:
        """Whether what was found in its crop can be the hand, by how sure the keypoints are."""
        return float(hand.keypoint_scores.mean()) >= _SEEN_SHARE * self._usual_keypoints

    def observe(self, hand: Hand, timestamp: float) -> None:
        """The hand was seen again."""
        elapsed = timestamp - self.seen
        velocity = self._last.velocity
        other_depth = (hand.depth is None) != (self.hand.depth is None)  # the models were exchanged
        if elapsed > _STALE_SECONDS or other_depth:  # what was smoothed before says nothing about now
            self.filter = KeypointFilter()
        if elapsed > 0:
            moved = (hand.keypoints - self.hand.keypoints).mean(axis=0)  # (2,)
            self._jumped |= float(np.linalg.norm(moved)) > _FAR_STEP * self.size
            velocity = velocity + _share(elapsed, _VELOCITY_SECONDS) * (
                moved / np.float32(elapsed) - velocity
            )
        self.handedness.add(hand.right, elapsed)
        self.score += _share(elapsed, _SCORE_SECONDS) * (hand.score - self.score)
        self._margins.fade(elapsed)
        self._last = Sighting(hand, timestamp, velocity, tight_box(hand.keypoints).side)
        usual = _share(elapsed, _USUAL_SECONDS)
        self._usual_presence += usual * (hand.presence - self._usual_presence)
        self._usual_keypoints += usual * (float(hand.keypoint_scores.mean()) - self._usual_keypoints)
        if not self.unconfirmed and not self._jumped:
            self._trust()
        self.lost = False

    def confirm(self, detection: Detection, width: int, height: int) -> None:
        """The detector saw it too, in the frame that was observed last, of that size."""
        self.detection_score += _CONFIRMED * (detection.score - self.detection_score)
        self._learn_margins(detection.box, width, height)
        self.unconfirmed, self._jumped = 0, False
        self._trust()

    def _learn_margins(self, detected: Box, width: int, height: int) -> None:
        """Of the box that a single picture would be answered with."""
        keypoints = self.hand.keypoints
        box = agreed_box(detected, keypoints, width, height)
        self._margins.learn(box, tight_box(keypoints), width, height)

    def _trust(self) -> None:
        """Remember the last sighting, unless the hand is seen so much worse than usual that it may be covered."""
        if self.hand.presence >= _TRUSTED_SHARE * self._usual_presence:
            self.trusted = self._last

    def doubt(self) -> None:
        """The detector looked and did not see it."""
        self.detection_score *= _UNCONFIRMED
        self.unconfirmed += 1

    def fall_back(self, sighting: Sighting | None = None) -> None:
        """What was seen since a sighting (None: the last trustworthy one) was something else."""
        self.trusted = sighting or self.trusted
        if self._last is not self.trusted:
            self._last, self.filter = self.trusted, KeypointFilter()
        self.unconfirmed, self._jumped = 0, False

    def lose(self, timestamp: float) -> None:
        """The hand is not there any more; should it come back, then near where it was trusted last."""
        self.fall_back()
        self.lost, self.lost_at = True, timestamp

    def rescale(self, factor_x: float, factor_y: float) -> None:
        """The pictures changed their size: go on in the new one's pixels."""
        self._last, self.trusted = (s.rescaled(factor_x, factor_y) for s in (self._last, self.trusted))
        self.rivals = {number: s.rescaled(factor_x, factor_y) for number, s in self.rivals.items()}
        self.filter.scale(factor_x, factor_y)

    def report(self, width: int, height: int, *, smoothing: bool, mirrored: bool) -> Hand | None:
        """The hand as the stream's client is told, but for calibration: handedness and score over time, keypoints
        smoothed if asked for, the box around what is told. None when no part of it lies in the picture.
        """
        keypoints, depth = self.hand.keypoints, self.hand.depth
        if smoothing:
            points = keypoints if depth is None else np.column_stack([keypoints, depth])
            points = self.filter(points, self.seen, self.size)
            keypoints, depth = points[:, :2], None if depth is None else points[:, 2]
        else:
            self.filter = KeypointFilter()
        box = _around(keypoints, self._margins.shares, width, height)
        if box is None:
            return None
        hand = Hand(
            box=box,
            score=min(self.score, 1.0),
            presence=self.hand.presence,
            handedness=self.handedness.label,
            handedness_score=self.handedness.score,
            keypoints=keypoints,
            keypoint_scores=self.hand.keypoint_scores,
            depth=depth,
        )
        return hand.mirrored() if mirrored else hand


def in_picture(hand: Hand, width: int, height: int, *, followed: bool) -> bool:
    """Whether enough of a hand lies in a picture of that size. followed: it was seen in the last frame, and less is
    enough, so that a hand at the bar does not flicker.
    """
    share = float(inside(hand.keypoints, width, height).mean())
    return share >= (_INSIDE_SHARE if followed else _INSIDE_NEW)


def same_side(track: Track, hand: Hand) -> float:
    """The probability that both are right hands or both left ones."""
    right = track.handedness.right
    return right * hand.right + (1 - right) * (1 - hand.right)


def pairing_cost(track: Track, hand: Hand, timestamp: float) -> float:
    """How unlikely it is that a hand is the track's: from 0 to about 2, `NO_PAIR` where another one is as likely,
    infinity where it cannot be.

    Counts the distance from where the track should be or, where it is lost for more than a moment, from where it was
    seen if that is nearer (a hand that left the picture comes back there), the change of shape and of size, and whether
    it is the same hand of the pair; a track that was just seen is cheaper than a lost one, an older than a younger.
    """
    unseen = timestamp - track.seen
    size = tight_box(hand.keypoints).side
    larger = max(size, track.size)
    ratio = larger / min(size, track.size)
    difference = hand.keypoints - track.predict(timestamp)  # (21, 2)
    centre = difference.mean(axis=0)
    distance = float(np.linalg.norm(centre)) / larger
    same = same_side(track, hand)
    reach = _reach(unseen, same, lost=track.lost)
    if track.lost and unseen > _SHORT_SECONDS:
        moved = (hand.keypoints - track.hand.keypoints).mean(axis=0)
        distance = min(distance, float(np.linalg.norm(moved)) / larger)
    if ratio > _SIZE_RATIO or distance > reach:
        return math.inf
    shape = float(np.linalg.norm(difference - centre, axis=1).mean()) / larger
    youth = _YOUTH_WEIGHT / (1 + track.seen - track.born)
    lost = _LOST_COST * (1 + unseen) if track.lost else 0.0
    change = _SHAPE_WEIGHT * (shape + math.log(ratio)) + _HANDEDNESS_WEIGHT * (1 - same)
    return distance / reach + change + youth + lost


def _reach(unseen: float, same: float, *, lost: bool) -> float:
    """How far a hand may lie from where it is expected, in hand sizes; negative: it cannot be the same one.

    unseen: seconds; those of a followed hand are the time between two frames. same: `same_side`.
    """
    if unseen > _SHORT_SECONDS and same < _SAME_HAND:
        return -1.0 if lost and unseen > _OTHER_SECONDS else _REACH_OTHER
    return min(_REACH + _REACH_SPEED * unseen, _REACH_MOST)


def _around(keypoints: Points, margins: NDArray[np.float64], width: int, height: int) -> Box | None:
    """margins: (4,) left, top, right, bottom, as shares of the tight box's larger side."""
    tight = tight_box(keypoints)
    corners = np.array(tight.corners) + margins * tight.side * np.array([-1, -1, 1, 1])
    x0, y0, x1, y1 = within(tuple(corners.tolist()), width, height)
    return Box.from_corners(x0, y0, x1, y1) if x1 - x0 >= 1 and y1 - y0 >= 1 else None


def _share(elapsed: float, seconds: float) -> float:
    """The weight of a new value in an average over about `seconds`."""
    return 1 - math.exp(-elapsed / seconds)
