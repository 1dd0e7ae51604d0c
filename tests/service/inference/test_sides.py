from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.inference.hands import Box, Hand, side_of
from service.inference.sides import settle_sides

chances = st.floats(0.0, 1.0)
NEAR, AWAY = (60.0, 40.0), (300.0, 40.0)  # places; the first is where most hands are


def hand(right: float, score: float = 1.0, place: tuple[float, float] = NEAR) -> Hand:
    """100 pixels wide and 80 high around its place."""
    box = Box(place[0] - 50, place[1] - 40, 100, 80)
    return Hand(box, score, 0.9, *side_of(right), np.zeros((21, 2), np.float32), np.ones(21, np.float32))


def test_a_doubtful_side_is_the_one_that_the_other_hand_is_not() -> None:
    doubtful, sure = settle_sides([hand(0.6), hand(0.9, place=AWAY)])
    # Next to a hand that is right at 0.9, one is right at 0.9 · 0.2 + 0.1 · 0.8 = 0.26; next to one at 0.6, at 0.44.
    assert doubtful.handedness == "left"
    assert doubtful.right == pytest.approx(0.6 * 0.26 / (0.6 * 0.26 + 0.4 * 0.74))
    assert sure.handedness == "right"
    assert sure.right == pytest.approx(0.9 * 0.44 / (0.9 * 0.44 + 0.1 * 0.56))


def test_a_hand_counts_for_the_other_as_far_as_it_is_one() -> None:
    doubtful, _ = settle_sides([hand(0.6), hand(0.9, score=0.75, place=AWAY)])
    expected = 0.5 + 0.75 * (0.26 - 0.5)
    assert doubtful.right == pytest.approx(0.6 * expected / (0.6 * expected + 0.4 * (1 - expected)))


def test_what_is_hardly_a_hand_changes_nothing() -> None:
    pair = [hand(0.6), hand(0.99, place=AWAY)]
    ghost = hand(0.9, score=0.49, place=(600, 40))
    first, none, second = settle_sides([pair[0], ghost, pair[1]])
    assert [first.right, second.right] == [h.right for h in settle_sides(pair)]
    assert none is ghost


def test_two_that_are_sure_may_be_of_one_side() -> None:
    pair = settle_sides([hand(0.99), hand(0.98, place=AWAY)])
    assert [h.handedness for h in pair] == ["right", "right"]
    assert all(0.8 < h.right < 0.98 for h in pair)


@pytest.mark.parametrize(
    "hands",
    [
        [],
        [hand(0.6)],
        [hand(0.6), hand(0.99, place=AWAY), hand(0.1, score=0.5, place=(600, 40))],  # of at least two people
        [hand(0.6), hand(0.99, score=0.49, place=AWAY)],  # the other one is rather none
    ],
)
def test_where_there_are_not_two_sides_stay_as_they_were_seen(hands: list[Hand]) -> None:
    assert settle_sides(hands) == hands


@pytest.mark.parametrize(
    ("other", "apart"),
    [
        (Box(109, 0, 100, 80), False),
        (Box(111, 0, 100, 80), True),
        (Box(10, 99, 100, 80), False),  # below the other
        (Box(10, 101, 100, 80), True),
        (Box(80, 70, 100, 80), False),  # aslant
        (Box(81, 71, 100, 80), True),
        # Sides of 100 and 200: their centres are to be 150 apart.
        (Box(109, 0, 200, 80), False),
        (Box(111, 0, 200, 80), True),
        (Box(199, -60, 20, 200), False),
        (Box(201, -60, 20, 200), True),
    ],
)
def test_hands_that_touch_say_nothing_of_each_other(other: Box, apart: bool) -> None:
    first = replace(hand(0.6), box=Box(10, 0, 100, 80))
    second = replace(hand(0.9), box=other)
    settled, _ = settle_sides([first, second])
    assert (settled.right != first.right) == apart


@given(chances, chances, chances)
def test_it_is_the_same_in_a_mirror(first: float, second: float, score: float) -> None:
    pair = [hand(first, score), hand(second, place=AWAY)]
    mirrored = settle_sides([h.mirrored() for h in pair])
    for one, other in zip(settle_sides(pair), mirrored, strict=True):
        assert one.handedness != other.handedness
        assert one.handedness_score == pytest.approx(other.handedness_score)


@given(chances, chances, st.floats(0.5, 1.0))
def test_the_surer_the_other_is_a_hand_the_more_it_says(first: float, second: float, score: float) -> None:
    scores = (0.0, 0.5, score, 1.0)
    told = [settle_sides([hand(first), hand(second, s, AWAY)])[0].right for s in scores]
    assert sorted(told, reverse=second > 0.5) == pytest.approx(told)
