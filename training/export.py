"""Writes a checkpoint folder: weights, ONNX graph and card; refuses a graph that disagrees with the weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from service.engines.base import Poses
from service.engines.onnx import OnnxDetector, OnnxPose
from service.inference.geometry import STRIDE, Pyramid, letterbox
from service.inference.pipeline import WEIGHTS
from service.models.architectures import has_graph
from service.models.checkpoint import GRAPH, Checkpoint, write_card
from service.models.detector import HandDetector
from service.models.layers import PIXEL_MEAN, PIXEL_SCALE
from service.models.networks import NETWORKS
from service.models.pose import HandPose
from training.averaging import load_run_weights
from training.checkpoint_folder import card_of, replacing, to_half, write_weights
from training.datasets.coco import CocoHands
from training.datasets.photos import evenly_spaced
from training.evaluate import (
    evaluate_detector,
    evaluate_pose,
    hand_crops,
    letterboxed,
    torch_detector,
    torch_pose,
)
from training.graphs import write_graph
from training.norms import fold_norms, state_with_norms
from training.recipe import DataSection, Recipe
from training.reference_export import export_reference

# The largest difference between ONNX and torch that is still the same network, in input pixels.
MAX_DIFFERENCE = 0.1
MAX_SCORE_DIFFERENCE = 0.01  # of scores and probabilities
_COMPARED = 40  # pictures of each validation file that ONNX and torch are compared on

_COMMAND = "python -m training evaluate"


class ExportError(ValueError):
    """The exported graph does not compute what the network computes."""


def export_run(weights: Sequence[Path], folder: Path | None, data: Path) -> Checkpoint:
    """Export what the training loop wrote, with the figures it reaches on the validation photos in its card.

    weights: `best.pt` or `final.pt`, or those of several runs, whose mean is exported (`averaging`).
    folder: the checkpoint folder to write; None: `default_folder`.
    data: the data folder. Raises ExportError if ONNX and torch disagree, ValueError if `weights` is something else.
    """
    content = load_run_weights(weights)
    recipe = Recipe.stored(content["recipe"])
    folder = folder or default_folder(recipe, weights[0])
    if not has_graph(recipe.architecture):
        return export_reference(content, recipe, folder, data)
    assert isinstance(recipe.data, DataSection)
    network = _new_network(recipe)
    network.load_state_dict(content["state"])
    if isinstance(network, HandPose):
        # Rounded afterwards, its convolutions are exact in half precision, and so is the graph.
        fold_norms(network)
        state = state_with_norms(network)
        network = _new_network(recipe)
        network.load_state_dict(state)
    network.load_state_dict(to_half(network.eval().state_dict()))  # measured is what is stored
    figures, pictures = _judge(network, data, recipe.data.validation, recipe.input_size)
    card = {
        **card_of(recipe, content["samples"], figures, _COMMAND),
        "normalisation": {"mean": PIXEL_MEAN, "scale": PIXEL_SCALE},
        "data": recipe.data.sources,
    }
    return export(network, folder, card, pictures)


def default_folder(recipe: Recipe, weights: Path) -> Path:
    """Where a run is exported to: a default recipe's in place of what ships, unless it was cut short by --limit, and
    every other beside its weights, where it replaces nothing but itself."""
    if recipe.name == f"default-{recipe.task}" and recipe.limit is None:
        return WEIGHTS / recipe.task
    return weights.parent / "checkpoint"


def _new_network(recipe: Recipe) -> HandDetector | HandPose:
    network = NETWORKS[recipe.task, recipe.architecture](recipe.architecture, recipe.input_size)
    assert isinstance(network, HandDetector | HandPose)
    return network


def _judge(
    network: HandDetector | HandPose, data: Path, names: Sequence[str], size: int
) -> tuple[dict[str, dict[str, float]], NDArray[np.uint8]]:
    """Figures on each of these files of the data folder, and some of its pictures to compare ONNX and torch on."""
    figures = {}
    pictures = []
    for name in names:
        photos = CocoHands.judged(data / name)
        if isinstance(network, HandDetector):
            figures[name] = evaluate_detector(torch_detector(network), letterboxed(photos, size))
            some = (photos[i].image for i in evenly_spaced(range(len(photos)), _COMPARED))
            pictures.append(np.stack([letterbox(Pyramid(image), size, multiple=size)[0] for image in some]))
        else:
            crops = hand_crops(photos, size)
            figures[name] = evaluate_pose(torch_pose(network), crops)
            pictures.append(crops.crops[evenly_spaced(range(len(crops.crops)), _COMPARED)])
    return figures, np.concatenate(pictures)


def export(
    network: HandDetector | HandPose,
    folder: Path,
    card: dict[str, Any],
    pictures: NDArray[np.uint8],
) -> Checkpoint:
    """Write `network` as a checkpoint folder, replacing what was there only after everything was checked.

    card: fields of `service.models.checkpoint.Card`; `task`, `architecture`, `input_size` and the like.
    pictures: (B, S, S, 3) uint8 RGB real photos to compare ONNX and torch on.
    Raises ExportError if keypoints or boxes differ by more than `MAX_DIFFERENCE` pixels.
    """
    network = network.eval().float()
    half = to_half(network.state_dict())
    network.load_state_dict(half)  # what is exported is what is stored
    with replacing(folder) as staged:
        write_weights(half, staged)
        write_graph(network, staged / GRAPH, pictures)
        checkpoint = write_card(staged, card)
        compare(network, checkpoint, pictures)
    return Checkpoint.load(folder)


def compare(network: HandDetector | HandPose, checkpoint: Checkpoint, pictures: NDArray[np.uint8]) -> float:
    """The largest difference between torch and ONNX in input pixels, over confident keypoints or boxes.

    Raises ExportError if it is more than `MAX_DIFFERENCE`, if depth differs by more than that or if a score does by
    more than `MAX_SCORE_DIFFERENCE`.
    """
    with torch.inference_mode():
        if isinstance(network, HandDetector):
            differences, scores = _compare_detectors(network, OnnxDetector(checkpoint), pictures)
        else:
            differences, scores = _compare_poses(network, OnnxPose(checkpoint), pictures)
    if differences.size == 0:
        raise ExportError("nothing was found in the pictures to compare on")
    worst = float(differences.max())
    if not worst <= MAX_DIFFERENCE:
        raise ExportError(f"ONNX and torch differ by {worst:.3f} px, {MAX_DIFFERENCE} px are allowed")
    if not scores.max() <= MAX_SCORE_DIFFERENCE:
        raise ExportError(
            f"scores of ONNX and torch differ by {scores.max():.4f}, {MAX_SCORE_DIFFERENCE} is allowed"
        )
    return worst


def _compare_detectors(
    network: HandDetector, engine: OnnxDetector, pictures: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How far sure boxes and all scores are apart."""
    boxes, scores = [], []
    # A square, and wider than high.
    for images in (pictures, np.ascontiguousarray(pictures[:, STRIDE:-STRIDE])):
        theirs = engine(images)
        ours, sure = (output.numpy() for output in network.detect(torch.from_numpy(images)))
        boxes.append(np.abs(ours - theirs.boxes)[sure > 0.3])
        scores.append(np.abs(sure - theirs.scores).ravel())
    return np.concatenate(boxes), np.concatenate(scores)


def _compare_poses(
    network: HandPose, engine: OnnxPose, pictures: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How far sure keypoints and all depths, and all scores and probabilities, are apart."""
    ours = Poses(*(output.numpy() for output in network.estimate(torch.from_numpy(pictures))))
    theirs = engine(pictures)
    assert ours.depth is not None
    assert theirs.depth is not None
    sure = ours.scores > 0.5  # below, two places may be nearly as likely, and the score is of either
    far = np.abs(ours.keypoints - theirs.keypoints)[sure].ravel()
    if far.size:
        far = np.concatenate([far, np.abs(ours.depth - theirs.depth).ravel()])
    scores = [(ours.scores - theirs.scores)[sure], ours.hand - theirs.hand, ours.right - theirs.right]
    return far, np.abs(np.concatenate(scores))
