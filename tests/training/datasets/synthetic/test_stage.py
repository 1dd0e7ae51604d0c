"""Staging, views and projection."""

import numpy as np
import pytest

from training.datasets.synthetic.appearance import HandAppearance, Sleeve, draw_skin, plain
from training.datasets.synthetic.hand import Identity, Pose, Thumb
from training.datasets.synthetic.mesh import hand_mesh
from training.datasets.synthetic.stage import (
    Actor,
    Stage,
    any_rotations,
    draw_rotation,
    framed_view,
    hand_box,
    joined,
    placed_view,
    project,
    stage_hand,
    turned,
)
from training.datasets.synthetic.vectors import vertex_normals

NO_BEND = (0.0, 0.0, 0.0, 0.0)
POSE = Pose(NO_BEND, (0.2,) * 4, NO_BEND, NO_BEND, Thumb(0.2, 0.1, 0.1, 0.1, 0.1))
SOMEBODY = Identity((1, 2, 3), (0.5, 0.25, 0.25), 0, 0, 0)


def actor(**changes: object) -> Actor:
    skin = draw_skin(np.random.default_rng(0))
    values = {
        "identity": SOMEBODY,
        "pose": POSE,
        "appearance": HandAppearance(skin),
        "handedness": "left",
        "turn": np.eye(3),
        "place": np.zeros(3),
    }
    return Actor(**(values | changes))


def view_of(stage: Stage, turn: np.ndarray, side: float = 100.0) -> Stage:
    return project(stage, framed_view(stage, 0, turn, 5.0, side, np.array([80.0, 80.0]), 0.0))


def test_a_left_palm_before_the_camera_has_its_thumb_on_the_left():
    """The one fact that handedness hangs on: hold up your left hand and show its palm; who looks at it sees your thumb
    on the left."""
    seen = view_of(stage_hand(actor(), 0), turned(0, 0, 0))
    hand = seen.hands[0]
    assert hand.handedness == "left"
    assert hand.keypoints[12, 1] < hand.keypoints[0, 1]  # fingers up
    assert hand.keypoints[4, 0] < hand.keypoints[20, 0]  # thumb left of the little finger
    surface = seen.parts[0].vertices
    palm, back = hand_mesh().palmar > 0.8, hand_mesh().palmar < -0.8
    on_hand = hand_mesh().along_arm < -0.2
    assert surface[palm & on_hand, 2].mean() < surface[back & on_hand, 2].mean()  # the palm is nearer


def test_mirroring_a_stage_swaps_hands():
    left = stage_hand(actor(), 0)
    right = left.mirrored()
    assert right.hands[0].handedness == "right"
    seen = view_of(right, turned(0, 0, 0)).hands[0]
    assert seen.keypoints[4, 0] > seen.keypoints[20, 0]
    np.testing.assert_allclose(right.mirrored().hands[0].keypoints, left.hands[0].keypoints)
    staged_right = stage_hand(actor(handedness="right"), 0).hands[0]
    np.testing.assert_allclose(staged_right.keypoints, right.hands[0].keypoints, atol=1e-12)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("handedness", ["left", "right"])
def test_normals_turn_with_the_surface(handedness, mirrored):
    turn = any_rotations(np.random.default_rng(0), 1)[0]
    stage = stage_hand(actor(handedness=handedness, turn=turn), 0)
    skin = (stage.mirrored() if mirrored else stage).parts[0]
    outward = vertex_normals(skin.vertices, skin.triangles)
    inside_out = (handedness == "right") != mirrored  # the order of a triangle's corners stays
    np.testing.assert_allclose(skin.normals, -outward if inside_out else outward, atol=1e-6)


def test_yaw_pitch_and_roll_do_what_they_say():
    stage = stage_hand(actor(), 0)
    back = view_of(stage, turned(180, 0, 0)).hands[0].keypoints
    assert back[4, 0] > back[20, 0]  # the back of a left hand: thumb on the right
    towards = view_of(stage, turned(0, 50, 0)).hands[0].keypoints
    assert towards[12, 2] < towards[0, 2] - 20  # fingers nearer than the wrist
    clockwise = view_of(stage, turned(0, 0, 90)).hands[0].keypoints
    assert clockwise[12, 0] > clockwise[0, 0] + 50  # fingers to the right


def test_framing_gives_the_box_asked_for():
    stage = stage_hand(actor(), 0)
    for seed in range(10):
        turn = any_rotations(np.random.default_rng(seed), 1)[0]
        view = framed_view(stage, 0, turn, 3.0, 60.0, np.array([50.0, 40.0]), 7.0)
        box = hand_box(project(stage, view).hands[0])
        assert max(box[2:]) <= 60.001
        np.testing.assert_allclose(box[:2] + box[2:] / 2, [50, 40], atol=1e-3)


