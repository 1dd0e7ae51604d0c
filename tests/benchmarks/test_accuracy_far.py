from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from accuracy_far import HEIGHT, WIDTH, FarAway

from training.datasets.types import HandLabel, LabelledImage


@pytest.fixture
def behind(tmp_path: Path) -> list[Path]:
    cv2.imwrite(str(tmp_path / "dark.png"), np.full((30, 40, 3), 20, np.uint8))
    return [tmp_path / "dark.png"]


def photo(height: int = 200, width: int = 300) -> LabelledImage:
    """Black, with a white hand of 60 by 40 pixels and a smaller one."""
    image = np.zeros((height, width, 3), np.uint8)
    image[20:60, 30:90] = 255
    boxes = [[30, 20, 60, 40], [5, 5, 12, 12]]
    return LabelledImage(image, tuple(HandLabel(np.array(box, np.float32)) for box in boxes))


def test_the_largest_hand_is_as_small_as_asked_for(behind: list[Path]) -> None:
    pictures = list(FarAway([photo()] * 6, behind, 30))
    for picture in pictures:
        assert picture.image.shape == (HEIGHT, WIDTH, 3)
        first, second = (hand.box for hand in picture.hands)
        assert first[2:] == pytest.approx([30, 20])
        assert second[2:] == pytest.approx([6, 6])
        x, y, width, height = first.round().astype(int)
        assert picture.image[y + 2 : y + height - 2, x + 2 : x + width - 2].min() > 250
        assert (picture.image == 20).mean() > 0.9  # what lies behind
    assert len({tuple(picture.hands[0].box[:2]) for picture in pictures}) == 6


def test_they_are_the_same_every_time(behind: list[Path]) -> None:
    far = FarAway([photo()] * 2, behind, 30)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(far, far, strict=True))


def test_what_is_known_of_the_photo_stays(behind: list[Path]) -> None:
    (picture,) = FarAway([replace(photo(), complete=False, source="somebody")], behind, 30)
    assert (picture.complete, picture.source) == (False, "somebody")


def test_a_photo_without_hands_is_as_small_itself(behind: list[Path]) -> None:
    (picture,) = FarAway([LabelledImage(np.zeros((50, 100, 3), np.uint8), ())], behind, 40)
    assert picture.hands == ()
    assert (picture.image == 0).all(2).sum() == pytest.approx(40 * 20, abs=5)


def test_a_photo_that_would_not_fit_is_smaller(behind: list[Path]) -> None:
    (picture,) = FarAway([photo(height=600)], behind, 120)
    assert picture.hands[0].box[2:] == pytest.approx([72, 48])
