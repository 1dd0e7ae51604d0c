"""Checkpoint folders of the reference pair: weights and card, no ONNX graph, as the torch engine serves them."""

import logging
from pathlib import Path
from typing import Any

from torch import nn

from service.models import faster_rcnn, layers
from service.models.checkpoint import Checkpoint, write_card
from service.models.networks import NETWORKS
from training.checkpoint_folder import card_of, replacing, to_half, write_weights
from training.datasets.coco import DatasetError
from training.datasets.egohands import EgoHands
from training.datasets.freihand import FreiHand
from training.datasets.sources import EGOHANDS, FREIHAND, Source
from training.evaluate import (
    THRESHOLD,
    Figures,
    LabelledPhotos,
    detect_in,
    evaluate_pose,
    hand_crops,
    torch_detector,
    torch_pose,
)
from training.photo_sets import thin_out
from training.recipe import EgoHandsSection, FreiHandSection, Recipe

log = logging.getLogger(__name__)

_COMMAND = "python -m training export"


def export_reference(content: dict[str, Any], recipe: Recipe, folder: Path, data: Path) -> Checkpoint:
    """Write a checkpoint folder, with the figures the network reaches on held-out data, as it is served, in its card.

    content: what the training loop wrote. data: the data folder, with the data set the recipe names. The data set's
    terms become the checkpoint's licence.
    """
    judge = _judge_detector if recipe.task == "detector" else _judge_pose
    source = EGOHANDS if recipe.task == "detector" else FREIHAND
    build = NETWORKS[recipe.task, recipe.architecture]
    network: nn.Module = build(recipe.architecture, recipe.input_size)
    half = to_half(content["state"])
    network.load_state_dict(half)  # measured is what is stored
    network.eval()
    figures, shown = judge(network, recipe, data)
    with replacing(folder) as staged:
        write_weights(half, staged)
        write_card(
            staged,
            {
                **card_of(recipe, content["samples"], figures, _COMMAND),
                "normalisation": _normalisation(recipe),
                "licence": f"{source.licence} ({source.name})",
                "data": _sources(recipe, source, shown),
            },
        )
    return Checkpoint.load(folder)


def _normalisation(recipe: Recipe) -> dict[str, Any]:
    if recipe.task == "detector":
        return {"mean": faster_rcnn.PIXEL_MEAN, "scale": faster_rcnn.PIXEL_SCALE}
    return {"mean": layers.PIXEL_MEAN, "scale": layers.PIXEL_SCALE}


def _sources(recipe: Recipe, source: Source, images: int) -> list[dict[str, Any]]:
    versions = (
        f"Versions {', '.join(recipe.data.versions)}." if isinstance(recipe.data, FreiHandSection) else ""
    )
    sources = [source.card(images, versions)]
    if recipe.init == "coco":
        terms = "annotations CC BY 4.0, photos by their owners' terms"
        sources.append({"name": "COCO 2017 (starting weights)", "licence": terms})
    return sources


def _judge_detector(network: nn.Module, recipe: Recipe, data: Path) -> tuple[dict[str, Figures], int]:
    """Figures on each held-out part, and how many pictures were trained on."""
    assert isinstance(recipe.data, EgoHandsSection)
    root, engine = data / recipe.data.root, torch_detector(network)
    parts = {
        "EgoHands, 4 validation videos": thin_out(EgoHands(root, "validation"), recipe.limit),
        "EgoHands, 8 test videos": thin_out(EgoHands(root, "test"), recipe.limit),
    }
    figures = {
        name: detect_in(engine, frames, recipe.input_size).figures(THRESHOLD)
        for name, frames in parts.items()
    }
    return figures, len(thin_out(EgoHands(root, "train"), recipe.limit))


def _judge_pose(network: nn.Module, recipe: Recipe, data: Path) -> tuple[dict[str, Figures], int]:
    """Figures on each held-out part, and how many pictures were trained on."""
    assert isinstance(recipe.data, FreiHandSection)
    root, versions, limit = data / recipe.data.root, recipe.data.versions, recipe.limit
    parts: dict[str, LabelledPhotos] = {
        "FreiHAND, training ids held out": thin_out(FreiHand(root, "training", versions, "validation"), limit)
    }
    try:
        parts["FreiHAND, evaluation set"] = thin_out(FreiHand(root, "evaluation"), limit)
    except DatasetError as error:
        log.warning("no figures on the evaluation set: %s", error)
    figures = {
        name: evaluate_pose(torch_pose(network), hand_crops(photos, recipe.input_size))
        for name, photos in parts.items()
    }
    return figures, len(thin_out(FreiHand(root, "training", versions, "train"), limit))
