"""What the pose model is promised of a crop."""

from dataclasses import replace

import numpy as np
import pytest

from training.datasets.synthetic import Backgrounds, render_crop
from training.datasets.synthetic.crops import _covered, generator
from training.datasets.types import LabelledImage

SIZE = 96


@pytest.fixture(scope="module")
def crops() -> list[LabelledImage]:
    backgrounds = Backgrounds([])
    return [render_crop(seed, SIZE, backgrounds) for seed in range(150)]


def test_one_fully_labelled_hand_with_room_around_it(crops):
    for crop in crops:
        assert crop.image.shape == (SIZE, SIZE, 3)
        assert crop.image.dtype == np.uint8
        (hand,) = crop.hands
        x, y, width, height = hand.box
        assert SIZE / 2.31 < max(width, height) < SIZE / 1.34
        assert min(x, y) >= 0
        assert max(x + width, y + height) <= SIZE
        assert (hand.keypoints >= [x - 1, y - 1]).all()
        assert (hand.keypoints <= [x + width + 1, y + height + 1]).all()
        assert hand.labelled.all()
        assert hand.depth[0] == 0
        assert hand.visible.mean() >= 0.25
        centre = np.array([x + width / 2, y + height / 2])
        assert np.abs(centre - SIZE / 2).max() < 0.25 * SIZE


def test_both_hands_equally_often_and_many_views(crops):
    hands = [crop.hands[0] for crop in crops]
    assert 55 <= sum(hand.handedness == "left" for hand in hands) <= 95
    up = np.array([hand.keypoints[9] - hand.keypoints[0] for hand in hands])
    angle = np.degrees(np.arctan2(up[:, 0], -up[:, 1]))
    assert (np.abs(angle) < 45).mean() > 0.45  # biased to upright
    assert (np.abs(angle) > 90).mean() > 0.1


def test_handedness_agrees_with_the_shape_in_space(crops):
    """For flexed hands the labels themselves tell left from right: across the palm, along it and out of it (where the
    fingertips go) form a right-handed frame for a left hand."""
    checked = agreed = 0
    for crop in crops:
        hand = crop.hands[0]
        points = np.column_stack([hand.keypoints, hand.depth]).astype(float)
        points /= max(hand.box[2:])
        bend = points[[8, 12, 16, 20]].mean(axis=0) - points[[5, 9, 13, 17]].mean(axis=0)
        triple = np.cross(points[17] - points[0], points[5] - points[0]) @ bend
        if abs(triple) > 0.02:
            checked += 1
            agreed += (triple > 0) == (hand.handedness == "left")
    assert checked > 40
    assert agreed / checked > 0.95


def test_the_hand_is_where_its_label_says(crops):
    """Pictures of the same seed with a label moved would be caught here: inside the box there is more to see."""
    busier = 0
    for crop in crops:
        x, y, width, height = crop.hands[0].box.astype(int)
        grey = crop.image.astype(float).mean(axis=2)
        edges = np.abs(np.diff(grey, axis=0))[:, :-1] + np.abs(np.diff(grey, axis=1))[:-1]
        inside = np.zeros_like(edges, bool)
        inside[y : y + height, x : x + width] = True
        busier += edges[inside].mean() > edges[~inside].mean()
    assert busier / len(crops) > 0.75


def test_the_same_seed_gives_the_same_bytes_whatever_came_before(crops):
    again = render_crop(7, SIZE, Backgrounds([]))
    np.testing.assert_array_equal(again.image, crops[7].image)
    np.testing.assert_array_equal(again.hands[0].keypoints, crops[7].hands[0].keypoints)
    assert crops[7].image.tobytes() != crops[8].image.tobytes()


def test_what_is_covered_is_not_visible(crops):
    nothing = np.full((SIZE, SIZE, 3), -1, np.float32)
    for seed, crop in enumerate(crops[:10]):
        hand = replace(crop.hands[0], visible=np.ones(21, bool))
        picture, covered = _covered(np.random.default_rng(seed), nothing, hand, Backgrounds([]))
        x, y = hand.keypoints.astype(int).T
        np.testing.assert_array_equal(covered.visible, (picture[y, x] == -1).all(axis=1))
        assert not covered.visible.all()


def test_random_numbers_depend_on_the_whole_key():
    assert generator(1, 5).random() == generator(1, 5).random()
    assert len({generator(*key).random() for key in ((1, 5), (2, 5), (1, 6), (1, 5, 0), (1, 5, 1))}) >= 4
