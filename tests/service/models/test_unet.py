import pytest
import torch
from torch import Tensor

from service.models.unet import SIGMA, HandUNet, decode_bumps

SIZE = 64


def bumps(points: Tensor, height: float = 0.9, size: int = SIZE) -> Tensor:
    """Logits (B, K, size, size) of targets as they are trained: peaks of `height` at points (B, K, 2), in pixels."""
    cells = torch.arange(size) + 0.5
    x = (cells - points[..., :1]) ** 2  # (B, K, size)
    y = (cells - points[..., 1:]) ** 2
    maps = height * torch.exp(-(x[..., None, :] + y[..., :, None]) / (2 * SIGMA**2))
    return torch.logit(maps.clamp(1e-5, 1 - 1e-5))


class Seeing(HandUNet):
    """Sees a hand on the diagonal where a crop is bright on the left: with certainty `sure`, otherwise `unsure`."""

    def __init__(self, sure: float = 0.9, unsure: float = 0.4) -> None:
        super().__init__()
        self.heights = torch.tensor([unsure, sure])
        steps = torch.linspace(10, 50, 21)
        self.points = torch.stack([steps, steps + 3], 1)  # (21, 2)

    def forward(self, crops: Tensor) -> Tensor:
        left = (crops[:, :, :32].float().mean((1, 2, 3)) > crops[:, :, 32:].float().mean((1, 2, 3))).long()
        return torch.cat([bumps(self.points[None], height) for height in self.heights[left].tolist()])


def bright_on_the_left() -> Tensor:
    crop = torch.zeros(1, SIZE, SIZE, 3, dtype=torch.uint8)
    crop[:, :, :32] = 200
    return crop


def test_shapes_and_size() -> None:
    network = HandUNet().eval()
    crops = torch.randint(0, 255, (2, 96, 96, 3), dtype=torch.uint8)
    with torch.inference_mode():
        assert network(crops).shape == (2, 21, 96, 96)
        keypoints, scores, hand, right = network.estimate(crops)
    assert (keypoints.shape, scores.shape, hand.shape, right.shape) == ((2, 21, 2), (2, 21), (2,), (2,))
    assert network.last.kernel_size == (3, 3)
    assert [level[0].out_channels for level in network.down] == [16, 32, 64]
    assert network.bottom[0].out_channels == 128
    assert sum(p.numel() for p in network.parameters()) < 0.6e6


def test_every_parameter_learns() -> None:
    network = HandUNet()
    network(torch.randint(0, 255, (2, 32, 32, 3), dtype=torch.uint8)).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_targets_as_trained_are_read_below_a_pixel() -> None:
    points = torch.rand(4, 21, 2, generator=torch.Generator().manual_seed(0)) * 52 + 6
    keypoints, scores, _ = decode_bumps(bumps(points))
    assert (keypoints - points).abs().max() < 0.05
    assert ((scores > 0.85) & (scores <= 0.9)).all()


def test_a_blob_that_is_flat_on_top_is_read_in_its_middle() -> None:
    logits = torch.full((1, 1, SIZE, SIZE), -30.0)
    logits[..., 20:26, 40:46] = 30.0
    keypoints, scores, _ = decode_bumps(logits)
    assert keypoints[0, 0].tolist() == pytest.approx([43, 23], abs=0.1)
    assert scores.item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("value", [-200.0, 0.0, 200.0])
def test_heatmaps_without_a_peak_are_read_without_nan(value: float) -> None:
    for part in decode_bumps(torch.full((1, 21, SIZE, SIZE), value)):
        assert torch.isfinite(part).all()


def test_a_right_hand_is_read_as_it_is() -> None:
    network = Seeing()
    keypoints, scores, hand, right = network.estimate(bright_on_the_left())
    assert torch.allclose(keypoints[0], network.points, atol=0.05)
    assert right.item() > 0.9
    assert hand.item() == pytest.approx(scores.mean().item())
    assert hand.item() > 0.85


def test_a_left_hand_is_read_in_the_mirror_and_mirrored_back() -> None:
    network = Seeing()
    keypoints, _, hand, right = network.estimate(bright_on_the_left().flip(2))
    assert torch.allclose(keypoints[0, :, 0], SIZE - network.points[:, 0], atol=0.05)
    assert torch.allclose(keypoints[0, :, 1], network.points[:, 1], atol=0.05)
    assert right.item() < 0.1
    assert hand.item() > 0.85


def test_mirroring_the_crop_mirrors_the_answer() -> None:
    torch.manual_seed(0)
    network = HandUNet().eval()
    crops = torch.randint(0, 255, (3, SIZE, SIZE, 3), dtype=torch.uint8)
    with torch.inference_mode():
        keypoints, scores, hand, right = network.estimate(crops)
        mirrored = network.estimate(crops.flip(2))
    assert torch.allclose(mirrored[0][..., 0], SIZE - keypoints[..., 0], atol=1e-3)
    assert torch.allclose(mirrored[0][..., 1], keypoints[..., 1], atol=1e-3)
    assert torch.allclose(mirrored[1], scores, atol=1e-5)
    assert torch.allclose(mirrored[2], hand, atol=1e-5)
    assert torch.allclose(mirrored[3], 1 - right, atol=1e-5)


def test_what_is_equally_likely_either_way_is_neither_right_nor_left() -> None:
    _, _, hand, right = Seeing(sure=0.2, unsure=0.2).estimate(bright_on_the_left())
    assert right.item() == pytest.approx(0.5)
    assert hand.item() < 0.25
