"""Small vectors, rotations and normals."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]
X, Y, Z = np.eye(3)


def unit(vector: Array) -> Array:
    """Vectors (..., 3) scaled to length one."""
    length: Array = np.linalg.norm(vector, axis=-1, keepdims=True)
    return vector / np.maximum(length, 1e-12)


@njit(cache=True)
def cross(a: Array, b: Array) -> Array:
    """Cross product of two vectors (3,)."""
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


@njit(cache=True)
def rotation(axis: Array, angle: float) -> Array:
    """Rotation matrix (3, 3) by `angle` radians about the unit vector `axis` (Rodrigues' formula)."""
    x, y, z = axis[0], axis[1], axis[2]
    c, s = math.cos(angle), math.sin(angle)
    k = 1.0 - c
    return np.array(
        [
            [c + x * x * k, x * y * k - z * s, x * z * k + y * s],
            [y * x * k + z * s, c + y * y * k, y * z * k - x * s],
            [z * x * k - y * s, z * y * k + x * s, c + z * z * k],
        ]
    )


@njit(cache=True)
def direction(vector: Array) -> Array:
    """One vector (3,) scaled to length one; `unit` for compiled code."""
    return vector / math.sqrt(vector[0] ** 2 + vector[1] ** 2 + vector[2] ** 2 + 1e-24)


@njit(cache=True)
def across(vector: Array, axis: Array) -> Array:
    """The part of a vector that is perpendicular to the unit vector `axis`."""
    along: float = np.dot(vector, axis)
    return vector - axis * along


def vertex_normals(vertices: Array, triangles: NDArray[np.int32]) -> Array:
    """Outward unit normals (V, 3), weighted by the area of the triangles around each vertex."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    faces = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for axis in range(3):
        normals[:, axis] = np.bincount(triangles.ravel(), np.repeat(faces[:, axis], 3), len(vertices))
    return unit(normals)
