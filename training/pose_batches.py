"""The samples of the default pose network as whole batches, made where the network is."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from training.batched.hands import Kind, draw_batch, prepared, rendered_windows
from training.batched.windows import Windows, around, without_hand
from training.datasets.synthetic import RenderedPool
from training.datasets.synthetic.pool import fill_in_background
from training.datasets.types import HandLabel, LabelledImages
from training.loading import Batch

if TYPE_CHECKING:
    from training.pose import PoseTask

FALSE_HANDS = 0.4  # share of the crops without a hand that show what was taken for one
_WINDOW = 256  # side of the windows of photos in pixels, 1 / `REACH` of it a hand
_PLACES, _PLACE = 3000, 192  # windows without a hand, and their side in pixels
_LEAST_RENDERED = 1000  # hands to start with, where a pool is still being filled


class PoseBatches:
    """Calling it makes a batch; see `PoseTask.batches`. Takes all hands' pictures into the device's memory first."""

    def __init__(self, task: "PoseTask", device: torch.device, workers: int) -> None:
        self.share, self.seed = task.section.share, task.recipe.seed
        make: dict[str, Callable[[], Kind]] = {
            "photo": lambda: _photos(task, device, workers),
            "own": lambda: Kind(_cut(task.own, range(len(task.own)), device, workers)),
            "boxed": lambda: _boxed(task, device, workers),
            "rendered": lambda: _rendered(task.rendered, device, workers),
            "empty": lambda: _empty(task, device, workers),
        }
        needed = {name for name, share in self.share.items() if share}
        if needed & {"photo", "own"}:
            needed.add("empty")  # before and behind these
        self.kinds = {name: make[name]() for name in make if name in needed}

    def __call__(self, first: int, count: int, size: int) -> Batch:
        return draw_batch(self.kinds, self.share, (self.seed, first), count, size)


def _photos(task: "PoseTask", device: torch.device, workers: int) -> Kind:
    """Every hand with keypoints; a picture's weight is shared among its hands."""
    windows = _cut(task.photos, task.posed.tolist(), device, workers)
    hands = [sum(h.keypoints is not None for h in task.photos.entries[i].hands) for i in task.posed]
    weights = np.repeat(task.posed_weights / hands, hands).astype(np.float32)
    return Kind(windows, torch.from_numpy(weights).to(device))


def _cut(pictures: LabelledImages, numbers: Sequence[int], device: torch.device, workers: int) -> Windows:
    """Windows around all hands with keypoints in these pictures."""

    def make(number: int) -> list[Windows]:
        picture = pictures[number]
        return [around(picture.image, hand, _WINDOW) for hand in picture.hands if hand.keypoints is not None]

    return prepared(make, numbers, device, workers)


def _boxed(task: "PoseTask", device: torch.device, workers: int) -> Kind:
    def make(number: int) -> list[Windows]:
        index, hand = task.boxed[number]
        picture = task.photos[index]
        return [around(picture.image, picture.hands[hand], _WINDOW)]

    return Kind(prepared(make, range(len(task.boxed)), device, workers))


def _rendered(pool: LabelledImages, device: torch.device, workers: int) -> Kind:
    assert isinstance(pool, RenderedPool)
    crew = fill_in_background(pool, max(1, workers))
    return Kind(rendered_windows(pool, crew, _LEAST_RENDERED, device, workers))


def _empty(task: "PoseTask", device: torch.device, workers: int) -> Kind:
    """Places without a hand, and what was taken for one; each of these is as likely as its share says."""

    def place(number: int) -> list[Windows]:
        rng = np.random.default_rng([task.recipe.seed, number, 1])
        return [without_hand(task.without_hand(rng, _PLACE))]

    count = min(_PLACES, task.recipe.limit or _PLACES)
    places = prepared(place, range(count), device, workers)
    false_hands = task.false_hands
    if false_hands is None:
        return Kind(places)

    def taken(number: int) -> list[Windows]:
        image, box = false_hands[number]
        return [around(image, HandLabel(box), _PLACE, is_hand=False)]

    wrong = prepared(taken, range(len(false_hands)), device, workers)
    each = [(1 - FALSE_HANDS) / len(places)] * len(places) + [FALSE_HANDS / len(wrong)] * len(wrong)
    return Kind(Windows.joined([places, wrong]), torch.tensor(each, device=device))
