"""What happens in a sequence, and that all of it does."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from training.datasets.synthetic.choreography import BEATS, Choreographer, Choreography, draw_script
from training.datasets.synthetic.mesh import hand_mesh
from training.datasets.synthetic.poses import draw_identity

WIDTH, HEIGHT = 640, 480


def written(seed: int, hands: int, script: tuple, seconds: float) -> Choreography:
    rng = np.random.default_rng(seed)
    identities = [draw_identity(rng, len(hand_mesh().vertices)) for _ in range(hands)]
    return Choreographer(rng, identities, WIDTH, HEIGHT).write(script, seconds)


@pytest.mark.parametrize("hands", [1, 2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_ten_seconds_hold_everything_that_can_happen(seed, hands):
    script = Counter(draw_script(np.random.default_rng(seed), hands, 10.0))
    expected = set(BEATS) - ({"cross"} if hands == 1 else {"reach"})
    assert expected <= set(script)
    assert hands == 1 or script["cross"] >= 2
    assert sum(script.values()) <= 12


def test_short_clips_start_with_a_rest():
    assert draw_script(np.random.default_rng(3), 2, 0.5) == ("still",)
    assert len(draw_script(np.random.default_rng(3), 2, 3.0)) in (2, 3)


def test_beats_fill_the_time_in_their_order():
    plan = written(0, 2, ("still", "cross", "leave"), 9.0)
    starts, beats = zip(*plan.beats, strict=True)
    assert beats == ("still", "cross", "leave")
    np.testing.assert_allclose(starts, [0, 2, 5])  # 1.0 : 1.5 : 2.0 seconds, twice as long


@pytest.mark.parametrize("seed", range(6))
def test_hands_move_at_natural_speeds_and_never_jump(seed):
    hands = 1 + seed % 3
    plan = written(seed, hands, draw_script(np.random.default_rng(seed), hands, 10.0), 10.0)
    assert len(plan.paths) == hands
    for path in plan.paths:
        assert all(a.end <= b.start + 1e-9 for a, b in pairwise(path.moves))
        places = np.array([path.at(t).place for t in np.arange(0, 10, 1 / 30)])
        speed = np.linalg.norm(np.diff(places, axis=0), axis=1) * 30 / path.first.scale
        assert speed.max() < 8  # hand lengths a second, on the way out of the picture
        assert speed.max() > 0.2


def test_crossing_hands_change_sides_and_meet():
    for seed in range(4):
        plan = written(seed, 2, ("still", "cross"), 3.0)
        one, other = plan.paths
        times = np.arange(0, 3, 1 / 30)
        apart = np.array([one.at(t).place[0] - other.at(t).place[0] for t in times])
        assert apart[0] * apart[-1] < 0
        distance = [np.linalg.norm(one.at(t).place - other.at(t).place) for t in times]
        assert min(distance) < 0.6 * one.first.scale


def test_a_leaving_hand_is_out_of_the_picture_for_a_while_and_comes_back():
    for seed in range(4):
        (path,) = written(seed, 1, ("still", "leave"), 3.0).paths
        outside = []
        for time in np.arange(0, 3, 1 / 30):
            posture = path.at(time)
            low, high = posture.place - 0.5 * posture.scale, posture.place + 0.5 * posture.scale
            outside.append(bool((high < 0).any() or low[0] > WIDTH or low[1] > HEIGHT))
        assert sum(outside) >= 10
        assert not outside[0]
        assert not outside[-1]
        assert path.phase(1.5) == "leave"


def test_what_hides_a_hand_comes_to_it_and_leaves_the_picture():
    plan = written(2, 1, ("still", "hide"), 2.4)
    (passage,) = plan.passages
    start, _, _, end = passage.times
    middle = (passage.times[1] + passage.times[2]) / 2
    at_hand = passage.at(middle).vertices
    place = plan.paths[0].at(middle).place
    assert (at_hand[:, :2].min(axis=0) < place).all()
    assert (at_hand[:, :2].max(axis=0) > place).all()
    assert at_hand[:, 2].max() < -plan.paths[0].first.scale  # nearer to the camera than any hand
    for time in (start, end):
        x = passage.at(time).vertices[:, 0]
        assert x.max() < 0.15 * WIDTH or x.min() > 0.85 * WIDTH
