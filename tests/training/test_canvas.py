import numpy as np
import pytest

from training.augment import square_crop_matrix
from training.canvas import Canvas, mosaic, photo_matrix, transform_box
from training.datasets.types import HandLabel, LabelledImage
from training.detector import targets_of


def picture(*boxes: tuple[float, float, float, float], size: int = 100) -> LabelledImage:
    """A dark picture with a bright rectangle for each hand."""
    image = np.full((size, size, 3), 20, np.uint8)
    for x, y, w, h in boxes:
        image[int(y) : int(y + h), int(x) : int(x + w)] = 220
    return LabelledImage(image, tuple(HandLabel(np.array(b, np.float32)) for b in boxes))


def bright(image: np.ndarray) -> list[float]:
    rows, columns = np.nonzero(image[..., 0] > 128)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("side", [50.0, 100.0, 180.0])
def test_boxes_move_with_the_pixels(side: float, mirror: bool) -> None:
    canvas = Canvas(np.zeros((96, 96, 3), np.uint8))
    matrix = square_crop_matrix(np.array([50.0, 50.0]), side, 96, mirror=mirror)
    canvas.place(picture((40, 45, 20, 10)), (0, 0, 96, 96), matrix)
    (target,) = canvas.targets
    assert target.box.tolist() == pytest.approx(bright(canvas.image), abs=1.5)
    assert target.counts


def test_a_rotated_hand_with_keypoints_keeps_its_margin() -> None:
    angles = np.linspace(0, 2 * np.pi, 21)
    keypoints = np.stack([50 + 20 * np.cos(angles), 50 + 20 * np.sin(angles)], 1).astype(np.float32)
    hand = HandLabel(np.array([28, 28, 44, 44], np.float32), keypoints)
    box = transform_box(hand, square_crop_matrix(np.array([50.0, 50.0]), 100, 100, angle=0.7))
    assert box.tolist() == pytest.approx([28, 28, 72, 72], abs=0.6)  # a ring looks the same from every side


def test_a_hand_cut_off_by_the_edge_is_neither_hand_nor_background() -> None:
    canvas = Canvas(np.zeros((96, 96, 3), np.uint8))
    matrix = np.array([[1.0, 0, -30], [0, 1.0, 0]])
    canvas.place(picture((10, 40, 30, 20), (70, 40, 20, 20)), (0, 0, 96, 96), matrix)
    cut, whole = canvas.targets
    assert (cut.counts, whole.counts) == (False, True)
    sample = targets_of(canvas)
    assert sample["background"][6, 0] == 0
    assert sample["background"][0, 6] == 1
    assert (sample["centre"] == 1).sum() == 1


def test_targets_lie_on_the_cell_of_the_centre() -> None:
    canvas = Canvas(np.zeros((128, 128, 3), np.uint8))
    canvas.place(picture((40, 60, 32, 24), size=128), (0, 0, 128, 128), np.eye(2, 3))
    sample = targets_of(canvas)
    assert sample["centre"].shape == (16, 16)
    row, column = np.unravel_index(sample["centre"].argmax(), (16, 16))
    assert (column, row) == (7, 9)
    assert sample["box"][:, row, column].tolist() == [40, 60, 72, 84]
    assert sample["box_weight"].sum() == pytest.approx(1)


def test_an_incomplete_picture_is_marked() -> None:
    canvas = Canvas(np.zeros((64, 64, 3), np.uint8))
    canvas.place(picture(), (0, 0, 32, 64), np.eye(2, 3), complete=False)
    assert canvas.unlabelled[:, :32].all()
    assert not canvas.unlabelled[:, 32:].any()
    assert targets_of(canvas)["unlabelled"].mean() == 0.5


def test_mosaics_cover_the_square_once() -> None:
    for seed in range(40):
        count = np.zeros((96, 96), int)
        for x0, y0, x1, y1 in mosaic(96, np.random.default_rng(seed)):
            count[y0:y1, x0:x1] += 1
        assert (count == 1).all()


def test_photos_mostly_cover_their_region_and_show_their_hand() -> None:
    covered = shown = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        canvas = Canvas(np.zeros((96, 96, 3), np.uint8))
        photo = picture((40, 30, 25, 30))
        canvas.place(photo, (0, 0, 96, 96), photo_matrix(photo, 96, 96, 40, rng))
        covered += (canvas.image > 0).all(2).mean() > 0.8
        shown += any(target.counts for target in canvas.targets)
    assert covered > 55
    assert shown > 85
