"""What is behind the hands: photos from folders, or made up."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from training.datasets.photos import SUFFIXES

Generator = np.random.Generator
Image = NDArray[np.uint8]

PROCEDURAL_SHARE = 0.12  # of all backgrounds, where there are photos
HELD_OUT_OF = 5  # one background photo of this many is for hold-outs alone


def held_out(path: Path) -> bool:
    """Whether a background photo is for hold-outs alone: a fifth of all, by a hash of their names."""
    return int(sha256(path.name.encode()).hexdigest()[:8], 16) % HELD_OUT_OF == 0


class Backgrounds:
    """Crops of photos, read when first needed; made-up pictures where there are no photos, and now and then besides.

    folders: where photos lie (not searched further down). max_side: larger photos are reduced to this many pixels.
    hand_free: those of the folders that are known to show no hand; pictures from the others may show people, so nothing
    can be said about the rest of such a picture. exclude: photos for which it is true are left out, maybe all.
    Raises FileNotFoundError for a folder that does not exist or holds no picture.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        max_side: int = 400,
        hand_free: Sequence[Path] = (),
        exclude: Callable[[Path], bool] = lambda _: False,
    ) -> None:
        self.max_side = max_side
        files: list[Path] = []
        for folder in folders:
            if not folder.is_dir():
                raise FileNotFoundError(f"{folder} is not a folder")
            found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
            if not found:
                raise FileNotFoundError(f"{folder} holds no pictures")
            files += [path for path in found if not exclude(path)]
        self.files = tuple(files)
        self.hand_free = frozenset(path.resolve() for path in hand_free)
        self.free_files = tuple(path for path in self.files if self._known_free(path))

    @classmethod
    def of_training(cls, root: Path, behind: Sequence[str], hand_free: Sequence[str]) -> Self:
        """Those of scenes that are trained on: folders of the data folder `root`, without the photos of hold-outs."""
        free = [root / name for name in hand_free]
        return cls([*(root / name for name in behind), *free], hand_free=free, exclude=held_out)

    def fingerprint(self) -> str:
        """A short hash of which pictures these are, by name and size."""
        lines = [f"{path.name} {path.stat().st_size} {self._known_free(path)}" for path in self.files]
        return sha256("\n".join([str(self.max_side), *lines]).encode()).hexdigest()[:16]

    def crop(self, rng: Generator, size: int) -> Image:
        """A picture (size, size, 3) uint8 RGB."""
        return self.draw(rng, size)[0]

    def draw(self, rng: Generator, size: int, free_only: bool = False) -> tuple[Image, bool]:
        """A picture (size, size, 3) uint8 RGB, and whether it is known to show no hand; with `free_only`, one that is,
        made up if need be."""
        files = self.free_files if free_only else self.files
        if not files or rng.random() < PROCEDURAL_SHARE:
            return procedural(rng, size), True
        path = files[int(rng.integers(len(files)))]
        photo = _read(path, self.max_side)
        height, width = photo.shape[:2]
        side = rng.uniform(0.4, 1.0) * min(height, width)
        left, top = rng.uniform(0, width - side), rng.uniform(0, height - side)
        to_photo = np.array([[side / size, 0, left], [0, side / size, top]])
        if rng.random() < 0.5:
            to_photo = np.array([[-side / size, 0, left + side], [0, side / size, top]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        picture = cv2.warpAffine(photo, to_photo, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(picture, np.uint8), self._known_free(path)

    def _known_free(self, path: Path) -> bool:
        return path.parent.resolve() in self.hand_free


@lru_cache(maxsize=400)
def _read(path: Path, max_side: int) -> Image:
    """A photo as RGB, no side longer than `max_side`. Raises OSError when it cannot be decoded."""
    photo = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if photo is None:
        raise OSError(f"{path} cannot be read as a picture")
    scale = max_side / max(photo.shape[:2])
    if scale < 1:
        photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(photo[:, :, ::-1])


def procedural(rng: Generator, size: int) -> Image:
    """A made-up picture: a gradient with smooth blotches, sometimes with straight-edged shapes like furniture."""
    start, end = rng.uniform(0, 1, (2, 3))
    if rng.random() < 0.5:  # walls are rarely colourful
        start, end = (np.clip(shade.mean() + 0.3 * (shade - shade.mean()), 0, 1) for shade in (start, end))
    along = np.linspace(0, 1, size)[:, None, None]
    gradient = np.broadcast_to(start + (end - start) * along, (size, size, 3))
    if rng.random() < 0.5:
        gradient = gradient.transpose(1, 0, 2)
    cells = max(2, size // int(rng.integers(6, 40)))
    blotches = rng.normal(0, rng.uniform(0.01, 0.08), (cells, cells, 3)).astype(np.float32)
    picture = (gradient + cv2.resize(blotches, (size, size), interpolation=cv2.INTER_CUBIC)).astype(
        np.float32
    )
    for _ in range(int(rng.integers(0, 6))):
        corners = cv2.boxPoints(
            (tuple(rng.uniform(0, size, 2)), tuple(rng.uniform(0.1, 0.9, 2) * size), rng.normal(0, 8))
        )
        cv2.fillConvexPoly(picture, corners.astype(np.int32), tuple(rng.uniform(0, 1, 3)))
    return (np.clip(picture, 0, 1) * 255).astype(np.uint8)


def table(rng: Generator, size: int, photo: Image) -> Image:
    """The top of a table seen from above at a slant, (size, size, 3) uint8 RGB: wood, a plain colour or `photo` (of the
    same shape) as its print, a few flat things lying there, and sometimes the photo beyond its far edge."""
    grain = rng.normal(0, 1, (64, 4)).astype(np.float32)
    grain = np.asarray(cv2.resize(grain, (2 * size, 2 * size), interpolation=cv2.INTER_CUBIC), np.float32)
    colour = (
        np.array([0.55, 0.38, 0.24]) * rng.uniform(0.3, 1.6)
        if rng.random() < 0.6
        else rng.uniform(0.05, 0.95, 3)
    )
    top = np.clip(colour + grain[..., None] * rng.uniform(0, 0.07), 0, 1).astype(np.float32)
    if rng.random() < 0.25:
        top = cv2.resize(photo, (2 * size, 2 * size)).astype(np.float32) / np.float32(255)
    for _ in range(int(rng.integers(0, 9))):  # cards, sheets, tiles
        box = (
            tuple(rng.uniform(0, 2 * size, 2)),
            tuple(rng.uniform(0.05, 0.5, 2) * size),
            rng.uniform(0, 180),
        )
        shade = rng.uniform(0, 1, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(0.7, 1))
        cv2.fillConvexPoly(top, cv2.boxPoints(box).astype(np.int32), tuple(shade))
    for _ in range(int(rng.integers(0, 5))):  # cups, coins, pieces
        middle, radius = rng.integers(0, 2 * size, 2), int(rng.uniform(0.01, 0.15) * size)
        cv2.circle(top, (int(middle[0]), int(middle[1])), radius, tuple(rng.uniform(0, 1, 3)), -1)
    slant = rng.uniform(0, 0.35) * size
    corners = np.array([[slant, 0], [size - slant, 0], [size * 1.2, size], [-0.2 * size, size]], np.float32)
    corners[:2, 1] -= rng.uniform(0, 0.3) * size
    source = np.array([[0, 0], [2 * size, 0], [2 * size, 2 * size], [0, 2 * size]], np.float32)
    matrix = cv2.getPerspectiveTransform(source, corners)
    warped = cv2.warpPerspective(
        top, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    if rng.random() < 0.3:
        horizon = int(rng.uniform(0.05, 0.35) * size)
        warped[:horizon] = photo[:horizon].astype(np.float32) / 255
    return (warped * 255).astype(np.uint8)
