"""The pictures that accuracy is measured on, and what is known of the hands in them."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from accuracy_damage import DAMAGES, Damaged
from accuracy_far import WIDTH, FarAway

from training.datasets.coco import CocoHands, read_rgb
from training.datasets.photos import PhotoFolder, listed_names
from training.datasets.synthetic.backgrounds import Backgrounds
from training.datasets.synthetic.slice_layouts import SLICES
from training.datasets.synthetic.slices import write_slices
from training.datasets.types import HandLabel, LabelledImage

HAND_FREE = Path(__file__).with_name("hand_free_backgrounds.txt")
# The source of `val` that no training photo is from. There are training photos of its other one: other photos, in part
# of the same people and homes.
NEW_PEOPLE = "anthoniusadi/Hand-dataset"
FAR = (16, 24, 32)  # hands far away take one of so many parts of the picture's width
CLOSE_UP = 1.25  # side of a close-up over the larger side of the hand's box

# How far MediaPipe's box reaches beyond the tight box of its keypoints, on each side, as a share of that box's larger
# side. It has no box of its own, so it gets the margin that suits each kind of true box best, found on training data:
# mean IoU of 3,387 human boxes with the teacher's keypoints padded by 8 % 0.80, by 10 % 0.80 (and 99 % above 0.5
# rather than 98 %); of 36,593 rendered ones with the true keypoints by 4 % 0.84, by 5 % 0.83; keypoint boxes have 6 %.
PADDING_HUMAN, PADDING_KEYPOINTS, PADDING_RENDERED = 0.1, 0.06, 0.05


@dataclass(frozen=True, eq=False)
class PictureSet:
    """name: for the command line. title: for the table. pictures: in a fixed order; may be gone through repeatedly.

    boxes: whether the boxes are the truth. keypoints: whether the keypoints are; with `teacher` they are MediaPipe's
    own. padding: of MediaPipe's boxes, see above.
    """

    name: str
    title: str
    pictures: Iterable[LabelledImage]
    boxes: bool = True
    keypoints: bool = True
    teacher: bool = False
    padding: float = PADDING_RENDERED


class WithoutHands:
    """Photos that show no hand."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files

    def __iter__(self) -> Iterator[LabelledImage]:
        return (LabelledImage(read_rgb(file), ()) for file in self.files)


class Photos:
    """The first `count` photos of a COCO keypoint file, all when None; of one source alone where it is named."""

    def __init__(self, file: Path, count: int | None = None, source: str = "") -> None:
        self._photos = CocoHands(file)
        entries = self._photos.entries
        self._chosen = [i for i, entry in enumerate(entries) if source in ("", entry.source)][:count]

    def __iter__(self) -> Iterator[LabelledImage]:
        return (self._photos[index] for index in self._chosen)


class HumanBoxes:
    """The photos of a COCO keypoint file that have boxes, all of them drawn by people."""

    def __init__(self, file: Path) -> None:
        content = json.loads(file.read_text())
        sources: dict[int, set[str]] = defaultdict(set)
        for annotation in content["annotations"]:
            sources[annotation["image_id"]].add(annotation["box_source"])
        self._photos = CocoHands(file)
        self._chosen = [i for i, image in enumerate(content["images"]) if sources[image["id"]] == {"human"}]

    def __iter__(self) -> Iterator[LabelledImage]:
        return (self._photos[index] for index in self._chosen)


class CloseUps:
    """Each hand of a COCO keypoint file in a picture that it nearly fills."""

    def __init__(self, file: Path) -> None:
        self._photos = CocoHands(file)

    def __iter__(self) -> Iterator[LabelledImage]:
        for index in range(len(self._photos)):
            photo = self._photos[index]
            yield from (close_up(photo, hand) for hand in photo.hands if hand.keypoints is not None)


