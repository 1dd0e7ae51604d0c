"""The articulated hand: who it belongs to, how it is bent, and where that puts its surface and its 21 keypoints.

Everything here is in the hand frame of `build_mesh.py`: origin at the wrist, unit = wrist to the tip of the middle
finger, x from the index to the little finger, y along the fingers, z out of the palm. The mesh is a left hand;
`Stage.mirrored()` makes it a right one.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from training.datasets.synthetic.mesh import (
    BONE_COUNT,
    ELBOW_JOINT,
    FIRST_METACARPAL_BONE,
    FIRST_PHALANX_BONE,
    FOREARM,
    UPPER_ARM,
    WRIST_JOINT,
    hand_mesh,
)
from training.datasets.synthetic.vectors import (
    Array,
    Z,
    across,
    cross,
    direction,
    rotation,
    unit,
    vertex_normals,
)


@dataclass(frozen=True)
class Identity:
    """Whose hand: a blend of three bodies of the mesh, and finger proportions in -1.5 (less) to 1.5 (more)."""

    bodies: tuple[int, int, int]
    shares: tuple[float, float, float]
    finger_length: float
    finger_diameter: float
    finger_spacing: float


@dataclass(frozen=True)
class Thumb:
    """Angles of the thumb in radians: away from the index finger in the palm's plane (radial), out of the palm
    (palmar), about its own axis (roll), and the flexion of its two hinges."""

    radial: float
    palmar: float
    roll: float
    mcp: float
    ip: float


@dataclass(frozen=True)
class Pose:
    """Every joint angle of hand and arm, in radians, flexion positive; index to little finger where there are four.

    spread turns a finger towards the thumb's side. The wrist's extension tips the hand backwards, its deviation turns
    it to the thumb's side. elbow is the angle between forearm and upper arm (0 is straight), elbow_direction the
    direction about the forearm in which the upper arm goes.
    """

    mcp: tuple[float, float, float, float]
    pip: tuple[float, float, float, float]
    dip: tuple[float, float, float, float]
    spread: tuple[float, float, float, float]
    thumb: Thumb
    wrist_extension: float = 0.0
    wrist_deviation: float = 0.0
    elbow: float = 0.0
    elbow_direction: float = 0.0


@dataclass(frozen=True, eq=False)
class PosedHand:
    """A bent hand: vertices (V, 3), outward normals (V, 3), keypoints (21, 3), all in the hand frame."""

    vertices: Array
    normals: Array
    keypoints: Array


def rest_shape(identity: Identity) -> tuple[Array, Array]:
    """Vertices (V, 3) and joints (22, 3) of one person's hand at rest."""
    mesh = hand_mesh()
    bodies, shares = list(identity.bodies), np.array(identity.shares)
    vertices = np.tensordot(shares, mesh.vertices[bodies], 1)
    joints = np.tensordot(shares, mesh.joints[bodies], 1)
    amounts = (identity.finger_length, identity.finger_diameter, identity.finger_spacing)
    for pair, amount in enumerate(amounts):
        target = 2 * pair + (0 if amount > 0 else 1)
        vertices = vertices + abs(amount) * mesh.target_vertices[target]
        joints = joints + abs(amount) * mesh.target_joints[target]
    return vertices, joints


def bone_motions(joints: Array, pose: Pose) -> Array:
    """Rigid motion (22, 4, 4) of every bone from rest to `pose`, for a hand with these rest joints (22, 3)."""
    thumb = pose.thumb
    return _bone_motions(
        np.ascontiguousarray(joints),
        np.array([pose.mcp, pose.pip, pose.dip, pose.spread]),
        np.array([thumb.radial, thumb.palmar, thumb.roll, thumb.mcp, thumb.ip]),
        np.array([pose.wrist_extension, pose.wrist_deviation, pose.elbow, pose.elbow_direction]),
    )


@njit(cache=True)
def _about(matrix: Array, pivot: Array) -> Array:
    """The rigid motion (4, 4) that turns by `matrix` about the point `pivot`."""
    motion = np.eye(4)
    motion[:3, :3] = matrix
    motion[:3, 3] = pivot - matrix @ pivot
    return motion


@njit(cache=True)
def _signed_angle(a: Array, b: Array, axis: Array) -> float:
    """Angle in radians from `a` to `b` about `axis`, both seen along it."""
    a, b = across(a, axis), across(b, axis)
    return math.atan2(np.dot(cross(a, b), axis), np.dot(a, b))


@njit(cache=True)
def _bone_motions(joints: Array, fingers: Array, thumb: Array, arm: Array) -> Array:
    """`bone_motions` with the pose as arrays: fingers (4, 4) are mcp, pip, dip, spread of index to little finger;
    thumb (5,) and arm (4,) in the order of the fields of `Thumb` and of `Pose`'s last four."""
    x, z = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])
    wrist, elbow = joints[WRIST_JOINT], joints[ELBOW_JOINT]
    motions = np.zeros((BONE_COUNT, 4, 4))
    motions[:] = np.eye(4)
    motions[FOREARM] = _about(rotation(x, arm[0]) @ rotation(z, arm[1]), wrist)
    forearm = direction(elbow - wrist)
    bend_axis = rotation(forearm, arm[3]) @ direction(across(z, forearm))
    motions[UPPER_ARM] = motions[FOREARM] @ _about(rotation(bend_axis, arm[2]), elbow)
    # A fist cups the palm: the two outer metacarpals follow their fingers a little.
    cupping = max(0.0, (fingers[0, 2] + fingers[0, 3]) / 2) * 0.12
    for finger, amount in ((3, 0.5 * cupping), (4, cupping)):
        axis = direction(cross(direction(joints[2 + 4 * finger] - wrist), z))
        motions[FIRST_METACARPAL_BONE + finger - 1] = _about(rotation(axis, amount), wrist)
    for finger in range(1, 5):
        _bend_finger(motions, finger, joints[2 + 4 * finger : 6 + 4 * finger], wrist, fingers[:, finger - 1])
    _bend_thumb(motions, joints[2:6], thumb)
    return motions


