"""Figures of detector and pose network together, as a caller of the service gets them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from service.inference.hands import Hand
from service.inference.pipeline import Pipeline
from training.datasets.types import HandLabel
from training.evaluate import Figures, Found, LabelledPhotos, known_keypoints
from training.metrics import greedy_match
from training.pose_metrics import PoseErrors

_LOWEST = 0.05  # hands scored below are not asked for
_MAX_HANDS = 16


@dataclass(frozen=True, eq=False)
class Answer:
    """What the pipeline finds in one photo, best first, and what is labelled there.

    side: the photo's longer side in pixels. source: the photo's.
    """

    hands: tuple[Hand, ...]
    labels: tuple[HandLabel, ...]
    side: float
    source: str = ""

    @cached_property
    def matches(self) -> tuple[int, ...]:
        """For each found hand the index of the label it overlaps most by IoU 0.5 or more, or -1; a label belongs to the
        best-scored hand alone.
        """
        return tuple(greedy_match(self.boxes, self.truth))

    @property
    def boxes(self) -> NDArray[np.float32]:
        """(N, 4) x, y, width, height of the found hands."""
        boxes = [(hand.box.x, hand.box.y, hand.box.width, hand.box.height) for hand in self.hands]
        return np.array(boxes, np.float32).reshape(-1, 4)

    @property
    def scores(self) -> NDArray[np.float32]:
        """(N,) of the found hands."""
        return np.array([hand.score for hand in self.hands], np.float32)

    @property
    def truth(self) -> NDArray[np.float32]:
        """(M, 4) x, y, width, height of the labels."""
        return np.array([label.box for label in self.labels], np.float32).reshape(-1, 4)


def ask(pipeline: Pipeline, photos: LabelledPhotos) -> list[Answer]:
    """Run the pipeline on every photo, with a low score threshold."""
    return [ask_one(pipeline, photos[i].image, e.hands, e.source) for i, e in enumerate(photos.entries)]


def ask_one(
    pipeline: Pipeline, image: NDArray[np.uint8], labels: tuple[HandLabel, ...], source: str
) -> Answer:
    """Run the pipeline on one photo, with a low score threshold."""
    hands = tuple(pipeline.hands(image, max_hands=_MAX_HANDS, min_score=_LOWEST))
    return Answer(hands, labels, float(max(image.shape[:2])), source)


def pipeline_figures(answers: Sequence[Answer], min_score: float = 0.5) -> Figures:
    """What a caller who asks for `min_score` gets: COCO's figures, recall and precision at IoU 0.5, PCK, handedness.

    PCK counts all labelled hands: the keypoints of a hand that was not found are wrong. No PCK where no hand has
    keypoints, no handedness where no found hand's is labelled.
    """
    found = Found(
        boxes=tuple(a.boxes for a in answers),
        scores=tuple(a.scores for a in answers),
        truth=tuple(a.truth for a in answers),
        sides=tuple(a.side for a in answers),
    )
    figures = found.figures(min_score)
    if (errors := pipeline_errors(answers, min_score)) is not None:
        joints = errors.joint()
        figures |= {"pck_0.1": joints.pck_01, "pck_0.2": joints.pck_02}
    sided = [
        (hand.handedness, a.labels[match].handedness)
        for a in answers
        for hand, match in zip(a.hands, a.matches, strict=True)
        if match >= 0 and hand.score >= min_score and a.labels[match].handedness is not None
    ]
    if sided:
        figures["handedness"] = sum(ours == theirs for ours, theirs in sided) / len(sided)
    return figures


def pipeline_errors(answers: Sequence[Answer], min_score: float = 0.5) -> PoseErrors | None:
    """Keypoint errors of all labelled hands, infinite where one was not found; None if none has keypoints."""
    predicted, truth, sides, labelled = [], [], [], []
    for a in answers:
        found = {
            match: hand.keypoints
            for hand, match in zip(a.hands, a.matches, strict=True)
            if match >= 0 and hand.score >= min_score
        }
        for index, label in enumerate(a.labels):
            if label.keypoints is not None:
                predicted.append(found.get(index, np.full((21, 2), np.inf, np.float32)))
                truth.append(label.keypoints)
                sides.append(label.box[2:].max())
                labelled.append(known_keypoints(label))
    if not truth:
        return None
    return PoseErrors.of(np.stack(predicted), np.stack(truth), np.array(sides), np.stack(labelled))
