"""Batches from samples, prepared by processes beside the one that trains."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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

    keys: taken as they are needed, since those of a long run would fill a gigabyte; a generator's batches come once.
    workers: processes that call `sample`; 0: this one does. pinned: in memory that a GPU can copy from by itself.
    """
    return DataLoader(
        _Samples(sample),
        batch_sampler=keys,
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=pinned,
        generator=torch.Generator(),  # its own: the loader must not draw from the run's random numbers
    )


def ahead(made: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """The same batches in the same order, each made by a thread while the one before is trained on.

    On CUDA they are made in a stream of their own, so that the GPU need not wait for one step to be launched before it
    starts on the next.
    """
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
    if stream is not None:
        stream.wait_stream(torch.cuda.current_stream(device))

    def make() -> tuple[Batch | None, torch.cuda.Event | None]:
        if stream is None:
            return next(made, None), None
        with torch.cuda.stream(stream):
            return next(made, None), stream.record_event()

    with ThreadPoolExecutor(1) as crew:
        waiting = crew.submit(make)
        while True:
            batch, done = waiting.result()
            if batch is None:
                return
            waiting = crew.submit(make)
            if done is not None:
                used_in = torch.cuda.current_stream(device)
                used_in.wait_event(done)
                for value in batch.values():
                    value.record_stream(used_in)
            yield batch
