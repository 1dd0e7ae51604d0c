import pytest
import torch
from torch import nn

from tests.training.reference_recipes import small_detector, small_pose
from training.optimisers import averaged, create_optimiser


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


def test_norms_and_biases_are_not_decayed_and_what_is_frozen_is_left_out() -> None:
    net = network()
    net[2].requires_grad_(False)
    for section in (small_pose().optimiser, small_detector().optimiser):
        decayed, rest = create_optimiser(net, section).param_groups
        assert [p is net[0].weight for p in decayed["params"]] == [True]
        assert decayed["weight_decay"] == section.weight_decay > 0
        assert {id(p) for p in rest["params"]} == {id(p) for p in (net[0].bias, *net[1].parameters())}
        assert rest["weight_decay"] == 0


def test_each_kind_is_what_it_says() -> None:
    sgd = create_optimiser(network(), small_detector().optimiser)
    assert isinstance(sgd, torch.optim.SGD)
    assert sgd.param_groups[0]["momentum"] == 0.9
    assert isinstance(create_optimiser(network(), small_pose().optimiser), torch.optim.AdamW)


def test_without_decay_the_average_is_the_network() -> None:
    net = network()
    average = averaged(net, 0.0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += torch.randn_like(parameter)
    net(torch.randn(2, 3, 8, 8))  # moves the norm's statistics
    average.update_parameters(net)
    for name, value in net.state_dict().items():
        assert torch.equal(average.module.state_dict()[name], value)


def test_the_average_starts_fast_and_then_keeps_what_the_decay_says() -> None:
    net = nn.Linear(1, 1, bias=False)
    average = averaged(net, 0.5)
    seen = expected = 0.0
    for count in range(12):
        with torch.no_grad():
            net.weight.fill_(count)
        average.update_parameters(net)
        keep = min(0.5, (1 + count) / (10 + count))
        # The first update copies.
        expected = count if count == 0 else keep * expected + (1 - keep) * count
        seen = float(average.module.weight.detach())
        assert seen == pytest.approx(expected, rel=1e-5)
    assert 10 < seen < 11


def test_what_is_not_trained_stays_to_the_bit() -> None:
    net = nn.Conv2d(3, 4, 3).requires_grad_(False)
    average = averaged(net, 0.9)
    for _ in range(50):
        average.update_parameters(net)
    assert torch.equal(average.module.weight, net.weight)
    assert torch.equal(average.module.bias, net.bias)
