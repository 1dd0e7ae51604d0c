"""Following hands, in a world where what is where is known exactly."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from service.inference.calibration import Calibration
from service.inference.hands import Box, Detection, Hand
from service.inference.tracking import TrackedHand, Tracker, TrackingOptions
from tests.service.inference.moving_hands import (
    HEIGHT,
    WIDTH,
    Actor,
    World,
    distance,
    gone,
    outline,
    play,
    still,
    sway,
)


def test_a_full_stream_costs_one_pose_call_a_frame_and_a_detector_once_a_second() -> None:
    world = World(Actor(sway(100)), Actor(sway(100, 100, 50), right=False, shape=1))
    result = play(world, Tracker(world, TrackingOptions(max_hands=2)))
    assert world.batches == [2] * 300
    assert [i for i, frame in enumerate(result.frames) if frame.detector_ran] == list(range(0, 300, 30))
    assert (result.told, result.seen, result.extra) == (600, 600, 0)


def test_with_room_for_another_the_detector_runs_every_few_frames() -> None:
    world = World(Actor(still()))
    play(world, Tracker(world, detect_every=6))
    assert world.detections == 50
    assert world.batches == [1] * 300  # what the detector sees again is not cropped twice


def test_a_second_hand_is_found_soon() -> None:
    world = World(Actor(still(200)), Actor(gone(still(450), (0, 2.02)), right=False, shape=1))
    result = play(world, Tracker(world, detect_every=6), 4)
    first = next(i for i, frame in enumerate(result.frames) if len(frame.hands) == 2)
    assert 61 <= first <= 61 + 6
    assert result.ids == [[1], [2]]


def test_nothing_to_see_is_looked_for_less_often() -> None:
    """Every frame for half a second after the hand has gone, then every third."""
    world = World(Actor(gone(still(), (1, 99))))
    play(world, Tracker(world, TrackingOptions(max_hands=1)), 11)
    assert 2 + 15 + 90 <= world.detections <= 2 + 15 + 98
    assert len(world.batches) <= 31  # nothing is cropped where nothing was detected


def test_a_hand_that_comes_to_an_idle_stream_is_found_within_a_tenth_of_a_second() -> None:
    world = World(Actor(gone(still(), (0, 5))))
    result = play(world, Tracker(world), 6)
    assert next(i for i, frame in enumerate(result.frames) if frame.hands) <= 150 + 3


@pytest.mark.parametrize("speed", [120, 600, 1200])
def test_a_fast_hand_is_followed(speed: float) -> None:
    """Up to ten hand sizes a second, a third of the hand from frame to frame."""
    world = World(Actor(sway(speed)))
    result = play(world, Tracker(world, TrackingOptions(smoothing=False)))
    assert result.ids == [[1]]
    assert result.told == result.seen
    assert result.extra == 0


@pytest.mark.parametrize("rate", [5, 10, 15, 60])
def test_it_works_at_any_frame_rate(rate: float) -> None:
    world = World(Actor(sway(150)), Actor(sway(-150, 300), right=False, shape=1, layer=1))
    result = play(world, Tracker(world), rate=rate)
    assert result.ids == [[1], [2]] or result.ids == [[2], [1]]
    assert result.told >= 0.95 * result.seen


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("second_right", [False, True])
def test_hands_that_cross_keep_their_ids(seed: int, second_right: bool) -> None:
    """One hides the other for a while, eight times in ten seconds."""
    world = World(
        Actor(sway(400)),
        Actor(sway(-400, 260), right=second_right, shape=1, layer=1),
        seed=seed, missed=0.1, flipped=0.05,
    )  # fmt: skip
    result = play(world, Tracker(world))
    assert len(result.ids[0]) == len(result.ids[1]) == 1
    assert result.ids[0] != result.ids[1]
    assert result.told >= 0.97 * result.seen
    assert result.extra == 0


@pytest.mark.parametrize("seed", range(3))
def test_hands_that_clap_keep_their_ids(seed: int) -> None:
    """They meet, one hides the other, and they turn round: only which is left and right tells."""

    def apart(time: float) -> float:
        return 10 + 160 * abs(math.cos(math.pi * time))

    world = World(
        Actor(lambda t: (320 - apart(t), 240)),
        Actor(lambda t: (320 + apart(t), 240), right=False, shape=1, layer=1),
        seed=seed, missed=0.1,
    )  # fmt: skip
    result = play(world, Tracker(world))
    assert [len(ids) for ids in result.ids] == [1, 1]
    assert result.extra == 0


@pytest.mark.parametrize("max_hands", [3, 4])
@pytest.mark.parametrize("seed", range(3))
def test_three_hands_that_cross_keep_their_ids(seed: int, max_hands: int) -> None:
    world = World(
        Actor(sway(240)),
        Actor(sway(-240, 260), right=False, shape=1, layer=1),
        Actor(lambda t: (320 + 180 * math.cos(1.5 * t), 240 + 150 * math.sin(1.3 * t)), 100, True, 2, 2),
        seed=seed, missed=0.1, flipped=0.05,
    )  # fmt: skip
    result = play(world, Tracker(world, TrackingOptions(max_hands=max_hands)))
    assert sum(len(ids) - 1 for ids in result.ids) <= 1
    assert result.told >= 0.96 * result.seen


@pytest.mark.parametrize("away", [0.1, 0.4, 0.8])
def test_a_hand_that_comes_back_soon_keeps_its_id(away: float) -> None:
    spans = [(t, t + away) for t in (1, 3, 5, 7)]
    world = World(Actor(gone(sway(60), *spans)))
    result = play(world, Tracker(world))
    assert result.ids == [[1]]
    assert result.told >= result.seen - 2 * len(spans)
    assert result.extra == 0


def test_a_hand_that_comes_back_late_is_a_new_one() -> None:
    world = World(Actor(gone(still(), (2, 4))))
    assert play(world, Tracker(world), 6).ids == [[1, 2]]


def test_the_other_hand_of_the_pair_is_a_new_one() -> None:
    world = World(Actor(gone(still(), (2, 10))), Actor(gone(still(420), (0, 2.4)), right=False))
    assert play(world, Tracker(world), 5).ids == [[1], [2]]


def test_a_lost_hand_is_looked_for_in_the_same_frame() -> None:
    """It jumps further than any crop reaches; no frame goes without it."""
    world = World(Actor(lambda t: (100, 240) if t < 2 else (350, 240)))
    result = play(world, Tracker(world), 4)
    assert result.told == result.seen


def test_two_tracks_never_sit_on_one_hand() -> None:
    """The second hand slides behind the first, and the crops of both show the first."""
    world = World(
        Actor(still(300)), Actor(lambda t: (max(300, 500 - 60 * t), 250), shape=1, layer=1, right=False)
    )
    result = play(world, Tracker(world), 8)
    assert result.extra == 0
    assert max(len(frame.hands) for frame in result.frames[150:]) == 1
    assert result.ids[0] == [1]


def test_a_hand_that_leaves_the_picture_is_let_go() -> None:
    world = World(Actor(lambda t: (320 + 200 * t, 240)))
    result = play(world, Tracker(world), 5)
    assert result.frames[-1].hands == []
    assert world.batches == [1] * len(world.batches)
    for frame in result.frames:
        for tracked in frame.hands:
            x0, y0, x1, y1 = tracked.hand.box.corners
            assert 0 <= x0 < x1 <= WIDTH
            assert 0 <= y0 < y1 <= HEIGHT


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
    """The same hands are followed; only their scores are told otherwise, and min_score is meant so."""
    calibration = Calibration(2.0, 1.0)

    def first_hands(calibrated: bool, least: float = 0.5) -> list[TrackedHand]:
        world = World(Actor(still()))
        if calibrated:
            world.calibration = calibration
        picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        return Tracker(world, TrackingOptions(min_score=least)).update(picture, 0.0).hands

    (plain,), (told,) = first_hands(False), first_hands(True)
    assert told.hand.score == pytest.approx(calibration(plain.hand.score))
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
    """Four looks; with no room for another hand the first of them may take a second to come."""
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


def test_the_box_is_the_detectors_box_moved_along() -> None:
    world = World(Actor(sway(200)))
    world.noise = 0.0
    result = play(world, Tracker(world, TrackingOptions(1, smoothing=False)))
    for index, frame in enumerate(result.frames):
        centre = world.actors[0].path(index / 30)
        assert centre is not None
        box = frame.hands[0].hand.box
        assert (box.x + box.width / 2, box.y + box.height / 2) == pytest.approx(centre, abs=1)
        assert box.side == pytest.approx(1.14 * 120, abs=1)


def test_the_box_of_a_hand_that_has_come_in_over_the_edge_is_as_wide_as_of_any() -> None:
    """Where the picture cut the hand off when it was found, the detector's box ended before its keypoints."""
    world = World(Actor(lambda t: (320, max(240, 520 - 280 * t))))
    world.noise = 0.0
    frame = play(world, Tracker(world, TrackingOptions(1, smoothing=False)), 1.1).frames[-1]
    box = frame.hands[0].hand.box
    assert (box.x + box.width / 2, box.y + box.height / 2) == pytest.approx((320, 240), abs=1)
    assert (box.width, box.height) == pytest.approx((1.14 * 120, 1.14 * 120), abs=1)


