"""How well hands are followed through a video whose truth is known.

A hand's size is the larger side of the tight box around its true keypoints; distances are measured in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Points = NDArray[np.float32]

SAME_HAND = 0.5  # told and true keypoints of one hand lie nearer than this on average
HIDDEN, CLEAR = (
    0.3,
    0.7,
)  # of a hand's keypoints have nothing else in front: less than the one, at least the other
HIDDEN_FRAMES = 3  # hidden for at least so many frames counts as an occlusion
SETTLED_FRAMES = 6  # a hand has been still for so long before its jitter is measured
GLITCH = 0.05  # hand sizes by which a still hand's keypoints jump, on average, from one frame to the next
MOVING, FAST = 0.01, 0.033  # hand sizes a frame; at 30 frames a second 0.3 and 1 a second


@dataclass(frozen=True, eq=False)
class TrueHand:
    """keypoints: (21, 2) pixels. clear: the share of them that lie in the picture with nothing but the hand itself in
    front. still: nothing but a tremor moves it."""

    keypoints: Points
    clear: float
    still: bool = False

    @property
    def size(self) -> float:
        """In pixels."""
        return float(np.ptp(self.keypoints, axis=0).max())


@dataclass(frozen=True, eq=False)
class Observation:
    """One frame: the hands that are in the picture and those the tracker told of, each by id; told: (21, 2) pixels."""

    truth: Mapping[int, TrueHand]
    told: Mapping[int, Points]


@dataclass(frozen=True)
class TrackScores:
    """What one video measures. A value that nothing was there to measure for is NaN.

    switches: how often a hand got another id while it was in the picture, hidden or not. renumbered: how often it got
    one on its return to the picture. missed: share of the frames in which a hand was clear and was not told.
    extra: hands told that are none, a frame. error: mean distance of the keypoints that were told, in hand sizes.
    jitter: of hands held still, what the keypoints' error changes by from frame to frame, in hand sizes: the root mean
    square over a hand's keypoints, the median over the frames. glitches: share of those frames in which that is more
    than GLITCH, as when the pose model changes its mind.
    recovery, returned: for each time a hand was hidden, or out of the picture, the frames from when it was clear again
    until it was told.
    """

    hands: int
    frames: int
    switches: int
    renumbered: int
    missed: float
    extra: float
    error: float
    jitter: float
    glitches: float
    recovery: tuple[int, ...]
    returned: tuple[int, ...]

    @property
    def switch_rate(self) -> float:
        """Switches of each hand in 300 frames."""
        return 300 * self.switches / (self.hands * self.frames)


def pair(observations: Sequence[Observation]) -> list[dict[int, int]]:
    """For each frame, true id to told id, one to one.

    As in the CLEAR MOT metrics (K. Bernardin, R. Stiefelhagen, 2008): a pair of the frame before stays together while
    it is near enough; the others are paired for the least total distance.
    """
    paired: list[dict[int, int]] = []
    before: dict[int, int] = {}
    for frame in observations:
        distance = {
            (true, told): float(np.linalg.norm(points - hand.keypoints, axis=1).mean()) / hand.size
            for true, hand in frame.truth.items()
            for told, points in frame.told.items()
        }
        pairs = {
            true: told for true, told in before.items() if distance.get((true, told), np.inf) < SAME_HAND
        }
        rows = [true for true in frame.truth if true not in pairs]
        columns = [told for told in frame.told if told not in pairs.values()]
        costs = np.array([[distance[row, column] for column in columns] for row in rows])
        if costs.size:
            costs = np.where(costs < SAME_HAND, costs, 1e3)
            for row, column in zip(*linear_sum_assignment(costs), strict=True):
                if costs[row, column] < SAME_HAND:
                    pairs[rows[row]] = columns[column]
        paired.append(pairs)
        before = pairs
    return paired


def score(observations: Sequence[Observation]) -> TrackScores:
    """Measure a video. Raises ValueError for one without a frame or without a hand."""
    hands = sorted({true for frame in observations for true in frame.truth})
    if not hands:
        raise ValueError("there is no hand to follow")
    paired = pair(observations)
    switches = [_switches(observations, paired, true) for true in hands]
    clear = [
        (true in pairs, true, frame, pairs)
        for frame, pairs in zip(observations, paired, strict=True)
        for true, hand in frame.truth.items()
        if hand.clear >= CLEAR
    ]
    errors = [
        np.linalg.norm(frame.told[pairs[true]] - frame.truth[true].keypoints, axis=1).mean()
        / frame.truth[true].size
        for found, true, frame, pairs in clear
        if found
    ]
    steps = _steps(observations, paired, hands)
    gaps = [gap for true in hands for gap in _recoveries(observations, paired, true)]
    return TrackScores(
        hands=len(hands),
        frames=len(observations),
        switches=sum(inside for inside, _ in switches),
        renumbered=sum(back for _, back in switches),
        missed=_mean([not found for found, *_ in clear]),
        extra=_mean([len(f.told) - len(pairs) for f, pairs in zip(observations, paired, strict=True)]),
        error=_mean(errors),
        jitter=float(np.median(steps)) if steps else float("nan"),
        glitches=_mean([step > GLITCH for step in steps]),
        recovery=tuple(frames for frames, absent in gaps if not absent),
        returned=tuple(frames for frames, absent in gaps if absent),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _switches(
    observations: Sequence[Observation], paired: Sequence[Mapping[int, int]], true: int
) -> tuple[int, int]:
    """How often a hand's told id changed: in the picture, and over an absence from it."""
    known, absent, inside, back = None, False, 0, 0
    for frame, pairs in zip(observations, paired, strict=True):
        absent |= true not in frame.truth
        if true not in pairs:
            continue
        if known is not None and pairs[true] != known:
            inside, back = (inside, back + 1) if absent else (inside + 1, back)
        known, absent = pairs[true], False
    return inside, back


