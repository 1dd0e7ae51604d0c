"""Scenes are laid out without crowding, and arms come from shoulders."""

from itertools import combinations

import numpy as np
import pytest

from training.datasets.synthetic.layouts import (
    LAYOUTS,
    MOST_HANDS,
    MOST_OVERLAP,
    SMALLEST_HAND,
    Scene,
    _one_person,
    clipped,
    crowd,
    draw_layout,
    empty,
    free,
    overlap,
    people,
    table_top,
    together,
)
from training.datasets.synthetic.stage import hand_box


def set_up(layout: object, seed: int, size: int = 320) -> Scene:
    scene = Scene(size, [], [], [])
    layout(np.random.default_rng(seed), scene)
    return scene


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_every_layout_keeps_the_rules(layout):
    for seed in range(8):
        scene = set_up(layout, seed)
        assert len(scene.hands) == len(scene.scales) <= MOST_HANDS
        assert [hand.owner for hand in scene.hands] == list(range(len(scene.hands)))
        assert {part.owner for part in scene.parts if part.owner >= 0} == set(range(len(scene.hands)))
        for hand in scene.hands:
            box = hand_box(hand)
            inside = clipped(box, 320)
            assert max(box[2:]) >= SMALLEST_HAND
            assert inside[2] * inside[3] >= 0.49 * box[2] * box[3]


def test_layouts_show_what_they_are_for():
    assert not any(set_up(empty, seed).hands for seed in range(5))
    assert all(len(set_up(together, seed).hands) >= 2 for seed in range(5) if set_up(together, seed).hands)
    small = [max(hand_box(hand)[2:]) for seed in range(12) for hand in set_up(crowd, seed).hands]
    assert np.median(small) < 35
    assert any(set_up(table_top, seed).hands for seed in range(3))


def test_scenes_of_other_sizes_are_scaled():
    large = [max(hand_box(hand)[2:]) for seed in range(10) for hand in set_up(people, seed, 640).hands]
    small = [max(hand_box(hand)[2:]) for seed in range(10) for hand in set_up(people, seed, 320).hands]
    assert np.median(large) > 1.4 * np.median(small)


def test_arms_of_people_come_from_their_own_shoulders():
    """The left arm of somebody who faces the camera is on the right of the picture."""
    head, centre, misses = 80.0, np.array([160.0, 60.0]), []
    for seed in range(20):
        scene = Scene(320, [], [], [])
        _one_person(np.random.default_rng(seed), scene, centre, head, 2, near=True)
        for hand, scale in zip(scene.hands, scene.scales, strict=True):
            side = 0.5 if hand.handedness == "left" else -0.5
            shoulder = centre + head * np.array([side, 1.25])
            misses.append(np.linalg.norm(hand.shoulder[:2] - shoulder) / scale)
    assert len(misses) > 20
    assert np.median(misses) < 0.4  # in hand lengths


@pytest.mark.parametrize("layout", [free, table_top])
def test_arms_run_out_of_the_picture(layout):
    hands = [hand for seed in range(20) for hand in set_up(layout, seed).hands]
    outside = [np.abs(hand.shoulder[:2] - 160).max() > 160 for hand in hands]
    assert np.mean(outside) > 0.95


def test_hands_that_do_not_touch_on_purpose_lie_apart():
    for seed in range(40):
        boxes = [hand_box(hand) for hand in set_up(free, seed).hands]
        assert all(overlap(one, other) <= MOST_OVERLAP for one, other in combinations(boxes, 2))


def test_all_layouts_are_drawn():
    rng = np.random.default_rng(0)
    assert {draw_layout(rng) for _ in range(200)} == set(LAYOUTS)


def test_clipping_a_box():
    np.testing.assert_allclose(clipped(np.array([-5, 10, 20, 200], np.float32), 100), [0, 10, 15, 90])
