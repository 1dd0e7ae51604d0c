"""Folded batch norms: the same network, and the same again when they are put back."""

import torch
from torch import nn

from service.models.detector import HandDetector
from service.models.pose import HandPose
from training.norms import fold_norms, restore_norms, state_with_norms


def settled(network: nn.Module) -> nn.Module:
    """With statistics and scales that are not those of a new network."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5, generator=generator)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(0, 0.1, generator=generator)
    return network


def test_the_network_stays_what_it_was_and_trains_without_norms():
    network = settled(HandPose())
    network.encoder.freeze(4)
    pictures = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        before = network.eval()(pictures)
    norms = sum(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    assert fold_norms(network) == norms > 50
    assert not any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    with torch.no_grad():
        after = network.train()(pictures)
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    frozen = [*network.encoder.stem.parameters(), *network.encoder.blocks[2].parameters()]
    assert not any(p.requires_grad for p in frozen)
    assert all(p.requires_grad for p in network.pyramid.parameters())


def test_the_stored_state_has_norms_again():
    for kind in (HandPose, HandDetector):
        network = settled(kind()).eval()
        pictures = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
        with torch.no_grad():
            before = network(pictures)
            fold_norms(network)
            fresh = kind().eval()
            fresh.load_state_dict(state_with_norms(network))  # strict: every name is there, and no other
            after = fresh(pictures)
        for one, other in zip(before, after, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_a_network_that_was_not_folded_has_its_own_state():
    network = HandPose()
    state = state_with_norms(network)
    assert state.keys() == network.state_dict().keys()


def test_norms_get_statistics_back_without_changing_the_network():
    network = settled(HandPose()).eval()
    fold_norms(network)
    unfolded = HandPose().eval()
    unfolded.load_state_dict(state_with_norms(network))
    pictures = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        before = unfolded(pictures)
        norms = restore_norms(unfolded, pictures)
        after = unfolded(pictures)
        training = unfolded.train()(pictures)
    assert norms > 50
    for one, other, third in zip(before, after, training, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(one, third, rtol=0.05, atol=0.05)  # its own statistics, but for n - 1
    assert unfolded.encoder.stem[1].running_mean.abs().max() > 0
