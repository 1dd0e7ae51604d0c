"""Pieces the default detector and the default pose network share."""

from collections.abc import Mapping, Sequence

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


class WideBlock(nn.Module):
    """Residual block that looks around itself: depthwise 5×5, then a two-layer perceptron in every cell, as in ConvNeXt
    (Liu et al. 2022); keeps the shape. Does nothing until it is trained.
    """

    def __init__(self, channels: int, expansion: int = 4) -> None:
        super().__init__()
        wide = channels * expansion
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, wide, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(wide, channels, 1),
        )
        start_at_nothing(self.layers[-1])

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.layers(x)
        return x + added


class Mean(nn.Module):
    """(B, C, N) to (B, C). A pooling layer does the same, in ten nodes of an ONNX graph."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(2)


def start_at_nothing(layer: nn.Module) -> None:
    """Zero the last layer of a branch, so that a trained network goes on as before when the branch is added."""
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


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

    def forward(self, features: Sequence[Tensor], added: Mapping[int, Tensor] | None = None) -> Tensor:
        """added: by the number of a level, 0 the finest, what to add to its map, in the pyramid's channels."""
        x: Tensor | None = None
        levels = zip(self.lateral, self.smooth, features, strict=True)
        for number, (lateral, smooth, feature) in reversed(list(enumerate(levels))):
            y = lateral(feature)
            if added and number in added:
                y = y + added[number]
            if x is not None:
                y = y + F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = smooth(y)
        assert x is not None
        return x
