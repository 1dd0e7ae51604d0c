"""The client draws where the hands are, and as the service does."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from handpose_client import Hand
from handpose_client.drawing import FINGER_COLOURS, HAND_COLOURS, draw_hands
from handpose_client.parsing import Node, pose_result
from numpy.typing import NDArray

from service.inference import drawing as service_drawing


@pytest.fixture
def hand(documents: SimpleNamespace) -> Hand:
    """Fingers side by side, and room for a label above."""
    document = documents.hand(box={"x": 20.0, "y": 40.0, "width": 110.0, "height": 70.0})
    for index, keypoint in enumerate(document["keypoints"]):
        finger, joint = divmod(index - 1, 4)
        keypoint["x"], keypoint["y"] = (30.0 + 20 * finger, 90.0 - 12 * joint) if index else (70.0, 105.0)
    return pose_result(Node(documents.pose(document))).hands[0]


def near(image: NDArray[np.uint8], x: float, y: float, colour: tuple[int, int, int]) -> bool:
    """Whether the colour is within two pixels."""
    around = image[round(y) - 2 : round(y) + 3, round(x) - 2 : round(x) + 3].astype(int)
    return bool((np.abs(around - colour).max(axis=2) < 40).any())


def test_every_keypoint_and_the_box_are_drawn(hand: Hand) -> None:
    image = np.full((120, 160, 3), 90, np.uint8)
    before = image.copy()
    drawn = draw_hands(image, [hand])
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert (image == before).all()
    for index, keypoint in enumerate(hand.keypoints):
        assert near(
            drawn, keypoint.x, keypoint.y, FINGER_COLOURS[(index - 1) // 4] if index else (255, 255, 255)
        )
    for x in (20, 130):  # the box's sides
        assert (drawn[75, x - 2 : x + 2] != 90).any()


def test_doubt_is_drawn(documents: SimpleNamespace) -> None:
    def drawn(keypoints: float, side: float) -> NDArray[np.uint8]:
        document = documents.hand(box={"x": 100.0, "y": 150.0, "width": 480.0, "height": 480.0})
        document["handedness"]["score"] = side
        for index, keypoint in enumerate(document["keypoints"]):
            keypoint |= {"x": 120.0 + 20 * index, "y": 170.0 + 20 * index, "score": keypoints}
        hands = pose_result(Node(documents.pose(document))).hands
        return draw_hands(np.zeros((700, 700, 3), np.uint8), hands)

    bones, label = np.s_[160:620, 110:570], np.s_[:145]
    sure = drawn(0.5, 0.75)
    assert (drawn(0.49, 0.75)[bones] > 0).sum() < 0.95 * (sure[bones] > 0).sum()
    assert (drawn(0.5, 0.74)[label] > 0).sum() > (sure[label] > 0).sum()
    assert (drawn(1.0, 1.0) == sure).all()


def test_no_hands_no_change() -> None:
    image = np.full((120, 160, 3), 90, np.uint8)
    assert (draw_hands(image, []) == image).all()


def test_hands_beyond_the_picture_are_cut_off(documents: SimpleNamespace) -> None:
    for x in (-1e9, -20.0, 150.0, 1e9):
        hands = pose_result(Node(documents.pose(documents.hand(x)))).hands
        assert draw_hands(np.zeros((40, 160, 3), np.uint8), hands).shape == (40, 160, 3)


def test_the_colours_are_the_services() -> None:
    assert FINGER_COLOURS == service_drawing.FINGER_COLOURS
    assert HAND_COLOURS == service_drawing.BOX_COLOURS


def test_the_skeleton_lies_where_the_service_draws_it(hand: Hand) -> None:
    from service.inference.hands import Box as ServiceBox
    from service.inference.hands import Hand as ServiceHand

    theirs = ServiceHand(
        ServiceBox(*(hand.box.x, hand.box.y, hand.box.width, hand.box.height)),
        hand.score,
        1.0,
        hand.handedness.label,
        hand.handedness.score,
        np.array(hand.keypoints.xy, np.float32),
        np.full(21, 0.9, np.float32),
    )
    image = np.full((120, 160, 3), 90, np.uint8)
    mine, services = draw_hands(image, [hand]), service_drawing.draw_hands(image, [theirs])
    assert (mine != image).any()
    assert cv2.norm(mine, services) < 0.05 * cv2.norm(mine, image)


def test_a_hand_of_a_stream_has_its_number(hand: Hand) -> None:
    image = np.full((120, 160, 3), 90, np.uint8)
    assert (draw_hands(image, [replace(hand, track_id=12)]) != draw_hands(image, [hand])).any()
