"""What a tracker under test is promised of a rendered sequence."""

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest

from training.datasets.synthetic import Backgrounds
from training.datasets.synthetic.sequence import HandSequence, SequenceFrame
from training.datasets.types import HandLabel, LabelledImage

WIDTH, HEIGHT, FRAMES = 192, 144, 60


def sequence(**changes: object) -> HandSequence:
    values = {
        "seed": 4,
        "backgrounds": Backgrounds([]),
        "hands": 2,
        "frames": FRAMES,
        "width": WIDTH,
        "height": HEIGHT,
        "script": ("still", "cross", "hide"),
    }
    return HandSequence(**(values | changes))


@pytest.fixture(scope="module")
def frames() -> list[SequenceFrame]:
    """Two hands for two seconds: still, crossing, one of them hidden."""
    return list(sequence())


def test_equal_arguments_give_equal_bytes_in_any_order(frames):
    again = sequence()
    for index in (41, 3, 20):
        np.testing.assert_array_equal(again[index].picture.image, frames[index].picture.image)
        np.testing.assert_array_equal(again[index].owners, frames[index].owners)
        for one, other in zip(again[index].picture.hands, frames[index].picture.hands, strict=True):
            np.testing.assert_array_equal(one.keypoints, other.keypoints)
    assert (sequence(seed=5)[0].picture.image != frames[0].picture.image).mean() > 0.3


def test_frames_are_numbered_and_timed(frames):
    assert [frame.index for frame in frames] == list(range(FRAMES))
    np.testing.assert_allclose([frame.timestamp for frame in frames], np.arange(FRAMES) / 30)
    assert len(sequence()) == FRAMES
    for frame in frames:
        assert frame.picture.image.shape == (HEIGHT, WIDTH, 3)
        assert frame.picture.image.dtype == np.uint8
        assert frame.picture.complete
        assert frame.owners.shape == (HEIGHT, WIDTH)


def test_ids_and_handedness_stay_with_their_hands(frames):
    assert {number for frame in frames for number in frame.ids} == {1, 2}
    for number in (1, 2):
        hands = [frame.picture.hands[frame.ids.index(number)] for frame in frames if number in frame.ids]
        assert len(hands) == FRAMES
        assert len({hand.handedness for hand in hands}) == 1


def test_keypoints_move_smoothly(frames):
    for number in (1, 2):
        points = np.array([frame.picture.hands[frame.ids.index(number)].keypoints for frame in frames])
        size = np.ptp(points[0], axis=0).max()
        step = np.linalg.norm(np.diff(points, axis=0), axis=2).max(axis=1)  # (F - 1,)
        assert step.max() < 0.35 * size
        assert step.max() > 0.05 * size
        assert np.abs(np.diff(step)).max() < 0.08 * size  # no sudden start or stop


def test_still_hands_keep_still(frames):
    still = 0
    for before, frame in pairwise(frames):
        for number, phase, hand in zip(frame.ids, frame.phases, frame.picture.hands, strict=True):
            if phase == "still" and before.phases[before.ids.index(number)] == "still":
                still += 1
                moved = hand.keypoints - before.picture.hands[before.ids.index(number)].keypoints
                assert np.abs(moved).max() < 0.5  # pixels
    assert still > 40
    assert {phase for frame in frames for phase in frame.phases} >= {"still", "cross"}


def test_labels_lie_on_the_hands_in_the_picture(frames):
    """A visible keypoint lies on its own hand's pixels, or less than a few pixels beside them."""
    near = np.ones((5, 5), np.uint8)
    checked = 0
    for frame in frames:
        for number, hand in zip(frame.ids, frame.picture.hands, strict=True):
            own = cv2.dilate((frame.owners == number).astype(np.uint8), near)
            x, y = hand.keypoints[hand.visible].astype(int).T
            assert own[y, x].mean() > 0.85 if len(x) else True
            checked += len(x)
    assert checked > 1000


def test_boxes_hold_the_visible_hand_and_end_at_the_picture(frames):
    for frame in frames:
        for hand in frame.picture.hands:
            x, y, width, height = hand.box
            assert min(x, y) >= 0
            assert x + width <= WIDTH
            assert y + height <= HEIGHT
            points = hand.keypoints[hand.visible]
            assert (points >= [x - 1, y - 1]).all()
            assert (points <= [x + width + 1, y + height + 1]).all()


