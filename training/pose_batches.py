"""Batches for the default pose network, made where the network is: which pictures they come from."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from training.augment import Image, square_crop_matrix, warp
from training.batched.hands import Kind, draw_batch, prepared, rendered_windows
from training.batched.windows import Windows, around, without_hand
from training.datasets.synthetic import RenderedPool
from training.datasets.synthetic.pool import fill_in_background
from training.datasets.types import HandLabel, LabelledImages
from training.loading import Batch
from training.pose_pictures import PosePictures, has_pose

_FALSE_HANDS = 0.4  # share of the crops without a hand that show what was taken for one
_WINDOW = 256  # side of the windows of photos in pixels, 1 / `REACH` of it a hand
_PLACES, _PLACE = 3000, 192  # windows without a hand, and their side in pixels
_LEAST_RENDERED = 1000  # hands to start with, where a pool is still being filled


class PoseBatches:
    """Calling it makes a batch; see `PoseTask.batches`. Takes all hands' pictures into the device's memory first."""

    def __init__(self, pictures: PosePictures, device: torch.device, workers: int) -> None:
        self.share, self.seed = pictures.share, pictures.seed
        make: dict[str, Callable[[], Kind]] = {
            "photo": lambda: _photos(pictures, device, workers),
            "own": lambda: Kind(_cut(pictures.own, range(len(pictures.own)), device, workers)),
            "boxed": lambda: _boxed(pictures, device, workers),
            "rendered": lambda: _rendered(pictures.rendered, device, workers),
            "empty": lambda: _empty(pictures, device, workers),
        }
        needed = {name for name, share in self.share.items() if share}
        if needed & {"photo", "own"}:
            needed.add("empty")  # before and behind these
        self.kinds = {name: make[name]() for name in make if name in needed}

    def __call__(self, first: int, count: int, size: int) -> Batch:
        return draw_batch(self.kinds, self.share, (self.seed, first), count, size)


def _photos(pictures: PosePictures, device: torch.device, workers: int) -> Kind:
    """Every hand with keypoints; a picture's weight is shared among its hands."""
    windows = _cut(pictures.photos, pictures.posed.tolist(), device, workers)
    hands = [sum(has_pose(h) for h in pictures.photos.entries[i].hands) for i in pictures.posed]
    weights = np.repeat(pictures.posed_weights / hands, hands).astype(np.float32)
    return Kind(windows, torch.from_numpy(weights).to(device))


def _cut(pictures: LabelledImages, numbers: Sequence[int], device: torch.device, workers: int) -> Windows:
    """Windows around all hands with keypoints in these pictures."""

    def make(number: int) -> list[Windows]:
        picture = pictures[number]
        return [around(picture.image, hand, _WINDOW) for hand in picture.hands if has_pose(hand)]

    return prepared(make, numbers, device, workers)


def _boxed(pictures: PosePictures, device: torch.device, workers: int) -> Kind:
    def make(number: int) -> list[Windows]:
        index, hand = pictures.boxed[number]
        picture = pictures.photos[index]
        return [around(picture.image, picture.hands[hand], _WINDOW)]

    return Kind(prepared(make, range(len(pictures.boxed)), device, workers))


def _rendered(pool: LabelledImages, device: torch.device, workers: int) -> Kind:
    assert isinstance(pool, RenderedPool)
    crew = fill_in_background(pool, max(1, workers))
    return Kind(rendered_windows(pool, crew, _LEAST_RENDERED, device, workers))


def _empty(pictures: PosePictures, device: torch.device, workers: int) -> Kind:
    """Places without a hand, and what was taken for one; each of these is as likely as its share says."""

    def place(number: int) -> list[Windows]:
        rng = np.random.default_rng([pictures.seed, number, 1])
        return [without_hand(_place(pictures, rng))]

    count = min(_PLACES, pictures.limit or _PLACES)
    places = prepared(place, range(count), device, workers)
    false_hands = pictures.false_hands
    if false_hands is None:
        return Kind(places)

    def taken(number: int) -> list[Windows]:
        image, box = false_hands[number]
        return [around(image, HandLabel(box), _PLACE, is_hand=False)]

    wrong = prepared(taken, range(len(false_hands)), device, workers)
    each = [(1 - _FALSE_HANDS) / len(places)] * len(places) + [_FALSE_HANDS / len(wrong)] * len(wrong)
    return Kind(Windows.joined([places, wrong]), torch.tensor(each, device=device))


def _place(pictures: PosePictures, rng: np.random.Generator) -> Image:
    """(_PLACE, _PLACE, 3) uint8 RGB: of a photo without any hand, or of the surroundings of labelled ones."""
    hands: tuple[HandLabel, ...]
    if rng.random() < 0.5 or not pictures.complete:
        image, hands = pictures.negatives[int(rng.integers(len(pictures.negatives)))], ()
    else:
        picture = pictures.photos[pictures.complete[rng.integers(len(pictures.complete))]]
        image, hands = picture.image, picture.hands
    height, width = image.shape[:2]
    for _ in range(8):
        side = min(height, width) * float(np.exp(rng.uniform(np.log(0.15), np.log(1.0))))
        centre = np.array([rng.uniform(0, width), rng.uniform(0, height)])
        if all(_apart(centre, side, hand) for hand in hands):
            break
    else:
        image = pictures.negatives[int(rng.integers(len(pictures.negatives)))]
        height, width = image.shape[:2]
        side, centre = min(height, width) * 0.5, np.array([width / 2, height / 2])
    matrix = square_crop_matrix(centre, side, _PLACE, rng.normal(0, 0.4), rng.random() < 0.5)
    return warp(image, matrix, _PLACE, replicate=rng.random() < 0.5)


def _apart(centre: NDArray[np.float64], side: float, hand: HandLabel) -> bool:
    """True if a square crop shows next to nothing of a hand."""
    low = np.maximum(centre - side / 2, hand.box[:2])
    high = np.minimum(centre + side / 2, hand.box[:2] + hand.box[2:])
    return bool(np.prod(np.maximum(high - low, 0)) < 0.03 * side * side)
