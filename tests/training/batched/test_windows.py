import numpy as np
import pytest
import torch

from training.batched.windows import REACH, GrowingWindows, Windows, around, whole, without_hand
from training.datasets.types import HandLabel


def hand() -> HandLabel:
    keypoints = np.linspace([60, 30], [100, 70], 21).astype(np.float32)
    depth = np.linspace(0, 20, 21).astype(np.float32)
    return HandLabel(
        np.array([60, 30, 40, 40], np.float32), keypoints, np.ones(21, bool), None, depth, "left"
    )


def test_a_window_shows_the_hand_in_its_middle_and_knows_where_the_picture_ends() -> None:
    image = np.full((120, 160, 3), 200, np.uint8)
    window = around(image, hand(), 96)
    assert window.images.shape == (1, 96, 96, 3)
    assert window.box[0].tolist() == pytest.approx([0.5 - 0.5 / REACH] * 2 + [1 / REACH] * 2, abs=1e-6)
    side = 40 * REACH
    assert window.keypoints[0, 20].tolist() == pytest.approx(
        [0.5 + 20 / side, 0.5 + 20 / side], abs=1e-6
    )  # 20 px right of and below the box's middle
    top = (side / 2 - 50) / side  # the picture begins 50 px above the box's middle
    assert window.seen[0].tolist() == pytest.approx([0, max(top, 0), 1, 1], abs=1e-6)
    assert window.depth[0, 20] == pytest.approx(20 / 40)
    assert (float(window.hand), float(window.right)) == (1.0, 0.0)


def test_what_lies_outside_of_the_picture_is_not_seen() -> None:
    image = np.full((120, 160, 3), 200, np.uint8)
    label = HandLabel(np.array([0, 0, 40, 40], np.float32))
    window = around(image, label, 96)
    x0, y0, x1, y1 = (window.seen[0] * 96).tolist()
    assert (x1, y1) == (96, 96)
    assert window.images[0, :, : int(x0) - 1].max() == 0
    assert window.images[0, int(y0) + 2 :, int(x0) + 2 :].min() == 200


def test_unknown_labels_stay_unknown() -> None:
    window = whole(np.zeros((64, 64, 3), np.uint8), HandLabel(np.array([16, 16, 32, 32], np.float32)))
    assert window.labelled.sum() == 0
    assert window.depth.isnan().all()
    assert float(window.right) == -1
    assert float(without_hand(np.zeros((64, 64, 3), np.uint8)).hand) == 0


def test_windows_grow_while_they_are_drawn_from() -> None:
    first = Windows.joined([whole(np.full((32, 32, 3), i, np.uint8), hand()) for i in range(3)])
    growing = GrowingWindows(first, 5, torch.device("cpu"))
    assert len(growing) == 3
    growing.add(whole(np.full((32, 32, 3), 9, np.uint8), hand()))
    assert len(growing) == 4
    assert growing[torch.tensor([3, 0])].images[:, 0, 0, 0].tolist() == [9, 0]
    with pytest.raises(ValueError, match="6 windows where there is room for 5"):
        growing.add(Windows.joined([whole(np.zeros((32, 32, 3), np.uint8), hand())] * 2))


def test_nothing_cannot_be_joined() -> None:
    with pytest.raises(ValueError, match="no windows"):
        Windows.joined([])
