import numpy as np
import pytest

from training.coco_metrics import coco_figures


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_exact_boxes_score_one_and_nothing_found_scores_nothing() -> None:
    truth = [boxes((10, 10, 40, 40), (60, 60, 30, 30)), boxes()]
    perfect = coco_figures(truth, [np.array([0.9, 0.8]), np.array([])], truth, [100, 100])
    assert (perfect.ap, perfect.ap50, perfect.ap75, perfect.ar) == pytest.approx((1, 1, 1, 1))
    none = coco_figures([boxes(), boxes()], [np.array([])] * 2, truth, [100, 100])
    assert (none.ap, none.ap50, none.ap75, none.ar) == (0, 0, 0, 0)


def test_no_true_box_at_all_scores_zero() -> None:
    result = coco_figures([boxes((0, 0, 5, 5))], [np.array([0.5])], [boxes()], [100])
    assert (result.ap, result.ar) == (0, 0)
    assert all(size.hands == 0 and np.isnan(size.ap) for size in result.by_size.values())


def test_a_box_counts_up_to_the_iou_it_reaches() -> None:
    # 82 of 100 columns: IoU 0.82, right at the thresholds 0.50 to 0.80, which are seven of ten.
    result = coco_figures([boxes((0, 0, 82, 50))], [np.array([0.9])], [boxes((0, 0, 100, 50))], [200])
    assert (result.ap50, result.ap75) == pytest.approx((1, 1))
    assert result.ap == pytest.approx(0.7)
    assert result.ar == pytest.approx(0.7)
    assert result.curve(0.8) == pytest.approx(np.ones(101))
    assert result.curve(0.85).tolist() == [0.0] * 101
    with pytest.raises(ValueError, match=r"IoU 0\.6\d* is none of"):
        result.curve(0.62)


def test_average_precision_is_the_mean_over_101_recalls() -> None:
    # By score: right, wrong, right, of three hands: precision 1 up to recall 1/3, then 2/3 up to 2/3, then 0.
    truth = [boxes((0, 0, 10, 10), (40, 40, 10, 10)), boxes((0, 0, 10, 10))]
    found = [boxes((0, 0, 10, 10), (80, 80, 10, 10)), boxes((0, 0, 10, 10))]
    result = coco_figures(found, [np.array([0.9, 0.8]), np.array([0.7])], truth, [100, 100])
    assert result.ap50 == pytest.approx((34 * 1 + 33 * 2 / 3) / 101)


def test_size_is_the_share_of_the_picture_and_not_pixels() -> None:
    small, large = boxes((0, 0, 100, 100)), boxes((200, 200, 500, 500))
    truth = [np.concatenate([small, large])]
    result = coco_figures([large], [np.array([0.9])], truth, [1000])
    assert [size.hands for size in result.by_size.values()] == [0, 1, 0, 1]
    assert (result.by_size["small"].ap, result.by_size["large"].ap) == pytest.approx((0, 1))
    # The same photo at a quarter of the size.
    quarter = coco_figures([large / 4], [np.array([0.9])], [truth[0] / 4], [250])
    assert (quarter.ap, quarter.by_size["large"].ar) == (result.ap, result.by_size["large"].ar)


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        coco_figures([boxes()], [], [boxes()], [10])
