"""Starting weights of Faster R-CNN: torchvision's own, trained on COCO."""

import logging
import urllib.error
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from service.models.architectures import FASTER_RCNN_MOBILENET, FASTER_RCNN_RESNET50
from service.models.faster_rcnn import HandFasterRCNN

log = logging.getLogger(__name__)

_HEAD = "roi_heads.box_predictor."  # of 91 classes there, of two here
# Trained with batch norms whose epsilon is 0, as torchvision says by setting it to 0 when it loads them.
_WITHOUT_EPSILON = {FASTER_RCNN_RESNET50}


def coco_address(architecture: str) -> str:
    """Where torchvision publishes the weights. The file's name ends with the beginning of its sha256."""
    from torchvision.models import detection

    weights: Mapping[str, Any] = {
        FASTER_RCNN_RESNET50: detection.FasterRCNN_ResNet50_FPN_Weights.COCO_V1,
        FASTER_RCNN_MOBILENET: detection.FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1,
    }
    return str(weights[architecture].url)


def coco_state(address: str) -> Mapping[str, Tensor]:
    """Download the weights, or take them from PyTorch's cache (`$TORCH_HOME/hub/checkpoints`), checksum verified.

    Raises ValueError that says what to do instead if they cannot be had.
    """
    try:
        state: Mapping[str, Tensor] = torch.hub.load_state_dict_from_url(
            address, map_location="cpu", check_hash=True, weights_only=True
        )
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise ValueError(
            f"the COCO weights cannot be had from {address}: {error}. Download the file elsewhere and name it with "
            "--weights PATH, or start from nothing with --weights none (which takes far more epochs)"
        ) from None
    return state


def load_torchvision(network: HandFasterRCNN, state: Mapping[str, Tensor], origin: str) -> int:
    """Load torchvision's weights into all of `network` but its head. Returns the number of tensors taken.

    origin: for messages. Raises ValueError if these are not the weights of torchvision's network of this architecture.
    """
    architecture = network.architecture
    body = {name: value for name, value in state.items() if not name.startswith(_HEAD)}
    try:
        missing, unknown = network.network.load_state_dict(body, strict=False)  # knows older names, too
    except RuntimeError as error:
        first = str(error).splitlines()[1:2]  # the line before says which class
        raise ValueError(f"{origin}: not the weights of {architecture}: {''.join(first).strip()}") from None
    lacking = [n for n in missing if not n.startswith(_HEAD) and not n.endswith("num_batches_tracked")]
    if lacking or unknown:
        wrong = f"{lacking[0]} is missing" if lacking else f"it has no {unknown[0]}"
        raise ValueError(f"{origin}: not the weights of {architecture}: {wrong}")
    if architecture in _WITHOUT_EPSILON:
        _without_epsilon(network)
    log.info("%s: all of %s but its head, which starts at random", origin, architecture)
    return len(body)


@torch.no_grad()
def _without_epsilon(network: nn.Module) -> None:
    """Make batch norms compute with their epsilon what they would compute without."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_var is not None
            norm.weight.mul_(torch.sqrt((norm.running_var + norm.eps) / norm.running_var))
