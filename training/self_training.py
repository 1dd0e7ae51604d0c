"""Labels of our own: what the pose network sees in hands that have a box alone, where many looks at them agree.

The hands a teacher found no keypoints in are the hard ones: fists, hands against the light, seen from the side. Self-
training after Xie et al., "Self-training with Noisy Student" (2020): labels from clean looks, learnt from crops that
are turned, hidden and blurred.
"""

import json
import math
from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.engines.base import PoseEngine
from service.inference.geometry import CROP_FACTOR
from service.inference.hands import Box, Hand, side_of
from service.inference.looks import merge_looks
from training.augment import square_crop_matrix, transform, warp
from training.datasets.coco import CocoHands
from training.datasets.types import HandLabel

# The looks: crops of these sizes, turned by these angles (degrees), as they are and mirrored.
_SCALES, _TURNS = (0.87, 1.03, 1.2), (-25.0, 0.0, 25.0)
# A label is kept of hands and of keypoints with these scores, and a side with this one.
HAND_SCORE, KEYPOINT_SCORE, SIDE_SCORE = 0.5, 0.4, 0.9
_LEAST_PRESENCE = 0.8


def label_boxed_hands(engine: PoseEngine, photos: CocoHands, root: Path) -> dict[str, list[dict[str, Any]]]:
    """What the engine says of the hands of `photos` that have no keypoints, where it is sure.

    root: what the photos' paths are told from. Returns by photo a list of {"box": x, y, width, height, "keypoints":
    21 × [x, y] or null, "handedness": "left", "right" or null}, in pixels of the photo: what `OwnLabels` reads.
    """
    labels = defaultdict(list)
    for index, entry in enumerate(photos.entries):
        boxed = [hand for hand in entry.hands if hand.keypoints is None]
        if not boxed:
            continue
        image = photos[index].image
        for hand in boxed:
            seen = look_closely(engine, image, hand)
            if seen.presence < _LEAST_PRESENCE or seen.keypoint_scores.mean() < HAND_SCORE:
                continue
            labels[entry.path.relative_to(root).as_posix()].append(_written(hand, seen))
    return dict(labels)


def look_closely(engine: PoseEngine, image: NDArray[np.uint8], label: HandLabel) -> Hand:
    """One hand, seen in all of the looks and merged. image: (H, W, 3) uint8 RGB."""
    box = label.box.astype(float)
    centre, side = box[:2] + box[2:] / 2, max(float(box[2:].max()), 8.0) * CROP_FACTOR
    views = list(product(_SCALES, _TURNS, (False, True)))
    matrices = [
        square_crop_matrix(centre, side * scale, engine.input_size, math.radians(turn), mirror)
        for scale, turn, mirror in views
    ]
    poses = engine(np.stack([warp(image, matrix, engine.input_size) for matrix in matrices]))
    looks = []
    for i, (_, _, mirror) in enumerate(views):
        back = np.asarray(cv2.invertAffineTransform(matrices[i]), np.float64)
        handedness, handedness_score = side_of(float(1 - poses.right[i] if mirror else poses.right[i]))
        looks.append(
            Hand(
                box=Box(*box),
                score=float(poses.hand[i]),
                presence=float(poses.hand[i]),
                handedness=handedness,
                handedness_score=handedness_score,
                keypoints=transform(poses.keypoints[i], back).astype(np.float32),
                keypoint_scores=np.clip(poses.scores[i], 0, 1),
            )
        )
    return merge_looks(looks)


def _written(label: HandLabel, seen: Hand) -> dict[str, Any]:
    sure = seen.keypoint_scores >= KEYPOINT_SCORE
    points = np.round(seen.keypoints.astype(float), 1).tolist()
    return {
        "box": np.round(label.box.astype(float), 1).tolist(),
        "keypoints": [point if known else None for point, known in zip(points, sure, strict=True)],
        "handedness": seen.handedness if seen.handedness_score >= SIDE_SCORE else None,
    }


def write_labels(labels: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """One photo a line, so that a line can be taken out by hand."""
    lines = ",\n".join(
        f" {json.dumps(photo)}: {json.dumps(hands, separators=(',', ':'))}" for photo, hands in labels.items()
    )
    path.write_text(f"{{\n{lines}\n}}\n")
