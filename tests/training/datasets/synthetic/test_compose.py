"""Labels are read off the rendered picture."""

import numpy as np
import pytest

from training.datasets.synthetic.appearance import HandAppearance, draw_skin, plain
from training.datasets.synthetic.compose import label, paint
from training.datasets.synthetic.hand import Identity, Pose, Thumb
from training.datasets.synthetic.objects import BOX, solid_part
from training.datasets.synthetic.stage import Actor, Stage, framed_view, project, stage_hand, turned
from training.datasets.synthetic.surfaces import Part
from training.datasets.types import HandLabel

SIZE = 120
FLAT = (0.05, 0.05, 0.05, 0.05)
OPEN_HAND = Pose(FLAT, FLAT, FLAT, FLAT, Thumb(0.3, 0.0, 0.0, 0.0, 0.0))
FIST = Pose((1.4,) * 4, (1.7,) * 4, (1.0,) * 4, (0.0,) * 4, Thumb(-0.4, 0.5, 0.6, 0.7, 0.7))


def labelled(pose: Pose, turn: np.ndarray, extra: tuple[Part, ...] = ()) -> HandLabel:
    appearance = HandAppearance(draw_skin(np.random.default_rng(0)))
    actor = Actor(
        Identity((0, 1, 2), (0.4, 0.3, 0.3), 0, 0, 0), pose, appearance, "left", np.eye(3), np.zeros(3)
    )
    stage: Stage = stage_hand(actor, 0)
    view = framed_view(stage, 0, turn, 6.0, 80.0, np.array([60.0, 60.0]), 0.0)
    seen = project(stage, view)
    background = np.full((SIZE, SIZE, 3), 90, np.uint8)
    _, geometry, fragments = paint(np.random.default_rng(1), background, [*seen.parts, *extra], 80.0)
    return label(seen.hands[0], view.scale, geometry, fragments)


def test_an_open_palm_is_visible_as_a_whole():
    hand = labelled(OPEN_HAND, turned(0, 0, 0))
    assert hand.visible.all()
    assert max(hand.box[2:]) == pytest.approx(80, abs=0.1)
    np.testing.assert_allclose(hand.box[:2] + hand.box[2:] / 2, [60, 60], atol=0.1)


def test_the_back_of_a_fist_hides_the_fingertips():
    hand = labelled(FIST, turned(180, 0, 0))
    assert not hand.visible[[8, 12, 16]].any()
    assert hand.visible[[5, 9, 13]].all()  # the knuckles face the camera


def test_depth_is_relative_to_the_wrist_and_in_pixels():
    hand = labelled(OPEN_HAND, turned(0, 40, 0))  # fingers tipped towards the camera
    assert hand.depth[0] == 0
    assert hand.depth[12] < hand.depth[9] < 0
    reach = np.hypot(np.linalg.norm(hand.keypoints[12] - hand.keypoints[0]), hand.depth[12])
    assert abs(hand.depth[12]) / reach == pytest.approx(np.sin(np.radians(40)), abs=0.12)


def test_things_in_front_hide_keypoints_and_things_behind_do_not():
    wall = plain(np.full(3, 0.4))

    def slab(depth: float) -> Part:
        return solid_part(BOX, np.array([200.0, 40.0, 1.0]), np.eye(3), np.array([60.0, 20.0, depth]), wall)

    upper = labelled(OPEN_HAND, turned(0, 0, 0)).keypoints[:, 1] < 59
    covered = labelled(OPEN_HAND, turned(0, 0, 0), (slab(-200.0),))
    assert not covered.visible[upper].any()
    assert covered.visible[~upper].any()
    assert labelled(OPEN_HAND, turned(0, 0, 0), (slab(200.0),)).visible.all()


def test_keypoints_outside_the_picture_are_labelled_but_not_visible():
    appearance = HandAppearance(draw_skin(np.random.default_rng(0)))
    actor = Actor(
        Identity((0, 1, 2), (0.4, 0.3, 0.3), 0, 0, 0), OPEN_HAND, appearance, "left", np.eye(3), np.zeros(3)
    )
    stage = stage_hand(actor, 0)
    view = framed_view(stage, 0, turned(0, 0, 0), 6.0, 80.0, np.array([60.0, 10.0]), 0.0)
    seen = project(stage, view)
    _, geometry, fragments = paint(
        np.random.default_rng(1), np.zeros((SIZE, SIZE, 3), np.uint8), seen.parts, 80.0
    )
    hand = label(seen.hands[0], view.scale, geometry, fragments)
    outside = hand.keypoints[:, 1] < 0
    assert outside.any()
    assert not hand.visible[outside].any()
    assert hand.labelled.all()
