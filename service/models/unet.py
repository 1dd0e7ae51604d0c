"""The reference pose network: a slim U-Net to 21 heatmaps at the resolution of the crop.

Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation" (2015), with three levels, batch
norms, padded convolutions and bilinear upsampling. Each heatmap is a Gaussian bump of `SIGMA` pixels, not a
distribution over the cells as the default pose network's.

It is trained on FreiHAND, which has right hands alone, and never on mirrored crops. So serving shows it every crop
twice, as it is and mirrored, and keeps what it recognises better.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from service.models.heatmaps import find_modes
from service.models.keypoints import KEYPOINT_NAMES
from service.models.layers import normalise

SIGMA = 3.0  # standard deviation of a target's bump, in pixels
CHANNELS = (16, 32, 64, 128)
_SHIFTS = 6  # each halves the distance to the mode of a bump as wide as the kernel
_FLOOR = 1e-6  # keeps a heatmap that is 0 everywhere from having no mode
_MAX_LOGIT = 12.0  # beyond, a heatmap's peak is 0 or 1 to five digits


def _double_convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class HandUNet(nn.Module):
    """`forward` gives the logits that training needs, `estimate` the keypoints that serving needs."""

    def __init__(self, channels: Sequence[int] = CHANNELS) -> None:
        """channels: of each level, the bottom of the U last."""
        super().__init__()
        self.down = nn.ModuleList(
            _double_convolution(inputs, outputs)
            for inputs, outputs in zip((3, *channels[:-2]), channels[:-1], strict=True)
        )
        self.bottom = _double_convolution(channels[-2], channels[-1])
        self.up = nn.ModuleList(  # finest first, as `down`
            _double_convolution(fine + coarse, fine) for fine, coarse in pairwise(channels)
        )
        self.last = nn.Conv2d(channels[0], len(KEYPOINT_NAMES), 3, padding=1)

    def forward(self, crops: Tensor) -> Tensor:
        """crops: (B, S, S, 3) uint8 RGB, S a multiple of 8. Returns heatmap logits (B, 21, S, S): their sigmoid is near
        1 where the keypoint is.
        """
        x = normalise(crops)  # (B, 3, S, S)
        skipped = []
        for level in self.down:
            x = level(x)
            skipped.append(x)
            x = F.max_pool2d(x, 2)
        x = self.bottom(x)  # (B, 128, S/8, S/8)
        for level, skip in reversed(list(zip(self.up, skipped, strict=True))):
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = level(torch.cat([skip, x], 1))
        logits: Tensor = self.last(x)
        return logits

    def estimate(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """crops as for `forward`, of either hand. Returns keypoints (B, 21, 2) x, y in crop pixels, their scores
        (B, 21), the probability of a hand (B,) and of a right hand (B,); all probabilities in [0, 1].

        The crop and its mirror image go through the network in one batch; the one with the higher peaks is kept, and
        its keypoints are mirrored back if it is the mirror image. A hand's probability is the mean of its keypoints'
        scores. Handedness comes from the same comparison, by the mean difference of the peaks' logits: mirroring the
        crop turns p into 1 - p exactly, but nothing calibrates p, and palm and back of a hand look much alike.
        """
        logits = self(torch.cat([crops, crops.flip(2)]))  # (2B, 21, S, S)
        keypoints, scores, peaks = (part.chunk(2) for part in decode_bumps(logits))
        odds = peaks[0].mean(1) - peaks[1].mean(1)  # (B,)
        right = odds >= 0
        flipped = torch.stack([crops.shape[2] - keypoints[1][..., 0], keypoints[1][..., 1]], 2)
        chosen = torch.where(right[:, None], scores[0], scores[1])
        return (
            torch.where(right[:, None, None], keypoints[0], flipped),
            chosen,
            chosen.mean(1),
            torch.sigmoid(odds),
        )


def decode_bumps(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Read sub-pixel keypoints from heatmaps of Gaussian bumps.

    logits: (B, K, H, W) float32. Returns x, y (B, K, 2) in pixels, where the middle of the first pixel is 0.5; the
    height of each map's peak in [0, 1] (B, K); and the same as a logit (B, K), limited to ±12.
    """
    keypoints, _ = find_modes(torch.sigmoid(logits).clamp_min(_FLOOR), SIGMA, _SHIFTS)
    peaks = logits.flatten(2).amax(2).clamp(-_MAX_LOGIT, _MAX_LOGIT)
    return keypoints, torch.sigmoid(peaks), peaks
