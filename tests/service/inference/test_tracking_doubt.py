"""When the detector and the pose model disagree, or a crop slides off its hand."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from service.inference.hands import Box, Detection, Hand
from service.inference.tracking import TrackedHand, Tracker, TrackingOptions
from tests.service.inference.moving_hands import (
    Actor,
    World,
    gone,
    outline,
    play,
    still,
    sway,
)


def test_two_tracks_never_sit_on_one_hand() -> None:
    """The second hand slides behind the first, and the crops of both show the first."""
    world = World(
        Actor(still(300)), Actor(lambda t: (max(300, 500 - 60 * t), 250), shape=1, layer=1, right=False)
    )
    result = play(world, Tracker(world), 8)
    assert result.extra == 0
    assert max(len(frame.hands) for frame in result.frames[150:]) == 1
    assert result.ids[0] == [1]


def test_what_the_detector_never_sees_again_and_the_pose_model_doubts_goes() -> None:
    """A face that the detector took for a hand once."""
    world = World(Actor(still()))
    tracker = Tracker(world)
    play(world, tracker, 1)
    world.missed, world.presence = 1.0, 0.55
    assert play(world, tracker, 4, start=1).frames[-1].hands == []


@pytest.mark.parametrize(("max_hands", "most"), [(4, 16), (1, 40)])
def test_what_the_detector_never_sees_again_goes_however_sure_the_pose_model_is(
    max_hands: int, most: int
) -> None:
    """Six looks; with no room for another hand the first of them may take a second to come."""
    world = World(Actor(sway(100)))
    tracker = Tracker(world, TrackingOptions(max_hands))
    play(world, tracker, 1)
    world.missed = 1.0
    frames = play(world, tracker, 5, start=1).frames
    assert sum(bool(frame.hands) for frame in frames) <= most


def test_a_detector_that_misses_now_and_then_loses_nothing() -> None:
    world = World(Actor(sway(100)), missed=0.3)
    result = play(world, Tracker(world), 20)
    assert result.ids == [[1]]
    assert result.told >= 0.99 * result.seen


def test_a_crop_that_slides_off_a_covered_hand_to_a_face_comes_back() -> None:
    """The face is told for as long as the detector needs to make sure, and the hand keeps its id."""
    world = World(Actor(gone(still(), (2, 2.8))), Actor(still(385), detected=False))
    result = play(world, Tracker(world), 5)
    assert result.ids[0] == [1]
    told_on_face = [i for i, frame in enumerate(result.frames) if any(_at(t, 385) for t in frame.hands)]
    assert told_on_face
    assert max(told_on_face) - min(told_on_face) < 20
    assert all(any(_at(t, 320) for t in frame.hands) for frame in result.frames[87:])


def _at(tracked: TrackedHand, x: float) -> bool:
    return abs(float(tracked.hand.keypoints[:, 0].mean()) - outline(0)[:, 0].mean() * 120 - x) < 20


def test_a_hand_that_was_covered_while_its_crop_slid_off_is_found_where_it_was() -> None:
    """It is uncovered after two looks already, while its track is on the face."""
    world = World(Actor(gone(still(), (2, 2.4))), Actor(still(385), detected=False))
    result = play(world, Tracker(world), 4)
    assert result.ids[0] == [1]
    assert len({t.track_id for frame in result.frames for t in frame.hands}) == 1


def test_a_high_min_score_does_not_stop_the_detector_from_confirming() -> None:
    world = World(Actor(still()))
    tracker = Tracker(world, TrackingOptions(min_score=0.88))
    result = play(world, tracker, 10)
    assert result.ids == [[1]]


@pytest.mark.parametrize(("threshold", "told"), [(0.1, True), (0.8, False)])
def test_the_threshold_of_presence_holds_for_followed_hands(threshold: float, told: bool) -> None:
    world = World(Actor(still()))
    world.thresholds = replace(world.thresholds, presence=threshold)
    tracker = Tracker(world)
    play(world, tracker, 1)
    world.presence = 0.7
    assert bool(play(world, tracker, 0.5, start=1).frames[-1].hands) is told


def test_a_weak_candidate_does_not_bring_a_lost_hand_back() -> None:
    world = World(Actor(still()))
    tracker = Tracker(world)
    play(world, tracker, 1)
    world.presence = 0.32
    assert all(not frame.hands for frame in play(world, tracker, 0.5, start=1).frames)
    world.presence = 0.9
    assert play(world, tracker, 1, start=1.5).ids == [[1]]


def test_a_false_candidate_does_not_stand_before_a_real_one() -> None:
    """The detector is surest of something the pose model sees no hand in; only one hand is wanted."""

    class Distracted(World):
        def detect(self, image: NDArray[np.uint8], turn: int | None = None) -> list[Detection]:
            return [Detection(Box(500, 20, 100, 100), 0.99), *super().detect(image)]

    world = Distracted(Actor(still(200)))
    assert play(world, Tracker(world, TrackingOptions(max_hands=1)), 0.1).ids == [[1]]


class Hazy(World):
    """Its keypoints are as sure as told."""

    sure = 0.8

    def _pose(self, detection: Detection) -> Hand:
        return replace(super()._pose(detection), keypoint_scores=np.full(21, self.sure, np.float32))


def test_what_covers_a_hand_is_not_taken_for_it_however_sure_the_pose_model_is_of_a_hand() -> None:
    """A board before the hand: the crop still looks like one with a hand, and shows none of its keypoints."""
    world = Hazy(Actor(still()))
    tracker = Tracker(world, TrackingOptions(max_hands=1))
    play(world, tracker, 1)
    world.sure, world.missed = 0.15, 1.0
    assert all(not frame.hands for frame in play(world, tracker, 0.5, start=1).frames)
    world.sure, world.missed = 0.8, 0.0
    assert play(world, tracker, 0.5, start=1.5).ids == [[1]]


@pytest.mark.parametrize("usual", [0.8, 0.1])
def test_a_blurred_hand_is_followed_and_so_is_one_of_a_model_that_is_never_sure(usual: float) -> None:
    world = Hazy(Actor(still()))
    tracker = Tracker(world, TrackingOptions(max_hands=1, min_score=0.1))
    world.sure = usual
    play(world, tracker, 1)
    world.sure = usual / 2
    result = play(world, tracker, 1, start=1)
    assert result.ids == [[1]]
    assert result.told == result.seen


class PartSeen(World):
    """After the first frame the detector sees a part of the hand alone. A crop that cuts the hand off puts all fingers
    inside of it, and the pose model is less sure of them.
    """

    def detect(self, image: NDArray[np.uint8], turn: int | None = None) -> list[Detection]:
        whole = super().detect(image, turn)
        return whole if self.detections == 1 else [Detection(Box(280, 210, 60, 60), 0.6)]

    def _pose(self, detection: Detection) -> Hand:
        hand, box = super()._pose(detection), detection.box
        inside = np.clip(hand.keypoints, box.corners[:2], box.corners[2:])
        share = float((inside == hand.keypoints).all(axis=1).mean())
        return replace(hand, keypoints=inside.astype(np.float32), score=share * hand.score)


def test_a_followed_hand_that_the_detector_sees_a_part_of_stays_as_it_is() -> None:
    world = PartSeen(Actor(still()))
    result = play(world, Tracker(world), 1)
    assert (result.told, result.seen, result.ids) == (30, 30, [[1]])
    assert set(world.batches) == {1, 2}  # two crops where the detector disagrees
    told = [frame.hands[0].hand.keypoints for frame in result.frames]
    steps = [np.linalg.norm(b - a, axis=1).mean() for a, b in pairwise(told)]
    assert max(steps) < 0.03 * 120
