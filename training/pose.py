"""Training the default pose network: which samples, which loss, how it is judged."""

from collections.abc import Callable
from pathlib import Path, PurePath

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from service.models.networks import NETWORKS
from service.models.pose import HandPose
from training.augment import (
    ANY_TURN,
    CROP_FACTORS,
    CROP_SHIFT,
    CUT_OFF,
    OCCLUDED,
    REPLICATED,
    Image,
    cut_off,
    occlude,
    photometric,
    square_crop_matrix,
    stretched,
    transform,
    warp,
)
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
from training.datasets.types import HandLabel, LabelledImage, LabelledImages
from training.distributed import shared_count
from training.evaluate import Crops, evaluate_pose, hand_crops, known_keypoints, torch_pose
from training.initialise import initialise
from training.loading import Batch, Sample
from training.losses import heatmap_cross_entropy, soft_argmax
from training.norms import restore_norms
from training.photo_sets import photos_to_learn, thin_out
from training.pose_batches import FALSE_HANDS, PoseBatches
from training.recipe import DataSection, Recipe, RecipeError

# Spread of the Gaussian targets, in cells.
TARGET_SIGMA = 1.2
_NORM_SAMPLES = 256  # crops that give norms their statistics


class PoseTask:
    """Crops of real hands with keypoints, with keypoints of our own, with a box alone, of rendered hands and of no
    hands, in the shares `photo`, `own`, `boxed`, `rendered` and `empty`.

    A sample has `crop` (S, S, 3) uint8 RGB, `keypoints` (21, 2) float32 as shares of the side, `labelled` (21,)
    float32, `hand` () 1 or 0, `right` () 1, 0 or -1 (unknown), and `depth` (21,) float32 relative to the wrist as
    shares of the side, NaN where it is not known.
    """

    key_metric = "pck_0.1"

    def __init__(self, recipe: Recipe, data: Path, cache: Path) -> None:
        assert isinstance(recipe.data, DataSection)
        check_loss(recipe, "heatmap", "distance", "hand", "handedness", "depth")
        check_share(recipe, "photo", "own", "boxed", "rendered", "empty")
        check_unread(recipe, "freeze_norms", "loss.boxes")
        check_unread(recipe, "data.close_ups", "data.close_ups_size", "data.close_ups_seed")
        self.recipe = recipe
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
        self.kinds: dict[str, Callable[[np.random.Generator, int], Sample]] = {
            "photo": self._photo,
            "own": self._own,
            "boxed": self._boxed,
            "rendered": self._rendered,
            "empty": self._empty,
        }

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
            some = [self.sample(index, self.recipe.input_size)["crop"] for index in range(_NORM_SAMPLES)]
            restore_norms(network, torch.from_numpy(np.stack(some)))
        network.encoder.freeze(self.recipe.frozen)
        return network

    def batches(self, device: torch.device, workers: int) -> Callable[[int, int, int], Batch]:
        """What makes a batch of (the number of its first sample, its length, its input size) on `device`, the same
        whenever it is asked for, once the pool of rendered hands is full; `workers` processes render what it lacks.
        """
        return PoseBatches(self, device, workers)

    def sample(self, index: int, size: int) -> Sample:
        rng = np.random.default_rng([self.recipe.seed, index])
        kind = rng.choice(list(self.section.share), p=list(self.section.share.values()))
        return self.kinds[kind](rng, size)

    def _photo(self, rng: np.random.Generator, size: int) -> Sample:
        picture = self.photos[int(self.posed[rng.choice(len(self.posed), p=self.posed_weights)])]
        hands = [hand for hand in picture.hands if _has_pose(hand)]
        return self._partly_hidden(picture, hands[rng.integers(len(hands))], rng, size)

    def _own(self, rng: np.random.Generator, size: int) -> Sample:
        picture = self.own[int(rng.integers(len(self.own)))]
        return self._partly_hidden(picture, picture.hands[0], rng, size)

    def _partly_hidden(
        self, picture: LabelledImage, hand: HandLabel, rng: np.random.Generator, size: int
    ) -> Sample:
        sample = hand_sample(picture, hand, rng, size, turn=25.0)
        if rng.random() < OCCLUDED:
            sample["crop"] = occlude(sample["crop"], photometric(self.without_hand(rng, size), rng), rng)
        return sample

    def _boxed(self, rng: np.random.Generator, size: int) -> Sample:
        index, number = self.boxed[int(rng.integers(len(self.boxed)))]
        picture = self.photos[index]
        return hand_sample(picture, picture.hands[number], rng, size, turn=25.0)

    def _rendered(self, rng: np.random.Generator, size: int) -> Sample:
        picture = self.rendered[int(rng.integers(len(self.rendered)))]
        return hand_sample(picture, picture.hands[0], rng, size, turn=12.0)

    def _empty(self, rng: np.random.Generator, size: int) -> Sample:
        """No hand: what was taken for one, or what never was."""
        if self.false_hands is not None and rng.random() < FALSE_HANDS:
            return self._false_hand(self.false_hands, rng, size)
        return _no_hand(photometric(self.without_hand(rng, size), rng))

    def without_hand(self, rng: np.random.Generator, size: int) -> Image:
        """(size, size, 3) uint8 RGB: of a photo without any hand, or of the surroundings of labelled ones."""
        hands: tuple[HandLabel, ...]
        if rng.random() < 0.5 or not self.complete:
            image, hands = self.negatives[int(rng.integers(len(self.negatives)))], ()
        else:
            picture = self.photos[self.complete[rng.integers(len(self.complete))]]
            image, hands = picture.image, picture.hands
        height, width = image.shape[:2]
        for _ in range(8):
            side = min(height, width) * float(np.exp(rng.uniform(np.log(0.15), np.log(1.0))))
            centre = np.array([rng.uniform(0, width), rng.uniform(0, height)])
            if all(_apart(centre, side, hand) for hand in hands):
                break
        else:
            image = self.negatives[int(rng.integers(len(self.negatives)))]
            height, width = image.shape[:2]
            side, centre = min(height, width) * 0.5, np.array([width / 2, height / 2])
        matrix = square_crop_matrix(centre, side, size, rng.normal(0, 0.4), rng.random() < 0.5)
        return warp(image, matrix, size, replicate=rng.random() < 0.5)

    def _false_hand(self, false_hands: FalseHands, rng: np.random.Generator, size: int) -> Sample:
        image, box = false_hands[int(rng.integers(len(false_hands)))]
        side = float(max(box[2:].max(), 8.0))
        centre = box[:2] + box[2:] / 2 + rng.normal(0, 0.1, 2) * side
        turn, mirror = rng.normal(0, 0.4), bool(rng.random() < 0.5)
        matrix = square_crop_matrix(centre, side * rng.uniform(*CROP_FACTORS), size, turn, mirror)
        return _no_hand(photometric(warp(image, matrix, size, replicate=rng.random() < 0.3), rng))

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


