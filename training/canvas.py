"""Training pictures for a detector: real photos alone or as mosaics, and rendered scenes, with their boxes."""

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from training.augment import Image, prepare_warp, square_crop_matrix, transform, warp
from training.datasets.types import HandLabel, LabelledImage

GREY = 127  # what serving pads pictures with
# A hand cut off by the picture's edge counts if this much of its box is left; with less it is neither hand nor not.
_VISIBLE = 0.45
_MIN_SIDE = 5.0
LARGEST_SCALE = 2.6  # by how much a photo of a hand may grow
# How far keypoints may lie outside of a box and the box reach beyond them, in shares of the keypoints' larger extent:
# more is a mistake of the label, or a forearm.
_MARGINS = -0.1, 0.2
_OUTWARDS = np.array([[-1.0, 0.0], [0.0, -1.0], [1.0, 0.0], [0.0, 1.0]])  # from a box: left, up, right, down


@dataclass(frozen=True, eq=False)
class Target:
    """One hand on a canvas. box: (4,) x0, y0, x1, y1 in pixels, clipped to what is seen of it.

    weight: how much the box's exact place matters. counts: False where the detector may find it or not.
    """

    box: NDArray[np.float64]
    weight: float
    counts: bool


@dataclass(eq=False)
class Canvas:
    """A square picture being put together.

    image: (S, S, 3) uint8 RGB. targets: its hands. unlabelled: (S, S) bool, where hands may be that nobody labelled.
    """

    image: Image
    targets: list[Target] = field(default_factory=list)
    unlabelled: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.unlabelled = np.zeros(self.image.shape[:2], bool)

    @property
    def size(self) -> int:
        """Side in pixels."""
        return int(self.image.shape[0])

    @classmethod
    def blank(cls, size: int, rng: np.random.Generator) -> "Canvas":
        """Grey as in serving, or of one random colour."""
        colour = GREY if rng.random() < 0.6 else rng.integers(0, 256, 3)
        return cls(np.full((size, size, 3), colour, np.uint8))

    def place(
        self,
        picture: LabelledImage,
        region: tuple[int, int, int, int],
        matrix: NDArray[np.float64],
        complete: bool = True,
    ) -> None:
        """Draw a picture into a region (x0, y0, x1, y1) of the canvas and add its hands.

        matrix: (2, 3) affine from the picture to the region's own pixels. complete: every hand in it is labelled.
        """
        x0, y0, x1, y1 = region
        part = np.ascontiguousarray(self.image[y0:y1, x0:x1])
        _draw(picture.image, matrix, part)
        self.image[y0:y1, x0:x1] = part
        if not complete:
            self.unlabelled[y0:y1, x0:x1] = True
        for hand in picture.hands:
            box = transform_box(hand, matrix, picture.image) + np.array([x0, y0, x0, y0])
            self.add(box, region, 0.15 if hand.loose_box else 1.0)

    def add(self, box: NDArray[np.float64], region: tuple[int, int, int, int], weight: float = 1.0) -> None:
        """Add a hand that was drawn in a region. box: (4,) x0, y0, x1, y1, which may reach out of the region."""
        clipped = np.concatenate([np.maximum(box[:2], region[:2]), np.minimum(box[2:], region[2:])])
        sides = clipped[2:] - clipped[:2]
        if (sides < 3).any():
            return
        share = float(sides.prod() / (box[2:] - box[:2]).prod())
        counts = share > _VISIBLE and float(sides.min()) > _MIN_SIDE
        self.targets.append(Target(clipped, weight, counts))


def _draw(image: Image, matrix: NDArray[np.float64], onto: Image) -> None:
    """Warp `image` onto `onto` in place; pixels it does not reach stay."""
    image, matrix = prepare_warp(image, matrix)
    size = (onto.shape[1], onto.shape[0])
    cv2.warpAffine(image, matrix, size, dst=onto, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT)


def transform_box(hand: HandLabel, matrix: NDArray[np.float64], image: Image) -> NDArray[np.float64]:
    """The tight box (4,) x0, y0, x1, y1 of a hand after an affine change.

    image: (H, W, 3), whose hand it is. With keypoints: around those, moved, with the margins that the label's box has
    around them; what the image cuts off stays cut off. Without: around the moved ellipse that fills the label's box,
    which grows less under rotation than the box's corners would.
    """
    low, high = hand.box[:2], hand.box[:2] + hand.box[2:]
    linear = matrix[:, :2]
    if hand.keypoints is not None and (hand.labelled is None or hand.labelled.all()):
        points = np.clip(hand.keypoints, 0, image.shape[1::-1])
        margins = _margins(np.concatenate([low, high]), points, _OUTWARDS @ linear)
        moved = transform(points, matrix)
        return np.concatenate([moved.min(0) - margins[:2], moved.max(0) + margins[2:]])
    centre = transform((low + high) / 2, matrix)
    reach = np.sqrt((linear**2) @ (((high - low) / 2) ** 2))
    return np.concatenate([centre - reach, centre + reach])


