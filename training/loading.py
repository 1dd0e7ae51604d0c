"""Batches from samples, prepared by processes beside the one that trains."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

Sample = dict[str, np.ndarray[Any, Any]]
Batch = dict[str, Tensor]
Key = tuple[int, int]


class _Samples(Dataset[Sample]):
    """Map-style view of a function: the key is (number of the sample, input size)."""

    def __init__(self, sample: Callable[[int, int], Sample]) -> None:
        self.sample = sample

    def __getitem__(self, key: Key) -> Sample:
        return self.sample(*key)


def _collate(samples: Sequence[Sample]) -> Batch:
    return {key: torch.from_numpy(np.stack([s[key] for s in samples])) for key in samples[0]}


def batches(
    sample: Callable[[int, int], Sample], keys: Iterable[list[Key]], workers: int, pinned: bool
) -> DataLoader[Sample]:
    """One batch for each list of keys, in their order; every array of `sample` is stacked.

    workers: processes that call `sample`; 0: this one does. pinned: in memory that a GPU can copy from by itself.
    """
    return DataLoader(
        _Samples(sample),
        batch_sampler=list(keys),
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=pinned,
        generator=torch.Generator(),  # its own: the loader must not draw from the run's random numbers
    )
