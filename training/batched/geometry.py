"""Where crops lie in their windows, and what they show."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.augment import SHEAR, STRETCH
from training.batched.draw import Draw, places
from training.batched.windows import Windows

# Side of a crop over the larger side of the hand's box; serving uses `CROP_FACTOR` of `service.inference.geometry`.
CROP_FACTORS = (1.12, 1.65)
_CROP_SHIFT = 0.06  # spread of a crop's middle around the box's, in sides of the box
_ANY_TURN = 0.2  # share of the crops that are turned by any angle, the others by little
CUT_OFF = 0.12  # share of the hands that the picture's edge cuts off
LOST = (0.2, 0.67)  # share of their boxes that is lost
REPLICATED = 0.3  # share of the others whose border's pixels go on outside of the picture, rather than black
# Spread of the displacements that bend photos, in crop sides, at so many places along each side.
_BEND, _BEND_GRID = 0.02, 4
_SOLVED = 6  # steps after which the bent place of a keypoint is known to a fraction of a pixel


@dataclass(frozen=True, eq=False)
class Crops:
    """B crops of S × S pixels. pictures: (B, 3, S, S) float32 RGB in [0, 1]. keypoints: (B, 21, 2) shares of the side;
    right: (B,) as in `Windows`, of what the crop shows; depth: (B, 21) shares of the crop's side. inside: (B, S, S)
    bool, where there is a picture: neither black nor its border repeated.
    """

    pictures: Tensor
    keypoints: Tensor
    right: Tensor
    depth: Tensor
    inside: Tensor


def draw_crops(windows: Windows, size: int, turn: float, generator: torch.Generator) -> Crops:
    """One random crop of each window: scale, shift, rotation (normal, `turn` degrees), mirror; some hands are cut off,
    as by the edge of a picture. Where there is no depth, which would have to change too, also stretch, shear, and a
    smooth bending that makes other hands of the same ones (Simard et al. 2003, "elastic distortions", but coarse).

    Mirroring flips x and swaps the handedness; the order of the keypoints stays.
    """
    draw, count = Draw(generator), len(windows)
    low, reach = windows.box[:, :2], windows.box[:, 2:]
    seen = windows.seen
    full_side = reach.amax(1)
    cut = (draw.uniform(0, 1, count) < CUT_OFF) & (windows.hand > 0)
    low, reach, seen = _cut_off(low, reach, seen, cut, draw)
    side = reach.amax(1) * draw.uniform(*CROP_FACTORS, count)  # of the crop
    centre = low + reach / 2 + draw.normal(_CROP_SHIFT, count, 2) * reach.amax(1, keepdim=True)
    mirror = draw.uniform(0, 1, count) < 0.5
    flat = windows.depth.isnan().all(1)
    matrix = _turns(draw, turn, mirror) @ _stretches(draw, flat) * side[:, None, None]  # crop to window
    bending = _bendings(draw, flat, size)  # (B, 2, S, S)
    straight = torch.linalg.solve(matrix[:, None], (windows.keypoints - centre[:, None])[..., None])[..., 0]
    keypoints = _bent(straight, bending) + 0.5
    cells = places(size, side.device) - 0.5 + bending.permute(0, 2, 3, 1)
    sources = torch.einsum("bij,bhwj->bhwi", matrix, cells) + centre[:, None, None]  # (B, S, S, 2)
    replicate = ~cut & (draw.uniform(0, 1, count) < REPLICATED)
    inside = ((sources >= seen[:, None, None, :2]) & (sources <= seen[:, None, None, 2:])).all(3)
    pictures = _read(windows.images, sources, seen, inside | replicate[:, None, None])
    right = torch.where(mirror & (windows.right >= 0), 1 - windows.right, windows.right)
    return Crops(pictures, keypoints, right, windows.depth * (full_side / side)[:, None], inside)


def _cut_off(
    low: Tensor, reach: Tensor, seen: Tensor, cut: Tensor, draw: Draw
) -> tuple[Tensor, Tensor, Tensor]:
    """Let an edge run through the boxes of those that are `cut`: a fifth to two thirds of the box is lost, on any side.

    Returns what is left of the box (its corner and its sides), and of the picture.
    """
    count = len(cut)
    along = F.one_hot((draw.uniform(0, 1, count) < 0.5).long(), 2).bool() & cut[:, None]  # (B, 2) which axis
    far = (draw.uniform(0, 1, count) < 0.5)[:, None]
    lost = draw.uniform(*LOST, count)[:, None]
    edge = low + reach * torch.where(far, 1 - lost, lost)
    start = torch.where(along & ~far, torch.maximum(seen[:, :2], edge), seen[:, :2])
    end = torch.where(along & far, torch.minimum(seen[:, 2:], edge), seen[:, 2:])
    left = torch.where(along & ~far, torch.maximum(low, edge), low)
    rest = torch.where(along & far, torch.minimum(low + reach, edge), low + reach) - left
    return left, rest.clamp(min=0.01), torch.cat([start, end], 1)


def _turns(draw: Draw, turn: float, mirror: Tensor) -> Tensor:
    """(B, 2, 2) rotations, after a mirror for some."""
    count = len(mirror)
    little = draw.normal(math.radians(turn), count)
    angle = torch.where(draw.uniform(0, 1, count) < _ANY_TURN, draw.uniform(-math.pi, math.pi, count), little)
    sign = torch.where(mirror, -1.0, 1.0)
    rows = [angle.cos() * sign, -angle.sin(), angle.sin() * sign, angle.cos()]
    return torch.stack(rows, 1).view(-1, 2, 2)


def _stretches(draw: Draw, free: Tensor) -> Tensor:
    """(B, 2, 2) slight stretches and shears of those that are `free`, as of pixels that are not square or a hand seen a
    little from the side."""
    count = len(free)
    scales, shears = draw.normal(STRETCH, count, 2).exp(), draw.normal(SHEAR, count, 2)
    rows = [scales[:, 0], shears[:, 0], shears[:, 1], scales[:, 1]]
    same = torch.eye(2, device=free.device).expand(len(free), 2, 2)
    return torch.where(free[:, None, None], torch.stack(rows, 1).view(-1, 2, 2), same)


def _bendings(draw: Draw, free: Tensor, size: int) -> Tensor:
    """(B, 2, S, S): by how much each pixel's place is moved, in crop sides; nothing but for those that are `free`."""
    coarse = draw.normal(_BEND, len(free), 2, _BEND_GRID, _BEND_GRID) * free[:, None, None, None]
    return F.interpolate(coarse, (size, size), mode="bicubic", align_corners=True)


def _bent(points: Tensor, bending: Tensor) -> Tensor:
    """Where points (B, K, 2), in shares of the side from a crop's middle, are found once the crop is bent."""
    found = points
    for _ in range(_SOLVED):  # found + bending(found) = points; bendings change slowly
        moved = F.grid_sample(bending, 2 * found[:, None], padding_mode="border", align_corners=False)
        found = points - moved[:, :, 0].transpose(1, 2)
    return found


def _read(images: Tensor, at: Tensor, seen: Tensor, shown: Tensor) -> Tensor:
    """(B, 3, S, S) in [0, 1]: the windows at these places (B, S, S, 2), black where they are not `shown` (B, S, S);
    outside of what is seen, its border.
    """
    half = 0.5 / images.shape[1]
    low, high = seen[:, None, None, :2], seen[:, None, None, 2:]
    held = torch.minimum(torch.maximum(at, low + half), (high - half).clamp(min=0))
    source = images.permute(0, 3, 1, 2).float() / 255
    read = F.grid_sample(source, held * 2 - 1, padding_mode="border", align_corners=False)
    return read * shown[:, None]
