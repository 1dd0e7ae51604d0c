from pathlib import Path

import numpy as np
import pytest
import torch

from service.models.pose import HandPose
from service.models.unet import HandUNet
from training.datasets.coco import CocoHands
from training.evaluate import THRESHOLD, Crops, Found, hand_crops
from training.pose_metrics import PoseErrors
from training.sample_pictures import (
    TILE,
    box_sheet,
    draw_skeleton,
    heatmap_sheet,
    skeleton_sheet,
    spread_by_error,
    spread_photos,
)


@pytest.fixture(scope="module")
def photos(root: Path) -> CocoHands:
    return CocoHands(root / "tests" / "photos" / "labels.json")


@pytest.fixture(scope="module")
def crops(photos: CocoHands) -> Crops:
    return hand_crops(photos, 64)


def test_hands_are_chosen_from_best_to_worst() -> None:
    labelled = np.ones((5, 21), bool)
    labelled[2] = False
    errors = PoseErrors(np.array([5.0, 1, 9, 3, 4])[:, None] * np.ones((5, 21)), np.ones(5), labelled)
    assert spread_by_error(errors, 10) == [1, 3, 4, 0]
    assert spread_by_error(errors, 2) == [1, 0]


@pytest.mark.parametrize("network", [HandPose, HandUNet])
def test_heatmaps_of_either_network_lie_where_the_keypoints_are(network: type, crops: Crops) -> None:
    torch.manual_seed(0)
    sheet = heatmap_sheet(network().eval(), crops, [0, 1])
    side = TILE + 4
    assert sheet.shape == (3 * side, 2 * side, 3)
    # Row 1 shows the targets: bright where a keypoint is, dark in a corner.
    x, y = crops.keypoints[0][0] * TILE / 64 + 2
    tile = sheet[side : 2 * side, :side].astype(int)
    assert tile[int(y), int(x)].sum() > 400
    assert tile[6, 6].sum() < 300


def test_true_and_predicted_skeletons_stand_beside_each_other(crops: Crops) -> None:
    sheet = skeleton_sheet(crops, crops.keypoints, [0, 1, 2], per_row=2)
    assert sheet.shape == (2 * (TILE + 4), 2 * (2 * TILE + 4), 3)
    tile = sheet[2 : 2 + TILE, 2 : 2 + 2 * TILE]
    assert (tile[:, :TILE] == tile[:, TILE:]).all()


def test_keypoints_that_are_not_known_are_not_drawn() -> None:
    grey = np.full((100, 100, 3), 127, np.uint8)
    keypoints = np.column_stack([np.linspace(5, 95, 21), np.full(21, 50.0)])
    known = np.ones(21, bool)
    known[20] = False
    drawn = draw_skeleton(grey, keypoints, known)
    assert (drawn[:, 97:] == 127).all()
    assert (drawn[50, 5] > 180).all()
    assert (grey == 127).all()


def test_failures_are_photos_with_a_missed_or_a_false_hand(photos: CocoHands) -> None:
    truth = tuple(np.array([h.box for h in entry.hands], np.float32) for entry in photos.entries)
    boxes = [box.copy() for box in truth]
    scores = [np.full(len(box), 0.9, np.float32) for box in boxes]
    boxes[1], scores[1] = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)  # missed
    boxes[2] = np.concatenate([boxes[2], [[0, 0, 9, 9]]]).astype(np.float32)  # false
    scores[2] = np.append(scores[2], np.float32(0.8))
    boxes[3] = np.concatenate([boxes[3], [[0, 0, 9, 9]]]).astype(np.float32)
    scores[3] = np.append(scores[3], np.float32(THRESHOLD - 0.01))  # recall and precision do not count it
    found = Found(tuple(boxes), tuple(scores), truth, (400.0,) * 4)
    assert spread_photos(found, 4) == ([0, 1, 2, 3], [1, 2])
    assert spread_photos(found, 1)[0] == [0]
    sheet = box_sheet(photos, found, [0, 1, 2], per_row=3)
    assert sheet.shape == (304, 3 * 304, 3)
    yellow = (sheet == (240, 228, 66)).all(2)
    assert yellow[:, 304:608].any()
    assert not yellow[:, :304].any()
