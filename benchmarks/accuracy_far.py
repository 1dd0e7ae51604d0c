"""Photos shown small in a wide picture, as a camera sees hands that are far away."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from training.datasets.coco import read_rgb
from training.datasets.types import HandLabel, LabelledImage

WIDTH, HEIGHT = 1280, 720


@dataclass(frozen=True, eq=False)
class FarAway:
    """Photos of hands, each at some place of a picture of `WIDTH` by `HEIGHT` pixels, the same whenever they are gone
    through: so small that the larger side of the largest hand's box, or of a photo without hands, has `side`
    pixels; smaller where the photo would not fit. Hands keep their boxes alone.

    behind: files of pictures without hands, which fill the rest, one after the other.
    """

    photos: Iterable[LabelledImage]
    behind: Sequence[Path]
    side: float

    def __iter__(self) -> Iterator[LabelledImage]:
        for index, photo in enumerate(self.photos):
            wide = _resized(read_rgb(self.behind[index % len(self.behind)]), WIDTH, HEIGHT)
            yield _placed(photo, wide, self.side, np.random.default_rng(index))


def _placed(
    photo: LabelledImage, wide: NDArray[np.uint8], side: float, rng: np.random.Generator
) -> LabelledImage:
    """The photo in `wide`, which is changed."""
    height, width = photo.image.shape[:2]
    largest = max((float(hand.box[2:].max()) for hand in photo.hands), default=float(max(width, height)))
    scale = min(side / largest, WIDTH / width, HEIGHT / height)
    small = _resized(photo.image, max(1, round(width * scale)), max(1, round(height * scale)))
    x = int(rng.integers(WIDTH - small.shape[1] + 1))
    y = int(rng.integers(HEIGHT - small.shape[0] + 1))
    wide[y : y + small.shape[0], x : x + small.shape[1]] = small
    sizes = np.array([small.shape[1] / width, small.shape[0] / height] * 2)
    boxes = [(hand.box * sizes + [x, y, 0, 0]).astype(np.float32) for hand in photo.hands]
    return replace(photo, image=wide, hands=tuple(HandLabel(box) for box in boxes))


def _resized(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    method = cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_CUBIC
    return cast(NDArray[np.uint8], cv2.resize(image, (width, height), interpolation=method))
