"""Rendered hold-outs: small sets of pictures that each show one thing hand models find hard, with exact labels.

    slice_files = write_slices(folder, backgrounds, count=120)   # COCO keypoint files, which `CocoHands` reads

Held out from training are the random numbers (a stream of their own, so every pose, blend of bodies, look, light and
place differs) and, when `backgrounds` are chosen with `held_out`, the photos behind. Not held out: the meshes that
bodies are blended of, the gestures poses are varied from, the shader.
"""

import json
import multiprocessing
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.inference.cores import available_cores
from training.datasets.synthetic.backgrounds import Backgrounds, table
from training.datasets.synthetic.compose import label, paint
from training.datasets.synthetic.crops import generator
from training.datasets.synthetic.degrade import degrade
from training.datasets.synthetic.layouts import Scene, overlap
from training.datasets.synthetic.slice_layouts import SLICES, SliceLayout, poor_light
from training.datasets.types import HandLabel, LabelledImage

SLICE_STREAM = 5  # keeps the random numbers of slices apart from those of training pictures
# Raise this whenever the same arguments give another picture than before: kept slices are rendered anew then.
SLICES_VERSION = 1

MOST_TRIES = 60
NOTHING_IN_PICTURE = 0.03  # of a hand's box: less is no hand
MOST_NESTED = 0.65  # of the smaller box inside the other; COCO readers take more for one hand labelled twice
JPEG_QUALITY = 95


def render_slice(name: str, index: int, backgrounds: Backgrounds) -> LabelledImage:
    """Picture `index` of a slice, (H, W, 3) uint8 RGB of the slice's size, every hand in it labelled in full.

    Boxes are clipped to the picture; keypoints outside of it are not `labelled`. Equal arguments give equal bytes.
    Raises KeyError for an unknown slice, RuntimeError when no try gave a picture that the slice accepts.
    """
    layout = SLICES[name]
    key = int(sha256(name.encode()).hexdigest()[:8], 16)
    for attempt in range(MOST_TRIES):
        rng = generator(SLICE_STREAM, key, index, attempt)
        picture = _attempt(rng, layout, backgrounds)
        if picture is not None:
            return replace(picture, group=name)
    raise RuntimeError(f"picture {index} of slice {name!r} could not be laid out")


def _attempt(rng: np.random.Generator, layout: SliceLayout, backgrounds: Backgrounds) -> LabelledImage | None:
    side = max(layout.width, layout.height)
    scene = Scene(side, [], [], [])
    if not layout.draw(rng, scene):
        return None
    background, _ = backgrounds.draw(rng, side, free_only=True)
    if layout.on_table:
        background = table(rng, side, background)
    typical = max(scene.scales)
    cast_shadow = 0.8 if layout.on_table else 0.3
    picture, geometry, fragments = paint(rng, background, scene.parts, typical, cast_shadow)
    corner = np.array([side - layout.width, side - layout.height]) // 2
    hands = []
    for staged, scale in zip(scene.hands, scene.scales, strict=True):
        full = label(staged, scale, geometry, fragments)
        hand, share = _in_picture(full, corner, layout.width, layout.height)
        if share < NOTHING_IN_PICTURE:
            continue
        if not layout.accepts(hand, share):
            return None
        hands.append(hand)
    if not layout.hands[0] <= len(hands) <= layout.hands[1] or _nested(hands):
        return None
    image = degrade(rng, poor_light(rng, picture) if layout.dark else picture, 0.5)
    left, top = (int(v) for v in corner)
    cut = np.ascontiguousarray(image[top : top + layout.height, left : left + layout.width])
    return LabelledImage(cut, tuple(hands), complete=True, source="slice")


def _in_picture(
    hand: HandLabel, corner: NDArray[np.int64], width: int, height: int
) -> tuple[HandLabel, float]:
    """The label in the cut picture, and the share of the box inside of it."""
    assert hand.keypoints is not None
    assert hand.visible is not None
    keypoints = (hand.keypoints - corner).astype(np.float32)
    inside: NDArray[np.bool_] = np.all((keypoints >= 0) & (keypoints < [width, height]), axis=1)
    low = np.clip(hand.box[:2] - corner, 0, [width, height])
    high = np.clip(hand.box[:2] + hand.box[2:] - corner, 0, [width, height])
    box = np.concatenate([low, high - low]).astype(np.float32)
    share = float(np.prod(box[2:]) / np.prod(hand.box[2:]))
    return replace(hand, box=box, keypoints=keypoints, labelled=inside, visible=hand.visible & inside), share


