from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from service.inference.assignment import assign, match_boxes, widened
from service.inference.hands import Box

INF = np.inf


def cheapest(costs: NDArray[np.float64], alone: float) -> float:
    """What the best assignment costs, by trying every one."""
    rows, columns = costs.shape
    choices = [*range(columns), *[None] * rows]
    return min(
        sum(alone if j is None else costs[i, j] for i, j in enumerate(chosen))
        for chosen in set(permutations(choices, rows))
    )


@pytest.mark.parametrize("seed", range(40))
def test_it_finds_what_trying_everything_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    costs = rng.uniform(0, 3, rng.integers(1, 5, 2))
    costs[rng.random(costs.shape) < 0.3] = INF
    pairs = assign(costs, 1.5)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    total = sum(costs[pair] for pair in pairs) + 1.5 * (len(costs) - len(pairs))
    assert total == pytest.approx(cheapest(costs, 1.5))


def test_the_nearest_first_is_not_always_best() -> None:
    assert assign(np.array([[1.0, 2.0], [1.1, 9.0]]), 10) == [(0, 1), (1, 0)]


def test_one_good_pair_beats_two_bad_ones() -> None:
    assert assign(np.array([[0.1, 1.4], [1.3, INF]]), 1.5) == [(0, 0)]


def test_forbidden_pairs_stay_apart() -> None:
    assert assign(np.array([[INF, INF], [INF, 0.5]]), 5) == [(1, 1)]
    assert assign(np.full((2, 2), INF), 5) == []


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nothing_with_nothing(shape: tuple[int, int]) -> None:
    assert assign(np.zeros(shape), 1) == []


def test_boxes_are_matched_one_to_one_and_only_where_they_are_near() -> None:
    expected = [Box(100, 100, 100, 100), Box(180, 100, 100, 100), Box(500, 300, 50, 50)]
    found = [Box(185, 105, 100, 100), Box(105, 95, 100, 100), Box(10, 400, 50, 50)]
    assert match_boxes(expected, found) == {0: 1, 1: 0}
    assert match_boxes(expected, []) == match_boxes([], found) == {}


def test_a_box_that_reaches_further_opens_the_crop() -> None:
    expected = Box(100, 100, 100, 100)
    assert widened(expected, Box(102, 95, 100, 105)) == expected  # by little: the crop stays as it was
    assert widened(expected, Box(105, 60, 90, 140)) == Box(100, 60, 100, 140)  # a raised finger
    assert widened(expected, Box(180, 100, 100, 100)) == Box(180, 100, 100, 100)  # it moved
