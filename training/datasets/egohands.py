"""EgoHands: 4,800 frames of 48 first-person videos with a polygon around every hand (Bambach et al., ICCV 2015).

The release is read as it is:

    _LABELLED_SAMPLES/<video_id>/frame_<number>.jpg    100 frames a video, 1280 × 720
    _LABELLED_SAMPLES/<video_id>/polygons.mat          `polygons`: 1 × 100 struct with the four polygons
    metadata.mat                                       `video`: 1 × 48 struct with who, where, what and all polygons

`metadata.mat` is read where there is one, else each video's `polygons.mat`, whose records belong to the video's frames
in the order of their numbers. A polygon is K × 2, x and y in MATLAB's pixels, whose first pixel's centre is at 1; it is
empty when the hand is not in the frame. The four are `myleft` and `myright` (of the person who wears the camera),
`yourleft` and `yourright` (of the partner). Left and right are the anatomical hands of whoever owns them, the
partner's too: `yourleft` is the partner's left hand, which is mostly seen on the right of the frame.
"""

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from training.datasets.coco import DatasetError, read_rgb
from training.datasets.egohands_videos import SPLITS, VIDEOS, Split
from training.datasets.matlab import MatlabError, read_struct, scalar, text
from training.datasets.sources import locate
from training.datasets.types import Handedness, HandLabel, LabelledImage

log = logging.getLogger(__name__)

WIDTH, HEIGHT = 1280, 720
SAMPLES, METADATA, POLYGONS = "_LABELLED_SAMPLES", "metadata.mat", "polygons.mat"

Owner = Literal["own", "other"]

# field of the release: whose hand it is (the viewer's own or the other person's), and which hand
POLYGON_FIELDS: dict[str, tuple[Owner, Handedness]] = {
    "myleft": ("own", "left"),
    "myright": ("own", "right"),
    "yourleft": ("other", "left"),
    "yourright": ("other", "right"),
}
_VIDEO_FIELDS = ("video_id", "partner_video_id", "ego_viewer_id", "partner_id", "location_id", "activity_id")

_FRAME = re.compile(r"frame_(\d+)\.jpg")


@dataclass(frozen=True)
class Video:
    """One of the 48 videos; `partner_video` is the video of the same game through the other player's glasses."""

    id: str
    partner_video: str
    viewer: str
    partner: str
    location: str
    activity: str


@dataclass(frozen=True, eq=False)
class EgoHand:
    """A labelled hand: whose it is, and its polygon (K, 2) float32 in pixels, the frame's corner being (0, 0).

    `label` has the box around the pixels of the polygon's corners, clamped to the frame, at least 1 × 1 pixel.
    """

    owner: Owner
    polygon: NDArray[np.float32]
    label: HandLabel


@dataclass(frozen=True, eq=False)
class EgoFrame:
    """One labelled frame; readable without decoding its picture."""

    path: Path
    video: Video
    number: int
    ego_hands: tuple[EgoHand, ...]
    source: str = "egohands"

    @cached_property
    def hands(self) -> tuple[HandLabel, ...]:
        """Boxes and handedness alone."""
        return tuple(hand.label for hand in self.ego_hands)

    @property
    def group(self) -> str:
        """The video: frames of one video never go to different parts of a split."""
        return self.video.id


class EgoHands:
    """The labelled frames of EgoHands, video by video in the order of their names; pictures are read when asked for.

    root: the folder that has `_LABELLED_SAMPLES` in it (or that was given to `python -m training fetch`).
    split: one part of the fixed split (`egohands_videos.SPLITS`); None for all videos.
    Raises DatasetError that names the file and the record: for a .mat file that cannot be read (version 7.3 cannot), a
    missing field, video or frame, a polygon that is no list of points or lies outside the frame, and (when it is read)
    for a frame that is no picture of 1280 × 720.
    """

    def __init__(self, root: Path, split: Split | None = None) -> None:
        folder = locate(root, SAMPLES, ("egohands_data", "egohands"))
        if folder is None:
            raise DatasetError(f"{root} has no {SAMPLES}: it is not the folder of EgoHands")
        metadata = folder / METADATA
        wanted = VIDEOS if split is None else SPLITS[split]
        read = _read_metadata if metadata.exists() else _read_polygons
        self.entries: list[EgoFrame] = read(folder, wanted)
        found = len({entry.video.id for entry in self.entries})
        if not found:
            raise DatasetError(f"{folder} has no frame of the {split or 'known'} videos")
        if found < len(wanted):
            log.warning(
                "%s has %d of the %d videos of %s", folder, found, len(wanted), split or "the data set"
            )

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> LabelledImage:
        entry = self.entries[index]
        image = read_rgb(entry.path)
        if image.shape != (HEIGHT, WIDTH, 3):
            height, width = image.shape[:2]
            raise DatasetError(f"{entry.path} is {width} × {height}, its polygons are of {WIDTH} × {HEIGHT}")
        return LabelledImage(image, entry.hands, True, entry.source, entry.group)

    def plain(self, index: int) -> dict[str, Any]:
        """A frame's labels as a dictionary, without its picture.

        `boxes` (N, 4) float32, x, y, width, height in pixels; `video_name`; `frame_num`, the number in the file's name.
        """
        entry = self.entries[index]
        boxes = np.array([hand.box for hand in entry.hands], np.float32).reshape(-1, 4)
        return {"boxes": boxes, "video_name": entry.video.id, "frame_num": entry.number}


