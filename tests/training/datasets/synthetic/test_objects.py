"""Solids are closed and held things are in the hand."""

import numpy as np
import pytest

from training.datasets.synthetic.appearance import draw_skin
from training.datasets.synthetic.hand import pose_hand
from training.datasets.synthetic.objects import (
    BALL,
    BOX,
    CYLINDER,
    held_object,
    obstacle,
    person,
    skin_blob,
    solid_part,
)
from training.datasets.synthetic.poses import draw_identity, draw_pose
from training.datasets.synthetic.vectors import unit


@pytest.mark.parametrize("solid", [BALL, BOX, CYLINDER])
def test_normals_point_outward(solid):
    vertices, normals, triangles = solid
    assert ((vertices * normals).sum(axis=1) > 0).all()
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)
    assert triangles.max() == len(vertices) - 1


def test_solid_part_has_the_size_and_place_asked_for():
    axes = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    part = solid_part(
        BOX, np.array([1.0, 2, 3]), axes, np.array([10.0, 0, 0]), draw_skin(np.random.default_rng(0))
    )
    np.testing.assert_allclose(np.ptp(part.vertices, axis=0), [4, 2, 6])
    np.testing.assert_allclose(part.vertices.mean(axis=0), [10, 0, 0], atol=1e-12)
    assert np.abs(part.texture).max() == pytest.approx(0.5)


def test_normals_of_a_stretched_ball_are_those_of_an_ellipsoid():
    half_sizes = np.array([1.0, 2, 5])
    part = solid_part(BALL, half_sizes, np.eye(3), np.zeros(3), draw_skin(np.random.default_rng(0)))
    np.testing.assert_allclose(part.normals, unit(part.vertices / half_sizes**2), atol=1e-9)


@pytest.mark.parametrize(
    "gesture", ["hold", "grip", "tripod", "pinch", "prismatic", "lateral", "fist", "open"]
)
def test_held_objects_touch_the_hand(gesture):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        identity = draw_identity(rng, 90)
        hand = pose_hand(identity, draw_pose(rng, identity, gesture))
        parts = held_object(rng, gesture, hand.keypoints)
        corners = np.concatenate([part.vertices[part.triangles] for part in parts])  # (T, 3, 3)
        shares = rng.dirichlet([1, 1, 1], 12)
        surface = np.einsum("sk,tkx->tsx", shares, corners).reshape(-1, 3)
        distance = np.linalg.norm(surface[:, None] - hand.vertices[None, :1842:8], axis=2)
        assert distance.min() < 0.1
        assert all(np.isfinite(part.normals).all() for part in parts)


def test_gripped_things_leave_room_for_the_fingers():
    """A cylinder in a fist must not swallow the bones of the hand that holds it."""
    inside = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        identity = draw_identity(rng, 90)
        hand = pose_hand(identity, draw_pose(rng, identity, "grip"))
        parts = held_object(rng, "grip", hand.keypoints)
        for part in parts:
            facing = (part.normals * (part.vertices - part.vertices.mean(axis=0))).sum(axis=1)
            assert (facing > -1e-6).all()
        vertices = np.concatenate([part.vertices for part in parts])
        normals = np.concatenate([part.normals for part in parts])
        bones = hand.keypoints[[6, 10, 14, 18]]
        nearest = np.linalg.norm(vertices[None] - bones[:, None], axis=2).argmin(axis=1)
        offset = ((bones - vertices[nearest]) * normals[nearest]).sum(axis=1)
        inside.append((offset < -0.03).mean())
    assert np.mean(inside) < 0.25


def test_bodies_stand_where_they_are_put():
    rng = np.random.default_rng(3)
    parts = person(rng, np.array([100.0, 50, 10]), 40, draw_skin(rng))
    face = parts[0]
    np.testing.assert_allclose(face.vertices.mean(axis=0), [100, 50, 10], atol=1.5)
    assert np.ptp(face.vertices[:, 1]) == pytest.approx(40, rel=0.1)
    assert max(part.vertices[:, 1].max() for part in parts) > 150  # the torso hangs below
    assert all(part.owner == -1 for part in parts)
    blob = skin_blob(rng, np.array([30.0, 30, 0]), 10, draw_skin(rng))
    assert np.abs(blob.vertices - [30, 30, 0]).max() < 16
    thing = obstacle(rng, np.array([5.0, 6, -7]), 10)
    np.testing.assert_allclose(thing.vertices.mean(axis=0), [5, 6, -7], atol=1e-6)
