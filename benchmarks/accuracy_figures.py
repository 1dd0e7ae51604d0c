"""How right a picture's hands are, and the figures of a set of pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.datasets.types import LabelledImage
from training.evaluate import known_keypoints
from training.metrics import greedy_match, pck

BOX_IOU = 0.5  # recall and precision
FOUND_IOU = 0.2  # a hand is found, and its keypoints are judged


@dataclass(frozen=True, eq=False)
class FoundHand:
    """What a system says of one hand. box: (4,) x, y, width, height; keypoints: (21, 2); both pixels of the picture.
    handedness: anatomical, of an unmirrored picture."""

    box: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    handedness: str


def box_around(
    keypoints: NDArray[np.float32], padding: float, width: int, height: int
) -> NDArray[np.float32]:
    """The tight box (4,) of keypoints (21, 2), on each side larger by `padding` of its larger side, clipped to the
    picture."""
    low, high = keypoints.min(axis=0), keypoints.max(axis=0)
    margin = padding * float((high - low).max())
    low = np.clip(low - margin, 0, [width, height])
    high = np.clip(high + margin, 0, [width, height])
    return np.concatenate([low, high - low]).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Judged:
    """One picture's outcome. hits: hands matched at IoU 0.5; errors: for each true hand with keypoints the distances of
    its labelled keypoints over the larger side of its box, infinite when it was not found; sides: for each of them
    that was found and whose handedness is known, whether it is told rightly."""

    hands: int
    told: int
    hits: int
    found: int
    errors: tuple[NDArray[np.float64], ...]
    sides: tuple[bool, ...]

    @property
    def worth(self) -> float:
        """0..1, for choosing examples: the share of right keypoints, or of right boxes where there are none; less for
        hands that are none."""
        extra = max(self.told - self.hands, 0) / max(self.told, 1)
        if self.errors:
            return pck(np.concatenate(self.errors), 0.1) - extra
        return (self.hits / self.hands if self.hands else 1.0) - extra


def judge(picture: LabelledImage, told: Sequence[FoundHand]) -> Judged:
    """Compare what was told, best first, with the truth: one to one, greedily by IoU."""
    truth = np.array([hand.box for hand in picture.hands], np.float32).reshape(-1, 4)
    boxes = np.array([hand.box for hand in told], np.float32).reshape(-1, 4)
    hits = sum(match >= 0 for match in greedy_match(boxes, truth, BOX_IOU))
    matched = {m: hand for m, hand in zip(greedy_match(boxes, truth, FOUND_IOU), told, strict=True) if m >= 0}
    errors, sides = [], []
    for index, label in enumerate(picture.hands):
        if label.keypoints is None:
            continue
        labelled = known_keypoints(label)
        answer = matched.get(index)
        if answer is None:
            errors.append(np.full(int(labelled.sum()), np.inf))
            continue
        distance = np.linalg.norm(answer.keypoints - label.keypoints, axis=1)[labelled]
        errors.append(np.asarray(distance / float(label.box[2:].max()), np.float64))
        if label.handedness is not None:
            sides.append(answer.handedness == label.handedness)
    return Judged(len(truth), len(told), hits, len(matched), tuple(errors), tuple(sides))


@dataclass
class Figures:
    """Sums over the pictures of a set."""

    pictures: int = 0
    hands: int = 0
    told: int = 0
    hits: int = 0
    found: int = 0
    errors: list[NDArray[np.float64]] = field(default_factory=list)
    sides: list[bool] = field(default_factory=list)

    def add(self, judged: Judged) -> None:
        """Count one more picture."""
        self.pictures += 1
        self.hands += judged.hands
        self.told += judged.told
        self.hits += judged.hits
        self.found += judged.found
        self.errors += judged.errors
        self.sides += judged.sides

    def values(self) -> dict[str, float]:
        """By name; without those that cannot be told from these pictures."""
        if not self.hands:
            return {"false per 100": 100 * self.told / max(self.pictures, 1)}
        values = {
            "recall": self.hits / self.hands,
            "precision": self.hits / self.told if self.told else 1.0,
            "found": self.found / self.hands,
        }
        if self.errors:
            errors = np.concatenate(self.errors)
            values["PCK@0.1"], values["PCK@0.2"] = pck(errors, 0.1), pck(errors, 0.2)
        if self.sides:
            values["handedness"] = float(np.mean(self.sides))
        return values
