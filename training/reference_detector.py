"""Training the reference detector: whole frames of EgoHands, torchvision's Faster R-CNN with its own losses."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from service.models.faster_rcnn import HandFasterRCNN
from training.checks import check_loss, check_unread
from training.datasets.egohands import POLYGON_FIELDS, EgoHands
from training.epochs import picture_of
from training.evaluate import THRESHOLD, Figures, detect_in, torch_detector
from training.initialise import initialise
from training.loading import Batch, Sample
from training.photo_sets import thin_out
from training.recipe import EgoHandsSection, Recipe

_LOSSES = ("loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg")
_MOST = len(POLYGON_FIELDS)  # hands in a frame


class ReferenceDetectorTask:
    """Frames of EgoHands, some of them mirrored; the network resizes them itself, to the recipe's `input_size`.

    A sample has `image` (720, 1280, 3) uint8 RGB, `boxes` (4, 4) float32 x0, y0, x1, y1 in pixels, and `present` (4,)
    bool: which of the boxes there are.
    """

    key_metric = "ap50"

    def __init__(self, recipe: Recipe, data: Path, cache: Path) -> None:
        assert isinstance(recipe.data, EgoHandsSection)
        check_loss(recipe, *_LOSSES)
        check_unread(recipe, "licence", "restore_norms", "fold_norms")
        if any(phase.size != recipe.input_size for phase in recipe.phases):
            raise ValueError(f"{recipe.architecture} is built for one size: every phase must have input_size")
        self.recipe, self.section = recipe, recipe.data
        root = data / recipe.data.root
        self.frames = thin_out(EgoHands(root, "train"), recipe.limit)
        self.validation = thin_out(EgoHands(root, "validation"), recipe.limit)

    def __len__(self) -> int:
        return len(self.frames)

    def network(self) -> HandFasterRCNN:
        network = HandFasterRCNN(self.recipe.architecture, self.recipe.input_size)
        initialise(network, self.recipe.init)
        network.learn_from(self.recipe.loss.boxes)
        network.freeze_blocks(self.recipe.frozen)
        if self.recipe.freeze_norms:
            network.freeze_norms()
        return network

    def sample(self, index: int, size: int) -> Sample:
        rng = np.random.default_rng([self.recipe.seed, index])
        frame = self.frames[picture_of(index, len(self), self.recipe.seed)]
        boxes, present = np.zeros((_MOST, 4), np.float32), np.arange(_MOST) < len(frame.hands)
        for place, hand in zip(boxes, frame.hands, strict=False):
            place[:2], place[2:] = hand.box[:2], hand.box[:2] + hand.box[2:]
        image = frame.image
        if rng.random() < self.section.mirrored:
            image = np.ascontiguousarray(image[:, ::-1])
            boxes[:, [0, 2]] = image.shape[1] - boxes[:, [2, 0]]
        return {"image": image, "boxes": boxes, "present": present}

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        targets = [
            {
                "boxes": boxes[present],
                "labels": torch.ones(int(present.sum()), dtype=torch.int64, device=boxes.device),
            }
            for boxes, present in zip(batch["boxes"], batch["present"], strict=True)
        ]
        losses: dict[str, Tensor] = network(batch["image"], targets)
        total = torch.stack([self.recipe.loss.weight[name] * losses[name] for name in _LOSSES]).sum()
        return total, {name.removeprefix("loss_"): float(losses[name].detach()) for name in _LOSSES}

    def evaluate(self, network: nn.Module) -> Figures:
        found = detect_in(torch_detector(network), self.validation, self.recipe.input_size)
        return found.figures(THRESHOLD)