@njit(cache=True)
def _bend_finger(motions: Array, finger: int, chain: Array, wrist: Array, angles: Array) -> None:
    """Set the motions of a finger's three phalanges; `chain` (4, 3) are its joints at rest, `angles` (4,) its mcp, pip,
    dip and spread."""
    z = np.array([0.0, 0.0, 1.0])
    pointing = direction(chain[3] - chain[0])
    curl = direction(
        (chain[0] + chain[3]) / 2 - chain[1]
    )  # fingers at rest are slightly bent: this way is palmar
    axis = direction(cross(pointing, direction(across(curl + z, pointing))))
    before = direction(chain[0] - wrist)
    motion = motions[FIRST_METACARPAL_BONE + finger - 1]
    for phalanx in range(3):
        segment = direction(chain[phalanx + 1] - chain[phalanx])
        turn = rotation(axis, angles[phalanx] - _signed_angle(before, segment, axis))
        if phalanx == 0:
            turn = rotation(z, angles[3]) @ turn
        motion = motion @ _about(turn, chain[phalanx])
        motions[FIRST_PHALANX_BONE + 3 * finger + phalanx] = motion
        before = segment


@njit(cache=True)
def _bend_thumb(motions: Array, chain: Array, angles: Array) -> None:
    """Set the motions of the thumb's metacarpal and two phalanges; `chain` (4, 3) are its joints at rest, `angles` (5,)
    as in `Thumb`."""
    x, z = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])
    metacarpal, proximal = direction(chain[1] - chain[0]), direction(chain[2] - chain[1])
    distal, phalanges = direction(chain[3] - chain[2]), direction(chain[3] - chain[1])
    hinge = direction(cross(metacarpal, direction(x + 0.25 * z)))  # the thumb flexes across the palm
    hinge = direction(hinge - 0.8 * phalanges * np.dot(hinge, phalanges))
    palmar_axis = direction(cross(metacarpal, z))
    turn = rotation(metacarpal, angles[2]) @ rotation(z, angles[0]) @ rotation(palmar_axis, angles[1])
    motion = _about(turn, chain[0])
    motions[FIRST_PHALANX_BONE] = motion
    bend = angles[3] - 0.5 * _signed_angle(metacarpal, proximal, hinge)
    motion = motion @ _about(rotation(hinge, bend), chain[1])
    motions[FIRST_PHALANX_BONE + 1] = motion
    bend = angles[4] - 0.5 * _signed_angle(proximal, distal, hinge)
    motions[FIRST_PHALANX_BONE + 2] = motion @ _about(rotation(hinge, bend), chain[2])


@njit(cache=True)
def keypoints_at(joints: Array, motions: Array) -> Array:
    """The 21 keypoints (21, 3), without skinning: fingertips are the ends of the bones, a little below the skin."""
    keypoints = np.empty((21, 3))
    keypoints[0] = joints[WRIST_JOINT]
    for finger in range(5):
        for joint in range(4):
            motion = motions[FIRST_PHALANX_BONE + 3 * finger + min(joint, 2)]
            place = joints[2 + 4 * finger + joint]
            for axis in range(3):
                row = motion[axis]
                keypoints[1 + 4 * finger + joint, axis] = (
                    row[0] * place[0] + row[1] * place[1] + row[2] * place[2] + row[3]
                )
    return keypoints


def shoulders_at(joints: Array, pose: Pose, elbow: Array, elbow_direction: Array) -> Array:
    """Where the shoulder of a hand in `pose` is, (N, 3) in the hand frame, for N other bends of the elbow (N,)."""
    rest = joints[ELBOW_JOINT]
    forearm = unit(rest)
    first = unit(Z - forearm * (Z @ forearm))
    second = cross(forearm, first)
    # The upper arm turns about an axis across the forearm: it leaves the forearm's line towards axis x forearm.
    sideways = np.sin(elbow_direction)[:, None] * first - np.cos(elbow_direction)[:, None] * second
    upper_arm = np.cos(elbow)[:, None] * forearm + np.sin(elbow)[:, None] * sideways
    length = float(np.linalg.norm(rest)) * (hand_mesh().along_arm[hand_mesh().shoulder].mean() - 1)
    motion = bone_motions(joints, pose)[FOREARM]
    shoulders: Array = (rest + length * upper_arm) @ motion[:3, :3].T + motion[:3, 3]
    return shoulders


def pose_hand(identity: Identity, pose: Pose) -> PosedHand:
    """Bend one person's hand by linear blend skinning; a left hand."""
    mesh = hand_mesh()
    vertices, joints = rest_shape(identity)
    motions = bone_motions(joints, pose)
    blended = (mesh.weights @ motions[:, :3].reshape(BONE_COUNT, 12)).reshape(-1, 3, 4)
    posed = np.einsum("vij,vj->vi", blended[:, :, :3], vertices) + blended[:, :, 3]
    keypoints = keypoints_at(joints, motions)
    for finger in range(5):
        keypoints[4 + 4 * finger] = posed[mesh.tips[finger]].mean(axis=0)
    return PosedHand(posed, vertex_normals(posed, mesh.triangles), keypoints)
