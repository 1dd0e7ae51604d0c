import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.inference.geometry import (
    CROP_FACTOR,
    PADDING,
    Crop,
    Pyramid,
    agreed_box,
    letterbox,
    non_maximum_suppression,
    overlaps,
    tight_box,
)
from service.inference.hands import Box
from training.datasets.synthetic.backgrounds import Backgrounds
from training.datasets.synthetic.crops import render_crop


def blob(width: int, height: int, x: float, y: float, sigma: float) -> np.ndarray:
    """A soft white spot whose centre is at (x, y) in continuous coordinates."""
    xs, ys = np.arange(width) + 0.5, np.arange(height) + 0.5
    spot = np.exp(-((xs[None] - x) ** 2 + (ys[:, None] - y) ** 2) / (2 * sigma**2))
    return np.repeat((spot * 255).astype(np.uint8)[:, :, None], 3, axis=2)


def centre(image: np.ndarray) -> tuple[float, float]:
    """The centre of mass in continuous coordinates."""
    weight = image[:, :, 0].astype(float)
    xs, ys = np.arange(image.shape[1]) + 0.5, np.arange(image.shape[0]) + 0.5
    return float((weight.sum(0) * xs).sum() / weight.sum()), float((weight.sum(1) * ys).sum() / weight.sum())


@pytest.mark.parametrize(
    ("shrink", "factor"), [(0.1, 1), (1, 1), (1.99, 1), (2, 2), (3.9, 2), (4, 4), (9, 8)]
)
def test_a_pyramid_gives_the_level_that_leaves_less_than_two(shrink: float, factor: int) -> None:
    image, found = Pyramid(np.zeros((101, 77, 3), np.uint8)).at(shrink)
    assert found == factor
    assert image.shape == (101 // factor, 77 // factor, 3)


def test_a_pyramid_ends_at_one_pixel() -> None:
    image, factor = Pyramid(np.zeros((1, 500, 3), np.uint8)).at(100)
    assert (image.shape, factor) == ((1, 500, 3), 1)


def test_a_level_averages_pixels() -> None:
    image = np.zeros((2, 4, 3), np.uint8)
    image[0, 0] = 200
    level, _ = Pyramid(image).at(2)
    assert level[0, 0, 0] == 50


@pytest.mark.parametrize(
    ("width", "height"), [(640, 480), (480, 640), (100, 100), (1920, 1080), (31, 977), (1, 1), (5000, 1)]
)
def test_letterbox_keeps_proportions_and_finds_the_way_back(width: int, height: int) -> None:
    image = np.full((height, width, 3), 255, np.uint8)
    fitted, placing = letterbox(Pyramid(image), 256)
    assert max(fitted.shape[:2]) == 256
    assert fitted.shape[0] % 32 == fitted.shape[1] % 32 == 0
    rows, columns = np.nonzero((fitted != PADDING).all(axis=2))
    padding = np.array(fitted.shape[:2]) - [np.ptp(rows) + 1, np.ptp(columns) + 1]
    assert (padding < 32).all()  # no more than it takes
    inner = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    assert max(inner[0, 2] - inner[0, 0], inner[0, 3] - inner[0, 1]) == 256
    assert placing.to_picture(inner)[0] == pytest.approx([0, 0, width, height], abs=1.01)


def test_a_letterbox_can_be_square() -> None:
    fitted, _ = letterbox(Pyramid(np.zeros((480, 640, 3), np.uint8)), 256, multiple=256)
    assert fitted.shape == (256, 256, 3)
    assert (fitted[0] == PADDING).all()
    assert (fitted[128] == 0).all()


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.0, 7.3])
def test_letterbox_does_not_shift_what_it_shows(scale: float) -> None:
    width, height = round(256 * scale), round(192 * scale)
    x, y = 0.31 * width, 0.64 * height
    square, placing = letterbox(Pyramid(blob(width, height, x, y, 8 * scale)), 256)
    square[square == PADDING] = 0
    (found,) = placing.to_picture(np.array([[*centre(square), 0, 0]], np.float32))
    assert found[:2] == pytest.approx([x, y], abs=0.15 * max(1, scale))


