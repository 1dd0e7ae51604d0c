"""Training the default pose network: what it learns from, which loss, how it is judged."""

from collections.abc import Callable
from pathlib import Path, PurePath

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from service.models.networks import NETWORKS
from service.models.pose import HandPose
from training.batched.windows import UNKNOWN
from training.checks import check_loss, check_share, check_unread
from training.datasets.coco import CocoHands
from training.distributed import shared_count
from training.evaluate import Crops, evaluate_pose, hand_crops, torch_pose
from training.initialise import initialise
from training.loading import Batch
from training.losses import heatmap_cross_entropy, soft_argmax
from training.norms import restore_norms
from training.photo_sets import thin_out
from training.pose_batches import PoseBatches
from training.pose_pictures import PosePictures, has_pose
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
        self.pictures = PosePictures(recipe, data, cache)
        self.validation = {name: self._held_out(data / name) for name in recipe.data.validation}

    def _held_out(self, file: Path) -> Crops:
        photos = CocoHands.judged(file)
        photos.entries = [entry for entry in photos.entries if any(has_pose(h) for h in entry.hands)]
        if not photos.entries:
            raise RecipeError(f"data.validation: no hand of {file} has keypoints")
        return hand_crops(thin_out(photos, self.recipe.limit), self.recipe.input_size)

    def network(self) -> HandPose:
        network = NETWORKS["pose", self.recipe.architecture](self.recipe.architecture, self.recipe.input_size)
        assert isinstance(network, HandPose)
        initialise(network, self.recipe.init)
        if self.recipe.restore_norms:
            limit = min(self.recipe.limit or _NORM_SAMPLES, _NORM_SAMPLES)
            few = PosePictures(self.recipe.shortened(limit), self.data, self.cache)
            make = PoseBatches(few, torch.device("cpu"), 1)
            restore_norms(network, make(0, _NORM_SAMPLES, self.recipe.input_size)["crop"])
        network.encoder.freeze(self.recipe.frozen)
        return network

    def batches(self, device: torch.device, workers: int) -> Callable[[int, int, int], Batch]:
        """What makes a batch of (the number of its first sample, its length, its input size) on `device`, the same
        whenever it is asked for, once the pool of rendered hands is full; `workers` processes render what it lacks.
        """
        return PoseBatches(self.pictures, device, workers)

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
