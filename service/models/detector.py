"""The default hand detector: anchor-free, one class, stride 8.

EfficientNet-lite0 with a small feature pyramid; a centre heatmap and the distances from each cell to the four sides
of its box, as in TTFNet (Liu et al. 2020) and CenterNet (Zhou et al. 2019).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from service.models.efficientnet import EfficientNetLite
from service.models.layers import FeaturePyramid, normalise, separable

STRIDE = 8
MAX_DETECTIONS = 64


class HandDetector(nn.Module):
    """`forward` gives the maps that training needs, `detect` the boxes that serving needs."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.encoder = EfficientNetLite(strides=(8, 16, 32))
        self.pyramid = FeaturePyramid(self.encoder.channels, channels, lateral_norm=True)
        self.centre_head = nn.Sequential(separable(channels), nn.Conv2d(channels, 1, 1))
        self.box_head = nn.Sequential(separable(channels), nn.Conv2d(channels, 4, 1))
        # Start with "no hand anywhere" (probability 0.01) and boxes of about 32 px.
        for head, bias in ((self.centre_head, -4.6), (self.box_head, 1.4)):
            last = head[-1]
            assert isinstance(last, nn.Conv2d)
            assert last.bias is not None
            nn.init.constant_(last.bias, bias)
            last.weight.data.mul_(0.1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images: (B, H, W, 3) uint8 RGB, H and W multiples of 32.

        Returns centre logits (B, 1, H/8, W/8) and distances (B, 4, H/8, W/8) from the middle of each cell to the
        left, top, right and bottom side of its box, in input pixels.
        """
        x = self.pyramid(self.encoder(normalise(images)))
        distances = torch.exp(self.box_head(x).clamp(-3.0, 4.2)) * 4.0
        return self.centre_head(x), distances

    def detect(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images as for `forward`. Returns boxes (B, K, 4) x0, y0, x1, y1 in input pixels and scores (B, K) in
        [0, 1], best first: the cells whose score is the highest of their 3×3 neighbourhood. Others score 0.
        """
        logits, distances = self(images)
        scores = torch.sigmoid(logits)
        scores = scores * (F.max_pool2d(scores, 3, 1, 1) == scores)
        width = scores.shape[3]
        best, index = scores.flatten(1).topk(MAX_DETECTIONS)  # (B, K)
        row = torch.div(index, width, rounding_mode="floor")
        x = (index - row * width).float() * STRIDE + STRIDE / 2
        y = row.float() * STRIDE + STRIDE / 2
        sides = distances.flatten(2).gather(2, index[:, None].expand(-1, 4, -1))  # (B, 4, K)
        left, top, right, bottom = sides.unbind(1)
        return torch.stack([x - left, y - top, x + right, y + bottom], 2), best
