"""Figures of networks and checkpoints on labelled photos: COCO files, FreiHAND, EgoHands or anything of that shape."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.engines.base import Detections, Poses
from service.inference.geometry import Crop, Letterbox, Pyramid, letterbox, non_maximum_suppression
from service.inference.hands import Box
from training.coco_metrics import CocoFigures, coco_figures
from training.datasets.types import HandLabel, LabelledImages
from training.metrics import detection, sized
from training.pose_metrics import PoseErrors

Figures = dict[str, float]
Images = NDArray[np.uint8]
Boxes = NDArray[np.float32]
_BATCH = 16
_LOWEST = 0.05  # detections scored below are not looked at
THRESHOLD = 0.4  # the detector's, where its recall and precision are given


class LabelledEntry(Protocol):
    """What is known of a photo before it is decoded."""

    @property
    def hands(self) -> tuple[HandLabel, ...]: ...
    @property
    def source(self) -> str: ...


class LabelledPhotos(LabelledImages, Protocol):
    """Labelled photos, decoded when asked for: `CocoHands`, `FreiHand`, `EgoHands`."""

    @property
    def entries(self) -> Sequence[LabelledEntry]: ...


def torch_detector(network: nn.Module) -> Callable[[Images], Detections]:
    """A network as something that takes and returns numpy arrays, like a serving engine; runs where its weights are.

    network: has `detect`, in evaluation mode.
    """

    def run(images: Images) -> Detections:
        return Detections(*_run(network, "detect", images))

    return run


def torch_pose(network: nn.Module) -> Callable[[Images], Poses]:
    """A network as something that takes and returns numpy arrays, like a serving engine; runs where its weights are.

    network: has `estimate`, in evaluation mode.
    """

    def run(crops: Images) -> Poses:
        return Poses(*_run(network, "estimate", crops))

    return run


@torch.inference_mode()
def _run(network: nn.Module, method: str, images: Images) -> list[NDArray[np.float32]]:
    device = next(network.parameters()).device
    outputs: tuple[Tensor, ...] = getattr(network, method)(torch.from_numpy(images).to(device))
    return [output.float().cpu().numpy() for output in outputs]


@dataclass(frozen=True, eq=False)
class Crops:
    """Square crops around labelled hands, cut as serving does.

    crops: (N, S, S, 3) uint8 RGB. keypoints: (N, 21, 2) float32 pixels of the crop. labelled: (N, 21) bool. sides:
    (N,) the larger side of each hand's box in pixels of the crop. right: (N,) 1, 0 or -1 (unknown). scales: (N,) pixels
    of the crop for one of the photo.
    """

    crops: Images
    keypoints: NDArray[np.float32]
    labelled: NDArray[np.bool_]
    sides: NDArray[np.float32]
    right: NDArray[np.int64]
    scales: NDArray[np.float32]


def hand_crops(photos: LabelledPhotos, size: int) -> Crops:
    """Crop every hand that has keypoints. Raises ValueError if none has."""
    crops, keypoints, labelled, sides, right, scales = [], [], [], [], [], []
    for index, entry in enumerate(photos.entries):
        posed = [(hand, hand.keypoints) for hand in entry.hands if hand.keypoints is not None]
        if not posed:
            continue
        pyramid = Pyramid(photos[index].image)
        for hand, points in posed:
            crop = Crop.around(Box(*(float(v) for v in hand.box)), size)
            scale = crop.size / crop.side
            crops.append(crop.cut(pyramid))
            keypoints.append((points - np.array([crop.x, crop.y], np.float32)) * scale)
            labelled.append(known_keypoints(hand))
            sides.append(hand.box[2:].max() * scale)
            right.append({"right": 1, "left": 0, None: -1}[hand.handedness])
            scales.append(scale)
    if not crops:
        raise ValueError("no hand of these photos has keypoints")
    return Crops(
        np.stack(crops),
        np.array(keypoints, np.float32),
        np.stack(labelled),
        np.array(sides, np.float32),
        np.array(right, np.int64),
        np.array(scales, np.float32),
    )


def known_keypoints(hand: HandLabel) -> NDArray[np.bool_]:
    """(21,) which keypoints of a hand that has some are labelled."""
    return np.ones(21, bool) if hand.labelled is None else hand.labelled


def estimate(engine: Callable[[Images], Poses], crops: Images) -> Poses:
    """What a pose engine answers for crops (N, S, S, 3) of any number."""
    poses = [engine(crops[i : i + _BATCH]) for i in range(0, len(crops), _BATCH)]
    answered = {field.name: [getattr(p, field.name) for p in poses] for field in fields(Poses)}
    return Poses(**{name: np.concatenate(v) for name, v in answered.items() if v[0] is not None})


def pose_errors(poses: Poses, data: Crops) -> PoseErrors:
    """The errors of what an engine answered for crops, in pixels of the photos."""
    scale = data.scales[:, None, None]
    return PoseErrors.of(
        poses.keypoints / scale, data.keypoints / scale, data.sides / data.scales, data.labelled
    )


def evaluate_pose(engine: Callable[[Images], Poses], data: Crops) -> Figures:
    """PCK, AUC, errors over the hand's size and in pixels, hand or not, and handedness, on crops of true boxes."""
    return pose_figures(estimate(engine, data.crops), data)


