"""Paths of hands: smooth, and still where they say so."""

import numpy as np
import pytest

from training.datasets.synthetic.appearance import plain
from training.datasets.synthetic.gestures import GESTURES
from training.datasets.synthetic.motion import (
    Move,
    Passage,
    Path,
    Posture,
    Wave,
    bends_of,
    draw_tremor,
    minimum_jerk,
    pose_of,
)
from training.datasets.synthetic.objects import BALL, solid_part
from training.datasets.synthetic.poses import draw_identity, draw_pose

STEP = 1 / 240


def posture(x: float, y: float = 100.0, roll: float = 0.0) -> Posture:
    return Posture(np.array([x, y]), 100.0, np.array([0.0, 0.0, roll]), np.zeros(25))


def path(moves: tuple[Move, ...] = (), waves: tuple[Wave, ...] = ()) -> Path:
    return Path(posture(100), moves, waves, draw_tremor(np.random.default_rng(0)))


def test_a_reach_starts_and_ends_at_rest_and_is_fastest_in_its_middle():
    shares = np.array([minimum_jerk(t) for t in np.linspace(-0.5, 1.5, 401)])
    assert (shares[:101] == 0).all()
    assert (shares[300:] == 1).all()
    speed = np.diff(shares) * 200
    assert speed.max() == pytest.approx(1.875, abs=0.01)
    assert np.abs(np.diff(speed)).max() < 0.05
    assert minimum_jerk(0.5) == 0.5


def test_poses_and_their_angles_are_the_same_thing():
    rng = np.random.default_rng(1)
    for gesture in GESTURES:
        pose = draw_pose(rng, draw_identity(rng, 4), gesture)
        assert pose_of(bends_of(pose)) == pose


def test_moves_follow_one_another_without_a_jump():
    moving = path((Move(0.5, 1.0, posture(300), "reach"), Move(1.5, 2.5, posture(50, 160), "drift")))
    places = np.array([moving.at(t).place for t in np.arange(0, 3, STEP)])
    assert np.linalg.norm(np.diff(places, axis=0), axis=1).max() < 1.1 * 1.875 * 200 / 0.5 * STEP
    for time, x, y in ((0.25, 100, 100), (1.25, 300, 100), (2.75, 50, 160)):
        np.testing.assert_allclose(moving.at(time).place, [x, y], atol=2)
    assert [moving.phase(t) for t in (0.25, 0.75, 1.25, 2.0, 2.75)] == [
        "still",
        "reach",
        "still",
        "drift",
        "still",
    ]


def test_a_still_hand_trembles_a_little():
    still = path()
    places = np.array([still.at(t).place for t in np.arange(0, 10, 1 / 30)])
    assert 0.02 < np.linalg.norm(np.diff(places, axis=0), axis=1).mean() < 0.5  # pixels; the hand has 100
    assert np.abs(places - [100, 100]).max() < 2


def test_a_wave_swings_to_both_sides_and_ends_where_it_began():
    waving = path((), (Wave(1.0, 3.0, np.array([20.0, 0.0]), 10.0, 1.5),))
    x = np.array([waving.at(t).place[0] for t in np.arange(0, 4, STEP)])
    assert x.max() == pytest.approx(120, abs=2)
    assert x.min() == pytest.approx(80, abs=2)
    assert np.abs(np.diff(x)).max() < 1.3 * 2 * np.pi * 1.5 * 20 * STEP
    np.testing.assert_allclose(waving.at(3.5).place, [100, 100], atol=2)
    assert (waving.phase(0.5), waving.phase(2.0), waving.phase(3.5)) == ("still", "wave", "still")


def test_something_passes_by_and_stays_for_a_while():
    part = solid_part(BALL, np.full(3, 5.0), np.eye(3), np.zeros(3), plain(np.full(3, 0.5)))
    points = (np.array([-50.0, 0]), np.array([100.0, 80]), np.array([250.0, 0]))
    passage = Passage(part, (1.0, 2.0, 3.0, 4.0), points)
    assert [passage.present(t) for t in (0.5, 1.5, 2.5, 3.5, 4.5)] == [False, True, True, True, False]
    for time, place in ((1.0, points[0]), (2.0, points[1]), (2.6, points[1]), (4.0, points[2])):
        np.testing.assert_allclose(passage.at(time).vertices.mean(axis=0)[:2], place, atol=0.5)
