"""COCO keypoint files of hands, so that anyone can train on their own labels.

A file lists `images` (`id`, `file_name` relative to the file) and `annotations` (`image_id`, `bbox` as x, y, width,
height). Read besides, if present: image `source` and `group` (person or collection), annotation `keypoints` (21 × x, y,
v with v = 0 not labelled, 1 hidden, 2 visible; where all are 0 the hand has a box alone), `handedness` ("left" or
"right", anatomical, as seen in an unmirrored picture), `box_source` ("human-loose": larger than tight) and `iscrowd`.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.datasets.types import HandLabel, LabelledImage

# A box that lies this much inside a larger one of the same picture labels the same hand a second time.
_NESTED = 0.7


class DatasetError(ValueError):
    """A data set file that cannot be used; the message names the file and the entry."""


@dataclass(frozen=True)
class CocoEntry:
    """A photo that is not decoded yet, and its hands."""

    path: Path
    hands: tuple[HandLabel, ...]
    source: str = ""
    group: str = ""


class CocoHands:
    """The images of one or more COCO keypoint files, read from disk when asked for.

    Raises DatasetError for a file that is no COCO keypoint file, an annotation of the wrong shape, or an image that
    is listed but missing (when it is read).
    """

    def __init__(self, *files: Path) -> None:
        self.entries: list[CocoEntry] = []
        for file in files:
            self.entries += _read(file)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> LabelledImage:
        entry = self.entries[index]
        return LabelledImage(read_rgb(entry.path), entry.hands, True, entry.source, entry.group)

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
        images, annotations = content["images"], content["annotations"]
    except FileNotFoundError:
        raise DatasetError(f"{file} does not exist") from None
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DatasetError(f"{file} is no COCO keypoint file: {error!r}") from None
    by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in annotations:
        if not annotation.get("iscrowd"):
            by_image[annotation["image_id"]].append(annotation)
    entries = []
    for image in images:
        labels = (_label(a, file) for a in by_image[image["id"]])
        largest_first = sorted(labels, key=lambda hand: -float(hand.box[2] * hand.box[3]))
        hands: list[HandLabel] = []
        for hand in largest_first:
            if all(_overlap(hand.box, other.box) <= _NESTED for other in hands):
                hands.append(hand)
        source = str(image.get("source", file.stem))
        entries.append(
            CocoEntry(file.parent / image["file_name"], tuple(hands), source, str(image.get("group", "")))
        )
    return entries


def _label(annotation: dict[str, Any], file: Path) -> HandLabel:
    where = f"{file}: annotation {annotation.get('id')}"
    box = np.array(annotation.get("bbox", ()), np.float32)
    if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] <= 0).any():
        raise DatasetError(f"{where}: bbox is not x, y, width, height")
    keypoints = labelled = visible = None
    values = np.array(annotation.get("keypoints") or (), np.float32)
    if values.size:
        if values.shape != (63,) or not np.isfinite(values).all():
            raise DatasetError(f"{where}: keypoints are not 21 × x, y, v")
        table = values.reshape(21, 3)
        if (table[:, 2] > 0).any():
            keypoints, labelled, visible = table[:, :2].copy(), table[:, 2] > 0, table[:, 2] == 2
    handedness = annotation.get("handedness")
    if handedness not in (None, "left", "right"):
        raise DatasetError(f"{where}: handedness is {handedness!r}, not left or right")
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