def _recoveries(
    observations: Sequence[Observation], paired: Sequence[Mapping[int, int]], true: int
) -> list[tuple[int, bool]]:
    """For each time the hand was hidden and came back: frames until it was told, and whether it was out of the
    picture. A hand that is never told again counts until it is hidden once more, or until the end."""
    found: list[tuple[int, bool]] = []
    hidden, absent, waiting = 0, False, None
    for frame, pairs in zip(observations, paired, strict=True):
        hand = frame.truth.get(true)
        clear = hand.clear if hand is not None else 0.0
        if clear < HIDDEN:
            if waiting is not None:
                found.append((waiting, absent))
                waiting = None
            hidden, absent = hidden + 1, hand is None or (absent and hidden > 0)
        elif clear >= CLEAR:
            if hidden >= HIDDEN_FRAMES:
                waiting = 0
            hidden = 0
        if waiting is not None:
            if true in pairs:
                found.append((waiting, absent))
                waiting, absent = None, False
            else:
                waiting += 1
    if waiting is not None:
        found.append((waiting, absent))
    return found


def _steps(
    observations: Sequence[Observation], paired: Sequence[Mapping[int, int]], hands: Sequence[int]
) -> list[float]:
    """For each frame of a hand that keeps still, what its keypoints' error has changed by since the frame before."""
    steps: list[float] = []
    for true in hands:
        still, before = 0, None
        for frame, pairs in zip(observations, paired, strict=True):
            hand = frame.truth.get(true)
            if hand is None or not hand.still or hand.clear < 0.9 or true not in pairs:
                still, before = 0, None
                continue
            still += 1
            error = (frame.told[pairs[true]] - hand.keypoints) / hand.size  # (21, 2)
            if still > SETTLED_FRAMES and before is not None and before[0] == pairs[true]:
                steps.append(float(np.sqrt(((error - before[1]) ** 2).sum(axis=1).mean())))
            before = pairs[true], error
    return steps


def lag(
    smoothed: Sequence[Observation],
    unsmoothed: Sequence[Observation],
    slowest: float = MOVING,
    fastest: float = np.inf,
) -> float:
    """How many frames late smoothing makes the keypoints of hands that move between two speeds (hand sizes a frame).

    The least-squares fit of smoothed = unsmoothed - lag × true velocity, so that what the pose model gets wrong in a
    moving hand does not count. Frames in which the two disagree on a hand's id are left out. NaN where nothing moved.
    """
    along, speed = 0.0, 0.0
    paired = list(zip(pair(smoothed), pair(unsmoothed), strict=True))
    for number in range(1, len(smoothed) - 1):
        told, raw = (observations[number].told for observations in (smoothed, unsmoothed))
        truths = [frame.truth for frame in smoothed[number - 1 : number + 2]]
        for true, hand in truths[1].items():
            ours, theirs = (pairs.get(true) for pairs in paired[number])
            if ours is None or ours != theirs or not all(true in truth for truth in truths):
                continue
            velocity = (truths[2][true].keypoints - truths[0][true].keypoints) / (2 * hand.size)  # (21, 2)
            mean_speed = float(np.linalg.norm(velocity, axis=1).mean())
            if hand.clear >= CLEAR and slowest <= mean_speed < fastest:
                along += float(((told[ours] - raw[ours]) / hand.size * velocity).sum())
                speed += float((velocity**2).sum())
    return -along / speed if speed else float("nan")