def _nested(hands: Sequence[HandLabel]) -> bool:
    return any(overlap(one.box, other.box) > MOST_NESTED for one, other in combinations(hands, 2))


def _annotation(hand: HandLabel) -> dict[str, Any]:
    assert hand.keypoints is not None
    assert hand.labelled is not None
    assert hand.visible is not None
    assert hand.depth is not None
    flags = np.where(hand.labelled, np.where(hand.visible, 2, 1), 0)
    table_of_points = np.column_stack([hand.keypoints * hand.labelled[:, None], flags])
    return {
        "category_id": 1,
        "bbox": [round(float(v), 2) for v in hand.box],
        "box_source": "rendered",
        "keypoints": [round(float(v), 2) for v in table_of_points.ravel()],
        "num_keypoints": int(hand.labelled.sum()),
        "keypoint_source": "rendered",
        "handedness": hand.handedness,
        "depth": [round(float(v), 2) for v in hand.depth],
    }


def write_slices(
    folder: Path,
    backgrounds: Backgrounds,
    count: int = 120,
    names: Sequence[str] = tuple(SLICES),
    processes: int | None = None,
) -> dict[str, Path]:
    """One COCO keypoint file a slice, with at least `count` pictures beside it. Pictures that are there are kept.

    processes: as many as there are cores when None. Returns the file of each name.
    """
    files = {name: folder / f"{name}.json" for name in names}
    info = {"version": SLICES_VERSION, "backgrounds": backgrounds.fingerprint()}
    kept = {name: _kept(file, info) for name, file in files.items()}
    short = [name for name in names if len(kept[name]) < count]
    if not short:
        return files
    with multiprocessing.get_context("spawn").Pool(processes or available_cores()) as crew:
        for name in short:
            (folder / name).mkdir(parents=True, exist_ok=True)
            more = range(len(kept[name]), count)
            rendered = crew.map(partial(_render_file, folder, backgrounds, name), more, chunksize=4)
            _write_file(files[name], name, kept[name] + rendered, info)
    return files


def _kept(file: Path, info: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The annotations of each picture of a file, none when it is of another version or other backgrounds."""
    if not file.exists() or (content := json.loads(file.read_text())).get("info") != info:
        return []
    records: list[list[dict[str, Any]]] = [[] for _ in content["images"]]
    for annotation in content["annotations"]:
        records[annotation["image_id"]].append(annotation)
    return records


def _render_file(folder: Path, backgrounds: Backgrounds, name: str, index: int) -> list[dict[str, Any]]:
    """Render one picture into the folder. Returns its annotations."""
    cv2.setNumThreads(1)
    picture = render_slice(name, index, backgrounds)
    file = folder / name / f"{index:04d}.jpg"
    bgr = cv2.cvtColor(picture.image, cv2.COLOR_RGB2BGR)
    if not cv2.imwrite(str(file), bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]):
        raise OSError(f"{file} cannot be written")
    return [_annotation(hand) for hand in picture.hands]


def _write_file(file: Path, name: str, records: list[list[dict[str, Any]]], info: dict[str, Any]) -> None:
    layout = SLICES[name]
    images = [
        {
            "id": index,
            "file_name": f"{name}/{index:04d}.jpg",
            "width": layout.width,
            "height": layout.height,
            "source": "slice",
            "group": name,
        }
        for index in range(len(records))
    ]
    annotations: list[dict[str, Any]] = []
    for index, hands in enumerate(records):
        annotations += [
            {**hand, "id": len(annotations) + number, "image_id": index, "iscrowd": 0}
            for number, hand in enumerate(hands)
        ]
    partial_file = file.with_suffix(".partial")
    partial_file.write_text(
        json.dumps(
            {
                "info": info,
                "images": images,
                "annotations": annotations,
                "categories": [{"id": 1, "name": "hand"}],
            }
        )
    )
    partial_file.replace(file)
