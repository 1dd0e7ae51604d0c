"""Many photos as a few batches, apart from how they get to the service."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from handpose_client.errors import ProblemError
from handpose_client.images import ImageInput, to_bytes
from handpose_client.results import PhotoResult, PoseResult

F = TypeVar("F", bound=ImageInput)

BATCH_SIZE = 8  # photos
_BATCH_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Batch(Generic[F]):
    """Photos that are sent together. first: the index of the first of them. data: each as an image file."""

    first: int
    photos: list[F]
    data: list[bytes]

    def results(self, answers: list[PoseResult | ProblemError]) -> list[PhotoResult[F]]:
        """What became of each photo."""
        return [
            PhotoResult(self.first + offset, photo, answer, None)
            if isinstance(answer, ProblemError)
            else PhotoResult(self.first + offset, photo, None, answer)
            for offset, (photo, answer) in enumerate(zip(self.photos, answers, strict=True))
        ]


def batches(photos: Iterable[F], size: int) -> Iterator[Batch[F]]:
    """Photos in groups of at most `size`, and of not too many bytes; each is read when its group is made, which
    raises what `to_bytes` does.

    Raises TypeError at once for a single photo, ValueError for a size below 1.
    """
    if isinstance(photos, str | bytes | bytearray | memoryview | os.PathLike):
        raise TypeError("pose_many takes an iterable of pictures, not one: that is for pose")
    if size < 1:
        raise ValueError(f"batch_size must be at least 1, not {size}")
    return _batches(photos, size)


def _batches(photos: Iterable[F], size: int) -> Iterator[Batch[F]]:
    batch: Batch[F] = Batch(0, [], [])
    for index, photo in enumerate(photos):
        data = to_bytes(photo)
        if batch.data and sum(map(len, batch.data)) + len(data) > _BATCH_BYTES:
            yield batch
            batch = Batch(index, [], [])
        batch.photos.append(photo)
        batch.data.append(data)
        if len(batch.data) == size:
            yield batch
            batch = Batch(index + 1, [], [])
    if batch.data:
        yield batch


def halves(data: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Two batches in place of one that is too large for the service."""
    middle = len(data) // 2
    return data[:middle], data[middle:]
