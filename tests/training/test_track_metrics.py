"""What the measures of a tracker say about answers whose faults are known."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from training.track_metrics import FAST, Observation, TrueHand, lag, pair, score

FRAMES = 120
SHAPE = np.stack(np.meshgrid(np.linspace(0, 60, 3), np.linspace(0, 100, 7)), axis=-1).reshape(21, 2)
Told = Callable[[int, dict[int, TrueHand]], dict[int, np.ndarray]]


def hand(x: float, clear: float = 1.0, still: bool = False, y: float = 100.0) -> TrueHand:
    return TrueHand((SHAPE + np.array([x, y])).astype(np.float32), clear, still)


def exact(_: int, truth: dict[int, TrueHand]) -> dict[int, np.ndarray]:
    return {number + 10: each.keypoints for number, each in truth.items()}


def film(truth: Callable[[int], dict[int, TrueHand]], told: Told = exact) -> list[Observation]:
    return [Observation(truth(index), told(index, truth(index))) for index in range(FRAMES)]


def two(index: int) -> dict[int, TrueHand]:
    return {1: hand(100 + 2 * index), 2: hand(400 - 2 * index)}


def test_a_perfect_tracker_has_no_fault():
    scores = score(film(two))
    assert (scores.hands, scores.frames, scores.switches, scores.renumbered) == (2, FRAMES, 0, 0)
    assert (scores.missed, scores.extra, scores.error) == (0, 0, 0)
    assert lag(film(two), film(two)) == 0
    assert scores.recovery == scores.returned == ()
    assert math.isnan(scores.jitter)  # nothing was still
    with pytest.raises(ValueError, match="no hand"):
        score([Observation({}, {})])


def test_swapped_ids_are_two_switches():
    def swapped(index, truth):
        first, second = (11, 12) if index < 70 else (12, 11)
        return {first: truth[1].keypoints, second: truth[2].keypoints}

    scores = score(film(two, swapped))
    assert scores.switches == 2
    assert scores.switch_rate == pytest.approx(300 * 2 / (2 * FRAMES))


def test_crossing_hands_keep_their_pairs_where_they_overlap():
    crossed = pair(film(two))
    assert all(pairs == {1: 11, 2: 12} for pairs in crossed)


def test_a_new_id_after_leaving_the_picture_is_no_switch():
    def leaves(index):
        return {} if 40 <= index < 60 else {1: hand(100)}

    def renumbers(index, truth):
        return {(7 if index < 50 else 8): each.keypoints for each in truth.values()}

    scores = score(film(leaves, renumbers))
    assert (scores.switches, scores.renumbered, scores.returned, scores.recovery) == (0, 1, (0,), ())


def test_frames_until_a_hidden_hand_is_told_again():
    def hidden(index):
        return {1: hand(100, clear=0.1 if 30 <= index < 40 or 80 <= index < 95 else 1.0)}

    def late(index, truth):
        return {} if 30 <= index < 45 or 80 <= index < 95 else exact(index, truth)

    scores = score(film(hidden, late))
    assert scores.recovery == (5, 0)
    assert scores.returned == ()
    assert scores.missed == pytest.approx(5 / (FRAMES - 25))
    assert scores.switches == 0


def test_a_hand_that_is_never_found_again_counts_to_the_end():
    def hidden(index):
        return {1: hand(100, clear=0.0 if 30 <= index < 40 else 1.0)}

    def gone(index, truth):
        return exact(index, truth) if index < 30 else {}

    assert score(film(hidden, gone)).recovery == (FRAMES - 40,)


def test_jitter_is_of_still_hands_in_hand_sizes():
    rng = np.random.default_rng(0)

    def noisy(_, truth):
        return {11: truth[1].keypoints + rng.normal(0, 1.0, (21, 2)).astype(np.float32)}

    scores = score(film(lambda _: {1: hand(100, still=True)}, noisy))
    assert scores.jitter == pytest.approx(
        2 / 100, rel=0.05
    )  # two coordinates, two frames: √(2 · 2) pixels of 100
    assert scores.error == pytest.approx(math.sqrt(math.pi / 2) / 100, rel=0.05)
    offset = score(film(lambda _: {1: hand(100, still=True)}, lambda _, t: {11: t[1].keypoints + 5}))
    assert offset.jitter == pytest.approx(0, abs=1e-5)  # a constant error does not tremble
    assert (scores.glitches, offset.glitches) == (0, 0)


def test_a_glitch_is_counted_and_does_not_make_jitter():
    def jumping(index, truth):
        return {11: truth[1].keypoints + np.float32(10 if index % 20 == 0 else 0)}

    scores = score(film(lambda _: {1: hand(100, still=True)}, jumping))
    assert scores.glitches == pytest.approx(0.1, abs=0.02)  # there and back
    assert scores.jitter == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("late", [0.5, 1.0, 2.0])
def test_lag_is_told_in_frames_for_slow_and_fast_hands(late):
    def place(index: float) -> float:
        return 300 + 80 * math.sin(index / 15)

    def waving(index):
        return {1: hand(place(index))}

    def behind(index, _):
        return {11: hand(place(index - late)).keypoints + np.float32(4)}

    late_ones, exact_ones = (
        film(waving, behind),
        film(waving, lambda _, t: {11: t[1].keypoints + np.float32(4)}),
    )
    assert lag(late_ones, exact_ones) == pytest.approx(late, rel=0.05)
    assert lag(late_ones, exact_ones, slowest=FAST) == pytest.approx(late, rel=0.1)
    assert math.isfinite(lag(late_ones, exact_ones, fastest=FAST))
    assert math.isnan(lag(late_ones, exact_ones, slowest=1.0))


def test_hands_that_are_none_are_extra():
    def ghost(index, truth):
        return exact(index, truth) | {99: truth[1].keypoints + np.float32(300)}

    assert score(film(two, ghost)).extra == 1
