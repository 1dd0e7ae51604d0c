import numpy as np
import pytest

from training.metrics import detection, greedy_match, pairwise_iou, pck, pck_auc
from training.pose_metrics import PoseErrors


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_iou_of_known_boxes() -> None:
    a = boxes((0, 0, 10, 10))
    b = boxes((0, 0, 10, 10), (5, 0, 10, 10), (20, 20, 5, 5))
    assert pairwise_iou(a, b)[0].tolist() == pytest.approx([1, 50 / 150, 0])


def test_a_true_box_is_matched_once() -> None:
    found = boxes((0, 0, 10, 10), (0, 0, 10, 10), (50, 50, 10, 10))
    assert greedy_match(found, boxes((0, 0, 10, 10))) == [0, -1, -1]
    assert greedy_match(found, boxes()) == [-1, -1, -1]


def test_detection_figures_of_a_case_worked_by_hand() -> None:
    truth = [boxes((0, 0, 10, 10), (40, 40, 10, 10)), boxes((0, 0, 10, 10))]
    found = [boxes((0, 0, 10, 10), (80, 80, 10, 10)), boxes((0, 0, 10, 10))]
    scores = [np.array([0.9, 0.8]), np.array([0.7])]
    result = detection(found, scores, truth, threshold=0.75)
    # In order of score: hit, miss, hit; of three hands.
    assert (result.recall, result.precision) == pytest.approx((1 / 3, 1 / 2))
    assert (result.best_threshold, result.best_recall, result.best_precision) == pytest.approx(
        (0.7, 2 / 3, 2 / 3)
    )


def test_nothing_found_scores_nothing() -> None:
    result = detection([boxes()], [np.array([])], [boxes((0, 0, 1, 1))], 0.5)
    assert (result.recall, result.precision) == (0, 0)


def test_pck_counts_missed_hands_as_wrong() -> None:
    truth = np.zeros((1, 21, 2))
    predicted = np.zeros((1, 21, 2))
    predicted[0, :7, 0] = 15  # 0.15 of a hand of 100 px
    errors = PoseErrors.of(predicted, truth, np.array([100.0]), np.ones((1, 21), bool)).normalised
    assert pck(errors, 0.1) == pytest.approx(14 / 21)
    assert pck(errors, 0.2) == 1
    with_missed = np.concatenate([errors, np.full((1, 21), np.inf)])
    assert pck(with_missed, 0.2) == 0.5
    assert pck_auc(np.zeros((1, 21)) + 0.25) == pytest.approx(0.5, abs=0.01)
