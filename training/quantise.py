"""A checkpoint's graph in 8-bit integers: which pictures its ranges are measured on, and whether it is close enough."""

import json
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.engines.base import closer_size, farther_size
from service.engines.onnx import OnnxDetector, OnnxPose
from service.inference.geometry import Crop, Pyramid, letterbox
from service.inference.hands import Box
from service.models.checkpoint import CARD, GRAPH, INT8_GRAPH, Checkpoint, write_card
from training.checkpoint_folder import replacing
from training.datasets.coco import CocoHands
from training.datasets.photos import evenly_spaced, photos_without_hands
from training.evaluate import hand_crops, letterboxed
from training.int8_graph import Picture, write_int8_graph
from training.recipe import DataSection, Recipe

# Pictures that ranges are measured on, of photos with hands and of photos without any.
_WITH_HANDS, _WITHOUT_HANDS = 300, 100
_MOST = 0.01  # how far the median of sure keypoints and corners may move, over the side of the input
_SURE = 0.5


class QuantisationError(ValueError):
    """A checkpoint that gets no graph in 8-bit integers; the message says why."""


def quantise(folder: Path, data: Path) -> float:
    """Add a graph in 8-bit integers to a checkpoint folder, in place of an older one if it has that.

    data: the data folder, with the photos that the checkpoint's recipe names. Returns by how many pixels of the
    input the median sure keypoint, or corner of a box, moves. Raises QuantisationError for a checkpoint
    without a graph or without photos, and where that is more than a hundredth of the input; the folder is as it was
    then. Also CheckpointError for no checkpoint, and DatasetError as reading photos does.
    """
    checkpoint = Checkpoint.load(folder)
    if not checkpoint.has_graph:
        raise QuantisationError(f"{folder}: {checkpoint.card.architecture} has no ONNX graph")
    recipe = Recipe.model_validate(checkpoint.card.recipe)
    if not isinstance(recipe.data, DataSection) or not recipe.data.photos:
        raise QuantisationError(f"{folder}: its recipe names no photos that ranges could be measured on")
    pictures = _served_pictures(recipe, recipe.data, data)
    with replacing(folder) as staged:
        shutil.copytree(folder, staged, dirs_exist_ok=True)
        write_int8_graph(staged / GRAPH, staged / INT8_GRAPH, pictures)
        card = json.loads((staged / CARD).read_text())
        del card["format"], card["sha256"]
        moved = _moved(write_card(staged, card), pictures)
        if not moved <= _MOST * recipe.input_size:
            raise QuantisationError(f"{folder}: in 8-bit integers, what it finds moves by {moved:.2f} px")
    return moved


def _served_pictures(recipe: Recipe, section: DataSection, data: Path) -> list[Picture]:
    """Inputs as serving makes them, in no order."""
    photos = CocoHands(*(data / name for name in section.photos))
    without = photos_without_hands(data, section.negatives, section.hand_free, _WITHOUT_HANDS)
    rng = np.random.default_rng(recipe.seed)
    pictures: list[Picture] = []
    if recipe.task == "pose":
        photos.entries = [e for e in photos.entries if any(h.keypoints is not None for h in e.hands)]
        photos.entries = evenly_spaced(photos.entries, _WITH_HANDS)
        pictures.extend(hand_crops(photos, recipe.input_size).crops[:_WITH_HANDS])
        pictures.extend(_anywhere(without[i], recipe.input_size, rng) for i in range(len(without)))
    else:
        usual, entries = recipe.input_size, photos.entries
        for size, share in ((usual, 0.5), (closer_size(usual), 0.25), (farther_size(usual), 0.25)):
            photos.entries = evenly_spaced(entries, round(share * _WITH_HANDS))
            pictures.extend(letterboxed(photos, size).images)
        pictures.extend(letterbox(Pyramid(without[i]), usual)[0] for i in range(len(without)))
    return [pictures[i] for i in rng.permutation(len(pictures))]


def _anywhere(image: Picture, size: int, rng: np.random.Generator) -> Picture:
    """A crop around a box somewhere in a picture, as around something that was taken for a hand."""
    height, width = image.shape[:2]
    side = min(height, width) * rng.uniform(0.2, 0.7)
    x, y = rng.uniform(0, width - side), rng.uniform(0, height - side)
    return Crop.around(Box(x, y, side, side), size).cut(Pyramid(image))


def _moved(checkpoint: Checkpoint, pictures: list[Picture]) -> float:
    """By how many pixels the median of what is sure in float32 moves in 8-bit integers."""
    if checkpoint.card.task == "pose":
        before, after = OnnxPose(checkpoint), OnnxPose(checkpoint, precision="int8")
        crops = np.stack(pictures)
        poses = before(crops)
        far = np.linalg.norm(after(crops).keypoints - poses.keypoints, axis=-1)
        return _median(far[poses.scores > _SURE])
    detectors = OnnxDetector(checkpoint), OnnxDetector(checkpoint, precision="int8")
    moved = []
    for picture in pictures:
        exact, rounded = (detector(picture[None]) for detector in detectors)
        if exact.scores.max() > _SURE:
            best = (found.boxes[0, found.scores[0].argmax()] for found in (exact, rounded))
            moved.append(np.abs(next(best) - next(best)))
    return _median(np.array(moved))


def _median(moved: NDArray[np.floating]) -> float:
    """Not a number where nothing was sure."""
    return float(np.median(moved)) if moved.size else float("nan")