def test_the_box_holds_the_hand_and_not_the_forearm():
    hand = view_of(stage_hand(actor(), 0), turned(0, 0, 0)).hands[0]
    x, y, width, height = hand_box(hand)
    points = hand.keypoints[:, :2]
    assert (points >= [x - 1e-3, y - 1e-3]).all()
    assert (points <= [x + width + 1e-3, y + height + 1e-3]).all()
    assert y + height < hand.keypoints[0, 1] + 0.15 * height  # ends just below the wrist
    assert hand.shoulder[1] > y + 2 * height


def test_perspective_makes_near_things_larger():
    stage = stage_hand(actor(), 0)
    near, far = (
        project(stage, placed_view(stage, turned(0, 60, 0), distance, 50.0, np.array([0.0, 0.0]), 0.0))
        for distance in (2.0, 50.0)
    )
    near_tips, far_tips = (stage.hands[0].keypoints[[8, 20], :2] for stage in (near, far))
    assert (
        np.ptp(near_tips, axis=0)[0] > 1.1 * np.ptp(far_tips, axis=0)[0]
    )  # they are tipped towards the camera


def test_nothing_behind_the_camera_is_drawn():
    stage = stage_hand(actor(), 0)
    seen = project(stage, placed_view(stage, turned(180, -85, 0), 1.2, 50.0, np.array([0.0, 0.0]), 0.0))
    assert seen.parts[0].keep is not None
    assert (seen.parts[0].keep < 0).any()
    assert np.isfinite(seen.parts[0].vertices).all()
    short = stage_hand(actor(endless=False), 0)
    seen_short = project(short, placed_view(short, turned(180, -85, 0), 1.2, 50.0, np.array([0.0, 0.0]), 0.0))
    nearer = np.minimum(short.parts[0].keep, seen.parts[0].keep)
    np.testing.assert_allclose(seen_short.parts[0].keep, nearer)


def test_clothes_cover_their_part_of_the_arm():
    cloth = plain(np.full(3, 0.3))
    worn = HandAppearance(draw_skin(np.random.default_rng(0)), Sleeve(0.2, 0.05, 0.0, cloth), cloth)
    skin, glove, sleeve = stage_hand(actor(appearance=worn), 3).parts
    along = hand_mesh().along_arm
    assert (glove.keep[along < 0] > 0).all()
    assert (glove.keep[along > 0.3] < 0).all()
    assert (sleeve.keep[along < 0.1] < 0).all()
    assert (sleeve.keep[along > 0.3] > 0).all()
    assert (skin.owner, glove.owner, sleeve.owner) == (3, 3, -1)
    for cloth in (glove, sleeve):
        assert (((cloth.vertices - skin.vertices) * skin.normals).sum(axis=1) > 0).all()  # over the skin


def test_an_arm_may_end_at_its_shoulder():
    dressed = HandAppearance(
        draw_skin(np.random.default_rng(0)), Sleeve(0.2, 0.05, 0.0, plain(np.full(3, 0.3)))
    )
    skin, sleeve = stage_hand(actor(endless=False, appearance=dressed), 0).parts
    assert (skin.keep[hand_mesh().along_arm < 2.5] > 0).all()
    for part in (skin, sleeve):
        assert (part.keep[hand_mesh().along_arm > 3] < 0).all()


def test_props_and_joined_stages_move_along():
    prop = stage_hand(actor(), 0).parts[0]
    first = stage_hand(actor(place=np.array([0.0, 0, 2.0])), 0, [prop])
    np.testing.assert_allclose(first.parts[1].vertices, prop.vertices + np.array([0, 0, 2]))
    both = joined([first, stage_hand(actor(), 1)])
    assert [hand.owner for hand in both.hands] == [0, 1]
    assert len(both.parts) == 3


@pytest.mark.parametrize(
    "kind", ["upright", "side", "lying", "hanging", "reaching", "pointing", "above", "any"]
)
def test_views_are_rotations_without_reflection(kind):
    rng = np.random.default_rng(1)
    for _ in range(20):
        turn = draw_rotation(rng, kind)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(turn) == pytest.approx(1)


def test_views_face_where_their_names_say():
    rng = np.random.default_rng(2)
    fingers = {
        kind: np.mean([draw_rotation(rng, kind)[:, 1] for _ in range(200)], axis=0)
        for kind in ("upright", "hanging", "reaching", "pointing")
    }
    assert fingers["upright"][1] < -0.7  # up in the picture
    assert fingers["hanging"][1] > 0.7
    assert fingers["reaching"][2] > 0.4  # away from the camera
    assert fingers["pointing"][2] < -0.5
    with pytest.raises(ValueError, match="unknown kind"):
        draw_rotation(rng, "sideways")