def hand_sample(
    picture: LabelledImage, hand: HandLabel, rng: np.random.Generator, size: int, turn: float
) -> Sample:
    """One augmented crop around a hand: scale, shift, rotation (normal, `turn` degrees), mirror, light; stretch and
    shear where there is no depth, which would have to be stretched too.

    Mirroring flips x and swaps the handedness; the order of the keypoints stays. Some hands are cut off, as by the edge
    of a picture; the keypoints out there are still to be found, as far as they lie in the crop.
    """
    image, box = picture.image, hand.box
    keypoints = np.zeros((21, 2)) if hand.keypoints is None else hand.keypoints
    cut = bool(rng.random() < CUT_OFF)
    if cut:
        image, box, corner = cut_off(image, box, rng)
        keypoints = keypoints - corner
    side = float(max(box[2:].max(), 8.0))
    centre = box[:2] + box[2:] / 2 + rng.normal(0, CROP_SHIFT, 2) * side
    angle = np.deg2rad(rng.uniform(-180, 180) if rng.random() < ANY_TURN else rng.normal(0, turn))
    mirror = bool(rng.random() < 0.5)
    factor = rng.uniform(*CROP_FACTORS)
    matrix = square_crop_matrix(centre, side * factor, size, angle, mirror)
    if hand.depth is None:
        matrix = stretched(matrix, size, rng)
    replicate = not cut and bool(rng.random() < REPLICATED)
    crop = photometric(warp(image, matrix, size, replicate), rng)
    points = (transform(keypoints, matrix) / size).astype(np.float32)
    labelled = _labelled(hand)
    right = UNKNOWN if hand.handedness is None else float((hand.handedness == "right") != mirror)
    depth = None if hand.depth is None else (hand.depth / (side * factor)).astype(np.float32)
    return _sample(crop, points, labelled, 1.0, right, depth)


def _labelled(hand: HandLabel) -> np.ndarray:
    """(21,) float32: 1 for keypoints that are labelled."""
    if hand.keypoints is None:
        return np.zeros(21, np.float32)
    return known_keypoints(hand).astype(np.float32)


def _no_hand(crop: np.ndarray) -> Sample:
    return _sample(crop, np.zeros((21, 2), np.float32), np.zeros(21, np.float32), 0.0, UNKNOWN)


def _sample(
    crop: np.ndarray,
    points: np.ndarray,
    labelled: np.ndarray,
    hand: float,
    right: float,
    depth: np.ndarray | None = None,
) -> Sample:
    return {
        "crop": np.ascontiguousarray(crop),
        "keypoints": points,
        "labelled": labelled,
        "hand": np.array(hand, np.float32),
        "right": np.array(right, np.float32),
        "depth": np.full(21, np.nan, np.float32) if depth is None else depth,
    }


def _has_pose(hand: HandLabel) -> bool:
    return hand.keypoints is not None


def _apart(centre: np.ndarray, side: float, hand: HandLabel) -> bool:
    """True if a square crop shows next to nothing of a hand."""
    low = np.maximum(centre - side / 2, hand.box[:2])
    high = np.minimum(centre + side / 2, hand.box[:2] + hand.box[2:])
    return bool(np.prod(np.maximum(high - low, 0)) < 0.03 * side * side)
