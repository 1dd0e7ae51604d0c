"""The names of the 21 keypoints, in the order FreiHAND, COCO-WholeBody and MediaPipe share."""

from itertools import pairwise

KEYPOINT_NAMES: tuple[str, ...] = (
    "wrist",
    "thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip",
    "index_mcp", "index_pip", "index_dip", "index_tip",
    "middle_mcp", "middle_pip", "middle_dip", "middle_tip",
    "ring_mcp", "ring_pip", "ring_dip", "ring_tip",
    "pinky_mcp", "pinky_pip", "pinky_dip", "pinky_tip",
)  # fmt: skip

# One chain of keypoint indices a finger, wrist first: thumb, index, middle, ring, pinky.
FINGERS: tuple[tuple[int, ...], ...] = tuple((0, *range(1 + 4 * f, 5 + 4 * f)) for f in range(5))

# The bones to draw: pairs of keypoint indices.
SKELETON: tuple[tuple[int, int], ...] = tuple(bone for finger in FINGERS for bone in pairwise(finger))
