import pytest

from service.inference.hands import Box
from service.inference.margins import BOX_MARGIN, Margins

INNER = Box(100, 100, 100, 50)
OUTER = Box(90, 95, 130, 60)  # 10, 5, 20 and 5 further out: shares of the larger side, 100
SHARES = (0.1, 0.05, 0.2, 0.05)


def test_what_the_detector_says_first_counts_and_what_it_says_later_counts_less() -> None:
    margins = Margins()
    assert margins.shares == pytest.approx(BOX_MARGIN)
    margins.learn(OUTER, INNER, 640, 480)
    assert margins.shares == pytest.approx(SHARES)
    margins.learn(INNER, INNER, 640, 480)
    assert margins.shares == pytest.approx([0.8 * share for share in SHARES])


def test_what_is_not_confirmed_fades() -> None:
    margins = Margins()
    margins.learn(OUTER, INNER, 640, 480)
    margins.fade(5.0)
    assert margins.shares[2] == pytest.approx(BOX_MARGIN + 0.13 * 0.368, abs=1e-3)
    margins.fade(100.0)
    assert margins.shares == pytest.approx(BOX_MARGIN)


@pytest.mark.parametrize(("width", "height"), [(220, 480), (640, 155), (190, 480), (640, 140)])
def test_a_hand_that_the_picture_cuts_off_says_nothing(width: int, height: int) -> None:
    """The detector's box ends at the edge, or the keypoints go on beyond it."""
    margins = Margins()
    margins.learn(OUTER, INNER, width, height)
    assert margins.shares == pytest.approx(BOX_MARGIN)
    margins.learn(OUTER, INNER, 640, 480)
    assert margins.shares == pytest.approx(SHARES)


def test_absurd_boxes_are_bounded() -> None:
    margins = Margins()
    margins.learn(Box(2, 2, 600, 400), INNER, 640, 480)
    assert margins.shares.max() == pytest.approx(0.3)
    margins.learn(Box(140, 120, 10, 10), INNER, 640, 480)
    assert margins.shares.min() >= -0.1
