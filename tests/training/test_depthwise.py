"""Quick depthwise convolutions learn what torch's own learn."""

import copy

import pytest
import torch
from torch import Tensor, nn

from training.depthwise import QuickDepthwise, quicken


def gradients(convolution: nn.Conv2d, x: Tensor, of_output: Tensor) -> list[Tensor]:
    x = x.detach().requires_grad_()
    convolution.zero_grad()
    convolution(x).backward(of_output)
    assert x.grad is not None
    return [x.grad, *(p.grad for p in convolution.parameters() if p.grad is not None)]


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("kernel", "stride", "shape"),
    [(3, 1, (9, 8)), (5, 1, (4, 4)), (3, 2, (8, 8)), (5, 2, (9, 7)), (5, 2, (2, 2)), (3, 3, (7, 11))],
)
def test_the_same_gradients(kernel: int, stride: int, shape: tuple[int, int], bias: bool, layout) -> None:
    torch.manual_seed(0)
    usual = nn.Conv2d(24, 24, kernel, stride, kernel // 2, groups=24, bias=bias)
    quick = nn.Sequential(copy.deepcopy(usual))
    quicken(quick)
    assert type(quick[0]) is QuickDepthwise
    x = torch.randn(3, 24, *shape).contiguous(memory_format=layout)
    output = usual(x)
    torch.testing.assert_close(quick(x), output)
    of_output = torch.randn_like(output)
    expected, found = gradients(usual, x, of_output), gradients(quick[0], x, of_output)
    assert len(expected) == len(found) == (3 if bias else 2)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
def test_bfloat16_differs_by_its_rounding_alone(stride: int) -> None:
    torch.manual_seed(0)
    usual = nn.Conv2d(32, 32, 5, stride, 2, groups=32)
    quick = nn.Sequential(copy.deepcopy(usual))
    quicken(quick)
    x = torch.randn(4, 32, 16, 16).to(memory_format=torch.channels_last)
    of_output = torch.randn_like(usual(x))
    expected = gradients(usual, x, of_output)
    with torch.autocast("cpu", torch.bfloat16):
        assert quick(x).dtype == torch.bfloat16
        found = gradients(quick[0], x, of_output.bfloat16())
    for one, other in zip(expected, found, strict=True):
        assert other.dtype == torch.float32
        assert float((one - other).abs().max() / one.abs().max()) < 0.02


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_other_numbers_take_the_usual_way(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    usual = nn.Conv2d(16, 16, 3, padding=1, groups=16).to(dtype)
    quick = nn.Sequential(copy.deepcopy(usual))
    quicken(quick)
    x = torch.randn(2, 16, 6, 6, dtype=dtype)
    of_output = torch.randn_like(usual(x))
    for one, other in zip(gradients(usual, x, of_output), gradients(quick[0], x, of_output), strict=True):
        torch.testing.assert_close(other, one)


def test_a_frozen_input_and_a_frozen_layer_get_no_gradient() -> None:
    quick = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, groups=16))
    quicken(quick)
    quick(torch.randn(1, 16, 4, 4)).sum().backward()
    assert quick[0].weight.grad is not None
    quick.zero_grad()
    quick.requires_grad_(False)
    x = torch.randn(1, 16, 4, 4, requires_grad=True)
    quick(x).sum().backward()
    assert x.grad is not None
    assert quick[0].weight.grad is None


def test_other_convolutions_stay() -> None:
    network = nn.Sequential(
        nn.Conv2d(16, 16, 3, padding=1),
        nn.Conv2d(16, 16, 3, padding=1, groups=4),
        nn.Conv2d(16, 32, 3, padding=1, groups=16),
        nn.Conv2d(16, 16, 3, groups=16),
        nn.Conv2d(16, 16, 3, padding=2, dilation=2, groups=16),
        nn.Conv2d(16, 16, 4, padding=2, groups=16),
        nn.Conv2d(16, 16, (3, 5), padding=(1, 2), groups=16),
        nn.Conv2d(16, 16, 3, padding=1, groups=16, padding_mode="reflect"),
    )
    quicken(network)
    assert all(type(module) is nn.Conv2d for module in network)
