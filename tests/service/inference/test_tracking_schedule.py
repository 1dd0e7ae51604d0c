"""Which frames the detector has to look at."""

from collections.abc import Sequence

import numpy as np
import pytest

from service.inference.hands import Box, Detection, Hand
from service.inference.tracking_schedule import Schedule
from service.inference.tracks import Track


def track(presence: float = 0.9, lost_at: float | None = None) -> Track:
    box = Box(100, 100, 100, 100)
    keypoints = np.random.default_rng(0).uniform(100, 200, (21, 2)).astype(np.float32)
    hand = Hand(box, 0.9, presence, "right", 0.9, keypoints, np.full(21, 0.8, np.float32))
    found = Track(1, hand, Detection(box, 0.9), 0.0, 640, 480)
    if lost_at is not None:
        found.lose(lost_at)
    return found


def runs(
    tracks: Sequence[Track], *, room: bool = True, frames: int = 61, rate: float = 30, detect_every: int = 6
) -> list[int]:
    """The frames on which the detector runs."""
    schedule, result = Schedule(detect_every), []
    for index in range(frames):
        schedule.next_frame(index / rate)
        if schedule.due(tracks, room):
            schedule.ran()
            result.append(index)
    return result


def test_a_hand_with_room_for_another() -> None:
    assert runs([track()]) == list(range(0, 61, 6))


def test_no_room_for_another() -> None:
    assert runs([track()], room=False) == [0, 30, 60]


@pytest.mark.parametrize("room", [True, False])
def test_a_doubtful_hand(room: bool) -> None:
    assert runs([track(presence=0.5)], room=room) == list(range(0, 61, 3))
    unconfirmed = track()
    unconfirmed.doubt()
    assert runs([unconfirmed], room=room) == list(range(0, 61, 3))


def test_a_doubtful_hand_is_not_looked_at_more_often_than_wanted() -> None:
    assert runs([track(presence=0.5)], detect_every=2) == list(range(0, 61, 2))
    assert runs([track(presence=0.5)], detect_every=1) == list(range(61))


def test_a_hand_was_lost() -> None:
    """On every frame for half a second, and then on every third for as long as it is remembered."""
    lost = track(lost_at=0.0)
    assert runs([track(), lost]) == [*range(15), *range(17, 61, 3)]
    assert runs([track(), lost], room=False) == [0, 30, 60]


def test_nothing_to_follow() -> None:
    assert runs([]) == list(range(0, 61, 3))
    assert runs([], rate=5, frames=10) == list(range(10))


@pytest.mark.parametrize("rate", [6, 3, 2, 1, 0.6])
def test_slow_cameras_do_not_wait_for_as_many_frames(rate: float) -> None:
    """A second with room for another hand, five without."""
    seconds = np.diff(runs([track()], rate=rate)) / rate
    assert seconds.max() <= max(1.0, 1 / rate) + 1e-9
    seconds = np.diff(runs([track()], room=False, rate=rate)) / rate
    assert seconds.min() >= 4
    assert seconds.max() <= 5 + 1 / rate + 1e-9


def test_after_a_pause() -> None:
    schedule = Schedule(100)
    schedule.next_frame(0.0)
    schedule.ran()
    schedule.next_frame(1.9)
    assert not schedule.due([track()], room=True)
    schedule.next_frame(4.0)
    assert schedule.due([track()], room=True)
