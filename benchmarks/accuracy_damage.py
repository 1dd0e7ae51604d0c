"""Photos as bad cameras, bad light and slow links deliver them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from training.datasets.types import HandLabel, LabelledImage

Image = NDArray[np.uint8]
Damage = Callable[[LabelledImage, np.random.Generator], LabelledImage]

_JPEG_QUALITY = 10
_NOISE = 20.0  # standard deviation in grey values
_LIGHT = 0.25  # what is left of it
_BLUR = 1 / 200  # standard deviation as a share of the longer side


@dataclass(frozen=True, eq=False)
class Damaged:
    """Pictures, each damaged in the same way whenever they are gone through."""

    pictures: Iterable[LabelledImage]
    damage: Damage

    def __iter__(self) -> Iterator[LabelledImage]:
        return (
            self.damage(picture, np.random.default_rng(index)) for index, picture in enumerate(self.pictures)
        )


def _compressed(image: Image, _: np.random.Generator) -> Image:
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    file = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)[1]
    return cast(Image, cv2.cvtColor(cv2.imdecode(file, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))


def _noisy(image: Image, rng: np.random.Generator) -> Image:
    return np.clip(image + rng.normal(0, _NOISE, image.shape), 0, 255).astype(np.uint8)


def _dark(image: Image, _: np.random.Generator) -> Image:
    return (image * _LIGHT).astype(np.uint8)


def _blurred(image: Image, _: np.random.Generator) -> Image:
    return cast(Image, cv2.GaussianBlur(image, (0, 0), _BLUR * max(image.shape)))


def _pixels(change: Callable[[Image, np.random.Generator], Image]) -> Damage:
    """Of the pixels alone: every label stays."""
    return lambda picture, rng: replace(picture, image=change(picture.image, rng))


def _on_its_side(picture: LabelledImage, _: np.random.Generator) -> LabelledImage:
    """Turned by a quarter, clockwise, with the boxes; keypoints are left out."""
    height = picture.image.shape[0]

    def turned(hand: HandLabel) -> HandLabel:
        x, y, w, h = hand.box.tolist()
        return HandLabel(np.array([height - y - h, x, h, w], np.float32))

    image = cast(Image, cv2.rotate(picture.image, cv2.ROTATE_90_CLOCKWISE))
    return replace(picture, image=image, hands=tuple(turned(hand) for hand in picture.hands))


DAMAGES: dict[str, tuple[str, Damage]] = {
    "jpeg": (f"JPEG of quality {_JPEG_QUALITY}", _pixels(_compressed)),
    "noise": (f"noise (σ = {_NOISE:g} of 255)", _pixels(_noisy)),
    "blur": (f"blurred (σ = {_BLUR:.1%} of the longer side)", _pixels(_blurred)),
    "dark": (f"{_LIGHT:.0%} of the light", _pixels(_dark)),
    "side": ("on its side", _on_its_side),
}
