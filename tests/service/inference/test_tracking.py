"""Following hands, in a world where what is where is known exactly."""

import math
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from service.inference.hands import Detection
from service.inference.tracking import Tracker, TrackingOptions
from tests.service.inference.moving_hands import (
    HEIGHT,
    WIDTH,
    Actor,
    World,
    distance,
    gone,
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


def test_every_run_of_the_detector_has_the_next_turn() -> None:
    class Watched(World):
        turns: list[int | None]

        def detect(self, image: NDArray[np.uint8], turn: int | None = None) -> list[Detection]:
            self.turns.append(turn)
            return super().detect(image, turn)

    world = Watched(Actor(gone(still(), (1, 2))))  # lost in a frame whose turn is over, and found again
    world.turns = []
    play(world, Tracker(world), 4)
    assert world.turns == list(range(len(world.turns)))


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


@pytest.mark.parametrize(("away", "ids"), [(1.9, [1]), (2.2, [1, 2])])
def test_a_hand_that_comes_back_late_is_a_new_one(away: float, ids: list[int]) -> None:
    world = World(Actor(gone(still(), (2, 2 + away))))
    assert play(world, Tracker(world), 6).ids == [ids]


def test_a_hand_that_was_gone_before_a_pause_is_a_new_one() -> None:
    """No frame comes in which it could be forgotten."""
    world = World(Actor(gone(still(), (1.9, 5))))
    tracker, picture = Tracker(world), np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    play(world, tracker, 2)
    world.time = 6.0
    assert [hand.track_id for hand in tracker.update(picture, 6.0).hands] == [2]


@pytest.mark.parametrize("max_hands", [1, 4])
def test_one_wrong_frame_of_a_slow_camera_changes_no_number(max_hands: int) -> None:
    """Left taken for right, frames more than a second apart."""
    world = World(Actor(still()))
    tracker = Tracker(world, TrackingOptions(max_hands=max_hands))
    for index in range(12):
        world.time, world.flipped = 1.2 * index, float(index == 6)
        (told,) = tracker.update(np.zeros((HEIGHT, WIDTH, 3), np.uint8), world.time).hands
        assert told.track_id == 1


def test_a_hand_that_left_the_picture_keeps_its_id_where_it_comes_back() -> None:
    """Out at the right edge in a third of a second and, after one and a half, back in there: not where it was going."""
    outside = (0.55, 2.1)

    def path(time: float) -> tuple[float, float] | None:
        if outside[0] < time < outside[1]:
            return None
        return 420 + 400 * min(time, 0.55) if time < 1 else max(640 - 300 * (time - 2.1), 500), 240

    world = World(Actor(path))
    result = play(world, Tracker(world), 4, rate=10)
    assert result.ids == [[1]]
    assert result.told >= result.seen - 1  # it is told once enough of it is in


def test_the_other_hand_that_comes_where_one_left_is_a_new_one() -> None:
    world = World(Actor(gone(still(), (2, 10))), Actor(gone(still(), (0, 3)), right=False))
    assert play(world, Tracker(world), 5).ids == [[1], [2]]


def test_a_hand_is_told_while_enough_of_it_is_in_the_picture() -> None:
    """What a crop at the edge shows goes on looking like a hand that has all but left, and may be a sleeve."""
    world = World(Actor(lambda t: (min(320 + 240 * t, 1285 - 320 - 240 * t), 240)))
    told = {}
    for index, frame in enumerate(play(world, Tracker(world), 3).frames):
        keypoints = world.actors[0].keypoints(index / 30)
        assert keypoints is not None
        told.setdefault(int((keypoints[:, 0] < WIDTH).sum()), set()).add(len(frame.hands))
    assert all(told[inside] == {1} for inside in told if inside >= 10)
    assert all(told[inside] == {0} for inside in told if inside <= 4)


@pytest.mark.parametrize("x", range(630, 660, 2))
def test_a_hand_that_rests_at_the_edge_does_not_flicker(x: int) -> None:
    """How many of its keypoints lie in the picture changes with their noise."""
    world = World(Actor(still(x)))
    counts = [len(frame.hands) for frame in play(world, Tracker(world), 10).frames]
    assert sum(a != b for a, b in pairwise(counts)) <= 2


def test_the_other_hand_of_the_pair_is_a_new_one() -> None:
    world = World(Actor(gone(still(), (2, 10))), Actor(gone(still(420), (0, 2.4)), right=False))
    assert play(world, Tracker(world), 5).ids == [[1], [2]]


def test_a_lost_hand_is_looked_for_in_the_same_frame() -> None:
    """It jumps further than any crop reaches; no frame goes without it."""
    world = World(Actor(lambda t: (100, 240) if t < 2 else (350, 240)))
    result = play(world, Tracker(world), 4)
    assert result.told == result.seen


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
    world = World(Actor(lambda t: (320, 240) if t % 4 < 1.5 else None))
    result = play(world, Tracker(world), 16)
    assert result.ids == [[1, 2, 3, 4]]


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


def test_the_detector_cannot_run_more_often_than_every_frame() -> None:
    with pytest.raises(ValueError, match="detect_every"):
        Tracker(World(), detect_every=0)
