"""Training the reference pose network: crops of FreiHAND, Gaussian heatmaps, Dice loss."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.engines.base import Poses
from service.inference.geometry import CROP_FACTOR
from service.models.unet import SIGMA, HandUNet, decode_bumps
from training import distributed
from training.augment import photometric, square_crop_matrix, transform, warp
from training.checks import check_loss, check_unread
from training.datasets.freihand import FreiHand
from training.datasets.types import LabelledImage
from training.epochs import picture_of
from training.evaluate import Figures, evaluate_pose, hand_crops
from training.initialise import initialise
from training.loading import Batch, Sample
from training.losses import gaussian_heatmaps
from training.photo_sets import thin_out
from training.recipe import FreiHandSection, Recipe

# Side of a training crop over the larger side of the hand's box, around the factor of serving.
_FACTORS = (1.2, 1.95)
_SHIFT = 0.06  # standard deviation of a crop's place, as a share of that side
_TURN = 25.0  # standard deviation of a crop's turn, in degrees
# Figures that say nothing here: every crop shows a hand, a right one.
_MEANINGLESS = {"seen_as_hand", "handedness"}


class ReferencePoseTask:
    """One crop for each picture of FreiHAND, never mirrored: the network sees right hands alone.

    A sample has `crop` (S, S, 3) uint8 RGB, `keypoints` (21, 2) float32 in pixels of the crop, and `labelled` (21,)
    float32: 0 where there is none, or outside the crop.
    """

    key_metric = "pck_0.1"

    def __init__(self, recipe: Recipe, data: Path, cache: Path) -> None:
        assert isinstance(recipe.data, FreiHandSection)
        check_loss(recipe, "dice")
        check_unread(recipe, "licence", "frozen", "freeze_norms", "restore_norms", "loss.boxes")
        self.recipe, self.section = recipe, recipe.data
        root, versions = data / recipe.data.root, recipe.data.versions
        self.pictures = thin_out(FreiHand(root, "training", versions, "train"), recipe.limit)
        held_out = thin_out(FreiHand(root, "training", versions, "validation"), recipe.limit)
        self.validation = hand_crops(held_out, recipe.input_size)

    def __len__(self) -> int:
        return len(self.pictures)

    def network(self) -> HandUNet:
        network = HandUNet()
        initialise(network, self.recipe.init)
        return network

    def sample(self, index: int, size: int) -> Sample:
        rng = np.random.default_rng([self.recipe.seed, index])
        picture = self.pictures[picture_of(index, len(self), self.recipe.seed)]
        return hand_crop(picture, size, rng if self.section.augment else None)

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        logits = network(batch["crop"])  # (B, 21, S, S)
        targets = gaussian_heatmaps(batch["keypoints"], logits.shape[-1], SIGMA)
        labelled = batch["labelled"]  # (B, 21)
        each = 1 - dice(torch.sigmoid(logits), targets)
        loss = (each * labelled).sum() / distributed.shared_count(labelled.sum())
        return self.recipe.loss.weight["dice"] * loss, {"dice": float(loss.detach())}

    def evaluate(self, network: nn.Module) -> Figures:
        figures = evaluate_pose(bumps_engine(network), self.validation)
        return {name: value for name, value in figures.items() if name not in _MEANINGLESS}


def dice(predicted: Tensor, target: Tensor) -> Tensor:
    """Dice coefficient of heatmaps (B, K, H, W) in [0, 1], as V-Net has it (Milletari et al. 2016): (B, K).

    Squares in the denominator make it 1 where the maps are equal, and only there, though the targets are not binary.
    """
    overlap = (predicted * target).sum((2, 3))
    return 2 * overlap / (predicted.square() + target.square()).sum((2, 3)).clamp_min(1e-6)


def hand_crop(picture: LabelledImage, size: int, rng: np.random.Generator | None) -> Sample:
    """The crop around a picture's first hand, at another scale, place, turn and light by chance; without `rng` the one
    that serving cuts. The hand must have keypoints.
    """
    hand = picture.hands[0]
    assert hand.keypoints is not None
    side, centre = float(max(hand.box[2:].max(), 8.0)), hand.box[:2] + hand.box[2:] / 2
    if rng is None:
        matrix = square_crop_matrix(centre, side * CROP_FACTOR, size)
        crop = warp(picture.image, matrix, size)
    else:
        centre = centre + rng.normal(0, _SHIFT, 2) * side
        matrix = square_crop_matrix(
            centre, side * rng.uniform(*_FACTORS), size, np.deg2rad(rng.normal(0, _TURN))
        )
        crop = photometric(warp(picture.image, matrix, size, replicate=rng.random() < 0.3), rng)
    keypoints = transform(hand.keypoints, matrix).astype(np.float32)
    labelled: NDArray[np.bool_] = np.all((keypoints > 0) & (keypoints < size), axis=1)
    if hand.labelled is not None:
        labelled &= hand.labelled
    return {
        "crop": np.ascontiguousarray(crop),
        "keypoints": keypoints,
        "labelled": labelled.astype(np.float32),
    }


def bumps_engine(network: nn.Module) -> Callable[[NDArray[np.uint8]], Poses]:
    """The network as it is trained, without serving's mirror images, as something like a serving engine: all hands are
    right ones. Runs where the weights are.
    """

    @torch.inference_mode()
    def run(crops: NDArray[np.uint8]) -> Poses:
        device = next(network.parameters()).device
        keypoints, scores, _ = (
            part.cpu().numpy() for part in decode_bumps(network(torch.from_numpy(crops).to(device)))
        )
        return Poses(keypoints, scores, scores.mean(axis=1), np.ones(len(crops), np.float32))

    return run