def close_up(picture: LabelledImage, hand: HandLabel) -> LabelledImage:
    """A square cut out of a picture around one hand, smaller where the picture ends, with that hand alone.

    Raises ValueError for a hand without keypoints.
    """
    if hand.keypoints is None:
        raise ValueError("a close-up needs a hand with keypoints")
    side = CLOSE_UP * float(hand.box[2:].max())
    centre = hand.box[:2] + hand.box[2:] / 2
    height, width = picture.image.shape[:2]
    left, top = (int(v) for v in np.clip(np.floor(centre - side / 2), 0, [width, height]))
    right, bottom = (int(v) for v in np.clip(np.ceil(centre + side / 2), 0, [width, height]))
    moved = np.array([left, top], np.float32)
    label = replace(
        hand,
        box=np.concatenate([hand.box[:2] - moved, hand.box[2:]]).astype(np.float32),
        keypoints=(hand.keypoints - moved).astype(np.float32),
    )
    image = np.ascontiguousarray(picture.image[top:bottom, left:right])
    return LabelledImage(image, (label,), source=picture.source)


def photo_sets(data: Path) -> list[PictureSet]:
    """Real photos of a data folder that nothing was trained on."""
    val, freihand = data / "hands/val.json", data / "hands/freihand_sample.json"
    return [
        PictureSet("val", "`val`, human boxes", HumanBoxes(val), keypoints=False, padding=PADDING_HUMAN),
        PictureSet("val-teacher", "`val`, teacher's keypoints", Photos(val), boxes=False, teacher=True),
        PictureSet(
            "val-people",
            "`val`, its ten new people alone",
            Photos(val, source=NEW_PEOPLE),
            boxes=False,
            teacher=True,
        ),
        PictureSet("freihand", "`freihand_sample`", Photos(freihand), padding=PADDING_KEYPOINTS),
        PictureSet(
            "freihand-close", "`freihand_sample`, close-ups", CloseUps(freihand), padding=PADDING_KEYPOINTS
        ),
    ]


def damaged_sets(data: Path) -> list[PictureSet]:
    """The photos of `val` with human boxes, each damaged in one way, and small in a wide picture."""
    photos, behind = HumanBoxes(data / "hands/val.json"), _hand_free(data)
    changed: dict[str, tuple[str, Iterable[LabelledImage]]] = {
        name: (title, Damaged(photos, damage)) for name, (title, damage) in DAMAGES.items()
    }
    for share in FAR:
        changed[f"far-{share}"] = f"hands 1/{share} of the width", FarAway(photos, behind, WIDTH / share)
    return [
        PictureSet(
            f"val-{name}", f"`val`, human boxes, {title}", pictures, keypoints=False, padding=PADDING_HUMAN
        )
        for name, (title, pictures) in changed.items()
    ]


def empty_sets(data: Path) -> list[PictureSet]:
    """Photos without hands."""
    negatives = PhotoFolder(data / "negatives").files
    return [
        PictureSet("negatives", "`negatives` (trained on)", WithoutHands(negatives)),
        PictureSet("hand-free", "backgrounds without people (held out)", WithoutHands(_hand_free(data))),
    ]


def _hand_free(data: Path) -> list[Path]:
    return [data / "backgrounds" / name for name in hand_free_names()]


def slice_sets(
    data: Path, folder: Path, count: int, names: Sequence[str], processes: int | None = None
) -> list[PictureSet]:
    """Rendered hold-outs of these names, `count` pictures each, rendered into `folder` when they are not there."""
    files = write_slices(folder, hold_out_backgrounds(data), count, names, processes)
    return [PictureSet(name, SLICES[name].title, Photos(file, count)) for name, file in files.items()]


def hold_out_backgrounds(data: Path) -> Backgrounds:
    """The photos behind rendered hold-outs; none of them shows a hand."""
    folder, listed = data / "backgrounds", frozenset(hand_free_names())
    return Backgrounds([folder], hand_free=[folder], exclude=lambda path: path.name not in listed)


def hand_free_names() -> list[str]:
    """File names of background photos judged to show nobody."""
    return listed_names(HAND_FREE)
