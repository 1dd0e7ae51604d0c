import numpy as np
import pytest
from accuracy_damage import DAMAGES, Damaged

from training.datasets.types import HandLabel, LabelledImage

BRIGHT = 200


@pytest.fixture
def picture() -> LabelledImage:
    """A bright rectangle that is labelled as a hand."""
    image = np.full((60, 100, 3), 20, np.uint8)
    image[10:40, 70:90] = BRIGHT
    return LabelledImage(image, (HandLabel(np.array([70, 10, 20, 30], np.float32)),))


@pytest.mark.parametrize("name", DAMAGES)
def test_hands_stay_within_their_boxes(name: str, picture: LabelledImage) -> None:
    (damaged,) = Damaged([picture], DAMAGES[name][1])
    x, y, width, height = damaged.hands[0].box.astype(int)
    assert width * height == 600
    inside = damaged.image[y : y + height, x : x + width].mean()
    others = (damaged.image.sum() - inside * 3 * width * height) / (damaged.image.size - 3 * width * height)
    assert inside > 4 * others
    assert not np.array_equal(damaged.image, picture.image)


@pytest.mark.parametrize("name", DAMAGES)
def test_the_damage_is_the_same_every_time(name: str, picture: LabelledImage) -> None:
    damaged = Damaged([picture, picture], DAMAGES[name][1])
    first, again = ([each.image for each in damaged] for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
