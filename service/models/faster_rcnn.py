"""The reference detector: torchvision's Faster R-CNN with a feature pyramid and a new two-class head.

Ren et al., "Faster R-CNN" (2015); Lin et al., "Feature Pyramid Networks for Object Detection" (2017). torchvision is
imported when a network is made, not before: the rest of this package does without.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from service.models.architectures import FASTER_RCNN_MOBILENET, FASTER_RCNN_RESNET50

MAX_DETECTIONS = 64
# ImageNet's, in [0, 255]: (value - mean) / scale.
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_SCALE = (58.395, 57.12, 57.375)
_ASPECT = 800 / 1333  # torchvision's bounds on the shorter and the longer side
_SCORE = 0.05  # boxes scored below are not returned


class HandFasterRCNN(nn.Module):
    """`forward` gives the losses that training needs, `detect` the boxes that serving needs.

    `network` is torchvision's own module with torchvision's names, so its published COCO weights fit all of it but
    the head (`network.roi_heads.box_predictor`). Batch norms are never frozen for good; `freeze_norms` is for training.
    """

    def __init__(self, architecture: str = FASTER_RCNN_RESNET50, input_size: int = 1344) -> None:
        """architecture: with ResNet-50, or MobileNetV3-Large for quick tests. input_size: bounds the longer side in
        pixels; the shorter one is bounded by 0.6 of it, as 800 and 1333 are.

        Raises ValueError for another architecture, ModuleNotFoundError without torchvision.
        """
        from torchvision.models import detection

        builders = {
            FASTER_RCNN_RESNET50: detection.fasterrcnn_resnet50_fpn,
            FASTER_RCNN_MOBILENET: detection.fasterrcnn_mobilenet_v3_large_320_fpn,
        }
        if architecture not in builders:
            raise ValueError(f"architecture is {architecture!r}, expected one of {sorted(builders)}")
        super().__init__()
        self.architecture = architecture
        self.network: nn.Module = builders[architecture](
            weights=None,
            weights_backbone=None,
            num_classes=2,  # background and hand
            min_size=round(input_size * _ASPECT),
            max_size=input_size,
            image_mean=[mean / 255 for mean in PIXEL_MEAN],
            image_std=[scale / 255 for scale in PIXEL_SCALE],
            box_score_thresh=_SCORE,
            rpn_score_thresh=0.0,  # the small one's 0.05 would leave an untrained network without any proposal
            box_detections_per_img=MAX_DETECTIONS,
        )
        self._frozen_norms = False

    def forward(
        self, images: Iterable[Tensor], targets: Sequence[Mapping[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """images: (H, W, 3) uint8 RGB each, of any size; they are resized inside. targets, in training mode: `boxes`
        (N, 4) float32 x0, y0, x1, y1 in pixels of their image, and `labels` (N,) int64, all 1; N may be 0.

        Returns torchvision's four losses by name in training mode, otherwise for each image its `boxes`, `scores` (best
        first) and `labels`.
        """
        floats = [image.permute(2, 0, 1).float() / 255 for image in images]
        found: dict[str, Tensor] | list[dict[str, Tensor]] = self.network(
            floats, None if targets is None else [dict(target) for target in targets]
        )
        return found

    def detect(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images: (B, H, W, 3) uint8 RGB. Returns boxes (B, K, 4) x0, y0, x1, y1 in input pixels and scores (B, K) in
        [0, 1], best first, after torchvision's non-maximum suppression. Where fewer than K were found the rest score 0.

        Raises RuntimeError in training mode.
        """
        if self.training:
            raise RuntimeError("detect needs evaluation mode: call eval() first")
        boxes, scores = [], []
        for found in self(images):
            missing = MAX_DETECTIONS - len(found["scores"])
            boxes.append(F.pad(found["boxes"], (0, 0, 0, missing)))
            scores.append(F.pad(found["scores"], (0, missing)))
        return torch.stack(boxes), torch.stack(scores)  # (B, K, 4), (B, K)

    def heavy_parts(self) -> tuple[nn.Module, ...]:
        """The modules that may run in half precision when their outputs are turned back to float32. What lies between
        them may not: anchors and boxes reach beyond what half precision can tell apart.
        """
        network = self.network
        parts = (network.backbone, network.rpn.head, network.roi_heads.box_head)  # type: ignore[union-attr]
        assert all(isinstance(part, nn.Module) for part in parts)
        return parts  # type: ignore[return-value]

    def learn_from(self, boxes: int) -> None:
        """Let the head learn from so many of an image's proposed boxes, at most a quarter of them hands, and the
        proposals from half as many anchors. torchvision has 512 and 256.
        """
        self.network.roi_heads.fg_bg_sampler.batch_size_per_image = boxes  # type: ignore[union-attr]
        self.network.rpn.fg_bg_sampler.batch_size_per_image = boxes // 2  # type: ignore[union-attr]

    def freeze_norms(self) -> None:
        """Keep the statistics and factors of all batch norms as they are while training goes on: batches of few large
        pictures would spoil those that come with pretrained weights.
        """
        self._frozen_norms = True
        for norm in self._norms():
            norm.requires_grad_(False)
        self.train(self.training)

    def freeze_blocks(self, count: int) -> None:
        """Do not train the first `count` blocks of the backbone: of ResNet-50's five, stem included, torchvision leaves
        two as they came. Raises ValueError if there are fewer.
        """
        blocks: list[list[nn.Module]] = []
        for name, part in self.network.backbone.body.named_children():  # type: ignore[union-attr]
            if name == "bn1":  # belongs to the convolution before it
                blocks[-1].append(part)
            elif any(True for _ in part.parameters()):
                blocks.append([part])
        if count > len(blocks):
            raise ValueError(f"the backbone has {len(blocks)} blocks, {count} cannot be frozen")
        for part in (part for block in blocks[:count] for part in block):
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> "HandFasterRCNN":
        super().train(mode)
        if self._frozen_norms:
            for norm in self._norms():
                norm.eval()
        return self

    def _norms(self) -> list[nn.Module]:
        return [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
