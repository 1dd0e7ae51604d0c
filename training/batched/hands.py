"""Batches for the pose network, drawn and changed at random where the network is."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.process import BaseProcess

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.batched.covering import elsewhere, occlude
from training.batched.geometry import Crops, draw_crops
from training.batched.light import photometric
from training.batched.windows import GrowingWindows, Windows, whole
from training.datasets.synthetic import RenderedPool
from training.datasets.types import LabelledImage
from training.loading import Batch

log = logging.getLogger(__name__)

_ELSEWHERE = (
    0.35  # share of the photos' hands, where all keypoints are known, that are cut out and put somewhere else
)
OCCLUDED = 0.2  # share of the photos' hands with a piece of another picture in front
_TURN = {"rendered": 12.0}  # degrees; rendered hands are turned already
_TURN_OTHERWISE = 25.0
_WAIT = 1.0  # seconds between two looks at a pool that is being filled
_AT_ONCE = 512  # pictures taken from it


@dataclass(frozen=True, eq=False)
class Kind:
    """Windows that a share of every batch comes from. weights: (N,) how often each is drawn; None: evenly."""

    windows: Windows | GrowingWindows
    weights: Tensor | None = None

    @property
    def device(self) -> torch.device:
        """Where the windows are."""
        return self.windows.device

    def draw(self, count: int, generator: torch.Generator) -> Windows:
        """`count` windows, with repetition."""
        if self.weights is not None:
            chosen = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        else:
            chosen = torch.randint(len(self.windows), (count,), generator=generator, device=self.device)
        return self.windows[chosen]


def draw_batch(
    kinds: Mapping[str, Kind], shares: Mapping[str, float], seed: tuple[int, int], count: int, size: int
) -> Batch:
    """A batch as `PoseTask` describes it, its kinds in the order of `shares`; the same for the same seed.

    kinds: "empty" among them where "photo" or "own" is. shares: by kind, summing to 1; a batch has as many of each as
    chance wants.
    """
    numbers = np.random.default_rng(seed)
    device = next(iter(kinds.values())).device
    generator = torch.Generator(device).manual_seed(int(numbers.integers(2**62)))
    counts = dict(zip(shares, numbers.multinomial(count, list(shares.values())), strict=True))
    parts, keypoints, right, depth, picked = [], [], [], [], []
    for name, number in counts.items():
        if not number:
            continue
        windows = kinds[name].draw(int(number), generator)
        crops = draw_crops(windows, size, _TURN.get(name, _TURN_OTHERWISE), generator)
        pictures = crops.pictures
        if name in ("photo", "own"):
            pictures = _covered(crops, windows.labelled, kinds["empty"], generator)
        parts.append(pictures)
        keypoints.append(crops.keypoints)
        right.append(crops.right)
        depth.append(crops.depth)
        picked.append(windows)
    changed = photometric(torch.cat(parts), generator)
    return {
        "crop": (changed * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous(),
        "keypoints": torch.cat(keypoints),
        "labelled": torch.cat([windows.labelled for windows in picked]),
        "hand": torch.cat([windows.hand for windows in picked]),
        "right": torch.cat(right),
        "depth": torch.cat(depth),
    }


def _covered(crops: Crops, labelled: Tensor, empty: Kind, generator: torch.Generator) -> Tensor:
    """The crops' pictures, some with another place behind them, some with something in front."""
    pictures = crops.pictures

    def others(count: int) -> Tensor:
        windows = empty.draw(count, generator)
        return draw_crops(windows, pictures.shape[2], _TURN_OTHERWISE, generator).pictures

    chance = torch.rand(2, len(pictures), generator=generator, device=pictures.device)
    moved = ((chance[0] < _ELSEWHERE) & labelled.bool().all(1)).nonzero()[:, 0]
    if len(moved):
        behind, inside, keypoints = others(len(moved)), crops.inside[moved], crops.keypoints[moved]
        changed = elsewhere(pictures[moved], inside, behind, keypoints, generator)
        pictures = pictures.index_copy(0, moved, changed)
    hidden = (chance[1] < OCCLUDED).nonzero()[:, 0]
    if len(hidden):
        changed = occlude(pictures[hidden], others(len(hidden)), generator)
        pictures = pictures.index_copy(0, hidden, changed)
    return pictures


def prepared(
    make: Callable[[int], Sequence[Windows]], numbers: Sequence[int], device: torch.device, threads: int
) -> Windows:
    """The windows that `make` cuts of each of some pictures, by several threads, on `device`, in order."""
    with ThreadPoolExecutor(max(1, threads)) as crew:
        parts = [window for windows in crew.map(make, numbers) for window in windows]
    return Windows.joined(parts).to(device)


def rendered_windows(
    pool: RenderedPool, crew: Sequence[BaseProcess], least: int, device: torch.device, threads: int
) -> GrowingWindows:
    """The windows of a pool that a crew may still be filling: a thread goes on taking in what is new.

    Waits until there are `least` pictures; all that are there by then are taken in before it returns. A run is
    repeatable to the last bit only with a pool that was full when it started. Raises RuntimeError if the whole crew
    ends before there are so many; if it ends later, with pictures missing, that is logged as an error.
    """
    least = min(least, len(pool))
    while int(pool.filled().sum()) < least:
        if _ended(crew) and int(pool.filled().sum()) < least:
            raise pool.ended_early()
        time.sleep(_WAIT)
    taken = pool.filled()
    there = np.flatnonzero(taken)
    # Part by part: all at once would need room for them twice more.
    first, *others = (there[i : i + _AT_ONCE] for i in range(0, len(there), _AT_ONCE))
    growing = GrowingWindows(_from_pool(pool, first, device, threads), len(pool), device)
    for numbers in others:
        growing.add(_from_pool(pool, numbers, device, threads))
    if not taken.all():
        threading.Thread(target=_follow, args=(pool, crew, taken, growing, device), daemon=True).start()
    return growing


def _follow(
    pool: RenderedPool,
    crew: Sequence[BaseProcess],
    taken: NDArray[np.bool_],
    growing: GrowingWindows,
    device: torch.device,
) -> None:
    while not taken.all():
        ended = _ended(crew)  # looked at first: what the crew did last is still taken in
        fresh = np.flatnonzero(pool.filled() & ~taken)[:_AT_ONCE]
        if len(fresh):
            growing.add(_from_pool(pool, fresh, device, 1))
            taken[fresh] = True
        elif ended:
            there = int(taken.sum())
            log.error(
                "the processes that render into %s ended early: %d of %d pictures",
                pool.path,
                there,
                len(pool),
            )
            return
        else:
            time.sleep(_WAIT)


def _ended(crew: Sequence[BaseProcess]) -> bool:
    """Whether nobody renders any more; an empty crew is one that another process keeps."""
    return bool(crew) and not any(worker.is_alive() for worker in crew)


def _from_pool(pool: RenderedPool, numbers: NDArray[np.int64], device: torch.device, threads: int) -> Windows:
    def make(number: int) -> list[Windows]:
        picture: LabelledImage = pool[number]
        return [whole(picture.image, picture.hands[0])]

    return prepared(make, numbers.tolist(), device, threads)
