"""FreiHAND: 32,560 right hands in four versions each, with 3D keypoints (Zimmermann et al., ICCV 2019).

The release is read as it is; lists hold one record per unique id:

    training/rgb/<8 digits>.jpg      224 × 224; version v of id i is number i + v × 32,560
    training_K.json                  3 × 3 camera matrices
    training_xyz.json                21 × 3 keypoints in metres, in the camera's frame (x right, y down, z away)
    training_scale.json              length of a reference bone in metres
    evaluation/rgb/<8 digits>.jpg    3,960 pictures; evaluation_K.json, evaluation_xyz.json, evaluation_scale.json

The versions, by the names that the authors' toolbox gives them: `gs` before a green screen, and the same pictures with
another background and colours harmonised (`hom`), coloured by a network with hints (`sample`) or without (`auto`). The
keypoints of the evaluation set were released later, in FreiHAND_pub_v2_eval.zip.

Keypoints are xyz projected with K and come in our order already. Pixels are taken as K gives them: the training set's
principal point is (112, 112), which is the picture's middle where its corner is (0, 0).
"""

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from training.datasets.coco import DatasetError, read_rgb
from training.datasets.sources import locate
from training.datasets.types import HandLabel, LabelledImage

log = logging.getLogger(__name__)

Part = Literal["training", "evaluation"]
Version = Literal["gs", "hom", "sample", "auto"]
Split = Literal["train", "validation"]

VERSIONS: tuple[Version, ...] = get_args(Version)
UNIQUE: dict[Part, int] = {"training": 32_560, "evaluation": 3_960}
SIZE = 224  # pictures are square

MARGIN = 0.06  # of the larger side of the keypoints' box, on each side: flesh reaches beyond the joints
_BLOCKS, _TENTH = 80, 10


def split_ids(count: int, split: Split | None) -> NDArray[np.int64]:
    """The unique ids, of 0 to count - 1, that belong to a part of the fixed split; all of them for None.

    Ids are cut into 80 blocks of neighbours (407 each in the full data set) and every tenth block is for validation:
    3,256 ids. The release does not say which ids show one moment from several cameras. With blocks they are on the same
    side of the split if they are neighbours, and also if the ids run camera by camera through eight cameras, as 4,070
    ids are ten blocks.
    """
    ids = np.arange(count)
    if split is None:
        return ids
    held_out: NDArray[np.bool_] = (ids // max(1, count // _BLOCKS)) % _TENTH == _TENTH - 1
    return ids[held_out if split == "validation" else ~held_out]


@dataclass(frozen=True, eq=False)
class Annotations:
    """The labels of N unique ids.

    K: (N, 3, 3) camera matrices. xyz: (N, 21, 3) metres. scale: (N,) metres. keypoints: (N, 21, 2) float32 pixels.
    depth: (N, 21) float32, how far behind the wrist a keypoint is, in pixels as large as a pixel is at the wrist:
    (z - z_wrist) × focal length / z_wrist. boxes: (N, 4) float32, x, y, width, height in pixels: tight around the
    keypoints, 6 % of its larger side added on each side, clipped to the picture.
    """

    K: NDArray[np.float64]
    xyz: NDArray[np.float64]
    scale: NDArray[np.float64]
    keypoints: NDArray[np.float32]
    depth: NDArray[np.float32]
    boxes: NDArray[np.float32]


class FreiHandEntry:
    """One picture, readable without decoding it: version `version` of unique id `id`."""

    __slots__ = ("_annotations", "_folder", "_number", "id", "version")
    source = "freihand"

    def __init__(
        self, annotations: Annotations, folder: Path, id: int, version: Version, number: int
    ) -> None:
        self._annotations, self._folder, self._number = annotations, folder, number
        self.id, self.version = id, version

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self._number:08d}.jpg"

    @property
    def path(self) -> Path:
        return self._folder / self.name

    @property
    def group(self) -> str:
        """The unique id: the versions of one hand never go to different parts of a split."""
        return f"{self.id:08d}"

    @property
    def hands(self) -> tuple[HandLabel, ...]:
        """The one hand, a right one. FreiHAND does not say which keypoints are hidden."""
        labels = self._annotations
        return (
            HandLabel(
                box=labels.boxes[self.id],
                keypoints=labels.keypoints[self.id],
                labelled=np.ones(21, bool),
                depth=labels.depth[self.id],
                handedness="right",
            ),
        )


