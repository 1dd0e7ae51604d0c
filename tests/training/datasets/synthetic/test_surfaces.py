"""Parts join into one geometry without mixing up."""

import numpy as np

from training.datasets.synthetic.surfaces import SURFACE, Part, join


def triangle(offset: float, owner: int, colour: float) -> Part:
    surface = np.zeros((), SURFACE)
    surface["colour"] = colour
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]) + offset
    return Part(vertices, vertices, vertices, np.array([[0, 1, 2]], np.int32), surface[()], owner)


def test_join_offsets_triangles_and_keeps_surfaces():
    geometry = join([triangle(0, 4, 0.2), triangle(5, -1, 0.8)])
    assert geometry.triangles.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert geometry.part.tolist() == [0, 1]
    assert geometry.owners.tolist() == [4, -1]
    np.testing.assert_allclose(geometry.surfaces["colour"][:, 0], [0.2, 0.8])
    np.testing.assert_allclose(geometry.vertices[3], [5, 5, 5])
    assert geometry.keep.tolist() == [1] * 6  # drawn unless said otherwise
    assert geometry.finger.tolist() == [-1] * 6


def test_moved_changes_the_place_alone():
    part = triangle(0, 2, 0.5)
    moved = part.moved(part.vertices + 3, part.normals)
    np.testing.assert_allclose(moved.vertices, part.vertices + 3)
    assert moved.owner == 2
    assert moved.texture is part.texture
