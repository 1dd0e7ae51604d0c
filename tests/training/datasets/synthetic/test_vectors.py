"""Rotations and normals."""

import math

import numpy as np

from training.datasets.synthetic.vectors import across, cross, direction, rotation, unit, vertex_normals


def test_rotation_follows_the_right_hand_rule():
    quarter = rotation(np.array([0.0, 0.0, 1.0]), math.pi / 2)
    np.testing.assert_allclose(quarter @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotation(unit(np.array([1.0, 2, 3])), 0.7)), 1)


def test_cross_and_direction_agree_with_numpy():
    a, b = np.array([1.0, -2, 3]), np.array([0.5, 4, -1])
    np.testing.assert_allclose(cross(a, b), np.cross(a, b))
    np.testing.assert_allclose(direction(a), a / np.linalg.norm(a))
    assert abs(across(a, direction(b)) @ b) < 1e-12


def test_unit_leaves_a_zero_vector_finite():
    assert np.isfinite(unit(np.zeros((2, 3)))).all()


def test_normals_of_a_tetrahedron_point_outward():
    corners = np.array([[1.0, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]])
    triangles = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32)
    np.testing.assert_allclose(vertex_normals(corners, triangles), unit(corners), atol=1e-12)
