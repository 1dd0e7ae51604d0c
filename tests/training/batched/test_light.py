import pytest
import torch

from training.batched.light import _compress, _reduce, photometric


def pictures(count: int = 32) -> torch.Tensor:
    x = torch.linspace(0, 1, 64)
    ramp = torch.stack([x[None].expand(64, 64), x[:, None].expand(64, 64), 1 - x[None].expand(64, 64)])
    return ramp[None].repeat(count, 1, 1, 1)


def test_every_picture_changes_and_stays_one() -> None:
    before = pictures()
    after = photometric(before, torch.Generator().manual_seed(0))
    assert after.shape == before.shape
    assert after.min() >= 0
    assert after.max() <= 1
    assert (after - before).abs().mean((1, 2, 3)).min() > 1e-3
    assert torch.equal(before, pictures())  # not in place
    assert (after[:, 0] - after[:, 2]).abs().amax((1, 2)).lt(0.2).any()  # some are grey


def test_the_same_generator_gives_the_same_light() -> None:
    one, other = (photometric(pictures(), torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one, other)


@pytest.mark.parametrize(("coarseness", "least", "most"), [(1e-3, 0.0, 1e-3), (2.0, 0.02, 0.25)])
def test_compression_loses_as_much_as_it_is_coarse(coarseness: float, least: float, most: float) -> None:
    noise = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    lost = (_compress(noise, torch.full((4, 1, 1, 1), coarseness)) - noise).abs().mean()
    assert least <= lost <= most


@pytest.mark.parametrize("factor", [0.3, 0.42, 0.55, 0.7])
def test_fewer_pixels_stay_where_they_are(factor: float) -> None:
    x = torch.linspace(0.5, 127.5, 128)
    far = _reduce((x / 128).expand(1, 3, 128, 128), factor)[0, 0, 64] * 128 - x
    assert far[16:-16].abs().max() < 0.1
