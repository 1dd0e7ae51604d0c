"""What the detector is promised of a scene."""

import cv2
import numpy as np
import pytest

from training.datasets.synthetic import Backgrounds, render_scene
from training.datasets.types import LabelledImage

SIZE = 160


@pytest.fixture(scope="module")
def scenes() -> list[LabelledImage]:
    backgrounds = Backgrounds([])
    return [render_scene(seed, SIZE, backgrounds) for seed in range(80)]


def test_none_to_four_hands_of_all_sizes(scenes):
    counts = [len(scene.hands) for scene in scenes]
    assert min(counts) == 0
    assert max(counts) >= 3
    assert set(counts) <= set(range(5))
    sides = [max(hand.box[2:]) for scene in scenes for hand in scene.hands]
    assert min(sides) < 20
    assert max(sides) > 80
    assert {hand.handedness for scene in scenes for hand in scene.hands} == {"left", "right"}


def test_boxes_lie_in_the_picture_and_hold_the_keypoints(scenes):
    for scene in scenes:
        assert scene.image.shape == (SIZE, SIZE, 3)
        for hand in scene.hands:
            x, y, width, height = hand.box
            assert min(x, y) >= 0
            assert max(x + width, y + height) <= SIZE
            assert min(width, height) > 0
            inside = ((hand.keypoints >= 0) & (hand.keypoints < SIZE)).all(axis=1)
            assert (hand.keypoints[inside] >= [x - 1, y - 1]).all()
            assert (hand.keypoints[inside] <= [x + width + 1, y + height + 1]).all()
            assert not hand.visible[~inside].any()
            assert hand.visible.mean() >= 0.2


def test_a_scene_with_a_hand_too_hidden_to_be_labelled_is_not_complete(monkeypatch):
    monkeypatch.setattr("training.datasets.synthetic.scenes.LEAST_SEEN", 1.1)  # no hand is seen so well
    shown = [render_scene(seed, 64, Backgrounds([])) for seed in range(8)]
    assert not any(scene.hands for scene in shown)
    assert not all(scene.complete for scene in shown)


def test_made_up_backgrounds_make_complete_scenes(scenes):
    assert np.mean([scene.complete for scene in scenes]) > 0.9


def test_photos_make_scenes_incomplete_unless_known_to_be_free_of_hands(tmp_path):
    cv2.imwrite(str(tmp_path / "photo.png"), np.full((64, 64, 3), 120, np.uint8))
    unknown = [render_scene(seed, 64, Backgrounds([tmp_path])).complete for seed in range(25)]
    free = [
        render_scene(seed, 64, Backgrounds([tmp_path], hand_free=[tmp_path])).complete for seed in range(25)
    ]
    assert 0.1 < np.mean(unknown) < 0.9
    assert np.mean(free) > np.mean(unknown)


def test_the_same_seed_gives_the_same_bytes_whatever_came_before(scenes):
    again = render_scene(11, SIZE, Backgrounds([]))
    np.testing.assert_array_equal(again.image, scenes[11].image)
    assert len(again.hands) == len(scenes[11].hands)
