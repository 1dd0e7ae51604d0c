"""The committed mesh: closed but for the far end of the arm, outward, skinned."""

from collections import Counter

import numpy as np

from training.datasets.synthetic.mesh import MESH_FILE, hand_mesh


def test_the_mesh_is_small_and_free_of_pickles():
    assert MESH_FILE.stat().st_size < 3e6
    with np.load(MESH_FILE, allow_pickle=False) as archive:
        assert archive["vertices"].shape[0] == 90


def test_the_only_hole_is_the_end_of_the_arm():
    mesh = hand_mesh()
    edges = Counter(
        (min(a, b), max(a, b)) for t in mesh.triangles.tolist() for a, b in zip(t, t[1:] + t[:1], strict=True)
    )
    assert set(edges.values()) == {1, 2}
    rim = {vertex for edge, uses in edges.items() if uses == 1 for vertex in edge}
    assert min(mesh.along_arm[list(rim)]) > mesh.along_arm[mesh.shoulder].max()


def test_triangles_face_outward():
    mesh = hand_mesh()
    a, b, c = (mesh.texture[mesh.triangles[:, corner]] for corner in range(3))
    assert (np.cross(a, b) * c).sum() > 0  # six times the enclosed volume


def test_weights_sum_to_one():
    np.testing.assert_allclose(hand_mesh().weights.sum(axis=1), 1, atol=1e-5)


def test_landmarks_of_the_surface():
    mesh = hand_mesh()
    assert mesh.palmar[mesh.finger == 2].min() < -0.9  # nails face away from the palm
    assert mesh.palmar.max() > 0.9
    for finger in range(5):
        assert (mesh.finger[mesh.tips[finger]] == finger).all()
    assert ((mesh.thickness > 0) & (mesh.thickness < 0.2)).all()
