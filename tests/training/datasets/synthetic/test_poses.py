"""Poses stay inside the joints' limits and apart from themselves."""

import math

import numpy as np
import pytest

from training.datasets.synthetic.gestures import DRAFTS, GESTURES, draw_gesture
from training.datasets.synthetic.hand import bone_motions, keypoints_at, rest_shape
from training.datasets.synthetic.poses import (
    DIP_LIMITS,
    MCP_LIMITS,
    PIP_LIMITS,
    WRIST_DEVIATION_LIMITS,
    WRIST_EXTENSION_LIMITS,
    draw_identity,
    draw_pose,
    finger_overlap,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def drawn(gesture: str, seed: int) -> tuple[np.ndarray, object]:
    random = rng(seed)
    identity = draw_identity(random, 90)
    pose = draw_pose(random, identity, gesture)
    joints = rest_shape(identity)[1]
    return keypoints_at(joints, bone_motions(joints, pose)), pose


@pytest.mark.parametrize("gesture", DRAFTS)
def test_every_gesture_obeys_the_joints_limits(gesture):
    for seed in range(10):
        keypoints, pose = drawn(gesture, seed)
        for angles, limits in ((pose.mcp, MCP_LIMITS), (pose.pip, PIP_LIMITS), (pose.dip, DIP_LIMITS)):
            degrees = np.degrees(angles)
            assert (degrees >= limits[0] - 1e-6).all()
            assert (degrees <= limits[1] + 1e-6).all()
        assert WRIST_EXTENSION_LIMITS[0] <= math.degrees(pose.wrist_extension) <= WRIST_EXTENSION_LIMITS[1]
        assert WRIST_DEVIATION_LIMITS[0] <= math.degrees(pose.wrist_deviation) <= WRIST_DEVIATION_LIMITS[1]
        assert finger_overlap(keypoints) < 0.042


def test_gestures_look_like_their_names():
    def reach(keypoints: np.ndarray) -> np.ndarray:
        """How far each finger's tip is from its knuckle, of index to little finger."""
        return np.array([np.linalg.norm(keypoints[4 * f + 4] - keypoints[4 * f + 1]) for f in range(1, 5)])

    for seed in range(5):
        open_hand = reach(drawn("open", seed)[0])
        assert (reach(drawn("fist", seed)[0]) < 0.75 * open_hand).all()
        victory = reach(drawn("victory", seed)[0]) > 0.8 * open_hand
        assert victory.tolist() == [True, True, False, False]


def test_a_pinch_nearly_closes():
    gaps = [
        np.linalg.norm(keypoints[4] - keypoints[8]) for keypoints, _ in (drawn("pinch", s) for s in range(30))
    ]
    assert np.median(gaps) < 0.12


def test_grasps_hold_things_between_thumb_and_fingers():
    """The thumb's tip is at the fingertips of one grasp, and along the index finger of the other."""
    prismatic = [drawn("prismatic", seed)[0] for seed in range(20)]
    assert np.median([np.linalg.norm(k[4] - k[[8, 12]].mean(axis=0)) for k in prismatic]) < 0.16
    lateral = [drawn("lateral", seed)[0] for seed in range(20)]
    assert np.median([np.linalg.norm(k[4] - k[[6, 7]].mean(axis=0)) for k in lateral]) < 0.16


def test_overlap_is_measured_between_different_fingers():
    keypoints, _ = drawn("open", 1)
    assert finger_overlap(keypoints) == 0
    crossed = keypoints.copy()
    crossed[9:13] = keypoints[5:9]
    assert finger_overlap(crossed) > 0.04


def test_drawing_is_deterministic_and_follows_shares():
    assert drawn("anything", 3)[1] == drawn("anything", 3)[1]
    random = rng()
    names = [draw_gesture(random) for _ in range(500)]
    assert len(set(names)) == len(GESTURES)
    assert names.count("open") > names.count("shaka")
    assert {draw_gesture(random, ("ok", "fist")) for _ in range(50)} == {"ok", "fist"}


def test_an_unknown_gesture_is_an_error():
    random = rng()
    with pytest.raises(KeyError):
        draw_pose(random, draw_identity(random, 90), "wave")
