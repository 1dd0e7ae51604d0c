import pytest
import torch

from service.models.heatmaps import find_modes


def bump(x: float, y: float, spread: float = 2.0, size: int = 32) -> torch.Tensor:
    """(1, 1, size, size) with a peak of 1 at (x, y), in cells."""
    cells = torch.arange(size) + 0.5
    return torch.exp(-((cells[None] - x) ** 2 + (cells[:, None] - y) ** 2) / (2 * spread**2))[None, None]


@pytest.mark.parametrize(("x", "y"), [(10.5, 20.5), (10.0, 20.0), (6.3, 25.7)])
def test_a_lone_bump_is_found_below_a_cell(x: float, y: float) -> None:
    points, _ = find_modes(bump(x, y), kernel=2.0, shifts=6)
    assert points[0, 0].tolist() == pytest.approx([x, y], abs=0.02)


def test_the_higher_of_two_bumps_wins_and_the_other_does_not_pull() -> None:
    points, _ = find_modes(bump(8.3, 9.6) + 0.8 * bump(26, 26), kernel=2.0, shifts=6)
    assert points[0, 0].tolist() == pytest.approx([8.3, 9.6], abs=0.03)


def test_the_height_of_a_map_does_not_matter() -> None:
    low, high = (find_modes(bump(12.2, 7.9) * factor, 2.0, 6)[0] for factor in (1e-4, 1.0))
    assert torch.allclose(low, high, atol=1e-3)


def test_maps_are_read_independently() -> None:
    maps = torch.cat([bump(5, 6), bump(20, 11)], 1).repeat(3, 1, 1, 1)
    points, mass = find_modes(maps, 2.0, 6)
    assert points.shape == (3, 2, 2)
    assert mass.shape == (3, 2)
    assert points[2].tolist() == [pytest.approx([5, 6], abs=0.02), pytest.approx([20, 11], abs=0.02)]
