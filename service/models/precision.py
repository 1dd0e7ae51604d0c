"""Half precision around networks: what lies between them, above all decoding, stays in float32."""

from typing import Any

import torch
from torch import Tensor, nn

from service.models.faster_rcnn import HandFasterRCNN

TYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def heavy_parts(network: nn.Module) -> tuple[nn.Module, ...]:
    """What of a network may compute in half precision."""
    return network.heavy_parts() if isinstance(network, HandFasterRCNN) else (network,)


def compute_in(part: nn.Module, device: str, dtype: torch.dtype) -> None:
    """Make a module compute in half precision and return float32. Autocast leaves to float32 what needs it.

    The module's `forward` is replaced, so a deep copy of the module would still call this one's: copy before.
    """
    forward = part.forward

    def lowered(*inputs: Any) -> Any:
        with torch.autocast(device, dtype):
            outputs = forward(*inputs)
        return _to_float32(outputs)

    part.forward = lowered


def _to_float32(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float()
    if isinstance(value, dict):
        return {key: _to_float32(item) for key, item in value.items()}
    return type(value)(_to_float32(item) for item in value)
