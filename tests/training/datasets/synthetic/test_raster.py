"""The rasteriser covers what it should, and what is nearer wins."""

import numpy as np
import pytest

from training.datasets.synthetic.raster import FAR, NOISE, lookup, rasterise, resolve
from training.datasets.synthetic.surfaces import SURFACE, Geometry, Part, join

SIZE = 16


def quad(depth: float, low: float = 4, high: float = 12, keep: list[float] | None = None) -> Part:
    vertices = np.array([[low, low, depth], [high, low, depth], [high, high, depth], [low, high, depth]])
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    kept = None if keep is None else np.array(keep)
    return Part(
        vertices, np.tile([0.0, 0, -1], (4, 1)), vertices, triangles, np.zeros((), SURFACE)[()], keep=kept
    )


def seen(geometry: Geometry) -> np.ndarray:
    """Which part every pixel shows, -1 for none."""
    fragments = rasterise(geometry, SIZE)
    _, chosen = resolve(fragments.depth, fragments.triangle)
    triangle = np.where(chosen >= 0, fragments.triangle.ravel()[chosen], -1)
    return np.where(triangle >= 0, geometry.part[triangle], -1)


def test_a_square_covers_its_pixels_and_no_others():
    expected = np.full((SIZE, SIZE), -1)
    expected[4:12, 4:12] = 0
    np.testing.assert_array_equal(seen(join([quad(1)])), expected)


def test_coverage_is_partial_at_edges():
    fragments = rasterise(join([quad(1, 4.5, 11.5)]), SIZE)
    coverage, _ = resolve(fragments.depth, fragments.triangle)
    assert coverage[8, 8] == 1
    assert coverage[8, 4] == pytest.approx(0.5)
    assert coverage[4, 4] == pytest.approx(0.25)
    assert coverage[8, 3] == 0


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_nearer_surface_is_seen_whatever_the_order(order):
    parts = [quad(5), quad(2, 6, 10)]
    shown = seen(join([parts[index] for index in order]))
    assert shown[8, 8] == order.index(1)
    assert shown[5, 5] == order.index(0)


def test_depth_is_interpolated():
    part = quad(0)
    part.vertices[:, 2] = part.vertices[:, 0]  # as deep as it is far right
    fragments = rasterise(join([part]), SIZE)
    assert fragments.depth[16, 16] == pytest.approx(16.5 / 2, abs=1e-3)
    assert fragments.depth[0, 0] == FAR


def test_negative_keep_is_left_out():
    shown = seen(join([quad(1, keep=[-1, 1, 1, -1])]))  # zero half way
    assert (shown[8, 4:8] == -1).all()
    assert (shown[8, 8:12] == 0).all()


def test_triangles_outside_the_picture_are_cut_off():
    shown = seen(join([quad(1, -100, 100)]))
    assert (shown == 0).all()
    assert (seen(join([quad(1, 20, 30)])) == -1).all()


def test_noise_is_periodic_and_normalised():
    assert abs(NOISE.mean()) < 0.1
    assert np.abs(NOISE).max() <= 2.5
    assert lookup(NOISE, 3.3, 4.4, 5.5) == pytest.approx(lookup(NOISE, 3.3 + 48, 4.4 - 48, 5.5), abs=1e-4)
    assert lookup(NOISE, 2.0, 7.0, 9.0) == pytest.approx(NOISE[2, 7, 9], abs=1e-5)
