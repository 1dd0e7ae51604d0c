"""Hands alone and in pairs."""

import numpy as np

from training.datasets.synthetic.casting import draw_actor, draw_pair, draw_single


def test_single_hands_are_left_as_often_as_right():
    rng = np.random.default_rng(0)
    sides = [draw_single(rng, 0).hands[0].handedness for _ in range(200)]
    assert 75 <= sides.count("left") <= 125


def test_some_gestures_come_with_something_in_the_hand():
    rng = np.random.default_rng(0)
    gripping = sum(bool(draw_actor(rng, ("grip",))[1]) for _ in range(60))
    open_hands = sum(bool(draw_actor(rng, ("victory",))[1]) for _ in range(60))
    assert gripping > 25
    assert open_hands < 12


def test_a_pair_is_one_person_with_two_hands_close_together():
    rng = np.random.default_rng(0)
    gaps = []
    for _ in range(40):
        stage = draw_pair(rng, 4)
        first, second = stage.hands
        assert {first.handedness, second.handedness} == {"left", "right"}
        assert (first.owner, second.owner) == (4, 5)
        gaps.append(np.linalg.norm(first.outline[::9, None] - second.outline[None, ::9], axis=2).min())
        skins = [part.surface["colour"].tolist() for part in stage.parts if part.owner in (4, 5)]
        assert skins[0] in skins[1:]
    assert max(gaps) < 0.9
    assert np.mean(np.array(gaps) < 0.1) > 0.4  # many touch
