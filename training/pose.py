"""Training the default pose network: what it learns from, which loss, how it is judged."""

from collections.abc import Callable
from pathlib import Path, PurePath

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from service.models.networks import NETWORKS
from service.models.pose import HandPose
from training.batched.windows import UNKNOWN
from training.checks import (
    check_apart,
    check_found,
    check_loss,
    check_share,
    check_unread,
)
from training.datasets.coco import CocoHands
from training.datasets.photos import (
    FalseHands,
    OwnLabels,
    evenly_spaced,
    photos_without_hands,
)
from training.datasets.synthetic import Backgrounds, RenderedPool
from training.datasets.synthetic.backgrounds import held_out
from training.datasets.types import HandLabel, LabelledImages
from training.distributed import shared_count
from training.evaluate import Crops, evaluate_pose, hand_crops, torch_pose
from training.initialise import initialise
from training.loading import Batch
from training.losses import heatmap_cross_entropy, soft_argmax
from training.norms import restore_norms
from training.photo_sets import photos_to_learn, thin_out
from training.pose_batches import PoseBatches
from training.recipe import DataSection, Recipe, RecipeError

# Spread of the Gaussian targets, in cells.
TARGET_SIGMA = 1.2
_NORM_SAMPLES = 256  # crops that give norms their statistics