def pose_figures(poses: Poses, data: Crops) -> Figures:
    """`evaluate_pose`'s figures of what an engine answered. No handedness where no hand's is labelled."""
    joints = pose_errors(poses, data).joint()
    known = data.right >= 0
    figures = {
        "pck_0.1": joints.pck_01,
        "pck_0.2": joints.pck_02,
        "auc": joints.auc,
        "error": joints.error,
        "auc_30px": joints.auc_30px,
        "epe": joints.epe,
        "epe_median": joints.epe_median,
        "seen_as_hand": float((poses.hand > 0.5).mean()),
    }
    if known.any():
        figures["handedness"] = float(((poses.right > 0.5) == data.right)[known].mean())
    return figures


@dataclass(frozen=True, eq=False)
class Pictures:
    """Whole photos, letterboxed as serving does.

    images: one (H, W, 3) uint8 RGB each. placings: the way back to each photo's pixels. truth: for each photo (M, 4)
    float32 x, y, width, height in its own pixels.
    """

    images: tuple[Images, ...]
    placings: tuple[Letterbox, ...]
    truth: tuple[Boxes, ...]


def letterboxed(photos: LabelledPhotos, size: int) -> Pictures:
    """Fit every photo into size × size pixels, and keep them all: for figures that are taken again and again."""
    images, placings = zip(*_fitted(photos, size), strict=True)
    return Pictures(images, placings, true_boxes(photos))


def true_boxes(photos: LabelledPhotos) -> tuple[Boxes, ...]:
    """For each photo (M, 4) float32 x, y, width, height in pixels."""
    return tuple(
        np.array([hand.box for hand in entry.hands], np.float32).reshape(-1, 4) for entry in photos.entries
    )


def _fitted(photos: LabelledPhotos, size: int) -> Iterator[tuple[Images, Letterbox]]:
    for index in range(len(photos)):
        yield letterbox(Pyramid(photos[index].image), size)


@dataclass(frozen=True, eq=False)
class Found:
    """What a detector finds in labelled photos, after non-maximum suppression.

    Photo by photo, in pixels of the photo: boxes (N, 4) float32 x, y, width, height, best first; scores (N,); truth
    (M, 4). sides: each photo's longer side.
    """

    boxes: tuple[Boxes, ...]
    scores: tuple[NDArray[np.float32], ...]
    truth: tuple[Boxes, ...]
    sides: tuple[float, ...]

    @cached_property
    def coco(self) -> CocoFigures:
        """COCO's figures, computed once."""
        return coco_figures(self.boxes, self.scores, self.truth, self.sides)

    def figures(self, threshold: float) -> Figures:
        """COCO's main figures, and recall and precision at IoU 0.5 at `threshold` and at the best F1."""
        coco, at = self.coco, detection(self.boxes, self.scores, self.truth, threshold)
        return {
            "ap50": coco.ap50,
            "recall": at.recall,
            "precision": at.precision,
            "best_threshold": at.best_threshold,
            "best_recall": at.best_recall,
            "best_precision": at.best_precision,
            "ap": coco.ap,
            "ap75": coco.ap75,
            "ar": coco.ar,
        }


def detect_in(engine: Callable[[Images], Detections], photos: LabelledPhotos, size: int) -> Found:
    """Run a detector on photos, one at a time; none but the current one is held."""
    return _find(engine, _fitted(photos, size), true_boxes(photos))


def evaluate_detector(
    engine: Callable[[Images], Detections], data: Pictures, threshold: float = THRESHOLD
) -> Figures:
    """COCO's figures, and recall and precision at `threshold` and at the best F1, both at IoU 0.5."""
    return _find(engine, zip(data.images, data.placings, strict=True), data.truth).figures(threshold)


def _find(
    engine: Callable[[Images], Detections],
    fitted: Iterable[tuple[Images, Letterbox]],
    truth: tuple[Boxes, ...],
) -> Found:
    boxes, scores, sides = [], [], []
    for image, placing in fitted:
        found = engine(image[None])
        likely = found.scores[0] > _LOWEST
        corners, score = found.boxes[0][likely], found.scores[0][likely]
        kept = non_maximum_suppression(corners)
        boxes.append(sized(placing.to_picture(corners[kept])))
        scores.append(score[kept])
        width = (image.shape[1] - 2 * placing.left) / placing.scale_x
        height = (image.shape[0] - 2 * placing.top) / placing.scale_y
        sides.append(max(width, height))  # to a pixel: a letterbox may have one row more on one side
    return Found(tuple(boxes), tuple(scores), truth, tuple(sides))
