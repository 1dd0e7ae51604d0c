"""How steady and how late, on simulated hands: real motion is known exactly, noise is the pose model's own."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from service.inference.smoothing import KeypointFilter, OneEuro

SIZE = 200.0  # pixels
NOISE = 0.015  # of the hand's size, rms; what the pose model shows on a still hand
Motion = Callable[[float], tuple[float, float]]


def follow(
    motion: Motion,
    *,
    noise: float = NOISE,
    rate: float = 30,
    size: float = SIZE,
    seconds: float = 20,
    uneven: float = 0.0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Errors of the filtered and of the noisy keypoints, (T, 21, 2) in hand sizes, without the first second.

    uneven: frames arrive up to this many seconds early or late.
    """
    rng = np.random.default_rng(0)
    smooth, shape = KeypointFilter(), rng.uniform(0, 1, (21, 2))
    filtered, noisy = [], []
    for index in range(int(seconds * rate)):
        time = index / rate
        truth = shape + motion(time)
        seen = truth + rng.normal(0, noise / np.sqrt(2), (21, 2))
        arrival = 1 + time + rng.uniform(-uneven, uneven)
        found = smooth((seen * size).astype(np.float32), arrival, size) / size
        if time >= 1:
            filtered.append(found - truth)
            noisy.append(seen - truth)
    return np.array(filtered), np.array(noisy)


def still(_: float) -> tuple[float, float]:
    return 0.0, 0.0


def tremble(errors: NDArray[np.float64]) -> float:
    """Root mean square distance from each keypoint's mean place."""
    return float(np.sqrt(((errors - errors.mean(axis=0)) ** 2).sum(axis=2).mean()))


@pytest.mark.parametrize("uneven", [0.0, 0.01])
def test_a_still_hand_trembles_at_least_60_percent_less(uneven: float) -> None:
    filtered, noisy = follow(still, uneven=uneven)
    assert tremble(filtered) < 0.4 * tremble(noisy)


@pytest.mark.parametrize("speed", [0.35, 1.0, 3.0])
def test_a_moving_hand_is_less_than_a_frame_late(speed: float) -> None:
    filtered, _ = follow(lambda t: (speed * t, 0.0))
    late_seconds = -filtered[..., 0].mean() / speed
    assert 0 < late_seconds < 1 / 30


def test_a_waving_hand_is_followed() -> None:
    """Half a hand to each side once a second: up to three hand sizes a second, and it turns round."""
    filtered, noisy = follow(lambda t: (0.5 * np.sin(6 * t), 0.0))
    assert np.sqrt((filtered**2).sum(axis=2).mean()) < 1.8 * np.sqrt((noisy**2).sum(axis=2).mean())


@pytest.mark.parametrize("size", [12.0, 2000.0])
def test_it_is_the_same_for_small_and_large_hands(size: float) -> None:
    filtered, _ = follow(lambda t: (np.sin(t), 0.0), size=size)
    expected, _ = follow(lambda t: (np.sin(t), 0.0))
    assert filtered == pytest.approx(expected, abs=1e-4)


def test_it_is_as_late_in_seconds_at_any_frame_rate() -> None:
    late = {}
    for rate in (15, 60):
        filtered, _ = follow(lambda t: (t, 0.0), rate=rate, noise=0.0)
        late[rate] = -filtered[..., 0].mean()
    assert late[15] == pytest.approx(late[60], rel=0.4)


def test_the_first_points_are_left_alone() -> None:
    points = np.random.default_rng(0).uniform(0, 100, (21, 2)).astype(np.float32)
    assert np.array_equal(KeypointFilter()(points, 5.0, 50), points)


def test_what_is_given_out_is_not_what_is_remembered() -> None:
    smooth, points = KeypointFilter(), np.ones((21, 2), np.float32)
    smooth(points, 0.0, 50)[:] = 1000
    assert smooth(points, 0.1, 50) == pytest.approx(1)


