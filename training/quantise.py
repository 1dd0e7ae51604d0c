"""A checkpoint's graph in 8-bit integers: which pictures its ranges are measured on, and whether it is close enough."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engines.onnx import OnnxDetector, OnnxPose
from service.inference.geometry import Crop, Pyramid, letterbox
from service.inference.hands import Box
from service.inference.looks import every_size
from service.models.checkpoint import GRAPH, INT8_GRAPH, Card, Checkpoint, change_card
from training.checkpoint_folder import replacing
from training.datasets.coco import CocoHands
from training.datasets.photos import evenly_spaced, photos_without_hands
from training.evaluate import estimate, hand_crops, letterboxed
from training.int8_graph import Picture, write_int8_graph
from training.metrics import pairwise_iou, sized

# Pictures that ranges are measured on, of photos with hands and of photos without any.
_WITH_HANDS, _WITHOUT_HANDS = 300, 100
_SHARES = (0.4, 0.2, 0.2, 0.2)  # of those with hands, that the detector gets at each of its sizes
# How far the median of what is sure in float32 may move: keypoints and corners, over the side of the input; and scores.
_MOST, _MOST_SCORE = 0.01, 0.05
_SURE, _UNSURE = 0.5, 0.25
# Share of the hands sure in float32 that may be lost: their scores fall below `_UNSURE`, or their boxes lie elsewhere.
_MOST_LOST, _SAME = 0.02, 0.5


class QuantisationError(ValueError):
    """A checkpoint that gets no graph in 8-bit integers; the message says why."""


def quantise(folder: Path, data: Path) -> float:
    """Add a graph in 8-bit integers to a checkpoint folder, in place of an older one if it has that.

    data: the data folder, with the photos that the checkpoint's recipe names. Returns by how many pixels of the input
    the median sure keypoint, or corner of a box, moves. Raises QuantisationError for a checkpoint without a graph or
    without photos, and where that is more than a hundredth of the input, scores move, or hands get lost; the folder is
    as it was then. Also CheckpointError for no checkpoint, and DatasetError as reading photos does.
    """
    folder = folder.resolve()  # a link stays one
    checkpoint = Checkpoint.load(folder, int8=False)
    if not checkpoint.has_graph:
        raise QuantisationError(f"{folder}: {checkpoint.card.architecture} has no ONNX graph")
    pictures = _served_pictures(checkpoint.card, data)
    if not pictures:
        raise QuantisationError(f"{folder}: its recipe names no photos that ranges could be measured on")
    with tempfile.TemporaryDirectory() as scratch:
        graph = Path(scratch) / INT8_GRAPH
        write_int8_graph(folder / GRAPH, graph, pictures)
        with replacing(folder) as staged:
            shutil.copytree(folder, staged, dirs_exist_ok=True)
            copy = Checkpoint.load(staged, int8=False)
            shutil.copyfile(graph, staged / INT8_GRAPH)
            moved, scores, lost = _moved(change_card(copy, int8=True), pictures)
            if not (
                moved <= _MOST * checkpoint.card.input_size and scores <= _MOST_SCORE and lost <= _MOST_LOST
            ):
                raise QuantisationError(
                    f"{folder}: in 8-bit integers, what it finds moves by {moved:.2f} px, scores by {scores:.2f}, and "
                    f"{lost:.1%} of the hands are lost"
                )
    return moved


def _served_pictures(card: Card, data: Path) -> list[Picture]:
    """Inputs as serving makes them, of the photos that a card's recipe names; none if it names none."""
    recipe: dict[str, Any] = card.recipe.get("data", {})
    if not recipe.get("photos"):
        return []
    photos = CocoHands(*(data / name for name in recipe["photos"]))
    without = photos_without_hands(
        data, recipe.get("negatives", ()), recipe.get("hand_free", ""), _WITHOUT_HANDS
    )
    empty = [without[i] for i in range(len(without))]
    size, rng = card.input_size, np.random.default_rng(0)
    pictures: list[Picture] = []
    if card.task == "pose":
        photos.entries = [e for e in photos.entries if any(h.keypoints is not None for h in e.hands)]
        photos.entries = evenly_spaced(photos.entries, _WITH_HANDS)
        pictures += evenly_spaced(list(hand_crops(photos, size).crops), _WITH_HANDS)
        pictures += [_anywhere(image, size, rng) for image in empty]
    else:
        entries = photos.entries
        for side, share in zip(every_size(size), _SHARES, strict=True):
            photos.entries = evenly_spaced(entries, round(share * _WITH_HANDS))
            pictures += letterboxed(photos, side).images
        pictures += [letterbox(Pyramid(image), size)[0] for image in empty]
    return [pictures[i] for i in rng.permutation(len(pictures))]


def _anywhere(image: Picture, size: int, rng: np.random.Generator) -> Picture:
    """A crop around a box somewhere in a picture, as around something that was taken for a hand."""
    height, width = image.shape[:2]
    side = min(height, width) * rng.uniform(0.2, 0.7)
    x, y = rng.uniform(0, width - side), rng.uniform(0, height - side)
    return Crop.around(Box(x, y, side, side), size).cut(Pyramid(image))


def _moved(checkpoint: Checkpoint, pictures: list[Picture]) -> tuple[float, float, float]:
    """By how many pixels the median keypoint or corner that is sure in float32 moves in 8-bit integers, by how much the
    kind of score that moves most, and the share of sure hands that are lost.
    """
    if checkpoint.card.task == "pose":
        return _moved_poses(OnnxPose(checkpoint), OnnxPose(checkpoint, precision="int8"), np.stack(pictures))
    return _moved_boxes(OnnxDetector(checkpoint), OnnxDetector(checkpoint, precision="int8"), pictures)


def _moved_poses(exact: OnnxPose, rounded: OnnxPose, crops: NDArray[np.uint8]) -> tuple[float, float, float]:
    before, after = estimate(exact, crops), estimate(rounded, crops)
    sure = before.scores > _SURE
    far = np.linalg.norm(after.keypoints - before.keypoints, axis=-1)
    scores = [
        np.abs(after.scores - before.scores)[sure],
        np.abs(after.hand - before.hand),
        np.abs(after.right - before.right)[before.hand > _SURE],
    ]
    there = after.hand[before.hand > _SURE] >= _UNSURE
    return _median(far[sure]), max(map(_median, scores)), float(np.mean(~there))


def _moved_boxes(
    exact: OnnxDetector, rounded: OnnxDetector, pictures: list[Picture]
) -> tuple[float, float, float]:
    """Of the surest box of each picture; lost is one in whose place no box is left."""
    corners, scores, lost = [], [], []
    for picture in pictures:
        before, after = exact(picture[None]), rounded(picture[None])
        if before.scores.max() > _SURE:
            first, second = before.scores[0].argmax(), after.scores[0].argmax()
            corners.append(np.abs(after.boxes[0, second] - before.boxes[0, first]))
            scores.append(abs(after.scores[0, second] - before.scores[0, first]))
            there = after.boxes[0, after.scores[0] >= _UNSURE]
            overlaps = pairwise_iou(sized(before.boxes[:, first]), sized(there))
            lost.append(not (overlaps >= _SAME).any())
    return _median(np.array(corners)), _median(np.array(scores)), float(np.mean(lost))


def _median(moved: NDArray[np.floating]) -> float:
    """Raises QuantisationError where nothing was sure."""
    if not moved.size:
        raise QuantisationError("nothing is found in the pictures to compare on")
    return float(np.median(moved))
