"""The cut mesh of hand and arm (see `build_mesh.py`), loaded once per process and carried on to the shoulder."""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets.synthetic.vectors import Array, unit, vertex_normals

MESH_FILE = Path(__file__).with_name("hand_mesh.npz")

# Bones, in the order of the skinning weights; the upper arm is added to the cut mesh when it is loaded.
FOREARM, PALM, FIRST_METACARPAL_BONE, FIRST_PHALANX_BONE, UPPER_ARM = 0, 1, 2, 6, 21
BONE_COUNT = 22
WRIST_JOINT, ELBOW_JOINT = 0, 1
BESIDE = 0.035  # vertices this near to the line through a keypoint tell how thick the hand is there

# Rings of vertices that carry the arm on beyond the cut at the elbow: distance from the cut, share of upper arm.
# The last but one is where the shoulder would be.
UPPER_ARM_RINGS = ((0.06, 0.4), (0.18, 0.9), (0.8, 1.0), (2.0, 1.0), (4.0, 1.0))
UPPER_ARM_WIDENING = 1.08  # per ring


@dataclass(frozen=True, eq=False)
class HandMesh:
    """The cut mesh and what can be worked out from it once. V vertices, T triangles.

    vertices: (identities, V, 3). joints: (identities, 22, 3): wrist, elbow, then four joints of each of five fingers,
    thumb first, the last a point near the finger's tip. length, diameter and spacing of the fingers have a target each
    for more and for less: target_vertices (6, V, 3), target_joints (6, 22, 3).
    weights: (V, 22). triangles: (T, 3), outward by the right-hand rule.
    texture: (V, 3), the mean hand at rest: what skin texture is looked up by, whoever the hand belongs to.
    texture_joints: (5, 4, 3), the finger joints of that mean hand. palmar: (V,), 1 on the palm, -1 on the back.
    finger: (V,), 0 thumb to 4 little finger, -1 elsewhere. along_arm: (V,), 0 at the wrist, 1 at the elbow,
    negative on the hand. tips: (5, 8), the vertices at each finger's end; shoulder: those around the shoulder.
    thickness: (21,), how deep a keypoint lies below the palm or the back, whichever is further.
    """

    vertices: NDArray[np.float32]
    joints: NDArray[np.float32]
    target_vertices: NDArray[np.float32]
    target_joints: NDArray[np.float32]
    weights: Array
    triangles: NDArray[np.int32]
    texture: Array
    texture_joints: Array
    palmar: Array
    finger: NDArray[np.int32]
    along_arm: Array
    tips: NDArray[np.intp]
    shoulder: NDArray[np.intp]
    thickness: Array


def finger_joint(finger: int, joint: int) -> int:
    """Row of a finger's joint (0 to 3; finger 0 is the thumb) among a mesh's joints."""
    return 2 + 4 * finger + joint


def _cut_loop(triangles: NDArray[np.int32]) -> list[tuple[int, int]]:
    """The directed edges of the open boundary, each in the direction its triangle runs through it."""
    directed = [(int(t[i]), int(t[(i + 1) % 3])) for t in triangles for i in range(3)]
    uses = Counter((min(edge), max(edge)) for edge in directed)
    return [edge for edge in directed if uses[(min(edge), max(edge))] == 1]


