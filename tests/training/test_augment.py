import numpy as np
import pytest

from training.augment import (
    _motion_kernel,
    photometric,
    square_crop_matrix,
    stretched,
    transform,
    warp,
)


def dot(x: float, y: float, size: int = 200) -> np.ndarray:
    """A black picture with a soft white dot whose middle is at (x, y)."""
    columns, rows = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    value = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 4.0**2))
    return np.repeat(value[..., None], 3, 2).astype(np.uint8)


def middle(image: np.ndarray) -> tuple[float, float]:
    weight = image[..., 0].astype(float)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    return float((weight * columns).sum() / weight.sum()), float((weight * rows).sum() / weight.sum())


@pytest.mark.parametrize("side", [60.0, 120.0, 190.0, 400.0])
@pytest.mark.parametrize("angle", [0.0, 0.7])
@pytest.mark.parametrize("mirror", [False, True])
def test_pixels_and_points_move_together(side: float, angle: float, mirror: bool) -> None:
    matrix = square_crop_matrix(np.array([100.0, 90.0]), side, 96, angle, mirror)
    moved = transform(np.array([110.0, 80.0]), matrix)
    assert middle(warp(dot(110, 80), matrix, 96)) == pytest.approx(tuple(moved), abs=0.15)


def test_mirroring_flips_x_alone() -> None:
    points = np.array([[10.0, 20.0], [30.0, 40.0]])
    plain = transform(points, square_crop_matrix(np.array([20.0, 30.0]), 40, 80))
    flipped = transform(points, square_crop_matrix(np.array([20.0, 30.0]), 40, 80, mirror=True))
    assert flipped[:, 0].tolist() == pytest.approx((80 - plain[:, 0]).tolist())
    assert flipped[:, 1].tolist() == pytest.approx(plain[:, 1].tolist())


@pytest.mark.parametrize("seed", range(4))
def test_stretching_moves_pixels_and_points_together_and_leaves_the_middle(seed: int) -> None:
    plain = square_crop_matrix(np.array([100.0, 90.0]), 120.0, 96, 0.3)
    matrix = stretched(plain, 96, np.random.default_rng(seed))
    assert transform(np.array([100.0, 90.0]), matrix) == pytest.approx([48, 48])
    moved = transform(np.array([115.0, 80.0]), matrix)
    assert np.abs(moved - transform(np.array([115.0, 80.0]), plain)).max() > 0.1
    assert middle(warp(dot(115, 80), matrix, 96)) == pytest.approx(tuple(moved), abs=0.3)


def test_photometric_changes_pixels_not_the_shape_and_repeats_by_seed() -> None:
    image = dot(100, 100)
    changed = [photometric(image, np.random.default_rng(seed)) for seed in range(30)]
    again = photometric(image, np.random.default_rng(3))
    assert all(c.shape == image.shape and c.dtype == np.uint8 for c in changed)
    assert all(not np.array_equal(c, image) for c in changed)
    assert np.array_equal(changed[3], again)


def test_motion_moves_nothing() -> None:
    for seed in range(20):
        kernel = _motion_kernel(np.random.default_rng(seed))
        assert kernel.sum() == pytest.approx(1, abs=1e-4)
        rows, columns = np.mgrid[: len(kernel), : len(kernel)] - len(kernel) // 2
        assert ((kernel * rows).sum(), (kernel * columns).sum()) == pytest.approx((0, 0), abs=0.05)


def test_photometric_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer pixels, in particular."""
    ramp = np.repeat(np.linspace(0, 255, 128).astype(np.uint8)[None, :, None], 128, 0).repeat(3, 2)
    monkeypatch.setattr("training.augment._tone", lambda image, rng: image)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        changed = photometric(ramp, rng).astype(float)[20:-20, 20:-20]
        assert abs((changed - ramp[20:-20, 20:-20]).mean()) < 0.9, seed
