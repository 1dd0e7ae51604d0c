"""Detection figures as COCO defines them, computed by pycocotools (Lin et al., "Microsoft COCO", 2014)."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

Floats = NDArray[np.floating]

# Every picture is scaled so that its longer side is this long: areas then say how large a hand is in its picture.
_LONGER_SIDE = 1000.0
# Side of a hand (root of its box's area) as a share of the picture's longer side. A detector that looks at 256 px sees
# the first limit as 20 px.
SIZES: dict[str, tuple[float, float]] = {
    "tiny": (0.0, 0.08),
    "small": (0.08, 0.16),
    "medium": (0.16, 0.32),
    "large": (0.32, np.inf),
}
_CATEGORY = 1
_MAX_DETECTIONS = 100  # a picture, as COCO has it


@dataclass(frozen=True, eq=False)
class SizeFigures:
    """Figures on the hands of one size. NaN where there is no such hand.

    ap, ap50: average precision over IoU 0.50:0.95, and at 0.5. ar: average recall over IoU 0.50:0.95.
    """

    hands: int
    ap: float
    ap50: float
    ar: float


@dataclass(frozen=True, eq=False)
class CocoFigures:
    """What COCO reports of a detector; each figure in [0, 1], and 0 where there is no true box at all.

    ap: average precision over the IoU thresholds 0.50, 0.55, … 0.95, each the mean of the precision at 101 recalls.
    ap50, ap75: at IoU 0.5 and 0.75. ar: recall averaged over those thresholds, at most 100 detections a picture.
    by_size: figures by the names of `SIZES`. recalls: (101,) from 0 to 1.
    precisions: (10, 101) precision at each of the ten IoU thresholds and each recall: the precision–recall curves.
    """

    ap: float
    ap50: float
    ap75: float
    ar: float
    by_size: dict[str, SizeFigures]
    recalls: NDArray[np.float64]
    precisions: NDArray[np.float64]

    def curve(self, iou: float) -> NDArray[np.float64]:
        """(101,) precision at each of `recalls` at one of the IoU thresholds. Raises ValueError for another one."""
        index = round((iou - 0.5) / 0.05)
        if not 0 <= index < len(self.precisions) or abs(0.5 + 0.05 * index - iou) > 1e-6:
            raise ValueError(f"IoU {iou} is none of 0.50, 0.55, … 0.95")
        precision: NDArray[np.float64] = self.precisions[index]
        return precision


def size_range(name: str) -> str:
    """A size of `SIZES` in words."""
    low, high = SIZES[name]
    return f"{low:.0%} and more" if np.isinf(high) else f"{low:.0%} to {high:.0%}"


def coco_figures(
    boxes: Sequence[Floats], scores: Sequence[Floats], truth: Sequence[Floats], sides: Sequence[float]
) -> CocoFigures:
    """COCO's figures for one class, hands.

    boxes: one (N, 4) x, y, width, height in pixels a picture; scores: (N,); truth: (M, 4); sides: each picture's longer
    side in pixels, for the sizes. Raises ValueError if the lists differ in length.
    """
    pictures = list(zip(boxes, scores, truth, sides, strict=True))
    true_boxes = [(i, box / side, 0.0) for i, (_, _, true, side) in enumerate(pictures) for box in true]
    found = [
        (i, box / side, float(score))
        for i, (boxes_, scores_, _, side) in enumerate(pictures)
        for box, score in zip(boxes_, scores_, strict=True)
    ]
    ranges = {"all": (0.0, np.inf), **SIZES}
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints what it does
        evaluation = COCOeval(_index(true_boxes, len(pictures)), _index(found, len(pictures)), "bbox")
        evaluation.params.areaRngLbl = list(ranges)
        evaluation.params.areaRng = [[_area(low), _area(high)] for low, high in ranges.values()]
        evaluation.params.maxDets = [_MAX_DETECTIONS]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][
        :, :, 0, :, 0
    ]  # (IoU, recall, size); -1 where there is no true box
    recall = evaluation.eval["recall"][:, 0, :, 0]  # (IoU, size)
    root_areas = np.sqrt([float(box[2] * box[3]) for _, box, _ in true_boxes])
    by_size = {
        name: SizeFigures(
            int(((root_areas >= low) & (root_areas < high)).sum()),
            *(_mean(v, np.nan) for v in (precision[..., k], precision[0, :, k], recall[:, k])),
        )
        for k, (name, (low, high)) in enumerate(SIZES.items(), start=1)
    }
    return CocoFigures(
        ap=_mean(precision[..., 0]),
        ap50=_mean(precision[0, :, 0]),
        ap75=_mean(precision[5, :, 0]),
        ar=_mean(recall[:, 0]),
        by_size=by_size,
        recalls=np.asarray(evaluation.params.recThrs, np.float64),
        precisions=np.maximum(precision[..., 0], 0.0),
    )


def _index(boxes: Sequence[tuple[int, Floats, float]], pictures: int) -> COCO:
    """(picture, box in shares of the longer side, score) as pycocotools wants it."""
    annotations: list[dict[str, Any]] = []
    for number, (picture, box, score) in enumerate(boxes, start=1):
        x, y, width, height = (float(value) * _LONGER_SIDE for value in box)
        annotations.append(
            {
                "id": number,  # from 1: pycocotools takes a match with number 0 for none
                "image_id": picture,
                "category_id": _CATEGORY,
                "bbox": [x, y, width, height],
                "area": width * height,
                "score": score,
                "iscrowd": 0,
            }
        )
    coco = COCO()
    coco.dataset = {
        "images": [{"id": i} for i in range(pictures)],
        "categories": [{"id": _CATEGORY, "name": "hand"}],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def _area(share: float) -> float:
    return float(min((share * _LONGER_SIDE) ** 2, 1e10))


def _mean(values: NDArray[np.float64], empty: float = 0.0) -> float:
    """The mean of what was computed; pycocotools has -1 where there is no true box."""
    computed = values[values > -1]
    return float(computed.mean()) if computed.size else float(empty)