def test_a_finger_that_moves_leaves_the_others_steady() -> None:
    """Every keypoint has its own speed."""
    smooth, rng = KeypointFilter(), np.random.default_rng(0)
    given = []
    for index in range(300):
        seen = rng.normal(0, NOISE * SIZE, (21, 2)).astype(np.float32)
        seen[8, 0] += 200 * np.sin(index / 5)
        given.append(smooth(seen, index / 30, SIZE))
    spread = np.array(given)[30:, :8].std()
    assert spread < 0.6 * NOISE * SIZE


def test_frames_at_the_same_instant_do_not_blow_it_up() -> None:
    smooth = KeypointFilter()
    smooth(np.zeros((21, 2), np.float32), 1.0, 100)
    found = smooth(np.full((21, 2), 5, np.float32), 1.0, 100)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (found <= 5).all()


def test_a_new_picture_size_is_no_motion() -> None:
    smooth = KeypointFilter()
    for index in range(10):
        smooth(np.full((21, 2), 100, np.float32), index / 30, 80)
    smooth.scale(2, 0.5)
    found = smooth(np.tile(np.array([200, 50], np.float32), (21, 1)), 10 / 30, 80)
    assert found == pytest.approx(np.tile([200, 50], (21, 1)))


def test_time_does_not_go_back() -> None:
    smooth, points = KeypointFilter(), np.zeros((21, 2), np.float32)
    smooth(points, 2.0, 10)
    with pytest.raises(ValueError, match="time went back"):
        smooth(points, 1.0, 10)


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan")])
def test_a_hand_has_a_size(size: float) -> None:
    with pytest.raises(ValueError, match="size"):
        KeypointFilter()(np.zeros((21, 2), np.float32), 0.0, size)


@pytest.mark.parametrize(
    "wrong", [{"still_cutoff": 0}, {"speed_cutoff": -1}, {"slope": -1}, {"still_speed": -1}]
)
def test_senseless_parameters_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="cut-offs"):
        OneEuro(**wrong)


def test_depth_is_smoothed_by_the_motion_in_the_picture() -> None:
    """A still hand's trembling depth is steadied however far it jumps; a moving hand's follows."""
    rng = np.random.default_rng(0)

    def spread(speed: float) -> float:
        smooth = KeypointFilter()
        depths = []
        for frame in range(120):
            points = np.zeros((21, 3), np.float32)
            points[:, 0] = speed * 100 * frame / 30
            points[:, 2] = rng.normal(0, 30, 21)
            depths.append(smooth(points, frame / 30, 100.0)[:, 2])
        return float(np.std(np.diff(np.array(depths[30:]), axis=0)))

    assert spread(0.0) < 0.3 * spread(3.0)


def test_depth_alone_is_no_motion() -> None:
    """x and y come out the same with and without z."""
    rng = np.random.default_rng(1)
    flat, deep = KeypointFilter(), KeypointFilter()
    for frame in range(30):
        points = rng.normal(100, 5, (21, 2)).astype(np.float32)
        z = rng.normal(0, 50, (21, 1)).astype(np.float32)
        with_z = deep(np.hstack([points, z]), frame / 30, 100.0)
        assert np.array_equal(flat(points, frame / 30, 100.0), with_z[:, :2])


def test_a_new_picture_size_moves_depth_too() -> None:
    smooth = KeypointFilter()
    smooth(np.full((21, 3), 10, np.float32), 0.0, 50.0)
    smooth.scale(4, 1)
    again = smooth(np.tile(np.array([40, 10, 20], np.float32), (21, 1)), 0.1, 100.0)
    assert np.allclose(again, [40, 10, 20])


def test_points_keep_their_shape() -> None:
    smooth = KeypointFilter()
    smooth(np.zeros((21, 2), np.float32), 0.0, 50.0)
    with pytest.raises(ValueError, match=r"\(21, 3\) points after \(21, 2\)"):
        smooth(np.zeros((21, 3), np.float32), 0.1, 50.0)
