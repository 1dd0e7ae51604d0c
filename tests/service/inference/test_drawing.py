from dataclasses import replace

import numpy as np
import pytest

from service.inference.drawing import BOX_COLOURS, draw_hands
from service.inference.hands import Box, Hand


def hand(x: float, y: float, size: float, score: float = 1.0) -> Hand:
    keypoints = np.linspace((x, y), (x + size, y + size), 21).astype(np.float32)
    return Hand(Box(x, y, size, size), 0.9, 0.9, "right", 0.9, keypoints, np.full(21, score, np.float32))


def test_the_picture_given_is_left_alone() -> None:
    image = np.zeros((100, 120, 3), np.uint8)
    drawn = draw_hands(image, [hand(20, 30, 50)])
    assert not image.any()
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8


def test_what_is_drawn_lies_on_the_keypoints() -> None:
    drawn = draw_hands(np.zeros((400, 400, 3), np.uint8), [hand(100, 100, 200)])
    for t in np.linspace(100, 300, 21):
        assert drawn[int(t), int(t)].any()
    assert not drawn[330:, :90].any()


def test_without_hands_the_picture_stays_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 255, (50, 60, 3), np.uint8)
    assert np.array_equal(draw_hands(image, []), image)


@pytest.mark.parametrize("place", [(-500, -500), (90, 90), (1e6, 1e6)])
@pytest.mark.parametrize("size", [2.0, 5000.0])
def test_hands_outside_and_of_any_size_can_be_drawn(place: tuple[float, float], size: float) -> None:
    assert draw_hands(np.zeros((100, 120, 3), np.uint8), [hand(*place, size, 0.1)]).shape == (100, 120, 3)


def test_bones_to_keypoints_that_are_rather_wrong_are_thin() -> None:
    sure, doubtful = (
        (
            draw_hands(np.zeros((700, 700, 3), np.uint8), [hand(100, 150, 480, score)])[160:640, 110:590] > 0
        ).sum()
        for score in (0.5, 0.49)
    )
    assert doubtful < 0.95 * sure


def test_a_doubtful_side_has_a_question_mark() -> None:
    def label(side: float) -> int:
        """How many pixels wide."""
        told = replace(hand(100, 100, 480), handedness_score=side)
        above = draw_hands(np.full((700, 700, 3), 255, np.uint8), [told])[:90]
        return np.ptp(np.flatnonzero((above < 255).any(axis=(0, 2))))

    assert label(0.74) > label(0.75) == label(1.0)


def test_the_label_is_as_wide_as_its_words() -> None:
    above = draw_hands(np.full((700, 700, 3), 255, np.uint8), [hand(100, 100, 480)])[:90]
    last = np.flatnonzero((above < 255).any(axis=(0, 2)))[-1]
    assert (above[(above[:, last] < 255).any(axis=1), last] == BOX_COLOURS["right"]).all()


def test_where_the_box_is_near_the_edge_the_label_hides_no_more_of_the_hand_than_it_must() -> None:
    drawn = draw_hands(np.zeros((400, 400, 3), np.uint8), [hand(50, 20, 300)])
    assert (drawn[0, 60] == BOX_COLOURS["right"]).all()