def _read_metadata(folder: Path, wanted: Sequence[str]) -> list[EgoFrame]:
    """The frames of the wanted videos as `metadata.mat` has them."""
    file = folder / METADATA
    entries = []
    for number, record in enumerate(_struct(file, "video", (*_VIDEO_FIELDS, "labelled_frames")), 1):
        where = f"{file}: video {number}"
        try:
            video = Video(*(text(record[field], field) for field in _VIDEO_FIELDS))
            where = f"{file}: {video.id}"
            if video.id not in VIDEOS:
                raise DatasetError(f"{where}: this is none of the 48 videos of EgoHands")
            if video.id not in wanted:
                continue
            frames = read_struct(record["labelled_frames"], "labelled_frames", ("frame_num", *POLYGON_FIELDS))
            numbers = [int(scalar(frame["frame_num"], "frame_num")) for frame in frames]
        except MatlabError as error:
            raise DatasetError(f"{where}: {error}") from None
        present = _frames(folder / SAMPLES / video.id, where)
        for frame_number, frame in zip(numbers, frames, strict=True):
            if frame_number not in present:
                raise DatasetError(
                    f"{where}: frame {frame_number}: {folder / SAMPLES / video.id} has no such frame"
                )
            hands = _hands(frame, f"{where}: frame {frame_number}")
            entries.append(EgoFrame(present[frame_number], video, frame_number, hands))
    return sorted(entries, key=lambda entry: (entry.video.id, entry.number))


def _read_polygons(folder: Path, wanted: Sequence[str]) -> list[EgoFrame]:
    """The frames of the wanted videos as their own `polygons.mat` have them."""
    entries = []
    for name in wanted:
        if not (folder / SAMPLES / name).is_dir():
            continue
        file = folder / SAMPLES / name / POLYGONS
        activity, location, viewer, partner = name.split("_")
        video = Video(name, f"{activity}_{location}_{partner}_{viewer}", viewer, partner, location, activity)
        present = _frames(file.parent, str(file))
        records = _struct(file, "polygons", tuple(POLYGON_FIELDS))
        if len(records) != len(present):
            raise DatasetError(
                f"{file} has {len(records)} records, but there are {len(present)} frames beside it"
            )
        for (number, path), record in zip(sorted(present.items()), records, strict=True):
            entries.append(EgoFrame(path, video, number, _hands(record, f"{file}: {path.name}")))
    return entries


def _struct(file: Path, variable: str, fields: tuple[str, ...]) -> list[Any]:
    try:
        return read_struct(file, variable, fields)
    except MatlabError as error:
        raise DatasetError(f"{file}: {error}") from None


def _frames(folder: Path, where: str) -> dict[int, Path]:
    """The frames of a video by their numbers."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        raise DatasetError(f"{where}: {folder} does not exist") from None
    matches = (_FRAME.fullmatch(name) for name in names)
    return {int(match[1]): folder / match[0] for match in matches if match}


def _hands(record: Any, where: str) -> tuple[EgoHand, ...]:
    """The hands of a frame, in the order of `POLYGON_FIELDS`."""
    hands = []
    for field, (owner, handedness) in POLYGON_FIELDS.items():
        points = record[field]
        if np.size(points) == 0:
            continue
        if (
            points.ndim != 2
            or points.shape[1] != 2
            or points.dtype.kind not in "iuf"
            or not np.isfinite(points).all()
        ):
            raise DatasetError(f"{where}: {field} is not K × 2 finite numbers")
        polygon = points.astype(np.float64) - 0.5  # MATLAB's first pixel spans 0.5 to 1.5, ours 0 to 1
        box = polygon_box(polygon)
        if box is None:
            raise DatasetError(f"{where}: {field} lies outside the {WIDTH} × {HEIGHT} frame")
        label = HandLabel(box, handedness=handedness)
        hands.append(EgoHand(owner, polygon.astype(np.float32), label))
    return tuple(hands)


def polygon_box(polygon: NDArray[np.float64]) -> NDArray[np.float32] | None:
    """The box (4,), x, y, width, height, of a polygon (K, 2) in pixels, clamped to the frame; None if it is outside.

    The pixels of the corners belong to the box, so that a polygon of one point has a box of 1 × 1 pixel. Unrounded,
    this is what the authors' getBoundingBoxes computes. A hand cut off by the frame's edge keeps at least 1 pixel.
    """
    edge = np.array([WIDTH, HEIGHT], np.float64)
    low, high = polygon.min(axis=0) - 0.5, polygon.max(axis=0) + 0.5
    if (high <= 0).any() or (low >= edge).any():
        return None
    low = np.clip(low, 0, edge - 1)
    high = np.maximum(np.clip(high, 0, edge), low + 1)
    return np.concatenate([low, high - low]).astype(np.float32)
