"""Several looks at one hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from service.inference.hands import Box, Hand, Label
from service.inference.looks import merge_looks


def moved(right: float) -> NDArray[np.float32]:
    """(21, 2): all keypoints in one place, `right` pixels to the right of (50, 50)."""
    return np.tile(np.array([50 + right, 50], np.float32), (21, 1))


def look(
    right: float = 0.0,
    score: float = 0.4,
    label: Label = "left",
    sure: float = 0.9,
    depth: NDArray[np.float32] | None = None,
) -> Hand:
    """A hand of 100 px whose keypoints lie `right` pixels to the right and are scored `score`."""
    keypoints = moved(right)
    return Hand(
        Box(0, 0, 100, 100), score, score, label, sure, keypoints, np.full(21, score, np.float32), depth
    )


def test_looks_that_agree_are_averaged_by_their_scores() -> None:
    hand = merge_looks([look(0, 0.2), look(10, 0.6)])
    assert hand.keypoints == pytest.approx(moved(7.5), abs=1e-3)
    assert hand.keypoint_scores == pytest.approx(0.4)


def test_the_surer_of_two_that_disagree_counts() -> None:
    for looks in ([look(0, 0.3), look(40, 0.5)], [look(40, 0.5), look(0, 0.3)]):
        hand = merge_looks(looks)
        assert hand.keypoints == pytest.approx(moved(40))
        assert hand.keypoint_scores == pytest.approx(0.25)  # half of the looks saw it elsewhere


def test_two_that_agree_outvote_a_surer_one() -> None:
    hand = merge_looks([look(0, 0.3), look(40, 0.5), look(2, 0.3)])
    assert hand.keypoints == pytest.approx(moved(1), abs=1e-3)
    assert hand.keypoint_scores == pytest.approx(0.2)


def test_every_keypoint_is_settled_by_itself() -> None:
    first, second = look(0, 0.3), look(0, 0.5)
    second.keypoints[20] += 60
    hand = merge_looks([first, second])
    assert hand.keypoints[:20] == pytest.approx(moved(0)[:20])
    assert hand.keypoints[20] == pytest.approx([110, 110])


def test_scores_handedness_and_depth_are_means() -> None:
    depths = [np.full(21, d, np.float32) for d in (2, 4, 9)]
    looks = [
        look(score=0.2, label="left", sure=0.9, depth=depths[0]),
        look(score=0.6, label="right", sure=0.8, depth=depths[1]),
        look(score=0.7, label="right", sure=0.9, depth=depths[2]),
    ]
    hand = merge_looks(looks)
    assert (hand.score, hand.presence) == (pytest.approx(0.5), pytest.approx(0.5))
    assert (hand.handedness, hand.handedness_score) == ("right", pytest.approx(0.6))
    assert hand.depth == pytest.approx(5)
    assert merge_looks([look(), look(depth=None)]).depth is None


def test_one_look_is_itself() -> None:
    alone = merge_looks([look(3, 0.7)])
    assert alone.keypoints == pytest.approx(moved(3))
    assert alone.keypoint_scores == pytest.approx(0.7)
    assert alone.handedness_score == pytest.approx(0.9)
