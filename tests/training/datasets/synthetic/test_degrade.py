"""Camera flaws change pixels and leave positions alone."""

import numpy as np
import pytest

from training.datasets.synthetic.degrade import degrade, lower_resolution, motion_blur


def spot(size: int = 65) -> np.ndarray:
    picture = np.zeros((size, size, 3), np.float32)
    picture[size // 2, size // 2] = 1
    return picture


def centre_of_mass(picture: np.ndarray) -> np.ndarray:
    mass = picture.mean(axis=2)
    rows, columns = np.indices(mass.shape)
    return np.array([(columns * mass).sum(), (rows * mass).sum()]) / mass.sum()


@pytest.mark.parametrize("angle", [0, 30, 90, 135])
@pytest.mark.parametrize("length", [0.7, 3.0, 9.5])
def test_motion_blur_is_centred_and_keeps_brightness(angle, length):
    blurred = motion_blur(spot(), length, angle)
    np.testing.assert_allclose(centre_of_mass(blurred), [32, 32], atol=0.02)
    assert blurred.sum() == pytest.approx(3, rel=1e-3)


def test_motion_blur_runs_along_its_angle():
    mass = motion_blur(spot(), 12, 0).mean(axis=2)
    assert np.count_nonzero(mass[32] > 0.01) >= 10
    assert mass[20].sum() < 1e-6


def test_lower_resolution_keeps_places():
    picture = spot(64)
    np.testing.assert_allclose(
        centre_of_mass(lower_resolution(picture, 16)), centre_of_mass(picture), atol=2.5
    )


def test_degraded_pictures_are_varied_deterministic_and_uint8():
    ramp = np.broadcast_to(np.linspace(0, 1, 48, dtype=np.float32)[:, None, None], (48, 48, 3))
    first = [degrade(np.random.default_rng(seed), ramp) for seed in range(20)]
    second = [degrade(np.random.default_rng(seed), ramp) for seed in range(20)]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.shape == (48, 48, 3)
        assert a.dtype == np.uint8
        assert a[40:].mean() > a[:8].mean() + 10  # still the same picture
    assert len({picture.tobytes() for picture in first}) == 20


def test_dark_pictures_are_brightened_and_bright_ones_dimmed():
    dark, bright = (np.full((32, 32, 3), level, np.float32) for level in (0.05, 0.9))
    means = [
        np.mean([degrade(np.random.default_rng(s), p).mean() for s in range(60)]) / 255
        for p in (dark, bright)
    ]
    assert means[0] > 0.06
    assert means[1] < 0.85
