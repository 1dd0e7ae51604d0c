"""Small EgoHands and FreiHAND data sets in exactly the released formats, their pictures rendered.

The labels can be read back exactly: an EgoHands polygon is the hull of a hand's keypoints, stretched to the hand's box;
a FreiHAND hand stands 60 cm before a camera whose K projects its xyz to the rendered keypoints.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from training.datasets.egohands import HEIGHT, METADATA, POLYGON_FIELDS, POLYGONS, SAMPLES, WIDTH
from training.datasets.freihand import SIZE, VERSIONS
from training.datasets.synthetic import Backgrounds, render_crop, render_scene
from training.datasets.types import HandLabel, LabelledImage

# Two of the training videos, two of the validation videos and two of the test videos.
EGOHANDS_VIDEOS = (
    "CARDS_LIVINGROOM_B_T",
    "JENGA_COURTYARD_H_B",
    "CHESS_LIVINGROOM_H_T",
    "PUZZLE_COURTYARD_B_S",
    "CARDS_COURTYARD_B_T",
    "JENGA_OFFICE_T_H",
)
SCENE = 360  # rendered at this size and enlarged to the height of a frame, which is four times as fast

FOCAL, DISTANCE = 480.0, 0.6  # pixels; metres from the camera to the wrist

Slot = tuple[str, str]  # whose hand, which hand


def write_egohands(
    folder: Path,
    videos: Sequence[str] = EGOHANDS_VIDEOS,
    frames: int = 4,
    seed: int = 0,
    metadata: bool = True,
    polygons: bool = True,
) -> Path:
    """Write videos of EgoHands into `folder`, which becomes what egohands_data.zip unpacks to. Returns it."""
    rng = np.random.default_rng(seed)
    scenes = rendered_scenes(seed)
    records = []
    for video in videos:
        target = folder / SAMPLES / video
        target.mkdir(parents=True)
        numbers = np.sort(rng.choice(np.arange(1, 2700), frames, replace=False))
        labelled = []
        for number in numbers:
            picture, slots = _frame(rng, *next(scenes))
            _write(target / f"frame_{number:04d}.jpg", picture)
            labelled.append({"frame_num": float(number), **slots})
        if polygons:
            savemat(target / POLYGONS, {"polygons": struct(labelled, tuple(POLYGON_FIELDS))})
        activity, location, viewer, partner = video.split("_")
        records.append(
            {
                "video_id": video,
                "partner_video_id": f"{activity}_{location}_{partner}_{viewer}",
                "ego_viewer_id": viewer,
                "partner_id": partner,
                "location_id": location,
                "activity_id": activity,
                "labelled_frames": struct(labelled, ("frame_num", *POLYGON_FIELDS)),
            }
        )
    if metadata:
        savemat(folder / METADATA, {"video": struct(records, tuple(records[0]))}, do_compression=True)
    return folder


def struct(records: Sequence[dict[str, Any]], fields: tuple[str, ...]) -> NDArray[Any]:
    """A 1 × N MATLAB struct array."""
    array = np.zeros((1, len(records)), [(field, object) for field in fields])
    for index, record in enumerate(records):
        array[0, index] = tuple(record[field] for field in fields)
    return array


def rendered_scenes(seed: int) -> Iterator[tuple[LabelledImage, dict[str, HandLabel]]]:
    """Rendered scenes whose hands two people can have: at most two left and two right ones, nothing unlabelled."""
    backgrounds = Backgrounds([])
    number = seed * 10_000
    while True:
        scene = render_scene(number, SCENE, backgrounds)
        number += 1
        slots = _slots(scene.hands)
        if scene.complete and slots is not None:
            yield scene, slots


def _slots(hands: tuple[HandLabel, ...]) -> dict[str, HandLabel] | None:
    """Which of the four polygons each hand becomes: the lower hand of a side is the viewer's own; None if too many."""
    slots: dict[str, HandLabel] = {}
    for side in ("left", "right"):
        fields = [field for field, (_, handedness) in POLYGON_FIELDS.items() if handedness == side]
        same = sorted((h for h in hands if h.handedness == side), key=lambda h: -float(h.box[1] + h.box[3]))
        if len(same) > len(fields):
            return None
        slots |= dict(zip(fields, same, strict=False))
    return slots


