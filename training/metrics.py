"""Figures people compare hand models by."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def sized(corners: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes (N, 4) x0, y0, x1, y1 as x, y, width, height."""
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)


def pairwise_iou(a: Floats, b: Floats) -> NDArray[np.float64]:
    """Intersection over union of boxes (N, 4) and (M, 4), x, y, width, height: (N, M)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    overlap = np.maximum(high - low, 0).prod(2)
    areas = a[:, 2:].prod(1)[:, None] + b[:, 2:].prod(1)[None]
    return np.asarray(overlap / np.maximum(areas - overlap, 1e-9), np.float64)


def greedy_match(boxes: Floats, truth: Floats, threshold: float = 0.5) -> list[int]:
    """For each box, best first, the index of the free true box it overlaps most by at least `threshold`, or -1."""
    iou = pairwise_iou(boxes, truth)
    free = np.ones(len(truth), bool)
    matches = []
    for row in iou:
        candidate = int(np.where(free, row, -1).argmax()) if len(truth) else -1
        if candidate >= 0 and free[candidate] and row[candidate] >= threshold:
            free[candidate] = False
            matches.append(candidate)
        else:
            matches.append(-1)
    return matches


@dataclass(frozen=True)
class Detected:
    """What a score threshold gives at IoU 0.5. `recall` and `precision` are at the one that was asked for."""

    recall: float
    precision: float
    best_threshold: float  # the score threshold with the highest F1
    best_recall: float
    best_precision: float


def detection(
    boxes: Sequence[Floats], scores: Sequence[Floats], truth: Sequence[Floats], threshold: float
) -> Detected:
    """Recall and precision at a score `threshold` and at the one with the highest F1; average precision is
    `coco_metrics`'s.

    boxes: one (N, 4) x, y, width, height a picture; scores: (N,); truth: (M, 4).
    """
    hits: list[tuple[float, bool]] = []
    for found, score, true in zip(boxes, scores, truth, strict=True):
        order = np.argsort(-score, kind="stable")
        hits += [
            (float(score[i]), m >= 0) for i, m in zip(order, greedy_match(found[order], true), strict=True)
        ]
    total = sum(len(true) for true in truth)
    hits.sort(key=lambda hit: -hit[0])
    if not hits or not total:
        return Detected(0.0, 0.0, 1.0, 0.0, 0.0)
    score = np.array([hit[0] for hit in hits])
    correct = np.cumsum([hit[1] for hit in hits])
    recall, precision = correct / total, correct / np.arange(1, len(hits) + 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    best = int(f1.argmax())
    kept = int((score >= threshold).sum())
    at = (float(recall[kept - 1]), float(precision[kept - 1])) if kept else (0.0, 0.0)
    return Detected(*at, float(score[best]), float(recall[best]), float(precision[best]))


def pck(errors: Floats, threshold: float) -> float:
    """Percentage of correct keypoints as a share: errors below `threshold`. Missed hands have infinite errors."""
    return float((errors < threshold).mean()) if errors.size else 0.0


def pck_auc(errors: Floats, limit: float = 0.5, steps: int = 101) -> float:
    """Mean of PCK over thresholds from 0 to `limit`."""
    return float(np.mean([pck(errors, t) for t in np.linspace(0, limit, steps)]))
