"""A trained EfficientNet-lite0 as the start of an EfficientNet-lite1, which has a block more in most stages."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from service.models.efficientnet import REPEATS

_BLOCK = re.compile(r"^encoder\.blocks\.(\d+)\.(.+)$")
_LAST_NORM = re.compile(r"^layers\.7\.(weight|bias)$")  # behind the projection of a block that expands


def grown(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of a network with an encoder lite0, for the same network with an encoder lite1.

    The added block of a stage begins as a copy of the one before it, with a last norm of nothing, so that the network
    computes what it computed before (Chen et al. 2016, "Net2Net", for blocks with a shortcut).
    """
    source_of = _sources()
    larger = {name: value for name, value in state.items() if not _BLOCK.match(name)}
    blocks: dict[int, dict[str, Tensor]] = {}
    for name, value in state.items():
        if found := _BLOCK.match(name):
            blocks.setdefault(int(found[1]), {})[found[2]] = value
    for number, (source, added) in enumerate(source_of):
        for name, value in blocks[source].items():
            nothing = added and _LAST_NORM.match(name)
            larger[f"encoder.blocks.{number}.{name}"] = torch.zeros_like(value) if nothing else value.clone()
    return larger


def _sources() -> list[tuple[int, bool]]:
    """For each block of lite1, the block of lite0 that it begins as, and whether lite0 does not have it."""
    sources, first = [], 0
    for few, many in zip(REPEATS["lite0"], REPEATS["lite1"], strict=True):
        sources += [(first + min(i, few - 1), i >= few) for i in range(many)]
        first += few
    return sources
