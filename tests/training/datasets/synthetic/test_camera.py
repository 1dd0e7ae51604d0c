"""The camera of a sequence."""

import cv2
import numpy as np
import pytest

from training.datasets.synthetic.camera import blurred, draw_camera

SIDE = 64


def square(left: int = 24) -> tuple[np.ndarray, np.ndarray]:
    coverage = np.zeros((SIDE, SIDE), np.float32)
    coverage[24:40, left : left + 16] = 1
    return np.full((SIDE, SIDE, 3), 0.8, np.float32), coverage


def test_what_stands_still_is_sharp():
    colour, coverage = square()
    premultiplied, seen = blurred(colour, coverage, np.zeros((SIDE, SIDE, 2), np.float32))
    np.testing.assert_array_equal(seen, coverage)
    np.testing.assert_allclose(premultiplied, colour * coverage[..., None])


def test_blur_runs_along_the_motion_and_keeps_the_middle():
    colour, coverage = square()
    motion = np.zeros((SIDE, SIDE, 2), np.float32)
    motion[coverage > 0] = [12, 0]
    premultiplied, seen = blurred(colour, coverage, motion)
    across, down = seen[32], seen[:, 32]
    assert ((across > 0.05) & (across < 0.95)).sum() >= 8  # soft to the left and right
    np.testing.assert_allclose(down, coverage[:, 32], atol=0.02)  # and nowhere else
    assert (np.arange(SIDE) * across).sum() / across.sum() == pytest.approx(31.5, abs=0.2)
    assert seen.sum() == pytest.approx(coverage.sum(), rel=0.03)
    np.testing.assert_allclose(premultiplied[..., 0], 0.8 * seen, atol=1e-5)


def test_exposure_is_that_of_the_clip_and_noise_that_of_the_frame():
    camera = draw_camera(np.random.default_rng(0), 0.4, SIDE, False)
    picture = np.full((SIDE, SIDE, 3), 0.4, np.float32)
    first, again, other = (camera.develop(np.random.default_rng(seed), picture) for seed in (1, 1, 2))
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5
    assert abs(first.mean() - other.mean()) < 0.5
    assert 0.5 < cv2.absdiff(first, other).mean() < 12


def test_only_a_camera_in_a_hand_wanders():
    times = np.arange(0, 10, 1 / 30)
    stand, held = (draw_camera(np.random.default_rng(0), 0.4, 640, moving) for moving in (False, True))
    assert not np.array([stand.offset(t) for t in times]).any()
    way = np.array([held.offset(t) for t in times])
    assert 5 < np.abs(way).max() <= 0.04 * 640
    assert np.linalg.norm(np.diff(way, axis=0), axis=1).max() < 1.8  # pixels a frame
