import pytest
import torch

from training.losses import centre_focal, gaussian_heatmaps, heatmap_cross_entropy, soft_argmax


def test_gaussians_peak_where_the_point_is() -> None:
    maps = gaussian_heatmaps(torch.tensor([[[3.5, 5.5]]]), 8, 1.0)
    assert maps.shape == (1, 1, 8, 8)
    assert maps[0, 0, 5, 3] == 1
    assert maps[0, 0, 5, 4].item() == pytest.approx(torch.exp(torch.tensor(-0.5)).item())


def test_cross_entropy_is_least_at_the_target() -> None:
    points = torch.tensor([[[10.0, 20.0]]])
    right = torch.log(gaussian_heatmaps(points, 32, 1.2) + 1e-9)
    wrong = torch.log(gaussian_heatmaps(points + 3, 32, 1.2) + 1e-9)
    assert heatmap_cross_entropy(right, points, 1.2) < heatmap_cross_entropy(wrong, points, 1.2)


def test_soft_argmax_is_the_mean_as_a_share_of_the_side() -> None:
    maps = torch.log(gaussian_heatmaps(torch.tensor([[[8.0, 24.0]]]), 32, 1.2) + 1e-12)
    assert soft_argmax(maps)[0, 0].tolist() == pytest.approx([0.25, 0.75], abs=1e-3)


def test_focal_loss_rewards_the_centre_and_spares_ignored_background() -> None:
    target = torch.zeros(1, 4, 4)
    target[0, 1, 1] = 1
    weight = torch.ones(1, 4, 4)
    good, bad = torch.full((1, 4, 4), -5.0), torch.full((1, 4, 4), -5.0)
    good[0, 1, 1] = 5
    bad[0, 3, 3] = 5
    assert centre_focal(good, target, weight) < 0.01 < centre_focal(bad, target, weight)
    ignored = weight.clone()
    ignored[0, 3, 3] = 0
    assert centre_focal(bad, target, ignored) < centre_focal(bad, target, weight)
