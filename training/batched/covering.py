"""Things in front of hands, and other places behind them."""

import math

import torch
from torch import Tensor

from training.batched.draw import Draw, places

# A hand is cut out along its bones: half widths of what is kept around them, in palms.
FINGER, PALM_WIDTH, WRIST = 0.14, 0.21, 0.3
PALM = [0, 5, 9, 13, 17]
_TRANSITION = (1.5, 8.0)  # pixels from hand to place
BONES = [(0, 1), (1, 2), (2, 3), (3, 4)]
BONES += [(first + i, first + i + 1) for first in (5, 9, 13, 17) for i in range(3)]
PALM_BONES = [(0, 1), (0, 5), (0, 9), (0, 13), (0, 17), (1, 5), (5, 9), (9, 13), (13, 17)]


def occlude(pictures: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
    """Something in front of each picture, near its middle: a piece of the other picture, an ellipse or a rod.

    pictures, others: (B, 3, S, S).
    """
    draw, count, size = Draw(generator), len(pictures), pictures.shape[2]
    centre = 0.5 + draw.normal(1 / 6, count, 2)
    angle = draw.uniform(0, math.pi, count)
    away = places(size, pictures.device) - centre[:, None, None]  # (B, S, S, 2) in shares of the side
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    along, across = away[..., 0] * cos + away[..., 1] * sin, away[..., 1] * cos - away[..., 0] * sin
    axes = draw.uniform(0.06, 0.2, count, 2, 1, 1)
    ellipse = 1 - torch.hypot(along / axes[:, 0], across / axes[:, 1])
    ellipse = ellipse * axes.amin(1)  # about the distance to its edge
    half, reach = draw.uniform(0.01, 0.06, count, 1, 1), draw.uniform(0.15, 0.8, count, 1, 1)
    rod = torch.minimum(half - across.abs(), reach - along.abs())
    chosen = draw.uniform(0, 1, count, 1, 1) < 0.5
    mask = (torch.where(chosen, ellipse, rod) * size + 0.5).clamp(0, 1)[:, None]
    return pictures * (1 - mask) + others * mask


def elsewhere(
    pictures: Tensor, inside: Tensor, others: Tensor, keypoints: Tensor, generator: torch.Generator
) -> Tensor:
    """The hands cut out along their bones, in front of the other pictures: in another light than these, as a hand near
    the camera or in a composed picture is, with a hard edge or a blurred one.

    pictures, others: (B, 3, S, S). inside: (B, S, S) bool, where `pictures` are; a hand ends there too. keypoints:
    (B, 21, 2), all known, in shares of the side.
    """
    draw, count, size = Draw(generator), len(pictures), pictures.shape[2]
    palm = (keypoints[:, 9] - keypoints[:, 0]).norm(dim=1)
    palm = torch.maximum(palm, 1.3 * (keypoints[:, 17] - keypoints[:, 5]).norm(dim=1))[:, None, None]
    grid = places(size, pictures.device)
    within = torch.full_like(pictures[:, 0], -1.0)  # (B, S, S) how far inside of the hand
    for bones, width in ((BONES, FINGER), (PALM_BONES, PALM_WIDTH)):
        for a, b in bones:
            within = torch.maximum(within, width * palm - _distance(grid, keypoints[:, a], keypoints[:, b]))
    knuckles = keypoints[:, PALM[1:]].mean(1)
    arm = keypoints[:, 0] + 1.2 * (keypoints[:, 0] - knuckles)
    within = torch.maximum(within, WRIST * palm - _distance(grid, keypoints[:, 0], arm))
    mask = (within * size / draw.uniform(*_TRANSITION, count, 1, 1) + 0.5).clamp(0, 1)
    mask = (mask * inside)[:, None]
    light = (draw.normal(0.2, count, 1, 1, 1) + draw.normal(0.08, count, 3, 1, 1)).exp()
    return others * (1 - mask) + (pictures * light).clamp(0, 1) * mask


def _distance(grid: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """(B, S, S): how far places `grid` (S, S, 2) are from the lines from start (B, 2) to end (B, 2)."""
    line = (end - start)[:, None, None]
    away = grid[None] - start[:, None, None]
    share = ((away * line).sum(3) / (line**2).sum(3).clamp(min=1e-9)).clamp(0, 1)
    distance: Tensor = (away - share[..., None] * line).norm(dim=3)
    return distance
