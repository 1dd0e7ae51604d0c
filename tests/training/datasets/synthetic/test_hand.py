"""The hand bends the way hands do, and left is left."""

from dataclasses import replace

import numpy as np
import pytest

from training.datasets.synthetic.hand import (
    Identity,
    Pose,
    Thumb,
    bone_motions,
    keypoints_at,
    pose_hand,
    rest_shape,
    shoulders_at,
)
from training.datasets.synthetic.mesh import BONE_COUNT, hand_mesh

SOMEBODY = Identity((0, 40, 80), (0.3, 0.3, 0.4), 0.2, -0.3, 0.1)
NO_BEND = (0.0, 0.0, 0.0, 0.0)
THUMB = Thumb(0.1, 0.1, 0.1, 0.1, 0.1)
STRAIGHT = Pose(NO_BEND, NO_BEND, NO_BEND, NO_BEND, THUMB)


def bent(mcp: float, pip: float, dip: float) -> Pose:
    return replace(STRAIGHT, mcp=(mcp,) * 4, pip=(pip,) * 4, dip=(dip,) * 4)


def bone_lengths(keypoints: np.ndarray) -> np.ndarray:
    return np.array(
        [
            np.linalg.norm(keypoints[4 * f + j + 1] - keypoints[4 * f + j])
            for f in range(5)
            for j in range(1, 4)
        ]
    )


def test_the_hand_frame_is_as_documented():
    keypoints = pose_hand(SOMEBODY, STRAIGHT).keypoints
    np.testing.assert_allclose(keypoints[0], 0, atol=0.02)
    assert np.linalg.norm(keypoints[12]) == pytest.approx(1, abs=0.1)  # wrist to middle fingertip
    assert (
        keypoints[5, 0] < keypoints[9, 0] < keypoints[13, 0] < keypoints[17, 0]
    )  # index to little finger along x
    assert (keypoints[[8, 12, 16, 20], 1] > keypoints[[5, 9, 13, 17], 1]).all()  # fingers along y
    assert keypoints[4, 0] < keypoints[5, 0]  # the thumb is beyond the index finger


@pytest.mark.parametrize("bend", [0.4, 0.8, 1.2])
def test_fingers_flex_towards_the_palm(bend):
    straight = pose_hand(SOMEBODY, STRAIGHT).keypoints
    for pose in (bent(bend, 0, 0), bent(0, bend, 0), bent(0, 0, bend)):
        tips = pose_hand(SOMEBODY, pose).keypoints[[8, 12, 16, 20]]
        assert (tips[:, 2] > straight[[8, 12, 16, 20], 2] + 0.02).all()


def test_flexion_is_the_angle_between_the_bones():
    keypoints = keypoints_at(rest_shape(SOMEBODY)[1], bone_motions(rest_shape(SOMEBODY)[1], bent(0, 1.0, 0)))
    for first in (5, 9, 13, 17):
        a, b = keypoints[first + 1] - keypoints[first], keypoints[first + 2] - keypoints[first + 1]
        angle = np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        assert angle == pytest.approx(1.0, abs=0.12)


def test_chirality_of_flexed_hands():
    """Seen from the palm, a left hand's index-to-little direction, its fingers and its palm form a right-handed frame;
    the fingertips of a flexed hand show on which side the palm is."""
    keypoints = pose_hand(SOMEBODY, bent(0.8, 0.9, 0.5)).keypoints
    wrist, index, little = keypoints[0], keypoints[5], keypoints[17]
    palm_side = keypoints[[8, 12, 16, 20]].mean(axis=0) - keypoints[[5, 9, 13, 17]].mean(axis=0)
    assert np.cross(little - wrist, index - wrist) @ palm_side > 0.02


def test_the_thumb_moves_as_named():
    rest = pose_hand(SOMEBODY, STRAIGHT).keypoints[4]

    def tip(**angles: float) -> np.ndarray:
        return pose_hand(SOMEBODY, replace(STRAIGHT, thumb=replace(THUMB, **angles))).keypoints[4]

    assert tip(radial=0.6)[0] < rest[0] - 0.05  # away from the fingers
    assert tip(palmar=0.6)[2] > rest[2] + 0.05  # out of the palm
    assert tip(mcp=0.8)[0] > rest[0] + 0.03  # flexion goes across the palm
    assert tip(ip=0.9)[0] > rest[0] + 0.03


def test_the_wrist_moves_as_named():
    joints = rest_shape(SOMEBODY)[1]
    elbow = joints[1]

    def moved(**angles: float) -> np.ndarray:
        motion = bone_motions(joints, replace(STRAIGHT, **angles))[0]
        return motion[:3, :3] @ elbow + motion[:3, 3] - elbow

    assert moved(wrist_extension=0.5)[2] < -0.3  # a hand tipped back has its forearm behind it
    assert (
        moved(wrist_deviation=0.3)[0] > 0.2
    )  # a hand turned to the thumb's side has its forearm on the other


def test_posing_keeps_bones_rigid():
    joints = rest_shape(SOMEBODY)[1]
    straight = bone_lengths(keypoints_at(joints, bone_motions(joints, STRAIGHT)))
    curled = bone_lengths(keypoints_at(joints, bone_motions(joints, bent(1.2, 1.5, 0.9))))
    np.testing.assert_allclose(straight, curled, atol=1e-9)
    motions = bone_motions(joints, bent(1.2, 1.5, 0.9))
    assert motions.shape == (BONE_COUNT, 4, 4)
    turns = motions[:, :3, :3]
    np.testing.assert_allclose(
        turns @ turns.transpose(0, 2, 1), np.tile(np.eye(3), (BONE_COUNT, 1, 1)), atol=1e-9
    )


def test_keypoints_lie_inside_the_hand():
    hand = pose_hand(SOMEBODY, bent(0.5, 0.6, 0.3))
    distance = np.linalg.norm(hand.vertices[None] - hand.keypoints[:, None], axis=2).min(axis=1)
    assert (distance < 0.13).all()
    nearest = np.linalg.norm(hand.vertices[None] - hand.keypoints[:, None], axis=2).argmin(axis=1)
    outward = ((hand.vertices[nearest] - hand.keypoints) * hand.normals[nearest]).sum(axis=1)
    assert (outward[[1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19]] > 0).all()


def test_identities_differ_in_proportion():
    short = rest_shape(replace(SOMEBODY, finger_length=-1.4))[1]
    long = rest_shape(replace(SOMEBODY, finger_length=1.4))[1]
    assert np.linalg.norm(long[9] - long[6]) > 1.05 * np.linalg.norm(short[9] - short[6])


def test_shoulders_at_agrees_with_the_skinned_arm():
    elbow, direction = np.array([0.0, 0.7, 1.6]), np.array([0.0, 1.0, 4.0])
    quick = shoulders_at(rest_shape(SOMEBODY)[1], STRAIGHT, elbow, direction)
    for index in range(3):
        pose = replace(STRAIGHT, elbow=float(elbow[index]), elbow_direction=float(direction[index]))
        skinned = pose_hand(SOMEBODY, pose).vertices[hand_mesh().shoulder].mean(axis=0)
        np.testing.assert_allclose(quick[index], skinned, atol=0.15)  # the arm is three hand lengths long
