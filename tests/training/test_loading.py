import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from training.loading import Batch, Key, Sample, ahead, batches

CPU = torch.device("cpu")


def numbered(count: int) -> Iterator[Batch]:
    for number in range(count):
        yield {"number": torch.tensor(number)}


def test_batches_made_ahead_come_in_their_order() -> None:
    assert [int(batch["number"]) for batch in ahead(numbered(5), CPU)] == [0, 1, 2, 3, 4]
    assert list(ahead(numbered(0), CPU)) == []


def test_the_next_batch_is_made_while_one_is_used() -> None:
    second = threading.Event()

    def made() -> Iterator[Batch]:
        yield {}
        second.set()
        yield {}

    batches = ahead(made(), CPU)
    next(batches)
    assert second.wait(5)  # though nobody asked for it
    assert len(list(batches)) == 1


def test_an_error_in_making_a_batch_is_raised_where_the_batch_is_wanted() -> None:
    def made() -> Iterator[Batch]:
        yield {"number": torch.tensor(0)}
        raise ValueError("no picture")

    batches = ahead(made(), CPU)
    assert int(next(batches)["number"]) == 0
    with pytest.raises(ValueError, match="no picture"):
        next(batches)


def test_keys_are_taken_as_they_are_needed_and_in_their_order() -> None:
    taken = 0

    def keys() -> Iterator[list[Key]]:
        nonlocal taken
        for first in range(0, 3000, 3):
            taken += 1
            yield [(first + i, 64) for i in range(3)]

    def sample(index: int, size: int) -> Sample:
        return {"number": np.array([index, size])}

    made = iter(batches(sample, keys(), workers=0, pinned=False))
    for first in (0, 3, 6):
        assert next(made)["number"].tolist() == [[first + i, 64] for i in range(3)]
    assert taken < 10
