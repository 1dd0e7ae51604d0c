"""Training the default detector: which samples, which loss, how it is judged."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import generalized_box_iou_loss

from service.models.detector import STRIDE, HandDetector
from training.augment import photometric, square_crop_matrix
from training.canvas import Canvas, Target, cut_out, mosaic, photo_matrix
from training.checks import (
    check_apart,
    check_found,
    check_loss,
    check_share,
    check_unread,
)
from training.cutouts import can_be_cut_out, cut_out_hand, paste, paste_shape
from training.datasets.coco import CocoHands
from training.datasets.photos import (
    FalseHands,
    PhotoFolder,
    photos_without_hands,
)
from training.datasets.synthetic import Backgrounds, RenderedPool
from training.datasets.synthetic.backgrounds import held_out
from training.datasets.types import LabelledImage, LabelledImages
from training.distributed import shared_count
from training.evaluate import evaluate_detector, letterboxed, torch_detector
from training.initialise import initialise
from training.loading import Batch, Sample
from training.losses import centre_focal
from training.photo_sets import photos_to_learn, thin_out
from training.recipe import DataSection, Recipe

# Cells of the centre heatmap above this value learn the box.
_BOX_LEVEL = 0.12
# TTFNet: the Gaussian around a centre covers this share of the box, 6 standard deviations wide.
_SPREAD = 0.54 / 6
# Of the pictures with pasted hands: how many are in front of a place without a hand, and how many of the first shapes
# are filled with something else.
_FREE, _SHAPES = 0.4, 0.35
# In pixels, the smallest of them: photos mostly show hands near by, and far ones of rendered people are not enough.
_TINY = 12
# In pictures that are not fully labelled, a detection above this score is hardly punished.
_CONFIDENT = 0.5
_HARDLY = 0.15


class DetectorTask:
    """Canvases of the kinds `single`, `mosaic`, `scene` and `close` (rendered; one hand near by), `pasted` (cut-out
    hands elsewhere) and `empty` (no hand).

    A sample has `image` (S, S, 3) uint8 RGB; on the grid of cells (C = S / 8): `centre` (C, C) the heatmap,
    `background` (C, C) its weight where there is no hand, `unlabelled` (C, C), `box` (4, C, C) x0, y0, x1, y1 in
    pixels and `box_weight` (C, C).
    """

    key_metric = "ap50"

    def __init__(self, recipe: Recipe, data: Path, cache: Path) -> None:
        assert isinstance(recipe.data, DataSection)
        check_loss(recipe, "centre", "box")
        check_share(recipe, "single", "mosaic", "scene", "close", "pasted", "empty")
        check_unread(recipe, "freeze_norms", "restore_norms", "loss.boxes", "data.own_labels")
        self.recipe = recipe
        self.section = section = recipe.data
        photos = photos_to_learn(section, data)
        self.photos = thin_out(photos, recipe.limit)
        self.photo_weights = self.photos.weights(section.source_power, section.source_weight)
        self.negatives = photos_without_hands(data, section.negatives, section.hand_free, recipe.limit)
        self.false_hands = (
            FalseHands(data, section.false_hands, recipe.limit) if section.false_hands else None
        )
        self.behind = PhotoFolder(*(data / name for name in section.backgrounds), exclude=held_out)
        check_found(recipe, "photos", self.photos, "single", "mosaic", "pasted")
        check_found(recipe, "negatives and hand_free photos", self.negatives, "mosaic", "pasted", "empty")
        check_found(recipe, "backgrounds", self.behind, "pasted")
        check_apart(recipe, data, photos, self.negatives, self.false_hands)
        self.scenes: LabelledImages = ()
        self.close_ups: LabelledImages = ()
        around = partial(Backgrounds.of_training, data, section.backgrounds, section.negatives)
        if section.share.get("scene"):
            pool = section.rendered, section.rendered_size, section.rendered_seed
            self.scenes = RenderedPool.within(cache, "scene", *pool, around())
        if section.share.get("close"):
            pool = section.close_ups, section.close_ups_size, section.close_ups_seed
            self.close_ups = RenderedPool.within(cache, "crop", *pool, around())
        validation = thin_out(CocoHands.judged(data / section.validation[0]), recipe.limit)
        self.validation = letterboxed(validation, recipe.input_size)
        self.kinds: dict[str, Callable[[np.random.Generator, int], Canvas]] = {
            "single": self._single,
            "mosaic": self._mosaic,
            "scene": partial(_rendered, self.scenes),
            "close": partial(_rendered, self.close_ups),
            "pasted": self._pasted,
            "empty": self._empty,
        }

    def network(self) -> HandDetector:
        network = HandDetector()
        initialise(network, self.recipe.init)
        network.encoder.freeze(self.recipe.frozen)
        return network

    def sample(self, index: int, size: int) -> Sample:
        rng = np.random.default_rng([self.recipe.seed, index])
        kind = rng.choice(list(self.section.share), p=list(self.section.share.values()))
        canvas = self.kinds[kind](rng, size)
        canvas.image = photometric(canvas.image, rng)
        return targets_of(canvas)

    def _photo(self, rng: np.random.Generator) -> LabelledImage:
        return self.photos[int(rng.choice(len(self.photos), p=self.photo_weights))]

    def _single(self, rng: np.random.Generator, size: int) -> Canvas:
        canvas = Canvas.blank(size, rng)
        picture = self._photo(rng)
        side = _log_uniform(rng, 20, 0.86 * size)
        matrix = photo_matrix(picture, size, size, side, rng, whole=bool(rng.random() < 0.45))
        canvas.place(picture, (0, 0, size, size), matrix, picture.complete)
        return canvas

    def _mosaic(self, rng: np.random.Generator, size: int) -> Canvas:
        canvas = Canvas.blank(size, rng)
        for region in mosaic(size, rng):
            width, height = region[2] - region[0], region[3] - region[1]
            picture = self._photo(rng) if rng.random() < 0.85 else self._negative(rng)
            side = _log_uniform(rng, 13, 0.85 * max(width, height))
            matrix = photo_matrix(picture, width, height, side, rng, whole=bool(rng.random() < 0.3))
            canvas.place(picture, region, matrix, picture.complete)
        return canvas

    def _pasted(self, rng: np.random.Generator, size: int) -> Canvas:
        """One to three hands of photos in front of another place, and now and then something in the shape of one."""
        free = rng.random() < _FREE
        place = self._negative(rng).image if free else self.behind[int(rng.integers(len(self.behind)))]
        canvas = Canvas(cut_out(place, size, rng))
        canvas.unlabelled[:] = not free
        for _ in range(int(rng.integers(1, 4))):
            picture = self._photo(rng)
            hands = [hand for hand in picture.hands if can_be_cut_out(hand)]
            if not hands:
                continue
            side = _log_uniform(rng, _TINY, 0.86 * size)
            cut = cut_out_hand(picture, hands[int(rng.integers(len(hands)))], size, side, rng)
            if not canvas.targets and rng.random() < _SHAPES:
                paste_shape(canvas, cut, cut_out(self._negative(rng).image, size, rng), rng)
            else:
                paste(canvas, cut, rng)
        return canvas

    def _empty(self, rng: np.random.Generator, size: int) -> Canvas:
        return Canvas(cut_out(self._negative(rng).image, size, rng))

    def _negative(self, rng: np.random.Generator) -> LabelledImage:
        """A photo without a hand, or the surroundings of something that was taken for one."""
        if self.false_hands is None or rng.random() < 0.5:
            return LabelledImage(self.negatives[int(rng.integers(len(self.negatives)))], ())
        image, box = self.false_hands[int(rng.integers(len(self.false_hands)))]
        reach = max(box[2:].max() * rng.uniform(0.6, 1.1), 24)
        middle = box[:2] + box[2:] / 2 + rng.normal(0, 0.1, 2) * box[2:]
        x0, y0 = (int(v) for v in np.maximum(middle - reach, 0))
        x1, y1 = (int(v) for v in middle + reach)
        return LabelledImage(image[y0:y1, x0:x1], ())

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        logits, distances = network(batch["image"])
        target = batch["centre"]
        with torch.no_grad():
            confident = (torch.sigmoid(logits[:, 0]) > _CONFIDENT) & (target < 0.01)
            spared = confident & (batch["unlabelled"] > 0)
            background = batch["background"] * torch.where(spared, _HARDLY, 1.0)
        heat = centre_focal(logits[:, 0], target, background)
        chosen = batch["box_weight"] > 0
        cells = (torch.arange(target.shape[1], device=target.device) + 0.5) * STRIDE
        x, y = (grid[None].expand_as(chosen)[chosen] for grid in torch.meshgrid(cells, cells, indexing="xy"))
        left, top, right, bottom = distances.permute(0, 2, 3, 1)[chosen].unbind(1)
        boxes = torch.stack([x - left, y - top, x + right, y + bottom], 1)
        weight = batch["box_weight"][chosen]
        box = generalized_box_iou_loss(boxes, batch["box"].permute(0, 2, 3, 1)[chosen])
        box = (box * weight).sum() / shared_count(weight.sum(), least=1e-6)
        w = self.recipe.loss.weight
        parts = {"centre": float(heat.detach()), "box": float(box.detach())}
        return w["centre"] * heat + w["box"] * box, parts

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        assert isinstance(network, HandDetector)
        return evaluate_detector(torch_detector(network), self.validation)


def targets_of(canvas: Canvas) -> Sample:
    """The arrays that the loss compares with; see `DetectorTask`."""
    cells = canvas.size // STRIDE
    centre = np.zeros((cells, cells), np.float32)
    background = np.ones((cells, cells), np.float32)
    box = np.zeros((4, cells, cells), np.float32)
    box_weight = np.zeros((cells, cells), np.float32)
    grid_y, grid_x = np.mgrid[0:cells, 0:cells]
    # Largest first: where two hands claim a cell, the smaller one gets it.
    for target in sorted(canvas.targets, key=_area, reverse=True):
        x0, y0, x1, y1 = target.box / STRIDE
        if not target.counts:
            background[max(int(y0), 0) : int(y1) + 1, max(int(x0), 0) : int(x1) + 1] = 0
            continue
        column, row = min(int((x0 + x1) / 2), cells - 1), min(int((y0 + y1) / 2), cells - 1)
        spread_x, spread_y = (max(side * _SPREAD, 0.45) for side in (x1 - x0, y1 - y0))
        bump = np.exp(-((grid_x - column) ** 2) / (2 * spread_x**2) - (grid_y - row) ** 2 / (2 * spread_y**2))
        near = bump > _BOX_LEVEL
        centre = np.maximum(centre, bump.astype(np.float32))
        box_weight[near] = bump[near] / bump[near].sum() * target.weight
        box[:, near] = target.box[:, None]
    background[centre > _BOX_LEVEL] = 1
    unlabelled = canvas.unlabelled[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE].astype(np.float32)
    return {
        "image": np.ascontiguousarray(canvas.image),
        "centre": centre,
        "background": background,
        "unlabelled": unlabelled,
        "box": box,
        "box_weight": box_weight,
    }


def _rendered(pictures: LabelledImages, rng: np.random.Generator, size: int) -> Canvas:
    """One of them, most or all of it, slightly turned, mirrored or not."""
    canvas = Canvas.blank(size, rng)
    picture = pictures[int(rng.integers(len(pictures)))]
    full = picture.image.shape[0]
    side = full * rng.uniform(0.7, 1.1)
    centre = full / 2 + rng.uniform(-0.5, 0.5, 2) * abs(full - side)
    angle = rng.normal(0, 0.12)
    matrix = square_crop_matrix(centre, side, size, angle, bool(rng.random() < 0.5))
    canvas.place(picture, (0, 0, size, size), matrix, picture.complete)
    return canvas


def _area(target: Target) -> float:
    return float((target.box[2:] - target.box[:2]).prod())


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(max(high, low * 1.01))))
