"""A contact sheet of successes and failures, ours and MediaPipe's side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from accuracy_figures import FoundHand, Judged
from numpy.typing import NDArray

from training.datasets.types import HandLabel, LabelledImage
from training.preview import contact_sheet, draw_labels, write_picture

Image = NDArray[np.uint8]
CELL_WIDTH, CELL_HEIGHT = 224, 168
BEST, WORST = 1, 2  # examples of each set
TITLE_HEIGHT = 18


@dataclass(frozen=True, eq=False)
class Example:
    """A picture, what both systems said of it, and how right that is."""

    picture: LabelledImage
    ours: Sequence[FoundHand]
    theirs: Sequence[FoundHand]
    our_outcome: Judged
    their_outcome: Judged


def write_sheet(file: Path, examples: Mapping[str, Sequence[Example]]) -> None:
    """One row a set: ours | MediaPipe's on a picture of middling success, then on the two that went worst for us.

    Raises OSError when the file cannot be written.
    """
    rows = [row(title, chosen(of_set)) for title, of_set in examples.items() if of_set]
    write_picture(np.vstack(rows), file)


def chosen(examples: Sequence[Example]) -> list[Example]:
    """The median, and the worst that are not much alike (not of neighbouring order), by our outcome."""
    ranked = sorted(examples, key=lambda example: example.our_outcome.worth)
    middle = ranked[len(ranked) // 2 : len(ranked) // 2 + BEST]
    return middle + ranked[:WORST]


def row(title: str, examples: Sequence[Example]) -> Image:
    """(H, W, 3): a line of text over pairs of pictures."""
    pairs = []
    for example in examples:
        for hands, outcome in ((example.ours, example.our_outcome), (example.theirs, example.their_outcome)):
            drawn = fitted(replace(example.picture, hands=tuple(as_label(hand) for hand in hands)))
            cv2.rectangle(drawn, (0, CELL_HEIGHT - 3), (CELL_WIDTH - 3, CELL_HEIGHT - 3), colour(outcome), 4)
            pairs.append(drawn)
    pictures = contact_sheet(pairs, 2 * (BEST + WORST))
    line = np.zeros((TITLE_HEIGHT, pictures.shape[1], 3), np.uint8)
    text = f"{title.replace('`', '')}: ours | MediaPipe, middling; then our two worst"
    cv2.putText(line, text, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    return np.vstack([line, pictures])


def colour(outcome: Judged) -> tuple[int, int, int]:
    """From red (all wrong) to green."""
    worth = float(np.clip(outcome.worth, 0, 1))
    return round(255 * (1 - worth)), round(200 * worth), 40


def fitted(picture: LabelledImage) -> Image:
    """The picture with its hands drawn, fitted into a cell."""
    height, width = picture.image.shape[:2]
    scale = min(CELL_WIDTH / width, CELL_HEIGHT / height)
    size = round(width * scale), round(height * scale)
    image = cv2.resize(picture.image, size, interpolation=cv2.INTER_AREA)
    hands = tuple(
        HandLabel(
            (hand.box * scale).astype(np.float32),
            None if hand.keypoints is None else (hand.keypoints * scale).astype(np.float32),
            handedness=hand.handedness,
        )
        for hand in picture.hands
    )
    cell = np.zeros((CELL_HEIGHT, CELL_WIDTH, 3), np.uint8)
    cell[: size[1], : size[0]] = draw_labels(LabelledImage(np.asarray(image, np.uint8), hands))
    return cell


def as_label(hand: FoundHand) -> HandLabel:
    """An answer in the shape of a label, for drawing."""
    side = "right" if hand.handedness == "right" else "left"
    return HandLabel(hand.box, hand.keypoints, handedness=side)
