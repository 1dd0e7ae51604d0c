import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from service.inference.geometry import agreed_box, tight_box
from service.inference.hands import Box, Detection, Hand
from service.inference.tracks import Handedness, Track, in_picture, pairing_cost

SHAPE = np.array([(i % 5 / 4, i // 5 / 4) for i in range(21)], np.float32)  # 1 wide and 1 high
SHAPE[20] = (0.5, 1.0)


def hand(x: float, y: float, size: float = 100, *, right: float = 0.9, presence: float = 0.9) -> Hand:
    """A hand whose keypoints span (x, y) to (x + size, y + size)."""
    label, sure = ("right", right) if right >= 0.5 else ("left", 1 - right)
    keypoints = SHAPE * np.float32(size) + np.array([x, y], np.float32)
    box = Box(x, y, size, size)
    return Hand(box, 0.9, presence, label, sure, keypoints, np.full(21, 0.8, np.float32))  # type: ignore[arg-type]


def track(first: Hand, timestamp: float = 0.0, margin: float = 0.07) -> Track:
    x0, y0, x1, y1 = tight_box(first.keypoints).corners
    reach = margin * (x1 - x0)
    box = Box.from_corners(x0 - reach, y0 - reach, x1 + reach, y1 + reach)
    return Track(1, first, Detection(box, 0.9), timestamp, 640, 480)


def moving(speed: float) -> Track:
    """Seen for a second at 30 frames a second, moving right by `speed` pixels a second."""
    found = track(hand(100, 100))
    for index in range(1, 31):
        found.observe(hand(100 + speed * index / 30, 100), index / 30)
    return found


def corners(box: Box | None) -> tuple[float, ...]:
    assert box is not None
    return box.corners


def test_a_moving_hand_is_expected_further_on() -> None:
    found = moving(300)
    expected = found.predict(31 / 30)[:, 0] - SHAPE[:, 0] * 100
    assert expected == pytest.approx(100 + 300 * 31 / 30, abs=1)
    assert moving(0).predict(5.0) == pytest.approx(hand(100, 100).keypoints)


def test_an_unseen_hand_slows_down() -> None:
    found = moving(300)
    steps = [float(found.predict(1 + t)[0, 0]) for t in (0.0, 0.3, 0.6, 60.0)]
    assert steps[1] - steps[0] > steps[2] - steps[1] > 0
    assert steps[3] - steps[0] == pytest.approx(300 * 0.3, rel=0.05)


def test_the_crop_is_a_little_larger_than_the_hand_and_inside_the_picture() -> None:
    assert corners(track(hand(100, 100)).crop_box(0, 640, 480)) == pytest.approx((90, 90, 210, 210))
    assert corners(track(hand(-40, 450)).crop_box(0, 640, 480)) == pytest.approx((0, 440, 70, 480))
    assert track(hand(-200, 100)).crop_box(0, 640, 480) is None
    assert track(hand(650.5, 100)).crop_box(0, 640, 480) is None


def test_the_reported_box_keeps_the_margins_of_a_single_pictures() -> None:
    seen, outer = hand(100, 100), Box(80, 80, 140, 140)
    found = track(seen, margin=0.2)
    reported = found.report(640, 480, smoothing=False, mirrored=False)
    assert reported is not None
    single = agreed_box(outer, seen.keypoints, 640, 480)
    assert reported.box.corners == pytest.approx(single.corners)
    found.confirm(Detection(Box(100, 100, 100, 100), 0.9), 640, 480)  # the detector has thought better of it
    closer = found.report(640, 480, smoothing=False, mirrored=False)
    assert closer is not None
    assert single.x < closer.box.x < 100


def test_a_hand_outside_the_picture_is_not_reported() -> None:
    assert track(hand(-300, 100)).report(640, 480, smoothing=True, mirrored=False) is None


def test_the_detectors_score_sinks_when_it_does_not_confirm() -> None:
    found = track(hand(100, 100))
    for _ in range(10):
        found.doubt()
    assert found.detection_score < 0.35
    assert found.unconfirmed == 10
    found.confirm(Detection(Box(90, 90, 120, 120), 0.95), 640, 480)
    assert found.detection_score > 0.6
    assert found.unconfirmed == 0


def test_a_lost_hand_is_expected_where_it_was_trusted_last() -> None:
    """While it is covered its crop walks off, and the pose model is less sure than usual."""
    found = moving(0)
    found.observe(hand(150, 100, presence=0.75), 1.03)
    found.observe(hand(200, 100, presence=0.6), 1.07)
    assert found.predict(1.1)[:, 0].min() > 190
    found.lose(1.1)
    assert found.predict(1.1) == pytest.approx(hand(100, 100).keypoints, abs=1)
    assert found.lost_at == 1.1


def test_what_is_usual_for_a_hand_is_what_it_is_trusted_by() -> None:
    """A dark hand in a dark room: the pose model is never sure."""
    found = track(hand(100, 100, presence=0.66))
    found.observe(hand(120, 100, presence=0.64), 0.03)
    found.lose(0.07)
    assert found.predict(0.03)[:, 0].min() == pytest.approx(120, abs=1)


def test_what_the_detector_does_not_confirm_is_not_trusted() -> None:
    found = moving(0)
    found.doubt()
    found.observe(hand(150, 100), 1.03)
    assert found.doubtful
    found.fall_back()
    assert not found.doubtful
    assert found.predict(1.03) == pytest.approx(hand(100, 100).keypoints, abs=1)


def test_a_hand_that_comes_back_is_not_smoothed_into_where_it_was_not() -> None:
    found = moving(0)
    found.observe(hand(150, 100, presence=0.5), 1.03)
    found.report(640, 480, smoothing=True, mirrored=False)
    found.lose(1.07)
    found.observe(hand(102, 100), 1.07)
    reported = found.report(640, 480, smoothing=True, mirrored=False)
    assert reported is not None
    assert reported.keypoints == pytest.approx(hand(102, 100).keypoints)


def test_a_rescaled_track_goes_on_in_the_new_pixels() -> None:
    found = moving(300)
    before = found.predict(1.1)
    found.rescale(0.5, 0.25)
    assert found.predict(1.1) == pytest.approx(before * [0.5, 0.25], rel=1e-4)


def test_what_a_hand_may_be_confused_with_is_rescaled_too() -> None:
    found = moving(300)
    found.rivals = {2: moving(-300).trusted}
    before = found.rivals[2].predict(1.1)
    found.rescale(0.5, 0.25)
    assert found.rivals[2].predict(1.1) == pytest.approx(before * [0.5, 0.25], rel=1e-4)


def test_models_that_know_depth_and_others_take_turns() -> None:
    """After a reload a followed hand may have depth that had none, or none any more."""
    found, deep = track(hand(100, 100)), replace(hand(100, 100), depth=np.zeros(21, np.float32))
    for index, seen in enumerate((hand(100, 100), deep, deep, hand(100, 100))):
        found.observe(seen, index / 30)
        reported = found.report(640, 480, smoothing=True, mirrored=False)
        assert reported is not None
        assert (reported.depth is None) is (seen.depth is None)


def test_handedness_needs_more_than_one_frame_to_change() -> None:
    handedness = Handedness()
    for _ in range(10):
        handedness.add(0.9, 1 / 30)
    handedness.add(0.05, 1 / 30)
    assert handedness.label == "right"
    assert 0.5 <= handedness.score < 0.9
    for _ in range(30):
        handedness.add(0.05, 1 / 30)
    assert handedness.label == "left"


def test_old_evidence_fades() -> None:
    """A minute of right hand does not outweigh two seconds of left."""
    handedness = Handedness()
    for _ in range(1800):
        handedness.add(0.95, 1 / 30)
    frames = 0
    while handedness.label == "right":
        handedness.add(0.05, 1 / 30)
        frames += 1
    assert 10 < frames < 90


def test_a_hand_on_the_fence_does_not_flicker() -> None:
    handedness, rng = Handedness(), np.random.default_rng(0)
    labels = []
    for _ in range(300):
        handedness.add(float(rng.uniform(0.3, 0.7)), 1 / 30)
        labels.append(handedness.label)
    assert sum(a != b for a, b in pairwise(labels)) <= 1


def test_certainty_itself_does_no_harm() -> None:
    handedness = Handedness()
    for right in (0.0, 1.0, 1.0):
        handedness.add(right, 0.03)
    assert math.isfinite(handedness.score)
    assert handedness.label == "right"


@pytest.mark.parametrize(
    ("nearer", "further"),
    [
        (hand(105, 100), hand(130, 100)),
        (hand(105, 100), hand(105, 100, 140)),
        (hand(105, 100), hand(105, 100, right=0.1)),
    ],
    ids=["place", "size", "side"],
)
def test_what_is_more_alike_is_cheaper(nearer: Hand, further: Hand) -> None:
    found = track(hand(100, 100))
    assert pairing_cost(found, nearer, 0.03) < pairing_cost(found, further, 0.03) < math.inf


def test_a_hand_may_be_further_away_the_longer_it_was_unseen() -> None:
    found = track(hand(100, 100))
    assert pairing_cost(found, hand(280, 100), 0.03) == math.inf
    assert pairing_cost(found, hand(280, 100), 0.14) < math.inf  # 13 hand sizes a second
    assert pairing_cost(found, hand(280, 100), 0.5) < math.inf
    assert pairing_cost(found, hand(500, 100), 10.0) == math.inf


def test_a_hand_of_another_size_or_the_other_one_is_another_hand() -> None:
    found = track(hand(100, 100))
    assert pairing_cost(found, hand(100, 100, 300), 0.5) == math.inf
    assert pairing_cost(found, hand(180, 100, right=0.05), 0.5) == math.inf
    assert pairing_cost(found, hand(110, 100, right=0.05), 0.5) < math.inf  # so near it may be a slip
    # Also where frames are far apart; but once it has been gone for a while the other one has come.
    assert pairing_cost(found, hand(110, 100, right=0.05), 1.0) < math.inf
    found.lost = True
    assert pairing_cost(found, hand(110, 100, right=0.05), 0.7) < math.inf
    assert pairing_cost(found, hand(110, 100, right=0.05), 0.9) == math.inf


def test_a_lost_hand_may_come_back_where_it_was_seen() -> None:
    """And not only where it was going to."""
    found = moving(600)
    there = hand(700, 100)
    followed = pairing_cost(found, there, 2.0)
    found.lost = True
    assert pairing_cost(found, there, 2.0) < followed - 0.3
    on_its_way = hand(700 + 600 * 0.3 * (1 - math.exp(-0.1 / 0.3)), 100)
    too_soon = pairing_cost(found, there, 1.1)  # to turn round
    assert pairing_cost(found, on_its_way, 1.1) < too_soon - 0.2


def test_a_covered_hand_does_not_show() -> None:
    found, covered = track(hand(100, 100)), hand(100, 100)
    assert found.shows(covered)
    covered.keypoint_scores[:] *= 0.3
    assert not found.shows(covered)


@pytest.mark.parametrize(
    ("inside", "followed", "new"), [(5, False, False), (6, True, False), (8, True, False), (9, True, True)]
)
def test_how_much_of_a_hand_must_be_in_the_picture(inside: int, followed: bool, new: bool) -> None:
    seen = hand(100, 100)
    seen.keypoints[inside:] = (640, 100)
    assert in_picture(seen, 640, 480, followed=True) == followed
    assert in_picture(seen, 640, 480, followed=False) == new
    seen.keypoints[inside:] = (-0.1, 100)
    assert in_picture(seen, 640, 480, followed=True) == followed


def test_the_older_and_the_followed_track_is_cheaper() -> None:
    old, young, lost = moving(0), track(hand(100, 100), 1.0), moving(0)
    lost.lost = True
    costs = [pairing_cost(found, hand(100, 100), 1.03) for found in (old, young, lost)]
    costs.append(pairing_cost(lost, hand(100, 100), 1.5))  # lost for longer
    assert costs == sorted(costs)
    assert len(set(costs)) == 4
