"""The small data sets are what they say: the labels that were rendered come back through the released formats."""

from itertools import islice
from pathlib import Path

import numpy as np

from tests.training.datasets.miniature import SCENE, rendered_scenes, write_egohands, write_freihand
from training.datasets.egohands import HEIGHT, POLYGON_FIELDS, EgoHands
from training.datasets.freihand import SIZE, FreiHand
from training.datasets.synthetic import Backgrounds, render_crop


def test_egohands_boxes_are_the_rendered_ones(tmp_path: Path):
    entries = EgoHands(write_egohands(tmp_path, ("CHESS_COURTYARD_B_T",), 4)).entries
    for entry, (_, slots) in zip(entries, islice(rendered_scenes(0), 4), strict=True):
        found = [(hand.owner, hand.label.handedness) for hand in entry.ego_hands]
        assert found == [POLYGON_FIELDS[field] for field in POLYGON_FIELDS if field in slots]
        rendered = [slots[field].box * (HEIGHT / SCENE) for field in POLYGON_FIELDS if field in slots]
        for hand, box in zip(entry.hands, rendered, strict=True):
            np.testing.assert_allclose(hand.box[1:], box[1:], atol=1e-3)  # x depends on where the scene lies
        lefts = [hand.box[0] - box[0] for hand, box in zip(entry.hands, rendered, strict=True)]
        assert np.ptp(lefts or [0.0]) < 1e-3


def test_freihand_keypoints_are_the_rendered_ones(tmp_path: Path):
    data = FreiHand(write_freihand(tmp_path, 1, 3), "evaluation")
    sides = set()
    for index, entry in enumerate(data.entries):
        rendered = render_crop(5_000 + index, SIZE, Backgrounds([])).hands[0]
        assert rendered.keypoints is not None
        assert rendered.depth is not None
        sides.add(rendered.handedness)
        expected = rendered.keypoints.copy()
        if rendered.handedness == "left":
            expected[:, 0] = SIZE - expected[:, 0]
        (hand,) = entry.hands
        np.testing.assert_allclose(hand.keypoints, expected, atol=1e-3)
        np.testing.assert_allclose(hand.depth, rendered.depth, atol=1e-3)
    assert sides == {"left", "right"}
