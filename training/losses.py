"""Losses of the default pair."""

import torch
import torch.nn.functional as F
from torch import Tensor

from training.distributed import shared_count


def gaussian_heatmaps(points: Tensor, size: int, sigma: float) -> Tensor:
    """(B, K, 2) points in cells to (B, K, size, size) Gaussians of height 1; the first cell's middle is 0.5."""
    cells = torch.arange(size, device=points.device) + 0.5
    x = torch.exp(-((cells - points[..., 0:1]) ** 2) / (2 * sigma**2))  # (B, K, size)
    y = torch.exp(-((cells - points[..., 1:2]) ** 2) / (2 * sigma**2))
    return y[..., :, None] * x[..., None, :]


def heatmap_cross_entropy(logits: Tensor, points: Tensor, sigma: float) -> Tensor:
    """Cross-entropy between softmax heatmaps (B, K, S, S) and Gaussians around points (B, K, 2) in cells: (B, K)."""
    target = gaussian_heatmaps(points, logits.shape[-1], sigma).flatten(2)
    target = target / (target.sum(2, keepdim=True) + 1e-6)
    return -(target * F.log_softmax(logits.float().flatten(2), dim=2)).sum(2)


def soft_argmax(logits: Tensor) -> Tensor:
    """The mean of softmax heatmaps (B, K, S, S), as a share of the side: (B, K, 2) x, y (Nibali et al. 2018)."""
    size = logits.shape[-1]
    cells = (torch.arange(size, device=logits.device) + 0.5) / size
    probability = torch.softmax(logits.float().flatten(2), dim=2).view_as(logits)
    return torch.stack([(probability.sum(2) * cells).sum(-1), (probability.sum(3) * cells).sum(-1)], -1)


def centre_focal(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Focal loss of CenterNet (Zhou et al. 2019) over centre heatmaps, divided by the number of hands.

    logits, target, weight: (B, H, W); target is 1 at centres and falls off around them; weight is for the background.
    """
    p = torch.sigmoid(logits).clamp(1e-4, 1 - 1e-4)
    centre = (target == 1).float()
    positive = -(torch.log(p) * (1 - p) ** 2 * centre).sum()
    negative = -(torch.log(1 - p) * p**2 * (1 - target) ** 4 * weight * (1 - centre)).sum()
    return (positive + negative) / shared_count(centre.sum())
