"""The 21 keypoints of a hand, in the order the service answers them."""

from itertools import pairwise

_JOINTS = ("mcp", "pip", "dip", "tip")

KEYPOINT_NAMES: tuple[str, ...] = (
    "wrist",
    *(f"thumb_{joint}" for joint in ("cmc", "mcp", "ip", "tip")),
    *(f"{finger}_{joint}" for finger in ("index", "middle", "ring", "pinky") for joint in _JOINTS),
)

# Five chains of keypoint indices, from the wrist to a fingertip: thumb, index, middle, ring, pinky.
FINGERS: tuple[tuple[int, ...], ...] = tuple((0, *range(1 + 4 * f, 5 + 4 * f)) for f in range(5))

# The bones to draw: pairs of keypoint indices.
SKELETON: tuple[tuple[int, int], ...] = tuple(bone for finger in FINGERS for bone in pairwise(finger))
