from typing import Any

import numpy as np
import pytest

from service.inference.hands import Box, Detection, Hand


def hand(**changes: Any) -> Hand:
    values: dict[str, Any] = {
        "box": Box(10, 20, 30, 40),
        "score": 0.9,
        "presence": 0.8,
        "handedness": "right",
        "handedness_score": 0.7,
        "keypoints": np.ones((21, 2), np.float32),
        "keypoint_scores": np.full(21, 0.5, np.float32),
    }
    return Hand(**{**values, **changes})


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5), (float("nan"), 5), (5, float("inf"))])
def test_a_box_refuses_what_is_no_area(size: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="a box needs"):
        Box(0, 0, *size)


def test_a_box_converts_to_corners_and_back() -> None:
    box = Box(1, 2, 3, 5)
    assert box.corners == (1, 2, 4, 7)
    assert Box.from_corners(*box.corners) == box
    assert box.side == 5


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_a_detection_refuses_a_score_that_is_no_probability(score: float) -> None:
    with pytest.raises(ValueError, match="score must be between 0 and 1"):
        Detection(Box(0, 0, 1, 1), score)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoints": np.zeros((20, 2), np.float32)}, r"keypoints must be \(21, 2\)"),
        ({"keypoints": np.zeros((21, 3), np.float32)}, r"keypoints must be \(21, 2\)"),
        ({"keypoints": np.full((21, 2), np.nan, np.float32)}, "finite"),
        ({"keypoint_scores": np.zeros((21, 1), np.float32)}, r"keypoint_scores must be \(21,\)"),
        ({"depth": np.zeros((21, 1), np.float32)}, r"depth must be \(21,\)"),
        ({"depth": np.full(21, np.inf, np.float32)}, "depth must be .* finite"),
        ({"handedness": "both"}, "left or right"),
        ({"presence": 2.0}, "presence must be between"),
        ({"handedness_score": -1.0}, "handedness_score must be between"),
    ],
)
def test_a_hand_checks_its_shapes_and_ranges(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hand(**changes)


def test_mirrored_swaps_the_label_and_nothing_else() -> None:
    before = hand()
    after = before.mirrored()
    assert (after.handedness, after.handedness_score) == ("left", 0.7)
    assert after.box == before.box
    assert after.keypoints is before.keypoints
    assert after.mirrored().handedness == "right"


def test_scaled_moves_box_keypoints_and_depth_together() -> None:
    after = hand(depth=np.full(21, -2, np.float32)).scaled(4)
    assert after.box == Box(40, 80, 120, 160)
    assert (after.keypoints == 4).all()
    assert after.depth is not None
    assert (after.depth == -8).all()
    assert after.keypoints.dtype == np.float32
