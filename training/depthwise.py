"""Depthwise convolutions that learn quickly on a CPU.

The gradients of a depthwise convolution that come with torch take many times as long on a CPU as its forward pass: a
quarter of a training step, and in bfloat16 four fifths (docs/decisions/0011, by `benchmarks/training_step.py`). Here
they are loops over channels, which compilers turn into vector instructions.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numba import njit
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def quicken(network: nn.Module) -> None:
    """Let the depthwise convolutions of a network that is trained on a CPU learn quickly; results and state stay.

    Their computation takes float32, or bfloat16 under autocast; maps lie best in memory as channels_last.
    """
    for module in network.modules():
        if type(module) is nn.Conv2d and _quick(module):
            module.__class__ = QuickDepthwise


def _quick(convolution: nn.Conv2d) -> bool:
    """True of depthwise convolutions with an odd square kernel, padded to keep the shape but for the stride."""
    side, other = convolution.kernel_size
    return (
        1 < convolution.groups == convolution.in_channels == convolution.out_channels
        and side == other
        and side % 2 == 1
        and convolution.padding == (side // 2, side // 2)
        and convolution.dilation == (1, 1)
        and convolution.stride[0] == convolution.stride[1]
        and convolution.padding_mode == "zeros"
    )


class QuickDepthwise(nn.Conv2d):
    """`nn.Conv2d` with gradients of its own in float32 and in bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight, self.bias
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            x, weight = x.to(dtype), weight.to(dtype)
            bias = None if bias is None else bias.to(dtype)
        if x.dtype not in (torch.float32, torch.bfloat16):
            return super().forward(x)
        y: Tensor = _Depthwise.apply(x, weight, bias, self.stride[0])
        return y


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, bias, stride, weight.shape[2] // 2, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        stride, half = ctx.stride, weight.shape[2] // 2
        of_x = None
        if ctx.needs_input_grad[0] and stride == 1:
            of_x = F.conv2d(gradient, weight.flip(2, 3), None, 1, half, groups=len(weight))
        elif ctx.needs_input_grad[0]:
            of_x = torch.empty_like(x, memory_format=torch.channels_last)
            taps = weight[:, 0].permute(1, 2, 0).float().contiguous()
            _gradient_of_input(_rows(gradient), taps.numpy(), stride, _rows(of_x))
        of_taps = np.zeros((*weight.shape[2:], len(weight)), np.float32)
        of_bias = np.zeros(len(weight), np.float32)
        _gradient_of_weight(_rows(x), _rows(gradient), stride, of_taps, of_bias)
        of_weight = torch.from_numpy(of_taps).permute(2, 0, 1)[:, None].to(weight.dtype)
        return (
            of_x,
            of_weight,
            torch.from_numpy(of_bias).to(weight.dtype) if ctx.needs_input_grad[2] else None,
            None,
        )


def _rows(maps: Tensor) -> NDArray[Any]:
    """(B, C, H, W) as (B, H, W, C), float32 or the bits of bfloat16; shares memory where the layout allows."""
    maps = maps.detach().contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
    return maps.view(torch.uint16).numpy() if maps.dtype == torch.bfloat16 else maps.numpy()


@njit(cache=True)
def _gradient_of_weight(
    x: NDArray[Any],
    gradient: NDArray[Any],
    stride: int,
    weight: NDArray[np.float32],
    bias: NDArray[np.float32],
) -> None:
    """Add to `weight` (k, k, C) and `bias` (C,): x (B, H, W, C), gradient of the output (B, P, Q, C)."""
    seen = np.empty(x.shape[1:], np.float32)
    given: NDArray[np.float32] = np.empty(gradient.shape[1:], np.float32)
    for number in range(len(x)):
        _widen(x[number], seen)
        _widen(gradient[number], given)
        _accumulate(seen, given, weight, stride, False)
        for p in range(given.shape[0]):
            for q in range(given.shape[1]):
                for c in range(len(bias)):
                    bias[c] += given[p, q, c]


@njit(cache=True)
def _gradient_of_input(
    gradient: NDArray[Any], weight: NDArray[np.float32], stride: int, x: NDArray[Any]
) -> None:
    """Write the gradient of the input `x` (B, H, W, C): gradient (B, P, Q, C), weight (k, k, C)."""
    total, given = np.empty(x.shape[1:], np.float32), np.empty(gradient.shape[1:], np.float32)
    for number in range(len(x)):
        _widen(gradient[number], given)
        total[:] = 0
        _accumulate(total, given, weight, stride, True)
        _narrow(total, x[number])


@njit(cache=True, fastmath=True)
def _accumulate(
    x: NDArray[np.float32],
    gradient: NDArray[np.float32],
    weight: NDArray[np.float32],
    stride: int,
    of_input: bool,
) -> None:
    """Add a picture's gradient to `x` (H, W, C), the gradient of the input, or to `weight` (k, k, C): of the output it
    is `gradient` (P, Q, C).
    """
    height, width, channels = x.shape
    kernel = len(weight)
    half = kernel // 2
    for p in range(gradient.shape[0]):
        for i in range(kernel):
            h = p * stride + i - half
            if not 0 <= h < height:
                continue
            for j in range(kernel):
                tap = weight[i, j]
                first, end = _inside(j - half, stride, width, gradient.shape[1])
                for q in range(first, end):
                    there, under = gradient[p, q], x[h, q * stride + j - half]
                    if of_input:
                        for c in range(channels):
                            under[c] += there[c] * tap[c]
                    else:
                        for c in range(channels):
                            tap[c] += there[c] * under[c]


@njit(cache=True)
def _inside(offset: int, stride: int, width: int, columns: int) -> tuple[int, int]:
    """The outputs, from and to before, whose tap at `offset` lies inside a row of `width`."""
    return max(0, (stride - 1 - offset) // stride), min(columns, (width - 1 - offset) // stride + 1)


@njit(cache=True)
def _widen(values: NDArray[Any], into: NDArray[np.float32]) -> None:
    """To float32, from float32 or the bits of bfloat16."""
    if values.itemsize == 2:
        bits = into.view(np.uint32)
        for h in range(values.shape[0]):
            for w in range(values.shape[1]):
                for c in range(values.shape[2]):
                    bits[h, w, c] = np.uint32(values[h, w, c]) << np.uint32(16)
    else:
        into[:] = values


@njit(cache=True)
def _narrow(values: NDArray[np.float32], into: NDArray[Any]) -> None:
    """From float32, to float32 or the bits of bfloat16, rounded to nearest, ties to even."""
    if into.itemsize == 2:
        bits = values.view(np.uint32)
        for h in range(into.shape[0]):
            for w in range(into.shape[1]):
                for c in range(into.shape[2]):
                    value = bits[h, w, c]
                    odd = (value >> np.uint32(16)) & np.uint32(1)
                    into[h, w, c] = np.uint16((value + np.uint32(0x7FFF) + odd) >> np.uint32(16))
    else:
        into[:] = values
