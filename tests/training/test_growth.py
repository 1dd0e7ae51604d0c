"""A network that has grown computes what it computed before, and can learn more."""

from pathlib import Path

import pytest
import torch

from service.models.pose import HandPose
from tests.training.test_norms import settled
from training.initialise import initialise


def test_a_grown_network_computes_the_same(tmp_path: Path) -> None:
    small = settled(HandPose("lite0")).eval()
    torch.save({"state": small.state_dict()}, tmp_path / "small.pt")
    large = HandPose("lite1")
    taken = initialise(large, str(tmp_path / "small.pt"))
    counters = sum(name.endswith("num_batches_tracked") for name in large.state_dict())
    assert taken in (len(large.state_dict()), len(large.state_dict()) - counters)
    pictures = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        for one, other in zip(small(pictures), large.eval()(pictures), strict=True):
            torch.testing.assert_close(one, other)


def test_every_added_block_learns(tmp_path: Path) -> None:
    small = settled(HandPose("lite0"))
    torch.save({"state": small.state_dict()}, tmp_path / "small.pt")
    large = HandPose("lite1")
    initialise(large, str(tmp_path / "small.pt"))
    large.train()(torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8))[0].sum().backward()
    norms = [block.layers[-1].weight for block in large.encoder.blocks]
    added = [norm for norm in norms if not norm.any()]
    assert len(added) == 5
    assert all(norm.grad is not None and norm.grad.any() for norm in added)


def test_a_larger_encoder_is_refused(tmp_path: Path) -> None:
    torch.save({"state": HandPose("lite1").state_dict()}, tmp_path / "large.pt")
    with pytest.raises(ValueError, match="an encoder of 21 blocks, this network one of 16"):
        initialise(HandPose("lite0"), str(tmp_path / "large.pt"))