def _frame(
    rng: np.random.Generator, scene: LabelledImage, hands: dict[str, HandLabel]
) -> tuple[NDArray[np.uint8], dict[str, NDArray[np.float64]]]:
    """A scene somewhere in a frame of 1280 × 720, and its four polygons in MATLAB's pixels."""
    left = int(rng.integers(WIDTH - HEIGHT))
    factor = HEIGHT / SCENE
    large = cv2.resize(scene.image, (HEIGHT, HEIGHT), interpolation=cv2.INTER_LINEAR)
    picture = cv2.copyMakeBorder(large, 0, 0, left, WIDTH - HEIGHT - left, cv2.BORDER_REPLICATE)
    slots = {field: np.zeros((0, 0)) for field in POLYGON_FIELDS}
    for field, hand in hands.items():
        slots[field] = _polygon(hand, factor) + np.array([left, 0])
    return picture.astype(np.uint8, copy=False), slots


def _polygon(hand: HandLabel, factor: float) -> NDArray[np.float64]:
    """(K, 2) in MATLAB's pixels: the hull of the keypoints, stretched so that its pixels span the box."""
    assert hand.keypoints is not None
    hull = cv2.convexHull(hand.keypoints)[:, 0].astype(np.float64)
    low, high = hull.min(axis=0), hull.max(axis=0)
    first = (
        hand.box[:2].astype(np.float64) * factor + 1
    )  # the centre of the box's first pixel, counted from 1
    last = (hand.box[:2] + hand.box[2:]).astype(np.float64) * factor
    return first + (hull - low) / np.maximum(high - low, 1e-6) * (last - first)


def write_freihand(folder: Path, count: int = 20, evaluation: int = 4, seed: int = 0) -> Path:
    """Write `count` unique ids in all four versions, and an evaluation set, into `folder`. Returns it.

    Both archives of the release are unpacked into one folder here, as people do who unpack them by hand.
    """
    screen = folder / "screen"
    screen.mkdir(parents=True)
    _write(screen / "green.jpg", np.full((SIZE, SIZE, 3), (40, 190, 60), np.uint8))
    made_up = Backgrounds([])
    for part, number, behind in (
        ("training", count, Backgrounds([screen])),
        ("evaluation", evaluation, made_up),
    ):
        pictures = folder / part / "rgb"
        pictures.mkdir(parents=True)
        lists: dict[str, list[Any]] = {"K": [], "xyz": [], "scale": []}
        for index in range(number):
            item = _right(render_crop(seed * 10_000 + (part == "evaluation") * 5_000 + index, SIZE, behind))
            K, xyz = _camera(item.hands[0])
            lists["K"].append(K.tolist())
            lists["xyz"].append(xyz.tolist())
            lists["scale"].append(float(np.linalg.norm(xyz[9] - xyz[10])))
            for version in range(len(VERSIONS) if part == "training" else 1):
                picture = item.image if version == 0 else _recoloured(item.image, made_up, index, version)
                _write(pictures / f"{index + version * number:08d}.jpg", picture)
        for name, values in lists.items():
            (folder / f"{part}_{name}.json").write_text(json.dumps(values))
    (screen / "green.jpg").unlink()
    screen.rmdir()
    return folder


def _right(item: LabelledImage) -> LabelledImage:
    """The picture of a right hand: as it is, or mirrored."""
    hand = item.hands[0]
    if hand.handedness == "right":
        return item
    assert hand.keypoints is not None
    keypoints = hand.keypoints * np.float32([-1, 1]) + np.float32([SIZE, 0])
    box = np.array([SIZE - hand.box[0] - hand.box[2], *hand.box[1:]], np.float32)
    mirrored = HandLabel(box, keypoints, hand.labelled, hand.visible, hand.depth, "right")
    return LabelledImage(np.ascontiguousarray(item.image[:, ::-1]), (mirrored,))


def _camera(hand: HandLabel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """K (3, 3), and xyz (21, 3) in metres of a hand in pixels."""
    assert hand.keypoints is not None
    assert hand.depth is not None
    K = np.array([[FOCAL, 0, SIZE / 2], [0, FOCAL, SIZE / 2], [0, 0, 1]])
    z = DISTANCE * (1 + hand.depth.astype(np.float64) / FOCAL)
    rays = (hand.keypoints.astype(np.float64) - SIZE / 2) / FOCAL
    return K, np.column_stack([rays * z[:, None], z])


def _recoloured(
    image: NDArray[np.uint8], backgrounds: Backgrounds, index: int, version: int
) -> NDArray[np.uint8]:
    """The picture with something else where the green screen is."""
    behind = backgrounds.crop(np.random.default_rng([index, version]), SIZE)
    red, green, blue = np.moveaxis(image.astype(np.int16), 2, 0)
    screen = green - np.maximum(red, blue) > 30
    return np.where(screen[..., None], behind, image).astype(np.uint8)


def _write(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an RGB picture as JPEG."""
    if not cv2.imwrite(str(path), image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92]):
        raise OSError(f"cannot write {path}")