class FreiHand:
    """The pictures of FreiHAND, version by version and in each by id; read from disk when asked for.

    root: the folder that has `training/` or `evaluation/` in it (or that was given to `python -m training fetch`).
    versions: which versions of the training pictures; the green-screen ones alone by default. The evaluation set has
    one version, which is none of these: the argument is ignored there.
    split: one part of the fixed split of the training ids; None for all.
    Raises DatasetError that names the file and the record: for a missing or truncated file, lists of different
    lengths, a K or keypoint list of another shape, a hand behind the camera or outside its picture, a missing picture,
    and (when it is read) a file that is no picture of 224 × 224.
    """

    def __init__(
        self,
        root: Path,
        part: Part = "training",
        versions: Sequence[Version] = ("gs",),
        split: Split | None = None,
    ) -> None:
        if unknown := set(versions) - set(VERSIONS):
            raise ValueError(f"FreiHAND has the versions {', '.join(VERSIONS)}, not {', '.join(unknown)}")
        if split is not None and part == "evaluation":
            raise ValueError("the evaluation set is not split")
        folder = _folder(root, part)
        self.annotations = _annotations(folder, part)
        count = len(self.annotations.K)
        if count != UNIQUE[part]:
            log.warning("%s has %d of the %d unique ids of FreiHAND", folder, count, UNIQUE[part])
        ids = split_ids(count, split)
        if not len(ids):
            raise DatasetError(f"{folder} has {count} ids, too few for the {split} part")
        pictures = folder / part / "rgb"
        present = set(os.listdir(pictures)) if pictures.is_dir() else set()
        wanted: Sequence[Version] = versions if part == "training" else ("gs",)
        self.entries: list[FreiHandEntry] = []
        for version in wanted:
            offset = VERSIONS.index(version) * count
            self.entries += [
                FreiHandEntry(self.annotations, pictures, int(i), version, int(i) + offset) for i in ids
            ]
        for entry in self.entries:
            if entry.name not in present:
                raise DatasetError(
                    f"{entry.path} is missing: id {entry.id}, version {entry.version} of {part}"
                )

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> LabelledImage:
        entry = self.entries[index]
        image = read_rgb(entry.path)
        if image.shape != (SIZE, SIZE, 3):
            height, width = image.shape[:2]
            raise DatasetError(f"{entry.path} is {width} × {height}, not {SIZE} × {SIZE}")
        return LabelledImage(image, entry.hands, True, entry.source, entry.group)


def _folder(root: Path, part: Part) -> Path:
    names: tuple[str, ...] = ("FreiHAND_pub_v2_eval",) if part == "evaluation" else ()
    names += ("FreiHAND_pub_v2", "freihand")
    folder = locate(root, f"{part}_xyz.json", names)
    if folder is not None:
        return folder
    if part == "evaluation" and locate(root, "evaluation_K.json", names) is not None:
        raise DatasetError(
            f"{root} has no evaluation_xyz.json: the keypoints of the evaluation set are in FreiHAND_pub_v2_eval.zip"
        )
    raise DatasetError(f"{root} has no {part}_xyz.json: it is not the folder of FreiHAND")


def _annotations(folder: Path, part: Part) -> Annotations:
    files = {name: folder / f"{part}_{name}.json" for name in ("K", "xyz", "scale")}
    K = _read(files["K"], (3, 3))
    xyz = _read(files["xyz"], (21, 3))
    scale = _read(files["scale"], ())
    for name, values in (("K", K), ("scale", scale)):
        if len(values) != len(xyz):
            raise DatasetError(f"{files[name]} has {len(values)} records, {files['xyz'].name} has {len(xyz)}")
    camera = (K[:, 2] == [0, 0, 1]).all(axis=1) & (K[:, 0, 0] > 0) & (K[:, 1, 1] > 0)
    _demand(camera, files["K"], "this is no camera matrix: [[fx, s, u], [0, fy, v], [0, 0, 1]], fx, fy > 0")
    _demand(scale > 0, files["scale"], "the scale is not positive")
    _demand((xyz[..., 2] > 0).all(axis=1), files["xyz"], "a keypoint lies behind the camera")
    projected = xyz @ K.transpose(0, 2, 1)  # (N, 21, 3)
    keypoints = projected[..., :2] / projected[..., 2:]  # (N, 21, 2)
    low, high = keypoints.min(axis=1), keypoints.max(axis=1)  # (N, 2)
    margin = MARGIN * (high - low).max(axis=1, keepdims=True)
    low, high = np.clip(low - margin, 0, SIZE), np.clip(high + margin, 0, SIZE)
    _demand(
        (high - low >= 1).all(axis=1),
        files["K"],
        f"with this camera matrix the keypoints of {files['xyz'].name} lie outside the picture",
    )
    wrist = xyz[:, :1, 2]  # (N, 1)
    focal = (K[:, 0, 0] + K[:, 1, 1])[:, None] / 2
    return Annotations(
        K=K,
        xyz=xyz,
        scale=scale,
        keypoints=keypoints.astype(np.float32),
        depth=((xyz[..., 2] - wrist) * focal / wrist).astype(np.float32),
        boxes=np.concatenate([low, high - low], axis=1).astype(np.float32),
    )


def _demand(good: Any, file: Path, complaint: str) -> None:
    """Raise DatasetError with the first record that is not good; `good` is (N,) bool."""
    if not good.all():
        raise DatasetError(f"{file}: record {int(np.argmin(good))}: {complaint}")


def _read(file: Path, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """(N, *shape) from a JSON list of N records."""
    try:
        records: Any = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise DatasetError(f"{file} does not exist") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{file} is no JSON, or it is cut short: {error}") from None
    if not isinstance(records, list) or not records:
        raise DatasetError(f"{file} is no list of records")
    try:
        values = np.array(records, np.float64)
    except (ValueError, TypeError):
        values = np.empty(0)
    if values.shape[1:] != shape or len(values) != len(records):
        for index, record in enumerate(records):
            _record(record, shape, f"{file}: record {index}")
        raise DatasetError(f"{file} is no list of numbers of one shape")
    _demand(np.isfinite(values).reshape(len(values), -1).all(axis=1), file, "a number is not finite")
    return values


def _record(record: Any, shape: tuple[int, ...], where: str) -> None:
    """Raise DatasetError unless `record` is numbers of this shape."""
    wanted = " × ".join(map(str, shape)) or "a single number"
    try:
        found = np.array(record, np.float64).shape
    except (ValueError, TypeError):
        raise DatasetError(f"{where}: this is not {wanted} of numbers") from None
    if found != shape:
        raise DatasetError(f"{where}: the shape is {' × '.join(map(str, found)) or 'a number'}, not {wanted}")
