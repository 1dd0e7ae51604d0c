"""Reading sub-pixel keypoints from heatmaps."""

import torch
from torch import Tensor


def find_modes(maps: Tensor, kernel: float, shifts: int) -> tuple[Tensor, Tensor]:
    """The mode of each map, found by mean shift from its highest cell (Comaniciu and Meer 2002, Gaussian kernel).
    Unlike the mean of a window around that cell, the mode does not jump when two neighbouring cells are nearly equal.

    maps: (B, K, S, S) float32, at least 0 everywhere and more than 0 at the highest cell. kernel: standard deviation
        in cells. shifts: how often the kernel is moved, at least once.
    Returns x, y (B, K, 2) in cells, where the middle of the first cell is 0.5, and the sum of the map under the kernel
    where it was last moved from (B, K); the kernel is 1 in its middle.
    """
    size = maps.shape[3]
    cells = torch.arange(size, device=maps.device) + 0.5
    moments = torch.stack([cells, torch.ones_like(cells)], 1)  # (S, 2): what sums up places, and mass
    peak = maps.flatten(2).argmax(dim=2)  # (B, K)
    place = torch.stack([peak % size, torch.div(peak, size, rounding_mode="floor")], 2).float() + 0.5
    mass = torch.ones_like(place[..., 0])
    for _ in range(shifts):
        bells = torch.exp(
            (cells - place[..., None]) ** 2 * (-0.5 / kernel**2)
        )  # (B, K, 2, S): along x, along y
        by_column = torch.matmul(bells[:, :, 1:], maps)  # (B, K, 1, S)
        by_row = torch.matmul(maps, bells[:, :, 0, :, None]).transpose(2, 3)  # (B, K, 1, S)
        sums = torch.matmul(torch.cat([by_column, by_row], 2) * bells, moments)  # (B, K, 2, 2)
        place, mass = sums[..., 0] / sums[..., 1], sums[:, :, 0, 1]
    return place, mass
