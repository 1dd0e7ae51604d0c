"""Training pictures and video with their labels drawn, to be looked at before every long run."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from service.inference.drawing import FINGER_COLOURS
from service.models.keypoints import FINGERS
from training.datasets.synthetic import Backgrounds, render_crop, render_scene
from training.datasets.synthetic.choreography import MOST_HANDS
from training.datasets.synthetic.sequence import HandSequence, SequenceFrame
from training.datasets.synthetic.video import write_video
from training.datasets.types import HandLabel, LabelledImage

Image = NDArray[np.uint8]

BOX_COLOURS = {"left": (255, 255, 255), "right": (0, 255, 255), None: (160, 160, 160)}
BACKGROUND_FOLDERS = ("backgrounds", "negatives")  # of the data folder; the second one shows no hands

CROP_SIZE, CROPS_PER_ROW, CROP_ROWS = 144, 8, 4
SCENE_SIZE, SCENES_PER_ROW, SCENE_ROWS = 288, 4, 3
_QUALITY = 85  # of JPEG
SEQUENCE_FRAMES, SEQUENCE_WIDTH, SEQUENCE_HEIGHT = 300, 640, 480
GIF_STEP = 3  # a GIF shows every third frame at half the size: it would be 100 MB otherwise


def draw_labels(item: LabelledImage) -> Image:
    """A copy of the picture, (H, W, 3) uint8 RGB, with boxes, skeletons and handedness drawn.

    Fingers have the colours that the service draws them in; a hidden keypoint is a black dot, a visible one white.
    Boxes of left hands are white, of right hands turquoise; an L or R says the same.
    """
    picture = np.ascontiguousarray(item.image.copy())
    for hand in item.hands:
        _draw_hand(picture, hand)
    return picture


def mark_incomplete(picture: Image) -> Image:
    """The picture with a red spot in its corner, for scenes that may show hands without a label."""
    return np.ascontiguousarray(cv2.circle(picture, (5, 5), 3, (255, 0, 0), -1, cv2.LINE_AA))


def _draw_hand(picture: Image, hand: HandLabel) -> None:
    colour = BOX_COLOURS[hand.handedness]
    x, y, width, height = (round(float(value)) for value in hand.box)
    cv2.rectangle(picture, (x, y), (x + width, y + height), colour, 1)
    if hand.handedness is not None:
        place = (min(max(x, 0) + 2, picture.shape[1] - 10), min(max(y, 0) + 11, picture.shape[0] - 2))
        cv2.putText(
            picture, hand.handedness[0].upper(), place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1, cv2.LINE_AA
        )
    if hand.keypoints is None:
        return
    points = [pixel(*keypoint) for keypoint in hand.keypoints]
    for finger, shade in zip(FINGERS, FINGER_COLOURS, strict=True):
        for a, b in pairwise(finger):
            cv2.line(picture, points[a], points[b], shade, 1, cv2.LINE_AA)
    if max(width, height) < 40:
        return  # dots would hide the hand
    for index, point in enumerate(points):
        seen = hand.visible is None or bool(hand.visible[index])
        cv2.circle(picture, point, 1, (255, 255, 255) if seen else (0, 0, 0), -1)


def pixel(x: float, y: float) -> tuple[int, int]:
    """The pixel that shows a place of the picture, as OpenCV counts them: from the first pixel's centre."""
    return round(float(x) - 0.5), round(float(y) - 0.5)


def contact_sheet(pictures: Sequence[Image], per_row: int) -> Image:
    """Pictures of one size, row by row; the last row is filled up with black. Raises ValueError for no picture."""
    if not pictures:
        raise ValueError("no pictures for a contact sheet")
    rows = -(-len(pictures) // per_row)
    height, width = pictures[0].shape[:2]
    sheet = np.zeros((rows * height, per_row * width, 3), np.uint8)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, per_row)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = picture
    return sheet


