"""Two hands that pass each other, and a track that turned round with the wrong one."""

import numpy as np
import pytest

from service.inference.hands import Box, Detection, Hand, Label
from service.inference.tracks import Track
from service.inference.tracks_crossing import rivals, uncross

SHAPE = np.random.default_rng(0).uniform(0, 100, (21, 2)).astype(np.float32)


def hand(x: float, label: Label = "right") -> Hand:
    box = Box(x, 100, 100, 100)
    keypoints = SHAPE + np.array([x, 100], np.float32)
    return Hand(box, 0.9, 0.9, label, 0.9, keypoints, np.full(21, 0.8, np.float32))


def moving(number: int, start: float, speed: float, label: Label = "right") -> Track:
    """Seen for half a second at 30 frames a second, `speed` pixels a second."""
    track = Track(number, hand(start, label), Detection(Box(start, 100, 100, 100), 0.9), 0.0, 640, 480)
    for index in range(1, 16):
        track.observe(hand(start + speed * index / 30, label), index / 30)
    return track


def crossing(second_label: Label = "right") -> tuple[Track, Track]:
    """The first goes right and is at 300, the second left and at 320; the second is lost behind the first."""
    first, second = moving(1, 100, 400), moving(2, 520, -400, second_label)
    second.lose(0.5)
    second.rivals = rivals(second, [first, second])
    return first, second


def test_only_a_track_nearby_is_a_rival() -> None:
    _, second = crossing()
    assert list(second.rivals) == [1]
    assert rivals(second, [moving(3, 100, 0)]) == {}


@pytest.mark.parametrize("second_has_a_hand", [True, False])
def test_tracks_that_took_each_others_hand_get_their_own_back(second_has_a_hand: bool) -> None:
    """The first turned round with the second hand; the hand that comes out on the right is the first's."""
    first, second = crossing()
    hands = [hand(240), hand(380)]
    pairs = {first: 0, second: 1} if second_has_a_hand else {first: 0}
    assert uncross(pairs, [first, second], hands, 0.7) == {first: 1, second: 0}


def test_tracks_that_went_on_with_their_own_keep_it() -> None:
    first, second = crossing()
    pairs = {first: 1, second: 0}
    assert uncross(pairs, [first, second], [hand(240), hand(380)], 0.7) == pairs


def test_a_left_and_a_right_hand_keep_theirs_wherever_they_come_out() -> None:
    """They turned round behind each other, or came so late that how they moved says little."""
    first, second = crossing("left")
    hands = [hand(240), hand(380, "left")]
    pairs = {first: 0, second: 1}
    assert uncross(pairs, [first, second], hands, 0.7) == pairs
    swapped = {first: 1, second: 0}
    assert uncross(swapped, [first, second], [hand(300), hand(320, "left")], 0.7) == pairs


def test_nothing_is_exchanged_long_after_a_crossing() -> None:
    first, second = crossing()
    pairs = {first: 0, second: 1}
    assert uncross(pairs, [first, second], [hand(240), hand(380)], 1.5) == pairs


def test_nothing_is_exchanged_while_only_one_hand_is_seen() -> None:
    first, second = crossing()
    assert uncross({first: 0}, [first, second], [hand(240)], 0.6) == {first: 0}
