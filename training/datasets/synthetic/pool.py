"""A pool of rendered pictures on disk: rendered once, when first asked for, and read from then on."""

import errno
import json
import math
import multiprocessing
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal, Self, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from training.datasets.synthetic.backgrounds import Backgrounds
from training.datasets.synthetic.crops import render_crop
from training.datasets.synthetic.scenes import render_scene
from training.datasets.types import Handedness, HandLabel, LabelledImage

_NOT_HERE = (errno.EOPNOTSUPP, errno.EINVAL)  # what file systems say that reserve no room

Kind = Literal["crop", "scene"]

# Raise these whenever the same seed gives another picture or label than before: old pools are refused then.
POOL_VERSIONS: dict[Kind, int] = {"crop": 4, "scene": 4}
MOST_HANDS = 8

RECORD = np.dtype(
    [
        ("hands", np.uint8),
        ("complete", np.uint8),
        ("right", np.uint8, (MOST_HANDS,)),
        ("visible", np.uint8, (MOST_HANDS, 21)),
        ("box", np.float32, (MOST_HANDS, 4)),
        ("keypoints", np.float32, (MOST_HANDS, 21, 2)),
        ("depth", np.float32, (MOST_HANDS, 21)),
    ]
)


class RenderingError(RuntimeError):
    """A pool that nobody renders any more, although pictures are missing."""


def item_seed(seed: int, index: int) -> int:
    """The rendering seed of item `index` of a pool with this seed."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0])


def pack(hands: tuple[HandLabel, ...], complete: bool) -> np.void:
    """Labels as one RECORD. Raises ValueError for a hand that is not labelled in full, or for too many hands."""
    if len(hands) > MOST_HANDS:
        raise ValueError(f"{len(hands)} hands in one picture, a pool holds at most {MOST_HANDS}")
    record = np.zeros((), RECORD)
    record["hands"], record["complete"] = len(hands), complete
    for number, hand in enumerate(hands):
        if hand.keypoints is None or hand.visible is None or hand.depth is None or hand.handedness is None:
            raise ValueError("a pool holds fully labelled hands only")
        record["right"][number] = hand.handedness == "right"
        record["visible"][number] = hand.visible
        record["box"][number], record["keypoints"][number] = hand.box, hand.keypoints
        record["depth"][number] = hand.depth
    return cast(np.void, record[()])


def unpack(record: np.void) -> tuple[HandLabel, ...]:
    """The labels of a RECORD; every keypoint of a rendered hand is labelled."""
    hands = []
    for number in range(int(record["hands"])):
        side: Handedness = "right" if record["right"][number] else "left"
        hands.append(
            HandLabel(
                box=record["box"][number].copy(),
                keypoints=record["keypoints"][number].copy(),
                labelled=np.ones(21, bool),
                visible=record["visible"][number].astype(bool),
                depth=record["depth"][number].copy(),
                handedness=side,
            )
        )
    return tuple(hands)


class RenderedPool:
    """`count` rendered pictures of `size` pixels, a sequence of `LabelledImage`.

    Item i is what rendering with a seed made from (seed, i) gives, whoever renders it and when. It is rendered when
    first asked for and kept in memory-mapped files in the folder `path`, which grow when a pool of more items is asked
    for and never shrink; one of fewer items has the first of them. Any number of processes may use the folder at once:
    an item counts as present only if its checksum, written last, matches, so a half-written one (a killed process, a
    full disk) is rendered again. Raises ValueError when the folder holds a pool made with other parameters, OSError
    when the disk has no room for the whole pool, where the system can tell.
    """

    def __init__(
        self, path: Path, kind: Kind, count: int, size: int, seed: int, backgrounds: Backgrounds
    ) -> None:
        if kind not in ("crop", "scene"):
            raise ValueError(f"kind is {kind!r}, expected 'crop' or 'scene'")
        if count < 1 or size < 16:
            raise ValueError(f"a pool of {count} pictures of {size} pixels is not possible")
        self.path, self.kind, self.count, self.size, self.seed = path, kind, count, size, seed
        self.backgrounds = backgrounds
        self._prepare()
        self._open()

    @classmethod
    def within(
        cls, cache: Path, kind: Kind, count: int, size: int, seed: int, backgrounds: Backgrounds
    ) -> Self:
        """The pool in the folder of its kind, size and seed in `cache`."""
        return cls(cache / f"{kind}-{size}px-seed{seed}", kind, count, size, seed, backgrounds)

    def parameters(self) -> dict[str, Any]:
        """What decides what an item is, as written in the folder's `pool.json`."""
        return {
            "version": POOL_VERSIONS[self.kind],
            "kind": self.kind,
            "size": self.size,
            "seed": self.seed,
            "backgrounds": self.backgrounds.fingerprint(),
        }

    def _prepare(self) -> None:
        """Make the folder, all or nothing, or check that it is ours."""
        wanted = self.parameters()
        card = self.path / "pool.json"
        if not card.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and any(self.path.iterdir()):
                raise ValueError(f"{self.path} is not empty and is no pool of rendered pictures")
            fresh = Path(tempfile.mkdtemp(prefix=f".{self.path.name}-", dir=self.path.parent))
            try:
                (fresh / "pool.json").write_text(json.dumps(wanted, indent=1))
                os.replace(fresh, self.path)
            except OSError:
                if not card.exists():  # otherwise another process was faster, which is as good
                    raise
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
        found = json.loads(card.read_text())
        differing = [
            f"{name} is {found.get(name)!r}, not {value!r}"
            for name, value in wanted.items()
            if found.get(name) != value
        ]
        if differing:
            raise ValueError(
                f"{self.path} holds another pool of rendered pictures: {'; '.join(differing)}; "
                "remove the folder, or take another seed"
            )

    def _open(self) -> None:
        self._images: NDArray[np.uint8] = self._mapped("images", np.dtype(np.uint8), self.size, self.size, 3)
        self._labels: NDArray[np.void] = self._mapped("labels", RECORD)
        self._checksums: NDArray[np.uint32] = self._mapped("checksums", np.dtype(np.uint32))

    def _mapped(self, name: str, dtype: np.dtype[Any], *item: int) -> NDArray[Any]:
        """(count, *item) of the values in a file, which is made, or made longer, as needed: all zeros.

        Where another process is making it longer too, a byte written here may hit an item of its own, whose checksum
        tells.
        """
        path = self.path / f"{name}.bin"
        path.touch()
        with path.open("r+b") as file:
            length = self.count * math.prod(item) * dtype.itemsize
            _reserve(file.fileno(), length, path)
            if file.seek(0, os.SEEK_END) < length:  # sparse, where no room could be reserved
                file.seek(length - 1)
                file.write(b"\0")
        return np.memmap(path, dtype, "r+", shape=(self.count, *item))

    def __getstate__(self) -> dict[str, Any]:
        """Pickled without its files: another process opens them itself."""
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[LabelledImage]:
        return (self[index] for index in range(self.count))

    def __getitem__(self, index: int) -> LabelledImage:
        """The picture `index`, 0 to count - 1, with its labels. Raises IndexError."""
        if not 0 <= index < self.count:
            raise IndexError(f"item {index} of a pool of {self.count}")
        expected = int(self._checksums[index])
        if expected != 0:
            image, record = self._images[index].copy(), self._labels[index].copy()
            if _checksum(image, record) == expected:
                return self._labelled(image, record)
        return self._fill(index)

    def filled(self) -> NDArray[np.bool_]:
        """Which items have been rendered, (count,); their checksums are only looked at when they are read."""
        filled: NDArray[np.bool_] = np.asarray(self._checksums) != 0
        return filled

    def ended_early(self) -> RenderingError:
        """What to raise when all that rendered into the pool have ended."""
        return RenderingError(f"the processes that render into {self.path} ended early")

    def _fill(self, index: int) -> LabelledImage:
        render = render_crop if self.kind == "crop" else render_scene
        rendered = render(item_seed(self.seed, index), self.size, self.backgrounds)
        record = pack(rendered.hands, rendered.complete)
        self._images[index] = rendered.image
        self._labels[index] = record
        self._checksums[index] = _checksum(rendered.image, record)
        return self._labelled(rendered.image, record)

    def _labelled(self, image: NDArray[np.uint8], record: np.void) -> LabelledImage:
        return LabelledImage(image, unpack(record), bool(record["complete"]), "synthetic", "synthetic")