@pytest.mark.parametrize("side", [20, 96, 150, 400, 1000])
def test_a_crop_does_not_shift_what_it_shows(side: float) -> None:
    x, y = 500.3, 410.7
    crop = Crop(x - 0.4 * side, y - 0.7 * side, side, 96)
    pixels = crop.cut(Pyramid(blob(1100, 900, x, y, 0.06 * side)))
    assert pixels.shape == (96, 96, 3)
    (found,) = crop.to_picture(np.array([centre(pixels)], np.float32))
    assert found == pytest.approx([x, y], abs=0.1 * max(1.0, side / 96))
    assert found.dtype == np.float32


def test_a_crop_is_so_many_boxes_wide_around_its_centre() -> None:
    crop = Crop.around(Box(100, 200, 40, 20), 192)
    assert (crop.x, crop.y, crop.side, crop.size) == pytest.approx((92, 182, 56, 192))
    assert crop.side == pytest.approx(CROP_FACTOR * 40)


@pytest.mark.parametrize("degrees", [0, 37, 90, 180, -120])
@pytest.mark.parametrize("length", [60, 300])
def test_an_upright_crop_shows_the_hand_pointing_up(degrees: float, length: float) -> None:
    """A stick of a hand, turned by some angle: a red wrist and a green knuckle."""
    turn = np.deg2rad(degrees)
    along = np.array([np.sin(turn), -np.cos(turn)])
    wrist = np.array([401.0, 352.0])
    keypoints = (wrist + np.linspace(0, 1, 21)[:, None] * length * along).astype(np.float32)
    image = np.zeros((800, 800, 3), np.uint8)
    for point, colour in ((keypoints[0], (255, 0, 0)), (keypoints[9], (0, 255, 0))):
        at = tuple(round(float(v) * 16 - 8) for v in point)
        cv2.circle(image, at, 16 * length // 20, colour, -1, cv2.LINE_AA, shift=4)
    crop = Crop.upright(keypoints, 128)
    shown = crop.cut(Pyramid(image))
    found = []
    for channel in (0, 1):
        rows, columns = np.nonzero(shown[..., channel] > 127)
        found.append([columns.mean() + 0.5, rows.mean() + 0.5])
    assert np.array(found)[:, 0] == pytest.approx(64, abs=0.7)  # one above the other
    assert found[0][1] > found[1][1]
    back = crop.to_picture(np.array(found, np.float32))
    assert back == pytest.approx(keypoints[[0, 9]], abs=0.01 * length)
    assert crop.side == pytest.approx(length * 1.12 * CROP_FACTOR)


@pytest.mark.parametrize("turn", [0, 0.7])
def test_a_mirrored_crop_shows_the_same_window_the_other_way_round(turn: float) -> None:
    image = np.random.default_rng(1).integers(0, 255, (60, 80, 3), np.uint8)
    crop = Crop(12, 9, 40, 32, turn)
    assert (crop.mirror().cut(Pyramid(image)) == crop.cut(Pyramid(image))[:, ::-1]).all()
    points = np.array([[0, 0], [5, 20], [31, 2]], np.float32)
    flipped = np.array([32, 0], np.float32) + points * np.array([-1, 1], np.float32)
    assert crop.mirror().to_picture(flipped) == pytest.approx(crop.to_picture(points), abs=1e-4)
    assert crop.mirror().mirror() == crop


def test_a_crop_outside_the_picture_is_black() -> None:
    crop = Crop(-1000, -1000, 50, 32).cut(Pyramid(np.full((20, 20, 3), 255, np.uint8)))
    assert not crop.any()


def test_a_crop_of_a_large_area_averages_instead_of_skipping() -> None:
    stripes = np.zeros((800, 800, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = Crop(0, 0, 800, 100).cut(Pyramid(stripes))
    assert abs(crop[10:-10, 10:-10].astype(int) - 127).max() <= 1


def test_overlaps_of_known_boxes() -> None:
    iou, contained = overlaps(
        np.array([0, 0, 10, 10], np.float32),
        np.array([[0, 0, 10, 10], [5, 0, 15, 10], [2, 2, 4, 4], [20, 20, 30, 30]], np.float32),
    )
    assert iou == pytest.approx([1, 1 / 3, 0.04, 0], abs=1e-6)
    assert contained == pytest.approx([1, 0.5, 1, 0], abs=1e-6)


def test_suppression_takes_overlapping_and_nested_boxes() -> None:
    boxes = np.array(
        [[0, 0, 10, 10], [1, 1, 11, 11], [2, 2, 5, 5], [8, 0, 18, 10], [30, 30, 40, 40]], np.float32
    )
    assert non_maximum_suppression(boxes) == [0, 3, 4]
    assert non_maximum_suppression(boxes, containment=1.0) == [0, 2, 3, 4]
    assert non_maximum_suppression(np.zeros((0, 4), np.float32)) == []


coordinates = st.integers(0, 60)


@given(
    st.lists(
        st.tuples(coordinates, coordinates, st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=12
    )
)
def test_suppression_keeps_the_best_and_no_pair_that_overlaps(sizes: list[tuple[int, int, int, int]]) -> None:
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in sizes], np.float32)
    kept = non_maximum_suppression(boxes)
    assert kept[0] == 0
    assert kept == sorted(kept)
    for position, index in enumerate(kept[1:], start=1):
        iou, contained = overlaps(boxes[index], boxes[kept[:position]])
        assert (iou <= 0.5).all()
        assert (contained <= 0.75).all()
    for index in set(range(len(boxes))) - set(kept):
        iou, contained = overlaps(boxes[index], boxes[[k for k in kept if k < index]])
        assert ((iou > 0.5) | (contained > 0.75)).any()


def test_crop_agrees_with_a_plain_resize() -> None:
    """The whole picture as a crop is the picture resized."""
    image = cv2.resize(np.random.default_rng(0).integers(0, 255, (12, 12, 3), np.uint8), (150, 150))
    cropped = Crop(0, 0, 150, 96).cut(Pyramid(image)).astype(int)
    resized = cv2.resize(image, (96, 96), interpolation=cv2.INTER_LINEAR).astype(int)
    assert abs(cropped - resized)[2:-2, 2:-2].max() <= 3  # warpAffine's coordinates have 1/32 pixel


def test_a_tight_box_is_never_empty() -> None:
    assert tight_box(np.full((21, 2), 5, np.float32)).corners == (5, 5, 6, 6)


def test_a_box_is_midway_between_what_detector_and_keypoints_say() -> None:
    keypoints = np.linspace([100, 60], [200, 110], 21).astype(np.float32)
    # From the wrist, with 14 % of 100 px around it, to the tip of the little finger, with 4.5 %: 86, 46, 204.5, 114.5.
    box = agreed_box(Box.from_corners(90, 70, 190, 130), keypoints, 640, 480)
    assert box.corners == pytest.approx((88, 58, 197.25, 122.25))


def test_a_box_far_too_large_for_its_keypoints_has_no_say() -> None:
    keypoints = np.linspace([100, 60], [200, 110], 21).astype(np.float32)
    assert agreed_box(Box.from_corners(60, 0, 230, 170), keypoints, 640, 480).corners == pytest.approx(
        (86, 46, 204.5, 114.5)
    )


def test_boxes_around_exact_keypoints_are_nearly_those_of_rendered_hands() -> None:
    fits = []
    for seed in range(60):
        picture = render_crop(seed, 160, Backgrounds([]))
        hand = picture.hands[0]
        assert hand.keypoints is not None
        exact = np.concatenate([hand.box[:2], hand.box[:2] + hand.box[2:]])
        # Midway between the exact box and the keypoints' own is half as wrong as the latter.
        box = agreed_box(Box(*hand.box.tolist()), hand.keypoints, 160, 160)
        fits.append(float(overlaps(exact, np.array([box.corners]))[0][0]))
    assert np.mean(fits) > 0.925  # with 6 % around all keypoints 0.912


def test_keypoints_outside_of_the_picture_do_not_lead_the_box_there() -> None:
    seen = Box.from_corners(0, 0, 50, 50)
    half_outside = np.linspace([-80, 10], [40, 40], 21).astype(np.float32)
    assert agreed_box(seen, half_outside, 640, 480).corners[0] == 0
    outside = np.linspace([-80, -80], [-20, -20], 21).astype(np.float32)
    assert agreed_box(seen, outside, 640, 480) == seen
