"""COCO keypoint files of hands, so that anyone can train on their own labels.

A file lists `images` (`id`, `file_name` relative to the file) and `annotations` (`image_id`, `bbox` as x, y, width,
height in pixels of the upright picture, EXIF applied). Read besides, if present: image `width` and `height`, which the
picture must have then, `source` and `group` (person or collection), annotation `keypoints` (21 × x, y, v with v = 0 not
labelled, 1 hidden, 2 visible; where all are 0 the hand has a box alone), `handedness` ("left" or "right", anatomical,
as seen in an unmirrored picture), `box_source` ("human-loose": larger than tight) and `iscrowd`: hands that are not
labelled one by one, so that nothing in the picture may be taken for "no hand", and no network is judged on it.
A hand is left out when more than 70 % of its box lies inside a larger box of the same picture.
"""

import functools
import json
import logging
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from training.datasets.types import Handedness, HandLabel, LabelledImage

log = logging.getLogger(__name__)

# A box that lies this much inside a larger one of the same picture labels the same hand a second time, or a part of it:
# even with keypoints it is mostly wrong.
_NESTED = 0.7


class DatasetError(ValueError):
    """A data set file that cannot be used; the message names the file and the entry."""


@dataclass(frozen=True)
class CocoEntry:
    """A photo that is not decoded yet, and its hands.

    complete: False where hands in it are not labelled. size: width and height in pixels, None if the file does not say.
    """

    path: Path
    hands: tuple[HandLabel, ...]
    source: str = ""
    group: str = ""
    complete: bool = True
    size: tuple[int, int] | None = None


class CocoHands:
    """The images of one or more COCO keypoint files, read from disk when asked for.

    Raises DatasetError for a file that is no COCO keypoint file, an annotation of the wrong shape, or an image that
    is listed but missing, or has another size than the file says (when it is read).
    """

    def __init__(self, *files: Path) -> None:
        self.entries: list[CocoEntry] = []
        for file in files:
            self.entries += _read(file)

    @classmethod
    def judged(cls, file: Path) -> Self:
        """The images of a file that networks are judged on: those in which every hand is labelled.

        Raises DatasetError if there is none.
        """
        photos = cls(file)
        photos.entries = [entry for entry in photos.entries if entry.complete]
        if not photos.entries:
            raise DatasetError(f"{file}: hands are missing in every image (iscrowd)")
        return photos

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def paths(self) -> list[Path]:
        return [entry.path for entry in self.entries]

    def __getitem__(self, index: int) -> LabelledImage:
        entry = self.entries[index]
        image = read_rgb(entry.path)
        height, width = image.shape[:2]
        if entry.size not in (None, (width, height)):
            raise DatasetError(
                f"{entry.path} has {width} × {height} pixels upright, its labels are for {entry.size}"
            )
        return LabelledImage(image, entry.hands, entry.complete, entry.source, entry.group)

    def weights(
        self, power: float = 0.5, of_source: Mapping[str, float] | None = None
    ) -> NDArray[np.float64]:
        """(N,) sampling probabilities: a collection of n images weighs n**power, so that large ones do not rule, times
        the factor of the first key of `of_source` that its source starts with, if there is one.
        """
        factors = of_source or {}
        sizes: dict[tuple[str, str], int] = defaultdict(int)
        for entry in self.entries:
            sizes[entry.source, entry.group] += 1
        weight = np.array([sizes[e.source, e.group] ** (power - 1.0) for e in self.entries])
        weight *= [next((f for k, f in factors.items() if e.source.startswith(k)), 1.0) for e in self.entries]
        weight /= weight.sum()
        return weight


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """A picture file as (H, W, 3) uint8 RGB. Raises DatasetError for a file that is missing or no picture."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DatasetError(f"{path} is missing or no picture")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def _read(file: Path) -> list[CocoEntry]:
    try:
        content: dict[str, Any] = json.loads(file.read_text())
        images = {image["id"]: (image, image["file_name"]) for image in content["images"]}
        labels: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        for annotation in content["annotations"]:
            labels[annotation["image_id"]].append(annotation)
    except FileNotFoundError:
        raise DatasetError(f"{file} does not exist") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{file} is no COCO keypoint file: {error!r}") from None
    if not images:
        raise DatasetError(f"{file} lists no images")
    if len(images) < len(content["images"]):
        raise DatasetError(f"{file}: two images have the same id")
    if strange := labels.keys() - images.keys():
        number = labels[strange.pop()][0].get("id")
        raise DatasetError(f"{file}: annotation {number} is of no image in the file")
    entries = [_entry(image, str(name), labels[number], file) for number, (image, name) in images.items()]
    listed = sum(not annotation.get("iscrowd") for annotation in content["annotations"])
    _tell(file, listed - sum(len(entry.hands) for entry in entries), listed)
    return entries


@functools.cache  # a run reads some files more than once
def _tell(file: Path, left_out: int, listed: int) -> None:
    if left_out:
        log.info("%s: %d of %d hands left out, whose boxes lie inside larger ones", file, left_out, listed)


def _entry(image: dict[str, Any], name: str, annotations: Sequence[dict[str, Any]], file: Path) -> CocoEntry:
    size = (image["width"], image["height"]) if {"width", "height"} <= image.keys() else None
    labels = (_label(a, size, file) for a in annotations if not a.get("iscrowd"))
    hands: list[HandLabel] = []
    for hand in sorted(labels, key=lambda hand: -float(hand.box[2] * hand.box[3])):
        if all(_overlap(hand.box, other.box) <= _NESTED for other in hands):
            hands.append(hand)
    return CocoEntry(
        normal_path(file.parent, name),
        tuple(hands),
        str(image.get("source", file.stem)),
        str(image.get("group", "")),
        not any(a.get("iscrowd") for a in annotations),
        size,
    )


def normal_path(folder: Path, name: str) -> Path:
    """A file's path, the same however it is written."""
    return Path(os.path.normpath(folder / name))


