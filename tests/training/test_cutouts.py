import numpy as np
import pytest

from training.canvas import Canvas
from training.cutouts import can_be_cut_out, cut_out_hand, paste, paste_shape
from training.datasets.types import HandLabel, LabelledImage

SIZE = 128
# An open hand, fingers up, in shares of its box.
FINGERS = [(0.5, 1.0)] + [
    (0.5 + (x - 0.5) * y, 0.75 - 0.75 * y)
    for x in (0.0, 0.25, 0.5, 0.75, 1.0)
    for y in (0.25, 0.5, 0.75, 1.0)
]


def photo(grey: int = 40, hand: int = 200) -> LabelledImage:
    """A bright square in a dark photo; the hand lies in it."""
    image = np.full((160, 200, 3), grey, np.uint8)
    image[40:120, 60:140] = hand
    keypoints = (np.array(FINGERS) * 60 + [70, 50]).astype(np.float32)
    box = np.array([66, 46, 68, 68], np.float32)
    return LabelledImage(image, (HandLabel(box, keypoints, np.ones(21, bool)),))


def canvas(grey: int = 10) -> Canvas:
    return Canvas(np.full((SIZE, SIZE, 3), grey, np.uint8))


@pytest.mark.parametrize("seed", range(12))
def test_a_pasted_hand_is_where_its_box_says(seed: int) -> None:
    rng, drawn = np.random.default_rng(seed), canvas()
    picture = photo()
    cut = cut_out_hand(picture, picture.hands[0], SIZE, 60, rng)
    assert paste(drawn, cut, rng)
    (target,) = drawn.targets
    x0, y0, x1, y1 = target.box
    assert max(x1 - x0, y1 - y0) == pytest.approx(60, rel=0.45)  # turned and stretched
    rows, columns = np.nonzero(drawn.image.max(2) > 60)
    inside = (columns > x0 - 3) & (columns < x1 + 3) & (rows > y0 - 3) & (rows < y1 + 3)
    assert inside.mean() > 0.8  # the forearm may stick out
    assert len(rows) > 0.2 * (x1 - x0) * (y1 - y0)
    assert (drawn.image == 10).all(2).mean() > 0.4  # the place behind stays


def test_a_hand_is_not_pasted_onto_another() -> None:
    rng, drawn, picture = np.random.default_rng(3), canvas(), photo()
    cut = cut_out_hand(picture, picture.hands[0], SIZE, 60, rng)
    assert paste(drawn, cut, rng)
    before = drawn.image.copy()
    assert not paste(drawn, cut, rng)
    assert np.array_equal(drawn.image, before)
    assert len(drawn.targets) == 1


def test_a_shape_filled_with_something_else_is_no_hand() -> None:
    rng, drawn, picture = np.random.default_rng(4), canvas(), photo()
    cut = cut_out_hand(picture, picture.hands[0], SIZE, 60, rng)
    paste_shape(drawn, cut, np.full((SIZE, SIZE, 3), 220, np.uint8), rng)
    assert (drawn.image > 100).any()
    assert drawn.targets == []


def test_what_lies_outside_of_the_photo_is_not_pasted() -> None:
    rng, drawn = np.random.default_rng(5), canvas(120)
    whole = photo(grey=200)
    at_edge = LabelledImage(whole.image[:80], whole.hands)  # cut through the hand
    cut = cut_out_hand(at_edge, at_edge.hands[0], SIZE, 60, rng)
    paste(drawn, cut, rng)
    assert drawn.image.min() > 60  # black would come from outside


def test_hands_are_not_enlarged_beyond_what_their_pixels_show() -> None:
    rng, picture = np.random.default_rng(6), photo()
    small = HandLabel(
        picture.hands[0].box / 10,
        picture.hands[0].keypoints / 10,
        np.ones(21, bool),  # type: ignore[operator]
    )
    cut = cut_out_hand(picture, small, SIZE, 100, rng)
    assert max(cut.box[2:] - cut.box[:2]) < 2 * 2.6 * 6.8


def test_hands_with_unknown_keypoints_stay_where_they_are() -> None:
    box = np.array([0, 0, 10, 10], np.float32)
    known = np.ones(21, bool)
    assert not can_be_cut_out(HandLabel(box))
    assert can_be_cut_out(HandLabel(box, np.zeros((21, 2), np.float32) + 5, known))
    known[3] = False
    assert not can_be_cut_out(HandLabel(box, np.zeros((21, 2), np.float32) + 5, known))


@pytest.mark.parametrize("seed", range(4))
def test_tiny_hands_are_more_than_their_edge(seed: int) -> None:
    picture = photo()
    cut = cut_out_hand(picture, picture.hands[0], SIZE, 12, np.random.default_rng(seed))
    assert cut.mask.max() > 0.9
