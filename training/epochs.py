"""Drawing without replacement: in every epoch each picture comes once, in an order of its own."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# Marks these random numbers apart from those that change a picture.
_ORDER = 0x0EDE


def picture_of(index: int, count: int, seed: int) -> int:
    """Which of `count` pictures sample number `index` of a run shows."""
    epoch, place = divmod(index, count)
    return int(_order(count, seed, epoch)[place])


@lru_cache(maxsize=2)  # a batch may lie in two epochs
def _order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng([_ORDER, seed, epoch]).permutation(count)
