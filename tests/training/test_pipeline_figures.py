from pathlib import Path

import numpy as np
import pytest

from service.inference.hands import Box, Hand
from service.inference.pipeline import Pipeline
from training.datasets.coco import CocoHands
from training.datasets.types import HandLabel
from training.pipeline_figures import Answer, ask, pipeline_errors, pipeline_figures


def found(x: float, score: float, handedness: str = "right", off: float = 0.0) -> Hand:
    """A hand of 100 × 100 px at (x, 0) whose keypoints are all `off` px right of its box's middle."""
    keypoints = np.full((21, 2), (x + 50 + off, 50), np.float32)
    return Hand(Box(x, 0, 100, 100), score, 0.9, handedness, 0.8, keypoints, np.ones(21, np.float32))


def label(x: float, handedness: str | None = "right", posed: bool = True) -> HandLabel:
    keypoints = np.full((21, 2), (x + 50, 50), np.float32) if posed else None
    return HandLabel(np.array([x, 0, 100, 100], np.float32), keypoints, handedness=handedness)


def test_hands_are_matched_best_first_and_once() -> None:
    result = Answer((found(0, 0.9), found(10, 0.8), found(300, 0.7)), (label(310), label(0)), 500)
    assert result.matches == (1, -1, 0)
    assert result.boxes.shape == (3, 4)
    assert result.scores.tolist() == pytest.approx([0.9, 0.8, 0.7])


def test_figures_of_what_a_caller_gets() -> None:
    answers = [
        Answer((found(0, 0.9, "left", off=15), found(300, 0.7)), (label(0), label(500)), 640),
        Answer((found(0, 0.3),), (label(0),), 640),  # found, but below min_score
    ]
    figures = pipeline_figures(answers, min_score=0.5)
    assert (figures["recall"], figures["precision"]) == pytest.approx((1 / 3, 1 / 2))
    # One of three hands counts as found, 0.15 of its size off.
    assert (figures["pck_0.1"], figures["pck_0.2"]) == pytest.approx((0, 1 / 3))
    assert figures["handedness"] == 0
    errors = pipeline_errors(answers, min_score=0.2)
    assert errors is not None
    assert errors.pixels[:, 0].tolist() == pytest.approx([15, np.inf, 0])


def test_boxes_alone_give_no_keypoint_figures() -> None:
    answers = [Answer((found(0, 0.9),), (label(0, None, posed=False),), 640)]
    assert pipeline_errors(answers) is None
    figures = pipeline_figures(answers)
    assert figures["recall"] == 1
    assert not {"pck_0.1", "handedness"} & figures.keys()


def test_the_pair_that_ships_finds_the_rendered_hands(root: Path) -> None:
    photos = CocoHands(root / "tests" / "photos" / "labels.json")
    answers = ask(Pipeline.load(), photos)
    assert [len(a.labels) for a in answers] == [len(entry.hands) for entry in photos.entries]
    assert {a.side for a in answers} == {400.0}
    assert pipeline_figures(answers)["recall"] > 0.5
