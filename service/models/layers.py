"""Pieces the default detector and the default pose network share."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

# Networks take uint8 pictures and normalise inside: (value - mean) / scale.
PIXEL_MEAN = 127.0
PIXEL_SCALE = 128.0


def normalise(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 RGB to (B, 3, H, W) float in about [-1, 1]."""
    return (images.permute(0, 3, 1, 2).float() - PIXEL_MEAN) / PIXEL_SCALE


def separable(channels: int, kernel: int = 5) -> nn.Sequential:
    """Depthwise k×k then pointwise convolution, each with batch norm and ReLU; keeps the shape."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )


class FeaturePyramid(nn.Module):
    """Top-down pathway of a feature pyramid network (Lin et al. 2017) that returns its finest level alone.

    inputs: channels of the encoder's maps, finest first; each map half the size of the one before.
    """

    def __init__(self, inputs: Sequence[int], channels: int, lateral_norm: bool) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, channels, 1, bias=False), nn.BatchNorm2d(channels))
            if lateral_norm
            else nn.Conv2d(c, channels, 1)
            for c in inputs
        )
        self.smooth = nn.ModuleList(separable(channels) for _ in inputs)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        x: Tensor | None = None
        for lateral, smooth, feature in reversed(list(zip(self.lateral, self.smooth, features, strict=True))):
            y = lateral(feature)
            if x is not None:
                y = y + F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = smooth(y)
        assert x is not None
        return x
