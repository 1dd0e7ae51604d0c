import numpy as np
import pytest

from service.models.keypoints import KEYPOINT_NAMES
from training.pose_metrics import PoseErrors


def errors_of(*hands: float, side: float = 100.0) -> PoseErrors:
    """All keypoints of each hand are so many pixels off."""
    truth = np.zeros((len(hands), 21, 2))
    predicted = truth.copy()
    predicted[..., 0] = np.array(hands)[:, None]
    return PoseErrors.of(predicted, truth, np.full(len(hands), side), np.ones((len(hands), 21), bool))


def test_figures_of_known_errors() -> None:
    figures = errors_of(3.0, 15.0, 60.0).joint()
    assert (figures.pck_01, figures.pck_02) == pytest.approx((1 / 3, 2 / 3))
    assert (figures.epe, figures.epe_median) == pytest.approx((26.0, 15.0))
    assert figures.error == pytest.approx(0.26)
    assert figures.labelled == 3 * 21
    # PCK rises from 0 to 1 at 0.03 and 0.15 of 0.5; the third hand is never right.
    assert figures.auc == pytest.approx((0.94 + 0.70 + 0) / 3, abs=0.01)
    assert figures.auc_30px == pytest.approx((0.9 + 0.5 + 0) / 3, abs=0.01)


def test_pixels_are_the_photos_own_and_shares_the_hands() -> None:
    figures = errors_of(6.0, side=30.0).joint()
    assert (figures.epe, figures.error) == pytest.approx((6.0, 0.2))
    assert figures.pck_01 == 0


def test_keypoints_are_told_apart_and_unlabelled_ones_count_nowhere() -> None:
    errors = errors_of(5.0, 5.0)
    errors.pixels[:, 4] = 50.0
    errors.labelled[0, 4] = False
    errors.labelled[:, 8] = False
    joints = errors.joints()
    assert [joint.name for joint in joints] == list(KEYPOINT_NAMES)
    assert (joints[4].labelled, joints[4].epe) == (1, 50.0)
    assert joints[8].labelled == 0
    assert np.isnan(joints[8].epe)
    assert errors.joint().labelled == 2 * 21 - 3
    assert errors.joint().epe == pytest.approx((5.0 * 38 + 50.0) / 39)


def test_a_hand_that_was_not_found_is_never_right() -> None:
    errors = errors_of(1.0, np.inf)
    assert errors.joint().pck_02 == 0.5
    assert errors.curve(np.array([0.005, 0.1, 0.5])).tolist() == [0, 0.5, 0.5]
    assert errors.curve(np.array([0.5, 30.0]), in_pixels=True).tolist() == [0, 0.5]


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="expected shapes"):
        PoseErrors(np.zeros((2, 20)), np.ones(2), np.ones((2, 20), bool))
    with pytest.raises(ValueError, match="not positive"):
        PoseErrors(np.zeros((1, 21)), np.zeros(1), np.ones((1, 21), bool))
