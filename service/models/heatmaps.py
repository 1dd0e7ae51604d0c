"""Reading sub-pixel keypoints from heatmaps."""

import torch
from torch import Tensor


def find_modes(maps: Tensor, kernel: float, shifts: int) -> tuple[Tensor, Tensor]:
    """The mode of each map, found by mean shift from its highest cell (Comaniciu and Meer 2002, Gaussian kernel).
    Unlike the mean of a window around that cell, the mode does not jump when two neighbouring cells are nearly equal.

    maps: (B, K, H, W) float32, at least 0 everywhere and more than 0 at the highest cell. kernel: standard deviation
        in cells. shifts: how often the kernel is moved.
    Returns x, y (B, K, 2) in cells, where the middle of the first cell is 0.5, and the sum of the map under the kernel
    where it was last moved from (B, K); the kernel is 1 in its middle.
    """
    height, width = maps.shape[2:]
    columns = torch.arange(width, device=maps.device) + 0.5
    rows = torch.arange(height, device=maps.device) + 0.5
    peak = maps.flatten(2).argmax(dim=2)  # (B, K)
    x = (peak % width).float() + 0.5
    y = torch.div(peak, width, rounding_mode="floor").float() + 0.5
    mass = torch.ones_like(x)
    for _ in range(shifts):
        kernel_x = torch.exp(-((columns - x[..., None]) ** 2) / (2 * kernel**2))  # (B, K, W)
        kernel_y = torch.exp(-((rows - y[..., None]) ** 2) / (2 * kernel**2))  # (B, K, H)
        by_column = torch.matmul(kernel_y[..., None, :], maps)[..., 0, :] * kernel_x  # (B, K, W)
        by_row = torch.matmul(maps, kernel_x[..., None])[..., 0] * kernel_y  # (B, K, H)
        mass = by_column.sum(2)
        x, y = (by_column * columns).sum(2) / mass, (by_row * rows).sum(2) / mass
    return torch.stack([x, y], 2), mass