def _with_upper_arm(stored: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Carry the arm on beyond the cut: rings of new vertices along the forearm, skinned to a new bone."""
    vertices, triangles, weights = stored["vertices"], stored["triangles"], stored["weights"]
    edges = _cut_loop(triangles)
    loop = [edge[0] for edge in edges]
    place = {vertex: index for index, vertex in enumerate(loop)}
    elbow = stored["joints"][:, ELBOW_JOINT]  # (identities, 3)
    axis = unit(elbow)[:, None]
    rim = vertices[:, loop]  # (identities, L, 3)
    height = (rim * axis).sum(axis=2, keepdims=True)
    centre = rim.mean(axis=1, keepdims=True)
    centre = centre - axis * (centre * axis).sum(axis=2, keepdims=True)
    around = rim - axis * height - centre  # (identities, L, 3), in the plane across the forearm
    weights = np.concatenate([weights, np.zeros((len(weights), 1), np.float32)], axis=1)
    rings, ring_weights, new_triangles = [], [], []
    previous, first = np.array(loop), vertices.shape[1]
    for number, (distance, share) in enumerate(UPPER_ARM_RINGS):
        position = height.max(axis=1, keepdims=True) + distance
        rings.append(centre + axis * position + around * UPPER_ARM_WIDENING**number)
        row = np.zeros((len(loop), BONE_COUNT), np.float32)
        row[:, FOREARM], row[:, UPPER_ARM] = 1.0 - share, share
        ring_weights.append(row)
        current = first + number * len(loop) + np.arange(len(loop))
        for a, b in edges:
            i, k = place[a], place[b]
            new_triangles += [(previous[k], previous[i], current[i]), (previous[k], current[i], current[k])]
        previous = current
    added = len(UPPER_ARM_RINGS) * len(loop)
    targets = stored["target_vertices"]
    return stored | {
        "vertices": np.concatenate([vertices, *rings], axis=1).astype(np.float32),
        "weights": np.concatenate([weights, *ring_weights]),
        "triangles": np.concatenate([triangles, np.array(new_triangles, np.int32)]),
        "target_vertices": np.concatenate([targets, np.zeros((len(targets), added, 3), np.float32)], axis=1),
    }


@lru_cache(maxsize=1)
def hand_mesh() -> HandMesh:
    """The mesh that comes with this package, loaded once per process."""
    with np.load(MESH_FILE) as archive:
        stored = _with_upper_arm({name: archive[name] for name in archive.files})
    weights = stored["weights"].astype(np.float64)
    triangles = stored["triangles"].astype(np.int32)
    texture = stored["vertices"].mean(axis=0, dtype=np.float64)
    joints = stored["joints"].mean(axis=0, dtype=np.float64)
    strongest = weights.argmax(axis=1)
    finger = np.full(len(texture), -1, np.int32)
    ends = []
    for number in range(5):
        first = FIRST_PHALANX_BONE + 3 * number
        finger[(strongest >= first) & (strongest < first + 3)] = number
        reach = texture @ unit(joints[finger_joint(number, 3)] - joints[finger_joint(number, 2)])
        ends.append(np.argsort(np.where(finger == number, -reach, np.inf))[:8])
    tips = np.array(ends)
    elbow = joints[ELBOW_JOINT]
    keypoints = np.empty((21, 3))
    keypoints[0] = joints[WRIST_JOINT]
    for number in range(5):
        keypoints[1 + 4 * number : 4 + 4 * number] = joints[finger_joint(number, 0) : finger_joint(number, 3)]
        keypoints[4 + 4 * number] = texture[tips[number]].mean(axis=0)
    offset = texture[None] - keypoints[:, None]  # (21, V, 3)
    beside = np.linalg.norm(offset[..., :2], axis=2) < BESIDE
    upper_arm = np.flatnonzero(weights[:, UPPER_ARM] == 1.0)
    shoulder = np.split(upper_arm, sum(share == 1.0 for _, share in UPPER_ARM_RINGS))[-2]
    return HandMesh(
        vertices=stored["vertices"],
        joints=stored["joints"],
        target_vertices=stored["target_vertices"],
        target_joints=stored["target_joints"],
        weights=weights,
        triangles=triangles,
        texture=texture,
        texture_joints=joints[2:].reshape(5, 4, 3),
        palmar=vertex_normals(texture, triangles)[:, 2],
        finger=finger,
        along_arm=texture @ elbow / (elbow @ elbow),
        tips=tips,
        shoulder=shoulder,
        thickness=np.where(beside, np.abs(offset[..., 2]), 0).max(axis=1),
    )