def _margins(
    box: NDArray[np.float64], points: NDArray[np.float32], directions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(N,) how far a box reaches beyond the points in it, along directions that may lie between those of its sides,
    times the directions' lengths.

    box: (4,) x0, y0, x1, y1. points: (K, 2). directions: (N, 2).
    """
    low, high = points.min(0), points.max(0)
    before, behind = low - box[:2], box[2:] - high
    least, most = (share * float((high - low).max()) for share in _MARGINS)
    sides = np.clip(
        np.where(directions < 0, before, behind), least, most
    )  # of which the direction has something
    lengths = np.linalg.norm(directions, axis=1)
    return np.asarray((sides * directions**2).sum(1) / lengths)


def photo_matrix(
    picture: LabelledImage,
    width: int,
    height: int,
    hand_side: float,
    rng: np.random.Generator,
    whole: bool = False,
) -> NDArray[np.float64]:
    """A random affine that puts a picture into a width × height region.

    hand_side: the wanted side of one of its hands there, in pixels. whole: show about the whole picture instead.
    Mostly the picture covers the region: its own border would tell a detector where hands are.
    """
    rows, columns = picture.image.shape[:2]
    if picture.hands:
        box = picture.hands[rng.integers(len(picture.hands))].box
        side, focus = float(max(box[2:].max(), 4.0)), box[:2] + box[2:] / 2
    else:
        side, focus = 0.15 * max(rows, columns), np.array([columns / 2, rows / 2])
    fit = min(width / columns, height / rows)
    scale = fit * math.exp(rng.uniform(-0.35, 0.5)) if whole else hand_side / side
    if rng.random() < 0.85:
        scale = max(scale, max(width / columns, height / rows) * rng.uniform(0.85, 1.1))
    scale = min(scale, LARGEST_SCALE, 0.99 * max(width, height) / side)
    angle = float(np.clip(rng.normal(0, 0.2), -0.55, 0.55)) if rng.random() < 0.6 else 0.0
    matrix = square_crop_matrix(focus, 1.0, 1, angle, bool(rng.random() < 0.5))
    stretch = math.exp(rng.uniform(-0.12, 0.12))
    matrix[:, :2] = scale * np.diag([stretch, 1 / stretch]) @ matrix[:, :2]
    region = np.array([width, height], float)
    if whole:
        target = region / 2 + rng.normal(0, 0.08, 2) * region
        focus = np.array([columns / 2, rows / 2])
    else:
        room = np.minimum(0.35 * side * scale, region / 2)
        target = np.clip(rng.uniform(0.05, 0.95, 2) * region, room, region - room)
        if rng.random() < 0.7:  # no border inside the region where the picture is large enough
            corners = np.array([[0, 0], [columns, 0], [0, rows], [columns, rows]]) - focus
            reach = corners @ matrix[:, :2].T  # around the focus, ignoring the rotation's tips
            low, high = reach.min(0), reach.max(0)
            large = high - low >= region
            target = np.where(large, np.clip(target, region - high, -low), target)
    matrix[:, 2] = target - matrix[:, :2] @ focus
    return matrix


def mosaic(size: int, rng: np.random.Generator) -> list[tuple[int, int, int, int]]:
    """Split a square into 2 to 16 regions (x0, y0, x1, y1)."""
    kind = rng.random()
    if kind < 0.5:
        x, y = (int(v) for v in rng.uniform(0.35, 0.65, 2) * size)
        return [(0, 0, x, y), (x, 0, size, y), (0, y, x, size), (x, y, size, size)]
    if kind < 0.68:
        x = int(rng.uniform(0.3, 0.7) * size)
        return [(0, 0, x, size), (x, 0, size, size)]
    count = 3 if kind < 0.9 else 4
    edges = [size * i // count for i in range(count + 1)]
    return [(edges[i], edges[j], edges[i + 1], edges[j + 1]) for i in range(count) for j in range(count)]


def cut_out(image: Image, size: int, rng: np.random.Generator) -> Image:
    """A random square of a photo at least 40 % of its shorter side, drawn at size × size."""
    height, width = image.shape[:2]
    side = rng.uniform(0.4, 1.0) * min(height, width)
    centre = np.array([rng.uniform(side / 2, width - side / 2), rng.uniform(side / 2, height - side / 2)])
    return warp(image, square_crop_matrix(centre, side, size, mirror=bool(rng.random() < 0.5)), size)
