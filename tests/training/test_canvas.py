import numpy as np
import pytest

from service.inference.geometry import overlaps
from training.augment import square_crop_matrix, transform
from training.canvas import Canvas, mosaic, photo_matrix, transform_box
from training.datasets.synthetic.casting import draw_single
from training.datasets.synthetic.stage import draw_rotation, framed_view, hand_box, project
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
    image = np.zeros((100, 100, 3), np.uint8)
    box = transform_box(hand, square_crop_matrix(np.array([50.0, 50.0]), 100, 100, angle=0.7), image)
    assert box.tolist() == pytest.approx([28, 28, 72, 72], abs=0.6)  # a ring looks the same from every side


def uneven() -> HandLabel:
    """A hand whose box reaches beyond the keypoints by 2 on the left, 4 above, 6 on the right, 8 below."""
    x, y = np.meshgrid(np.linspace(20, 60, 7), np.linspace(30, 70, 3))
    return HandLabel(
        np.array([18, 26, 48, 52], np.float32), np.stack([x, y], 2).reshape(21, 2).astype(np.float32)
    )


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([[1, 0, 0], [0, 1, 0]], [18, 26, 66, 78]),
        ([[2, 0, 5], [0, 2, -5]], [41, 47, 137, 151]),
        ([[-1, 0, 100], [0, 1, 0]], [34, 26, 82, 78]),  # mirrored
        ([[0, -1, 100], [1, 0, 0]], [22, 18, 74, 66]),  # a quarter turn
        ([[2, 0, 0], [0, 0.5, 0]], [36, 13, 132, 39]),  # stretched
    ],
)
def test_each_side_of_a_box_keeps_its_margin(matrix: list[list[float]], expected: list[float]) -> None:
    box = transform_box(uneven(), np.array(matrix, float), np.zeros((100, 100, 3), np.uint8))
    assert box.tolist() == pytest.approx(expected, abs=1e-4)


def test_what_the_picture_cuts_off_stays_cut_off() -> None:
    hand = uneven()
    cut = HandLabel(np.array([18, 26, 32, 52], np.float32), hand.keypoints)  # the picture ends at 50
    box = transform_box(cut, np.array([[-1.0, 0, 50], [0, 1, 0]]), np.zeros((100, 50, 3), np.uint8))
    assert box.tolist() == pytest.approx([0, 26, 32, 78], abs=1e-4)


def test_rendered_hands_turned_a_little_have_tight_boxes() -> None:
    """Within a few per cent of the boxes around what was rendered, turned and mirrored with it."""
    rng = np.random.default_rng(0)
    image = np.zeros((320, 320, 3), np.uint8)
    shared = []
    for _ in range(40):
        stage = draw_single(rng, 0)
        view = framed_view(stage, 0, draw_rotation(rng, "any"), 4.0, 150, np.array([160.0, 160.0]), 0.0)
        (seen,) = project(stage, view).hands
        hand = HandLabel(hand_box(seen), seen.keypoints[:, :2].astype(np.float32))
        matrix = square_crop_matrix(
            np.array([160.0, 160.0]), 300, 256, rng.normal(0, 0.12), rng.random() < 0.5
        )
        outline = transform(seen.outline[:, :2], matrix)
        exact = np.concatenate([outline.min(0), outline.max(0) - outline.min(0)])
        low, high = np.split(transform_box(hand, matrix, image), 2)
        shared.append(
            overlaps(np.concatenate([low, high]), np.concatenate([exact[:2], exact[:2] + exact[2:]])[None])[0]
        )
    assert np.mean(shared) > 0.95
    assert np.min(shared) > 0.75


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
