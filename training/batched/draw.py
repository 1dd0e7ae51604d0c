"""Random numbers on the device of their generator, and the places of pixels."""

import torch
from torch import Tensor


class Draw:
    """Numbers of one generator, on its device."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=self.generator, device=self.generator.device)

    def normal(self, spread: float, *shape: int) -> Tensor:
        return spread * torch.randn(shape, generator=self.generator, device=self.generator.device)


def places(size: int, device: torch.device) -> Tensor:
    """(S, S, 2) x, y of the middles of a square picture's pixels, in shares of its side."""
    line = (torch.arange(size, device=device) + 0.5) / size
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y], 2)