def box_of(values: Any) -> NDArray[np.float32]:
    """(4,) x, y, width, height. Raises ValueError for anything else."""
    box = np.array(values, np.float32)
    if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] <= 0).any():
        raise ValueError(f"a box is x, y, width, height, not {values!r}")
    return box


def handedness_of(value: Any) -> Handedness | None:
    """The value itself. Raises ValueError for what is neither a side nor None."""
    if value not in (None, "left", "right"):
        raise ValueError(f"handedness is {value!r}, not left or right")
    side: Handedness | None = value
    return side


def _label(annotation: dict[str, Any], size: tuple[int, int] | None, file: Path) -> HandLabel:
    where = f"{file}: annotation {annotation.get('id')}"
    try:
        box = box_of(annotation.get("bbox", ()))
        values = np.array(annotation.get("keypoints") or (), np.float32)
    except (ValueError, TypeError) as error:
        raise DatasetError(f"{where}: bbox or keypoints: {error}") from None
    if size and ((box[:2] >= size) | (box[:2] + box[2:] <= 0)).any():
        raise DatasetError(f"{where}: bbox lies outside of its picture of {size[0]} × {size[1]} pixels")
    keypoints = labelled = visible = None
    if values.size:
        if values.shape != (63,) or not np.isfinite(values).all():
            raise DatasetError(f"{where}: keypoints are not 21 × x, y, v")
        table = values.reshape(21, 3)
        if (table[:, 2] > 0).any():
            keypoints, labelled, visible = table[:, :2].copy(), table[:, 2] > 0, table[:, 2] == 2
    try:
        handedness = handedness_of(annotation.get("handedness"))
    except ValueError as error:
        raise DatasetError(f"{where}: {error}") from None
    return HandLabel(
        box,
        keypoints,
        labelled,
        visible,
        handedness=handedness,
        loose_box=annotation.get("box_source") == "human-loose",
    )


def _overlap(inner: NDArray[np.float32], outer: NDArray[np.float32]) -> float:
    """The share of box `inner` (x, y, width, height) that lies in `outer`."""
    low = np.maximum(inner[:2], outer[:2])
    high = np.minimum(inner[:2] + inner[2:], outer[:2] + outer[2:])
    return float(np.prod(np.maximum(high - low, 0)) / np.prod(inner[2:]))
