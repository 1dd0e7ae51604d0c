"""Who is who: the cheapest one-to-one pairing of a handful of rows with a handful of columns."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.inference.geometry import overlaps
from service.inference.hands import Box

_FORBIDDEN = 1e6  # far above any sum of real costs, far below where adding would lose their digits


def assign(costs: NDArray[np.float64], alone: float) -> list[tuple[int, int]]:
    """Pairs (row, column), in the order of the rows, that together cost least.

    costs: (R, C), each below 1,000; infinity where a pair is out of the question. alone: what a row without a
        column costs, so that no two bad pairs are made where one good one and a row alone would do.

    The Hungarian method with shortest augmenting paths (R. Jonker and A. Volgenant, Computing 38, 1987):
    O(R² (R + C)), well under a millisecond for the few hands of a picture.
    """
    rows, real = costs.shape
    finite = np.where(np.isfinite(costs), costs, _FORBIDDEN)
    finite = np.hstack([finite, np.full((rows, rows), alone)])  # a column to be alone in for every row
    columns = real + rows
    # One extra row and column, counted as 0, is where each augmenting path starts.
    row_price, column_price = np.zeros(rows + 1), np.zeros(columns + 1)
    row_of = np.zeros(columns + 1, int)  # row_of[j]: the row, counted from 1, that column j has
    for row in range(1, rows + 1):
        row_of[0] = row
        shortest = np.full(columns + 1, np.inf)  # to each column, over the paths looked at so far
        before = np.zeros(columns + 1, int)
        done = np.zeros(columns + 1, bool)
        column = 0
        while row_of[column]:
            done[column] = True
            here = row_of[column]
            reduced = finite[here - 1] - row_price[here] - column_price[1:]  # (C,)
            better = ~done[1:] & (reduced < shortest[1:])
            shortest[1:][better] = reduced[better]
            before[1:][better] = column
            following = int(np.where(done, np.inf, shortest).argmin())
            step = shortest[following]
            row_price[row_of[done]] += step
            column_price[done] -= step
            shortest[~done] -= step
            column = following
        while column:  # hand every column on the path to the row before it
            row_of[column] = row_of[before[column]]
            column = int(before[column])
    return sorted((int(row_of[j]) - 1, j - 1) for j in range(1, real + 1) if row_of[j])


def match_boxes(expected: Sequence[Box], found: Sequence[Box]) -> dict[int, int]:
    """Which box that was found shows what was expected where: index to index, one to one."""
    if not expected or not found:
        return {}
    costs = np.full((len(expected), len(found)), np.inf)
    for i, a in enumerate(expected):
        for j, b in enumerate(found):
            shared, apart = _overlap(a, b), _centre_distance(a, b)
            if shared >= 0.2 or apart < 0.5:
                costs[i, j] = 1 - shared + apart
    return dict(assign(costs, 1.5))


def widened(expected: Box, found: Box) -> Box:
    """The box to look into for a hand that was expected in one box and seen in another: a crop that is too small for a
    finger would confirm itself, since the keypoints in it are what the next one is made of.
    """
    shared = _overlap(expected, found)
    if shared < 0.5:  # it moved faster than expected
        return found
    x0, y0, x1, y1 = expected.corners
    u0, v0, u1, v1 = found.corners
    beyond = max(x0 - u0, y0 - v0, u1 - x1, v1 - y1)
    if beyond <= 0.1 * expected.side:
        return expected
    return Box.from_corners(min(x0, u0), min(y0, v0), max(x1, u1), max(y1, v1))


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union, in [0, 1]."""
    return float(overlaps(_corners(a), _corners(b)[None])[0][0])


def _corners(box: Box) -> NDArray[np.float32]:
    return np.array(box.corners, np.float32)


def _centre_distance(a: Box, b: Box) -> float:
    """In sides of the larger box."""
    return math.dist(a.centre, b.centre) / max(a.side, b.side)
