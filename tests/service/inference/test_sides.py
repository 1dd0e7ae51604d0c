import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.inference.hands import Box, Hand, side_of
from service.inference.sides import told_together

chances = st.floats(0.0, 1.0)


def hand(x: float, right: float, score: float = 1.0) -> Hand:
    """100 pixels wide."""
    return Hand(
        Box(x, 0, 100, 80),
        score,
        0.9,
        *side_of(right),
        np.zeros((21, 2), np.float32),
        np.ones(21, np.float32),
    )


def test_a_doubtful_side_is_the_one_that_the_other_hand_is_not() -> None:
    doubtful, sure = told_together([hand(0, 0.6), hand(300, 1.0)])
    # Next to a right hand four of five are left ones: 0.6 · 0.2 to 0.4 · 0.8.
    assert doubtful.handedness == "left"
    assert doubtful.right == pytest.approx(0.12 / (0.12 + 0.32))
    assert (sure.handedness, sure.right) == ("right", 1.0)


def test_what_is_hardly_a_hand_changes_nothing() -> None:
    pair = [hand(0, 0.6), hand(300, 0.99)]
    ghost = hand(600, 0.9, score=0.3)
    first, none, second = told_together([pair[0], ghost, pair[1]])
    assert [first.right, second.right] == [h.right for h in told_together(pair)]
    assert none.right == ghost.right


def test_two_that_are_sure_may_be_of_one_side() -> None:
    pair = told_together([hand(0, 0.99), hand(300, 0.98)])
    assert [h.handedness for h in pair] == ["right", "right"]
    assert all(0.8 < h.right < 0.98 for h in pair)


@pytest.mark.parametrize(
    "hands",
    [
        [],
        [hand(0, 0.6)],
        [hand(0, 0.6), hand(99, 0.99)],  # they touch
        [hand(0, 0.6), hand(300, 0.99), hand(600, 0.1)],  # of at least two people
        [hand(0, 0.6), hand(300, 0.5)],  # the other one's side says nothing
        [hand(0, 0.6), hand(300, 0.99, score=0.4)],  # the other is rather none
    ],
)
def test_otherwise_a_side_stays_as_it_was_seen(hands: list[Hand]) -> None:
    told = told_together(hands)
    assert len(told) == len(hands)
    for after, before in list(zip(told, hands, strict=True))[:1]:
        assert after.right == pytest.approx(before.right)


@given(chances, chances, chances)
def test_it_is_the_same_in_a_mirror(first: float, second: float, score: float) -> None:
    pair = [hand(0, first, score), hand(300, second)]
    mirrored = told_together([h.mirrored() for h in pair])
    for one, other in zip(told_together(pair), mirrored, strict=True):
        assert one.right == pytest.approx(1 - other.right)


@given(chances, chances, st.floats(0.5, 1.0))
def test_the_surer_the_other_is_a_hand_the_more_it_says(first: float, second: float, score: float) -> None:
    told = [told_together([hand(0, first), hand(300, second, s)])[0].right for s in (0.0, 0.5, score, 1.0)]
    assert sorted(told, reverse=second > 0.5) == pytest.approx(told)
