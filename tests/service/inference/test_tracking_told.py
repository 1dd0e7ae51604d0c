"""What a stream is told of the hands that are followed: scores, sides, boxes, smoothing, and its options."""

from dataclasses import replace

import numpy as np
import pytest

from service.inference.calibration import Calibration, CalibrationCurve, PairCalibration
from service.inference.hands import Detection, Hand
from service.inference.tracking import TrackedHand, Tracker, TrackingOptions
from tests.service.inference.moving_hands import (
    HEIGHT,
    WIDTH,
    Actor,
    World,
    play,
    still,
    sway,
)


def test_handedness_is_decided_over_time() -> None:
    """One frame in five says the wrong hand; after the first half second nobody notices."""
    world = World(Actor(still()), Actor(still(120), right=False, shape=1), flipped=0.2, seed=3)
    result = play(world, Tracker(world, TrackingOptions(max_hands=2)))
    for frame in result.frames[15:]:
        assert sorted(tracked.hand.handedness for tracked in frame.hands) == ["left", "right"]
        assert all(0.5 <= tracked.hand.handedness_score <= 1 for tracked in frame.hands)


def test_a_wrong_first_impression_is_corrected() -> None:
    world = World(Actor(still()), flipped=1.0)
    tracker = Tracker(world)
    assert play(world, tracker, 0.1).frames[-1].hands[0].hand.handedness == "left"
    world.flipped = 0.0
    assert play(world, tracker, 0.4, start=0.2).frames[-1].hands[0].hand.handedness == "right"


def test_mirrored_swaps_the_handedness_from_the_next_frame_on() -> None:
    world = World(Actor(still()))
    tracker = Tracker(world)
    assert play(world, tracker, 0.5).frames[-1].hands[0].hand.handedness == "right"
    tracker.options = TrackingOptions(mirrored=True)
    (tracked,) = play(world, tracker, 0.1, start=0.5).frames[0].hands
    assert (tracked.hand.handedness, tracked.track_id) == ("left", 1)


def test_fewer_hands_are_told_from_the_next_frame_on() -> None:
    world = World(*(Actor(still(120 + 200 * i), 100, shape=i) for i in range(3)))
    tracker = Tracker(world)
    assert len(play(world, tracker, 1).frames[-1].hands) == 3
    tracker.options = TrackingOptions(max_hands=1)
    frames = play(world, tracker, 1, start=1).frames
    assert {len(frame.hands) for frame in frames} == {1}
    assert len({frame.hands[0].track_id for frame in frames}) == 1


def test_more_hands_are_told_soon() -> None:
    world = World(*(Actor(still(120 + 200 * i), 100, shape=i) for i in range(3)))
    tracker = Tracker(world, TrackingOptions(max_hands=1))
    play(world, tracker, 1)
    tracker.options = TrackingOptions(max_hands=3)
    result = play(world, tracker, 1, start=1)
    assert len(result.frames[6].hands) == 3
    assert sorted(i for ids in result.ids for i in ids) == [1, 2, 3]


def test_what_is_told_is_calibrated() -> None:
    """The same hands are followed; only scores are told otherwise, and min_score is meant so."""
    calibration = PairCalibration(Calibration(2.0, 1.0), CalibrationCurve((0, 0.9, 1), (0, 0.5, 1)))

    def first_hands(calibrated: bool, least: float = 0.5) -> list[TrackedHand]:
        world = World(Actor(still()))
        if calibrated:
            world.calibration = calibration
        picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        return Tracker(world, TrackingOptions(min_score=least)).update(picture, 0.0).hands

    (plain,), (told,) = first_hands(False), first_hands(True)
    assert told.hand.score == pytest.approx(calibration.hand(plain.hand.score))
    assert told.hand.keypoint_scores == pytest.approx(calibration.keypoints(plain.hand.keypoint_scores))
    assert told.hand.keypoint_scores != pytest.approx(plain.hand.keypoint_scores, abs=0.01)
    assert len(first_hands(True, told.hand.score - 0.005)) == 1
    assert first_hands(True, told.hand.score + 0.005) == []


def test_min_score_holds_for_what_is_told() -> None:
    world = World(Actor(still()))
    tracker = Tracker(world)
    assert play(world, tracker, 1).frames[-1].hands[0].hand.score >= 0.5
    tracker.options = TrackingOptions(min_score=0.95)
    assert play(world, tracker, 1, start=1).told == 0
    tracker.options = TrackingOptions(min_score=0.5)
    assert play(world, tracker, 1, start=2).told >= 27


def test_a_score_near_the_threshold_does_not_flicker() -> None:
    """Not told below min_score, and told again only when it is clearly above."""

    class Scored(World):
        score = 0.9

        def _pose(self, detection: Detection) -> Hand:
            return replace(super()._pose(detection), score=self.score)

    world = Scored(Actor(still()))
    tracker = Tracker(world)

    def told(score: float, start: float) -> bool:
        world.score = score
        return bool(play(world, tracker, 1, start=start).frames[-1].hands)

    assert [told(score, i) for i, score in enumerate((0.52, 0.48, 0.53, 0.57, 0.52))] == [
        True, False, False, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize(("rate", "left"), [(30, 0.4), (5, 0.75)])
def test_smoothing_steadies_keypoints_and_box_and_can_be_switched_off(rate: float, left: float) -> None:
    def tremble(smoothing: bool) -> tuple[float, float]:
        world = World(Actor(still()))
        options = TrackingOptions(1, smoothing=smoothing)
        frames = play(world, Tracker(world, options), 300 / rate, rate).frames[30:]
        hands = [frame.hands[0].hand for frame in frames]
        boxes = np.array([hand.box.corners for hand in hands])
        return float(np.array([h.keypoints for h in hands]).std(axis=0).mean()), float(
            boxes.std(axis=0).mean()
        )

    points, box = tremble(True)
    plain_points, plain_box = tremble(False)
    assert points < left * plain_points
    assert box < (left + 0.1) * plain_box


def test_the_box_is_that_of_a_single_picture_moved_along() -> None:
    world = World(Actor(sway(200)))
    world.noise = 0.0
    result = play(world, Tracker(world, TrackingOptions(1, smoothing=False)))
    for index, frame in enumerate(result.frames):
        centre = world.actors[0].path(index / 30)
        assert centre is not None
        box = frame.hands[0].hand.box
        assert (box.x + box.width / 2, box.y + box.height / 2) == pytest.approx(centre, abs=3)
        assert box.side == pytest.approx(1.18 * 120, abs=4)


def test_the_box_of_a_hand_that_has_come_in_over_the_edge_is_as_wide_as_of_any() -> None:
    """Where the picture cut the hand off when it was found, the detector's box ended before its keypoints."""
    world = World(Actor(lambda t: (320, max(240, 520 - 280 * t))))
    world.noise = 0.0
    frame = play(world, Tracker(world, TrackingOptions(1, smoothing=False)), 1.4).frames[-1]
    box = frame.hands[0].hand.box
    assert (box.x + box.width / 2, box.y + box.height / 2) == pytest.approx((320, 240), abs=2)
    assert (box.width, box.height) == pytest.approx((1.14 * 120, 1.18 * 120), abs=2)


def test_hands_come_best_score_first() -> None:
    world = World(*(Actor(still(120 + 200 * i), 100, shape=i) for i in range(3)), seed=5)
    for frame in play(world, Tracker(world), 2).frames:
        scores = [tracked.hand.score for tracked in frame.hands]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("options", [{"max_hands": 0}, {"min_score": -0.1}, {"min_score": 1.1}])
def test_senseless_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="max_hands"):
        TrackingOptions(**options)