def write_picture(picture: Image, path: Path) -> None:
    """Write (H, W, 3) uint8 RGB to a PNG or JPEG file. Raises OSError when it cannot be written."""
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY] if path.suffix.lower() in (".jpg", ".jpeg") else []
    try:
        written = cv2.imwrite(str(path), picture[:, :, ::-1], options)
    except cv2.error:  # for a name that is of no kind of picture
        written = False
    if not written:
        raise OSError(f"cannot write {path}")


def preview_synthetic(target: Path, data: Path | None, seed: int = 0) -> None:
    """Write a contact sheet of rendered crops and scenes to `target` (a PNG or JPEG file).

    data: the data folder, whose background photos are used where it has them; None for made-up backgrounds.
    Raises OSError when the file cannot be written.
    """
    backgrounds = _backgrounds(data)
    first = seed * 10_000
    crops = [
        draw_labels(render_crop(first + index, CROP_SIZE, backgrounds))
        for index in range(CROPS_PER_ROW * CROP_ROWS)
    ]
    scenes = []
    for index in range(SCENES_PER_ROW * SCENE_ROWS):
        scene = render_scene(first + index, SCENE_SIZE, backgrounds)
        scenes.append(draw_labels(scene) if scene.complete else mark_incomplete(draw_labels(scene)))
    sheet = np.concatenate([contact_sheet(crops, CROPS_PER_ROW), contact_sheet(scenes, SCENES_PER_ROW)])
    write_picture(sheet, target)


def draw_sequence_labels(frame: SequenceFrame) -> Image:
    """A copy of a frame, (H, W, 3) uint8 RGB, with each hand's labels, id and what it is doing drawn."""
    picture = draw_labels(frame.picture)
    for number, phase, hand in zip(frame.ids, frame.phases, frame.picture.hands, strict=True):
        x, y, _, height = (round(float(value)) for value in hand.box)
        place = (x + 2, min(y + height + 13, picture.shape[0] - 3))
        text = f"{number} {phase}"
        cv2.putText(
            picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, BOX_COLOURS[hand.handedness], 1, cv2.LINE_AA
        )
    return picture


def preview_sequence(target: Path, data: Path | None, seed: int = 0) -> None:
    """Write a rendered sequence with its labels to `target`, an MP4 or GIF file: ten seconds of one to three hands.

    data: as in `preview_synthetic`; only photos known to show no hand are used. Raises ValueError for a file of
    another kind, OSError when it cannot be written.
    """
    sequence = HandSequence(
        seed,
        _backgrounds(data),
        hands=1 + (seed + 1) % MOST_HANDS,
        frames=SEQUENCE_FRAMES,
        width=SEQUENCE_WIDTH,
        height=SEQUENCE_HEIGHT,
    )
    if target.suffix.lower() != ".gif":
        write_video((draw_sequence_labels(frame) for frame in sequence), target, sequence.fps)
        return
    size = (SEQUENCE_WIDTH // 2, SEQUENCE_HEIGHT // 2)
    frames = (draw_sequence_labels(sequence[index]) for index in range(0, SEQUENCE_FRAMES, GIF_STEP))
    smaller = (np.asarray(cv2.resize(f, size, interpolation=cv2.INTER_AREA), np.uint8) for f in frames)
    write_video(smaller, target, sequence.fps / GIF_STEP)


def _backgrounds(data: Path | None) -> Backgrounds:
    """The photos of a data folder that go behind rendered hands; made-up pictures where it has none."""
    folders = (
        [data / name for name in BACKGROUND_FOLDERS if (data / name).is_dir()] if data is not None else []
    )
    return Backgrounds(folders, hand_free=[folder for folder in folders if folder.name == "negatives"])


KINDS: dict[str, Callable[[Path, Path | None, int], None]] = {
    "synthetic": preview_synthetic,
    "sequence": preview_sequence,
}
"""What `python -m training preview` can draw: called with the file to write, the data folder or None, and a seed."""
