"""What cameras, rooms and network links do to pictures: `training.augment.photometric` for whole batches."""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from training.augment import COMPRESSED, NOISE
from training.batched.draw import Draw

_GREY = (0.299, 0.587, 0.114)
_KERNEL = 9  # side of blurs, in pixels
_REDUCED = (0.3, 0.42, 0.55, 0.7)
# JPEG's tables for luminance and chrominance at quality 50 (ITU-T T.81, annex K), first column and slope of each row
# being close enough for training: quantisation grows with the frequency.
_COARSEST = {"luminance": (12.0, 6.5), "chrominance": (17.0, 9.0)}


def photometric(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Light, colour, contrast, blur, motion, low resolution, noise and compression, each with some probability.

    pictures: (B, 3, S, S) float32 RGB in [0, 1]; S a multiple of 8. Returns new pictures of the same kind.
    """
    draw = Draw(generator)
    for factor in _REDUCED:
        pictures = _some(pictures, 0.2 / len(_REDUCED), draw, partial(_reduce, factor=factor))
    pictures = _some(pictures, 0.12, draw, lambda x: _filter(x, _gaussians(draw, len(x))))
    pictures = _some(pictures, 0.08, draw, lambda x: _filter(x, _motions(draw, len(x))))
    pictures = _tone(pictures, draw)
    pictures = _some(pictures, 0.08, draw, lambda x: _grey(x).expand_as(x))
    pictures = _some(pictures, 0.27, draw, lambda x: _saturate(x, _each(draw, len(x), 0.3, 1.5)))
    pictures = _some(
        pictures,
        0.2,
        draw,
        lambda x: x + draw.normal(1, *x.shape) * _each(draw, len(x), 2 / 255, NOISE / 255),
    )
    pictures = pictures.clamp(0, 1)
    return _some(pictures, COMPRESSED, draw, lambda x: _compress(x, _each(draw, len(x), 0.7, 6.0))).clamp(
        0, 1
    )


def _some(pictures: Tensor, share: float, draw: Draw, change: Callable[[Tensor], Tensor]) -> Tensor:
    """The pictures, a share of them changed."""
    order = draw.uniform(0, 1, len(pictures)).argsort()
    count = int(share * len(pictures) + draw.uniform(0, 1))  # a fraction of a picture is one now and then
    if not count:
        return pictures
    chosen = order[:count]
    return pictures.index_copy(0, chosen, change(pictures[chosen]))


def _each(draw: Draw, count: int, low: float, high: float, channels: int = 1) -> Tensor:
    """(count, channels, 1, 1): a number for each picture, or for each of its channels."""
    return draw.uniform(low, high, count, channels, 1, 1)


def _reduce(pictures: Tensor, factor: float) -> Tensor:
    size = pictures.shape[2]
    reduced = round(size * factor)  # by its size, as a factor would move what is in it
    small = F.interpolate(pictures, (reduced, reduced), mode="bilinear", antialias=True)
    return F.interpolate(small, (size, size), mode="bilinear")


def _filter(pictures: Tensor, kernels: Tensor) -> Tensor:
    """Each picture with its own kernel (B, K, K)."""
    count, channels, *size = pictures.shape
    edge = _KERNEL // 2
    padded = F.pad(pictures, (edge, edge, edge, edge), mode="replicate")
    each = kernels[:, None].expand(-1, channels, -1, -1).reshape(count * channels, 1, _KERNEL, _KERNEL)
    blurred = F.conv2d(padded.view(1, count * channels, *padded.shape[2:]), each, groups=count * channels)
    return blurred.view(count, channels, *size)


def _offsets(device: torch.device) -> tuple[Tensor, Tensor]:
    line = torch.arange(_KERNEL, device=device) - _KERNEL // 2
    y, x = torch.meshgrid(line.float(), line.float(), indexing="ij")
    return x, y


def _gaussians(draw: Draw, count: int) -> Tensor:
    x, y = _offsets(draw.generator.device)
    spread = _each(draw, count, 0.4, 1.6)[:, 0]
    kernels = torch.exp(-(x**2 + y**2) / (2 * spread**2))
    return kernels / kernels.sum((1, 2), keepdim=True)


def _motions(draw: Draw, count: int) -> Tensor:
    x, y = _offsets(draw.generator.device)
    angle, half = _each(draw, count, 0, math.pi)[:, 0], _each(draw, count, 1, 4.5)[:, 0]
    along, across = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
    kernels = (half + 0.5 - along.abs()).clamp(0, 1) * (1 - across.abs()).clamp(0, 1)
    return kernels / kernels.sum((1, 2), keepdim=True)


def _tone(pictures: Tensor, draw: Draw) -> Tensor:
    """Brightness, contrast, gamma and white balance."""
    count = len(pictures)
    gamma = (draw.normal(0.28, count, 1, 1, 1) + draw.normal(0.08, count, 3, 1, 1)).exp()
    gain = _each(draw, count, -0.6, 0.35).exp() * _each(draw, count, 0.84, 1.16, 3)
    return (pictures.clamp(min=1e-4) ** gamma * gain + _each(draw, count, -0.06, 0.06, 3)).clamp(0, 1)


def _grey(pictures: Tensor) -> Tensor:
    weights = torch.tensor(_GREY, device=pictures.device).view(1, 3, 1, 1)
    return (pictures * weights).sum(1, keepdim=True)


def _saturate(pictures: Tensor, amount: Tensor) -> Tensor:
    grey = _grey(pictures)
    return (grey + (pictures - grey) * amount).clamp(0, 1)


def _compress(pictures: Tensor, coarseness: Tensor) -> Tensor:
    """Blocks of 8 × 8 pixels with coarse frequencies, as JPEG leaves them; 1 is about quality 50."""
    luminance = _grey(pictures)
    planes = torch.cat([luminance, pictures[:, 2:] - luminance, pictures[:, :1] - luminance], 1) * 255
    basis = _cosines(pictures.device)
    count, channels, size, _ = planes.shape
    blocks = planes.view(count, channels, size // 8, 8, size // 8, 8).permute(0, 1, 2, 4, 3, 5)
    frequencies = basis @ blocks @ basis.T
    steps = torch.stack(
        [_steps(name, pictures.device) for name in ("luminance", "chrominance", "chrominance")]
    )
    steps = steps[None, :, None, None] * coarseness[..., None, None]
    blocks = basis.T @ ((frequencies / steps).round() * steps) @ basis
    planes = blocks.permute(0, 1, 2, 4, 3, 5).reshape(count, channels, size, size) / 255
    luminance, blue, red = planes[:, :1], planes[:, 1:2] + planes[:, :1], planes[:, 2:] + planes[:, :1]
    green = (luminance - _GREY[0] * red - _GREY[2] * blue) / _GREY[1]
    return torch.cat([red, green, blue], 1)


def _cosines(device: torch.device) -> Tensor:
    """(8, 8): the orthonormal discrete cosine transform, a frequency a row."""
    place, frequency = torch.arange(8, device=device) + 0.5, torch.arange(8, device=device)
    basis = torch.cos(math.pi / 8 * place[None] * frequency[:, None]) / 2
    basis[0] /= math.sqrt(2)
    return basis


def _steps(name: str, device: torch.device) -> Tensor:
    """(8, 8): how coarsely each frequency is stored."""
    first, slope = _COARSEST[name]
    line = torch.arange(8, device=device)
    return first + slope * (line[None] + line[:, None])