def test_the_nearer_hand_hides_the_other_one_while_they_cross(frames):
    crossing = [frame for frame in frames if frame.phases == ("cross", "cross")]
    front, back = (min(frame.picture.hands[number].visible.mean() for frame in crossing) for number in (0, 1))
    assert front > 0.5
    assert back < front


def test_one_hand_is_hidden_and_seen_again(frames):
    """The last third of the clip: something passes in front of one of them."""
    shares = np.array([frame.clear for frame in frames[40:]])
    hidden = int(shares.min(axis=0).argmin())
    assert shares[:, hidden].min() < 0.2
    assert shares[0, hidden] > 0.9
    assert shares[-1, hidden] > 0.9
    for frame in frames:
        for clear, hand in zip(frame.clear, frame.picture.hands, strict=True):
            assert hand.visible.mean() <= clear  # what is in front of a keypoint hides it


def test_a_hand_that_left_the_picture_is_not_labelled():
    clip = sequence(hands=1, script=("leave",), frames=40)
    present = [bool(clip[index].ids) for index in range(0, 40, 3)]
    assert present[0]
    assert present[-1]
    assert False in present
    middle = clip[20]
    assert middle.picture.hands == ()
    assert not (middle.owners == 1).all()


def test_noise_differs_and_the_background_does_not(frames):
    first, second = (frames[index].picture.image.astype(int) for index in (3, 4))
    nobody = (frames[3].owners == 0) & (frames[4].owners == 0)
    assert (first != second)[nobody].mean() > 0.3
    assert np.abs(first - second)[nobody].mean() < 8


def test_a_camera_in_a_hand_moves_labels_and_picture_alike():
    stand, held = (sequence(script=("still",), frames=30, moving_camera=moving) for moving in (False, True))
    moved = [held[i].picture.hands[0].keypoints - stand[i].picture.hands[0].keypoints for i in (0, 29)]
    assert np.ptp(moved[1], axis=0).max() < 0.01  # all keypoints alike
    assert np.linalg.norm(moved[1].mean(axis=0) - moved[0].mean(axis=0)) > 0.3
    for number, way in ((0, moved[0].mean(axis=0)), (29, moved[1].mean(axis=0))):
        still, wandered = (clip[number].picture.image.mean(axis=2) for clip in (stand, held))
        there = cv2.warpAffine(still, np.float64([[1, 0, way[0]], [0, 1, way[1]]]), (WIDTH, HEIGHT))
        inner = np.s_[10:-10, 10:-10]
        assert np.abs(there - wandered)[inner].mean() < 0.6 * np.abs(still - wandered)[inner].mean()


def test_what_moves_is_blurred():
    clip, at_once = (sequence(script=("cross",), frames=30) for _ in range(2))
    camera = replace(at_once._setting.camera, shutter=0.0)
    at_once._setting = replace(at_once._setting, camera=camera)
    blurred, sharp = (each[15].picture.image.astype(int) for each in (clip, at_once))
    assert (np.abs(blurred - sharp).max(axis=2) > 8).mean() > 0.005
    np.testing.assert_array_equal(clip[0].picture.image, at_once[0].picture.image)  # nothing moves yet


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hands": 0}, "1 to 3 hands"),
        ({"hands": 4}, "1 to 3 hands"),
        ({"frames": 0}, "0 frames"),
        ({"fps": 0.0}, "0.0 a second"),
        ({"width": 191}, "even"),
        ({"height": 32}, "at least 64"),
        ({"script": ("still", "dance")}, "dance"),
        ({"script": ()}, "script"),
    ],
)
def test_impossible_sequences_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        sequence(**changes)


def test_there_is_no_frame_beyond_the_last(frames):
    with pytest.raises(IndexError, match="frame 60"):
        sequence()[FRAMES]
    with pytest.raises(IndexError):
        sequence()[-1]


def test_a_frame_needs_an_id_for_each_hand():
    picture = LabelledImage(np.zeros((4, 4, 3), np.uint8), (HandLabel(np.zeros(4, np.float32)),))
    with pytest.raises(ValueError, match="an id"):
        SequenceFrame(0, 0.0, picture, (), (), (), np.zeros((4, 4), np.int16))
