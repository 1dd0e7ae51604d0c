"""The default pose network, apart from its weights."""

import pytest
import torch

from service.models.layers import WideBlock
from service.models.pose import Context, HandPose


def crops(count: int = 2, size: int = 64) -> torch.Tensor:
    numbers = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, size, size, 3), generator=numbers, dtype=torch.uint8)


@pytest.fixture
def network() -> HandPose:
    torch.manual_seed(1)
    return HandPose().eval()


@torch.inference_mode()
def test_a_new_context_branch_leaves_a_trained_network_as_it_was(network: HandPose) -> None:
    before = network(crops())
    torch.manual_seed(2)
    network.context = Context(network.encoder.channels[-2:], 64).eval()
    for old, new in zip(before, network(crops()), strict=True):
        assert torch.equal(old, new)


@torch.inference_mode()
def test_the_context_branch_reaches_every_output_once_it_is_trained(network: HandPose) -> None:
    before = network(crops())
    for layer in (network.context.project, network.whole_head):
        torch.nn.init.normal_(layer.weight, std=1.0)
    for old, new in zip(before, network(crops()), strict=True):
        assert not torch.allclose(old, new, atol=1e-5)


@torch.inference_mode()
def test_shapes(network: HandPose) -> None:
    heatmaps, logits, depth = network(crops(3, 96))
    assert (heatmaps.shape, logits.shape, depth.shape) == ((3, 21, 24, 24), (3, 2), (3, 21))
    assert (depth[:, 0] == 0).all()


def test_a_wide_block_does_nothing_until_it_is_trained() -> None:
    block = WideBlock(8)
    maps = torch.randn(2, 8, 5, 5)
    assert torch.equal(block(maps), maps)
    block.train()(maps).square().sum().backward()
    last = block.layers[-1]
    assert isinstance(last, torch.nn.Conv2d)
    assert last.weight.grad is not None
    assert last.weight.grad.abs().sum() > 0
