"""Folders of plain photos, boxes that were taken for hands, hands that labels lack, wrong labels, and our own."""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from training.datasets.coco import (
    CocoEntry,
    CocoHands,
    DatasetError,
    box_of,
    handedness_of,
    normal_path,
    read_rgb,
)
from training.datasets.types import HandLabel, LabelledImage

Label = TypeVar("Label")
Item = TypeVar("Item")

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


class PhotoFolder:
    """Photos of one or more folders in the order of their names, read from disk when asked for.

    exclude: photos for which it is true are left out. Raises DatasetError for a folder without photos, or a file that
    is no picture (when it is read).
    """

    def __init__(self, *folders: Path, exclude: Callable[[Path], bool] = lambda _: False) -> None:
        self.files: list[Path] = []
        for folder in folders:
            files = sorted(f for f in normal_path(folder, "").glob("*") if f.suffix.lower() in SUFFIXES)
            if not files:
                raise DatasetError(f"{folder} has no photos")
            self.files += [file for file in files if not exclude(file)]

    def __len__(self) -> int:
        return len(self.files)

    @property
    def paths(self) -> list[Path]:
        return self.files

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB."""
        return read_rgb(self.files[index])


def evenly_spaced(items: Sequence[Item], limit: int | None) -> list[Item]:
    """At most `limit` of them, spread over all; all of them for None."""
    if limit is None or len(items) <= limit:
        return list(items)
    return [items[i * len(items) // limit] for i in range(limit)]


def listed_names(path: Path) -> list[str]:
    """The lines of a file that lists photos, but for remarks, which begin with #.

    Raises DatasetError for a file that is missing or lists nothing.
    """
    try:
        lines = [line.strip() for line in path.read_text().splitlines()]
    except FileNotFoundError:
        raise DatasetError(f"{path} does not exist") from None
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise DatasetError(f"{path} lists no photos")
    return names


def photos_without_hands(
    data: Path, folders: Sequence[str], name: str, limit: int | None = None
) -> PhotoFolder:
    """Folders of the data folder, and the photos that a file beside the recipes lists; "": no such file.

    The file has a photo's path in the data folder on each line. limit: at most so many, spread over all of them.
    Raises DatasetError as `PhotoFolder` and `listed_names` do.
    """
    photos = PhotoFolder(*(data / folder for folder in folders))
    if name:
        photos.files += [normal_path(data, path) for path in listed_names(RECIPES / name)]
    photos.files = evenly_spaced(photos.files, limit)
    return photos


class FalseHands:
    """What an earlier pair took for hands and is none, in photos of the data folder.

    The file is a JSON object: for each photo's path in the data folder, a list of boxes x, y, width, height in its
    pixels. Raises DatasetError for a file that is missing or something else, and for a photo that is missing (when it
    is read).
    """

    def __init__(self, data: Path, name: str, limit: int | None = None) -> None:
        """data: the data folder. name: the file, beside the recipes. limit: of how many, spread over all."""
        self.boxes = evenly_spaced(_listed(data, name, box_of, "boxes"), limit)

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def paths(self) -> list[Path]:
        return [path for path, _ in self.boxes]

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """(H, W, 3) uint8 RGB and (4,) float32 x, y, width, height in its pixels."""
        path, box = self.boxes[index]
        return read_rgb(path), box


class OwnLabels:
    """Keypoints that an earlier network of ours is sure of, in hands of the data folder's photos that have a box alone.

    The file is what `python -m training label` writes: for each photo's path in the data folder, a list of {"box",
    "keypoints", "handedness"}. Raises DatasetError as `FalseHands` does.
    """

    def __init__(self, data: Path, name: str, limit: int | None = None) -> None:
        """data: the data folder. name: the file, beside the recipes. limit: of how many, spread over all."""
        self.hands = evenly_spaced(_listed(data, name, _own_label, "hands"), limit)

    def __len__(self) -> int:
        return len(self.hands)

    @property
    def paths(self) -> list[Path]:
        return [path for path, _ in self.hands]

    def __getitem__(self, index: int) -> LabelledImage:
        """The photo with this one hand."""
        path, hand = self.hands[index]
        return LabelledImage(read_rgb(path), (hand,), complete=False)


def training_photos(
    data: Path,
    files: Sequence[str],
    found_hands: str = "",
    wrong_labels: str = "",
    incomplete: Sequence[str] = (),
) -> CocoHands:
    """COCO keypoint files of the data folder as networks learn from them: with what is known to be wrong with them.

    data: the data folder. files: in it. found_hands, wrong_labels: files beside the recipes, JSON objects as
    `FalseHands` has them; "": none. Found hands, which nobody had labelled, have a box alone, whose exact place is not
    to be trusted; a photo that is in none of the files joins them, its folder's name as its source. Hands with wrong
    labels lose their keypoints and their side, and keep a box that is not to be trusted exactly either, as it may come
    from these keypoints. incomplete: sources (or how their names start) whose photos show hands that are still not
    labelled. Raises DatasetError as `CocoHands` and `FalseHands` do, and for a wrong label that its photo does not
    have.
    """
    photos = CocoHands(*(data / file for file in files))
    found, wrong = _boxes_alone(data, found_hands), _boxes_alone(data, wrong_labels)
    known = [
        replace(
            entry,
            hands=(
                *_without(entry, wrong.get(entry.path, ()), wrong_labels),
                *found.pop(entry.path, ()),
            ),
        )
        for entry in photos.entries
    ]
    others = [CocoEntry(path, tuple(hands), path.parent.name) for path, hands in found.items()]
    photos.entries = [
        replace(entry, complete=entry.complete and not entry.source.startswith(tuple(incomplete)))
        for entry in (*known, *others)
    ]
    return photos


def _boxes_alone(data: Path, name: str) -> dict[Path, list[HandLabel]]:
    """The hands of a file of boxes by photo; none for ""."""
    hands: dict[Path, list[HandLabel]] = defaultdict(list)
    for path, box in _listed(data, name, box_of, "boxes") if name else ():
        hands[path].append(HandLabel(box, loose_box=True))
    return hands


def _without(entry: CocoEntry, wrong: Sequence[HandLabel], name: str) -> list[HandLabel]:
    """A photo's hands, with a box alone where it is one of `wrong`, to the pixel; name: of the file that says so."""
    hands = list(entry.hands)
    for label in wrong:
        number = next((i for i, hand in enumerate(hands) if np.abs(hand.box - label.box).max() < 1), None)
        if number is None:
            raise DatasetError(
                f"{RECIPES / name}: {entry.path} has no hand with the box {label.box.tolist()}"
            )
        hands[number] = HandLabel(hands[number].box, loose_box=True)
    return hands


def _own_label(entry: dict[str, Any]) -> HandLabel:
    known = np.array([point is not None for point in entry["keypoints"]])
    keypoints = np.array([point or (0, 0) for point in entry["keypoints"]], np.float32)
    handedness = handedness_of(entry["handedness"])
    return HandLabel(box_of(entry["box"]), keypoints, labelled=known, handedness=handedness)


def _listed(data: Path, name: str, read: Callable[[Any], Label], what: str) -> list[tuple[Path, Label]]:
    """Every entry of a file beside the recipes that lists `what` by photo, with its photo's path."""
    path = RECIPES / name
    try:
        listed = json.loads(path.read_text())
        entries = [
            (normal_path(data, photo), read(entry)) for photo, found in listed.items() for entry in found
        ]
    except FileNotFoundError:
        raise DatasetError(f"{path} does not exist") from None
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise DatasetError(f"{path} is no list of {what} by photo: {error}") from None
    if not entries:
        raise DatasetError(f"{path} has no {what}")
    return entries