def _reserve(file: int, length: int, path: Path) -> None:
    """Make an open file that is shorter or sparse `length` bytes long, with room for all of them: writing to a mapped
    file ends the process where the disk is full. Raises OSError where there is no room; does nothing where the system
    or the file system cannot reserve any.
    """
    there = os.fstat(file)
    if not hasattr(os, "posix_fallocate") or min(there.st_size, there.st_blocks * 512) >= length:
        return
    try:
        os.posix_fallocate(file, 0, length)
    except OSError as error:
        if error.errno not in _NOT_HERE:
            os.ftruncate(file, there.st_size)  # gives back what was taken before the disk was full
            raise OSError(error.errno, f"{error.strerror}: {length:,} bytes are needed", str(path)) from None


def _checksum(image: NDArray[np.uint8], record: np.void) -> int:
    """CRC-32 of a picture and its labels; never 0, which marks an item not yet rendered."""
    return zlib.crc32(record.tobytes(), zlib.crc32(np.ascontiguousarray(image).data)) or 1


def fill_in_background(pool: RenderedPool, processes: int) -> list[BaseProcess]:
    """Start rendering what a pool still misses, in so many processes beside this one, and return at once. They end when
    nothing is left, or with this process. What was rendered when one is killed is kept."""
    crew_size = min(processes, int((~pool.filled()).sum()))
    context = multiprocessing.get_context("spawn")
    # Little is handed over: a start waits until the new process has read what the pipe does not hold.
    crew = [
        context.Process(target=_render_some, args=(pool, number, crew_size), daemon=True)
        for number in range(crew_size)
    ]
    for worker in crew:
        worker.start()
    return list(crew)


def _render_some(pool: RenderedPool, first: int, step: int) -> None:
    cv2.setNumThreads(1)
    for number in range(first, len(pool), step):
        pool[number]
