"""Reading MakeHuman's files and the frame the mesh is turned into."""

import gzip
from pathlib import Path

import numpy as np

from training.datasets.synthetic.build_mesh import (
    JOINTS,
    LITTLE_KNUCKLE,
    MIDDLE_KNUCKLE,
    MIDDLE_TIP,
    body_names,
    hand_frame,
    read_body,
    read_target,
)
from training.datasets.synthetic.mesh import hand_mesh


def test_a_body_is_read_with_its_groups(tmp_path: Path):
    (tmp_path / "3dobjs").mkdir()
    lines = [
        "# comment",
        "v 0 0 0",
        "v 1 0 0",
        "v 1 1 0",
        "v 0 1 0",
        "g body",
        "f 1/1 2/2 3/3 4/4",
        "g cube",
        "f 4 3 2 1",
    ]
    (tmp_path / "3dobjs" / "base.obj").write_text("\n".join(lines))
    vertices, faces, groups = read_body(tmp_path)
    assert vertices.shape == (4, 3)
    assert faces == [[0, 1, 2, 3], [3, 2, 1, 0]]
    assert groups == ["body", "cube"]


def test_a_target_moves_only_its_vertices(tmp_path: Path):
    (tmp_path / "targets").mkdir()
    with gzip.open(tmp_path / "targets" / "longer.target.gz", "wt") as file:
        file.write("# a comment of four words\n2 .5 -.25 1\n")
    offsets = read_target(tmp_path, "longer", 4)
    np.testing.assert_allclose(offsets[2], [0.5, -0.25, 1])
    assert np.count_nonzero(offsets) == 3


def test_bodies_without_a_target_are_left_out(tmp_path: Path):
    folder = tmp_path / "targets" / "macrodetails"
    folder.mkdir(parents=True)
    (folder / "universal-male-old-averagemuscle-maxweight.target.gz").touch()
    (folder / "universal-male-old-maxmuscle-maxweight.target.gz").touch()  # both extremes: not used
    names = body_names(tmp_path)
    assert [person for person, _ in names] == [
        f"macrodetails/{o}-male-old" for o in ("african", "asian", "caucasian")
    ]


def test_the_committed_joints_are_in_the_hand_frame():
    joints = hand_mesh().joints.astype(float)
    assert joints.shape[1:] == (len(JOINTS), 3)
    for identity in joints:
        origin, axes, unit = hand_frame(identity)
        np.testing.assert_allclose(origin, 0, atol=1e-6)
        np.testing.assert_allclose(axes, np.eye(3), atol=1e-4)
        assert abs(unit - 1) < 1e-4
        assert identity[MIDDLE_TIP, 1] > identity[MIDDLE_KNUCKLE, 1] > 0
        assert identity[LITTLE_KNUCKLE, 0] > 0
