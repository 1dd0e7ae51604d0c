"""The default pose network: 21 keypoints of the one hand in a square crop, in three dimensions.

It also says whether there is a hand, and which. EfficientNet-lite with a small feature pyramid to stride 4. A heatmap
is a probability distribution over the cells (softmax), trained by cross-entropy and by the distance of its mean, as in
DSNT (Nibali et al. 2018).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from service.models.efficientnet import EfficientNetLite, Variant
from service.models.heatmaps import find_modes
from service.models.keypoints import KEYPOINT_NAMES
from service.models.layers import FeaturePyramid, Mean, WideBlock, normalise, separable, start_at_nothing

STRIDE = 4
_CONTEXT = 128  # channels of the coarse maps in which the hand is seen as a whole
_LOCAL = 16  # channels that handedness and depth read under each keypoint
# Standard deviation of the kernel that keypoints are read with, in cells, and how often it is moved.
KERNEL = 2.0
_SHIFTS = 4


class Context(nn.Module):
    """The hand as a whole, which tells one finger from the next: the two coarsest maps of the encoder, looked at with
    more channels than the pyramid has.
    """

    def __init__(self, inputs: Sequence[int], outputs: int, channels: int = _CONTEXT) -> None:
        """inputs: channels of the last map but one and of the last."""
        super().__init__()
        fine, coarse = inputs
        self.from_coarse = nn.Conv2d(coarse, channels, 1)
        self.coarse = nn.Sequential(WideBlock(channels), WideBlock(channels))
        self.from_fine = nn.Conv2d(fine, channels, 1)
        self.fine = nn.Sequential(WideBlock(channels), WideBlock(channels))
        self.project = nn.Conv2d(channels, outputs, 1)
        start_at_nothing(self.project)

    def forward(self, fine: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """fine: (B, F, 2h, 2w). coarse: (B, C, h, w).

        Returns what the pyramid adds at the finer of the two, (B, outputs, 2h, 2w), and a summary (B, channels).
        """
        x = self.coarse(self.from_coarse(coarse))
        x = self.fine(self.from_fine(fine) + F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.project(x), x.mean((2, 3))


class HandPose(nn.Module):
    """`forward` gives the logits that training needs, `estimate` the keypoints that serving needs."""

    def __init__(self, variant: Variant = "lite0", channels: int = 64) -> None:
        super().__init__()
        self.encoder = EfficientNetLite((4, 8, 16, 32), variant)
        self.pyramid = FeaturePyramid(self.encoder.channels, channels, lateral_norm=False)
        self.context = Context(self.encoder.channels[-2:], channels)
        self.heatmap_head = nn.Sequential(separable(channels), nn.Conv2d(channels, len(KEYPOINT_NAMES), 1))
        coarse = self.encoder.channels[-1]
        self.hand_head = nn.Sequential(
            nn.Conv2d(coarse, 256, 1, bias=False),
            nn.BatchNorm2d(256),
            nn.ReLU(inplace=True),
            nn.Flatten(2),
            Mean(),
            nn.Linear(256, 2),
        )
        # Left or right, near or far show in what lies under each keypoint (palm or back, nail or crease) and in where
        # they are.
        self.local_features = nn.Conv2d(channels, _LOCAL, 1)
        described = len(KEYPOINT_NAMES) * (_LOCAL + 2)
        self.side_head = _two_layers(described, 1)
        self.whole_head = nn.Linear(_CONTEXT, 2)
        start_at_nothing(self.whole_head)
        self.depth_head = _two_layers(described, len(KEYPOINT_NAMES))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """crops: (B, S, S, 3) uint8 RGB, S a multiple of 32.

        Returns heatmap logits (B, 21, S/4, S/4); (B, 2) logits: shows a hand, is a right hand; and depth relative to
        the wrist (B, 21) as a share of the crop's side, positive away from the camera.
        """
        features = self.encoder(normalise(crops))
        context, summary = self.context(features[-2], features[-1])
        fine = self.pyramid(features, {len(features) - 2: context})  # (B, C, S/4, S/4)
        heatmaps: Tensor = self.heatmap_head(fine)
        described = self._describe(fine, heatmaps.detach())
        hand, right = (self.hand_head(features[-1]) + self.whole_head(summary)).unbind(1)
        depth: Tensor = self.depth_head(described)
        return (
            heatmaps,
            torch.stack([hand, right + self.side_head(described)[:, 0]], 1),
            depth - depth[:, :1],
        )

    def _describe(self, fine: Tensor, heatmaps: Tensor) -> Tensor:
        """The features under each heatmap, and the heatmaps' means in [-1, 1]: (B, 21 * (_LOCAL + 2))."""
        height, width = heatmaps.shape[2:]
        attention = torch.softmax(heatmaps.flatten(2), dim=2)  # (B, 21, H*W)
        under = attention @ self.local_features(fine).flatten(2).transpose(1, 2)  # (B, 21, _LOCAL)
        by_cell = attention.view_as(heatmaps)
        columns = torch.linspace(-1, 1, width, device=fine.device)
        rows = torch.linspace(-1, 1, height, device=fine.device)
        x, y = (by_cell.sum(2) * columns).sum(2), (by_cell.sum(3) * rows).sum(2)  # (B, 21)
        return torch.cat([under.flatten(1), x, y], 1)

    def estimate(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """crops as for `forward`. Returns keypoints (B, 21, 2) x, y in crop pixels, their scores (B, 21), the
        probability of a hand (B,) and of a right hand (B,), and depth (B, 21) in crop pixels relative to the wrist,
        positive away from the camera; all probabilities in [0, 1].
        """
        heatmaps, logits, depth = self(crops)
        keypoints, scores = decode_heatmaps(heatmaps)
        hand, right = torch.sigmoid(logits).unbind(1)
        return keypoints * STRIDE, scores, hand, right, depth * crops.shape[2]


def _two_layers(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 128), nn.ReLU(inplace=True), nn.Linear(128, outputs))


def decode_heatmaps(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Read sub-pixel keypoints from heatmaps: the mode of the distribution, found by mean shift.

    logits: (B, K, H, W). Returns x, y (B, K, 2) in cells, where the middle of the first cell is 0.5, and the share of
    the distribution under the kernel at the mode (B, K): near 1 where the network is sure.
    """
    probability = torch.softmax(logits.flatten(2), dim=2).view_as(logits)
    return find_modes(probability, KERNEL, _SHIFTS)