class PoseTask:
    """Crops of real hands with keypoints, with keypoints of our own, with a box alone, of rendered hands and of no
    hands, in the shares `photo`, `own`, `boxed`, `rendered` and `empty`.

    A batch has `crop` (B, S, S, 3) uint8 RGB, and in float32 `keypoints` (B, 21, 2) as shares of the side, `labelled`
    (B, 21), `hand` (B,) 1 or 0, `right` (B,) 1, 0 or -1 (unknown), and `depth` (B, 21) relative to the wrist as shares
    of the side, NaN where it is not known.
    """

    key_metric = "pck_0.1"

    def __init__(self, recipe: Recipe, data: Path, cache: Path) -> None:
        assert isinstance(recipe.data, DataSection)
        check_loss(recipe, "heatmap", "distance", "hand", "handedness", "depth")
        check_share(recipe, "photo", "own", "boxed", "rendered", "empty")
        check_unread(recipe, "freeze_norms", "loss.boxes")
        check_unread(recipe, "data.close_ups", "data.close_ups_size", "data.close_ups_seed")
        self.recipe, self.data, self.cache = recipe, data, cache
        self.section = section = recipe.data
        limit = recipe.limit
        photos = photos_to_learn(section, data)
        posed = [i for i, entry in enumerate(photos.entries) if any(_has_pose(h) for h in entry.hands)]
        keep = evenly_spaced(posed, limit)
        self.photos, self.posed = photos, np.array(keep)
        weights = photos.weights(section.source_power, section.source_weight)
        self.posed_weights = weights[keep] / weights[keep].sum()
        # Hands that only people saw: they had a box drawn, and the teacher found no keypoints.
        boxed = [
            (i, k)
            for i, entry in enumerate(photos.entries)
            for k, h in enumerate(entry.hands)
            if not _has_pose(h)
        ]
        self.boxed = evenly_spaced(boxed, limit)
        complete = [i for i, entry in enumerate(photos.entries) if entry.complete]
        self.complete = evenly_spaced(complete, limit)
        self.negatives = photos_without_hands(data, section.negatives, section.hand_free, limit)
        self.false_hands = FalseHands(data, section.false_hands, limit) if section.false_hands else None
        own = OwnLabels(data, section.own_labels, limit) if section.own_labels else None
        self.own: LabelledImages = own or ()
        check_found(recipe, "photos with keypoints", self.posed, "photo")
        check_found(recipe, "labels of own_labels", self.own, "own")
        check_found(recipe, "hands that have a box alone", self.boxed, "boxed")
        check_found(recipe, "negatives and hand_free photos", self.negatives, "photo", "own", "empty")
        check_apart(recipe, data, photos, self.negatives, own, self.false_hands)
        self.rendered: LabelledImages = ()
        if section.share.get("rendered"):
            folders = [data / name for name in (*section.backgrounds, *section.negatives)]
            behind = Backgrounds(folders, exclude=held_out)
            self.rendered = RenderedPool.within(
                cache,
                "crop",
                section.rendered,
                section.rendered_size,
                section.rendered_seed,
                behind,
            )
        self.validation = {name: self._held_out(data / name) for name in section.validation}

    def _held_out(self, file: Path) -> Crops:
        photos = CocoHands.judged(file)
        photos.entries = [entry for entry in photos.entries if any(_has_pose(h) for h in entry.hands)]
        if not photos.entries:
            raise RecipeError(f"data.validation: no hand of {file} has keypoints")
        return hand_crops(thin_out(photos, self.recipe.limit), self.recipe.input_size)

    def network(self) -> HandPose:
        network = NETWORKS["pose", self.recipe.architecture](self.recipe.architecture, self.recipe.input_size)
        assert isinstance(network, HandPose)
        initialise(network, self.recipe.init)
        if self.recipe.restore_norms:
            limit = min(self.recipe.limit or _NORM_SAMPLES, _NORM_SAMPLES)
            few = PoseTask(self.recipe.shortened(limit), self.data, self.cache)
            make = few.batches(torch.device("cpu"), 1)
            restore_norms(network, make(0, _NORM_SAMPLES, self.recipe.input_size)["crop"])
        network.encoder.freeze(self.recipe.frozen)
        return network

    def batches(self, device: torch.device, workers: int) -> Callable[[int, int, int], Batch]:
        """What makes a batch of (the number of its first sample, its length, its input size) on `device`, the same
        whenever it is asked for, once the pool of rendered hands is full; `workers` processes render what it lacks.
        """
        return PoseBatches(self, device, workers)

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        weight = self.recipe.loss.weight
        heatmaps, logits, depth = network(batch["crop"])
        points, hand, right = batch["keypoints"], batch["hand"], batch["right"]
        inside = ((points > 0) & (points < 1)).all(2).float() * batch["labelled"]  # (B, 21)
        count = shared_count(inside.sum())
        heat = heatmap_cross_entropy(heatmaps, points * heatmaps.shape[-1], TARGET_SIGMA)
        heat = (heat * inside).sum() / count
        distance = ((soft_argmax(heatmaps) - points).abs().sum(2) * inside).sum() / count
        presence = F.binary_cross_entropy_with_logits(logits[:, 0], hand)
        known = (right != UNKNOWN).float()
        side = F.binary_cross_entropy_with_logits(logits[:, 1], right.clamp(min=0), known, reduction="sum")
        side = side / shared_count(known.sum())
        deep = batch["depth"].isfinite()
        behind = (depth - batch["depth"].nan_to_num()).abs()[deep].sum() / shared_count(deep.sum())
        total = (
            weight["heatmap"] * heat
            + weight["distance"] * distance
            + weight["hand"] * presence
            + weight["handedness"] * side
            + weight["depth"] * behind
        )
        parts = {
            "heatmap": heat,
            "distance": distance,
            "hand": presence,
            "handedness": side,
            "depth": behind,
        }
        return total, {name: float(value.detach()) for name, value in parts.items()}

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        assert isinstance(network, HandPose)
        (_, crops), *others = self.validation.items()
        figures = evaluate_pose(torch_pose(network), crops)
        for name, crops in others:
            kind = PurePath(name).stem.removesuffix("_sample")
            more = evaluate_pose(torch_pose(network), crops)
            figures |= {f"{kind}_{k}": v for k, v in more.items() if k.startswith("pck")}
        return figures


def _has_pose(hand: HandLabel) -> bool:
    return hand.keypoints is not None