def test_a_new_picture_size_keeps_the_ids() -> None:
    """A client that lowers its resolution in the middle of a stream."""
    world = World(Actor(still()))
    tracker = Tracker(world)
    play(world, tracker, 1)
    world.actors = (Actor(still(160, 120), 60),)
    frame = tracker.update(np.zeros((HEIGHT // 2, WIDTH // 2, 3), np.uint8), 1.0)
    (tracked,) = frame.hands
    keypoints = world.actors[0].keypoints(1.0)
    assert keypoints is not None
    assert tracked.track_id == 1
    assert distance(tracked, keypoints) < 2


def test_a_picture_of_another_shape_has_its_hands_looked_for_anew() -> None:
    """A phone that is turned: each hand comes to lie where the other one would be expected."""
    world = World(Actor(still(160)), Actor(still(440), right=False, shape=1))
    tracker = Tracker(world, TrackingOptions(max_hands=2))
    play(world, tracker, 1)
    world.actors = (Actor(still(250, 320)), Actor(still(120, 400), right=False, shape=1))
    for index in range(30):
        world.time = 1 + index / 30
        frame = tracker.update(np.zeros((WIDTH, HEIGHT, 3), np.uint8), world.time)
        assert frame.detector_ran or index
        labels = {tracked.hand.handedness: tracked for tracked in frame.hands}
        for actor, label in zip(world.actors, ("right", "left"), strict=True):
            keypoints = actor.keypoints(world.time)
            assert keypoints is not None
            assert distance(labels[label], keypoints) < 20


def test_ids_are_unique_and_count_up() -> None:
    world = World(Actor(lambda t: (320, 240) if t % 3 < 1.5 else None))
    result = play(world, Tracker(world), 12)
    assert result.ids == [[1, 2, 3, 4]]


def test_hands_come_best_score_first() -> None:
    world = World(*(Actor(still(120 + 200 * i), 100, shape=i) for i in range(3)), seed=5)
    for frame in play(world, Tracker(world), 2).frames:
        scores = [tracked.hand.score for tracked in frame.hands]
        assert scores == sorted(scores, reverse=True)


def test_memory_of_lost_hands_is_bounded() -> None:
    """A hand somewhere else in every frame, sixty frames a second."""
    world = World(Actor(lambda t: (100 + 440 * ((t * 60 * 7) % 11) / 11, 240), 30))
    tracker = Tracker(world, TrackingOptions(max_hands=2))
    play(world, tracker, 5, rate=60)
    assert len(tracker._tracks) <= 2 + 2 * 2


def test_steps_are_timed() -> None:
    world = World(Actor(still()))
    first, *_, last = play(world, Tracker(world, TrackingOptions(max_hands=1)), 1).frames
    assert first.detect_ms > 0
    assert last.detect_ms == 0
    assert last.pose_ms > 0


def test_time_does_not_go_back() -> None:
    world = World(Actor(still()))
    tracker, picture = Tracker(world), np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    tracker.update(picture, 2.0)
    tracker.update(picture, 2.0)
    with pytest.raises(ValueError, match="time went back"):
        tracker.update(picture, 1.9)


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="image"):
        Tracker(World()).update(np.zeros((10, 10), np.uint8), 0.0)


@pytest.mark.parametrize("options", [{"max_hands": 0}, {"min_score": -0.1}, {"min_score": 1.1}])
def test_senseless_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="max_hands"):
        TrackingOptions(**options)


def test_the_detector_cannot_run_more_often_than_every_frame() -> None:
    with pytest.raises(ValueError, match="detect_every"):
        Tracker(World(), detect_every=0)
