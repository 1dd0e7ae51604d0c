"""The contact sheet shows pictures with their labels."""

import cv2
import numpy as np
import pytest

import training.preview as preview
from service.inference.drawing import FINGER_COLOURS
from training.commands import PREVIEWS
from training.datasets.synthetic import Backgrounds
from training.datasets.synthetic.sequence import HandSequence
from training.datasets.types import HandLabel, LabelledImage


def hand(handedness: str = "left") -> HandLabel:
    keypoints = np.stack([np.linspace(20, 80, 21), np.linspace(80, 20, 21)], axis=1).astype(np.float32)
    visible = np.arange(21) != 5
    return HandLabel(
        np.array([15, 15, 70, 70], np.float32), keypoints, np.ones(21, bool), visible, None, handedness
    )


def test_labels_are_drawn_on_a_copy():
    item = LabelledImage(np.full((100, 100, 3), 128, np.uint8), (hand(),))
    drawn = preview.draw_labels(item)
    assert (item.image == 128).all()
    assert (drawn[15, 40] == preview.BOX_COLOURS["left"]).all()
    visible, hidden = np.round(hand().keypoints[[9, 5]] - 0.5).astype(int)
    assert (drawn[visible[1], visible[0]] == 255).all()
    assert (drawn[hidden[1], hidden[0]] == 0).all()


def test_keypoints_and_fingers_are_drawn_as_the_service_draws_them():
    keypoints = np.full((21, 2), 10.9, np.float32)  # in the pixel 10
    keypoints[8] = 40.9, 10.9
    label = HandLabel(np.array([0, 0, 45, 45], np.float32), keypoints, np.ones(21, bool), None)
    drawn = preview.draw_labels(LabelledImage(np.zeros((50, 50, 3), np.uint8), (label,)))
    line = drawn[9:12, 25]  # smoothed
    np.testing.assert_allclose(line[1], FINGER_COLOURS[1], atol=30)
    assert (line[[0, 2]] < 60).all()
    assert (drawn[10, 40] == 255).all()


def test_a_hand_with_a_box_alone_can_be_drawn():
    item = LabelledImage(np.zeros((50, 50, 3), np.uint8), (HandLabel(np.array([5, 5, 20, 20], np.float32)),))
    assert preview.draw_labels(item).any()


def test_sheets_are_filled_row_by_row():
    pictures = [np.full((4, 6, 3), value, np.uint8) for value in (10, 20, 30)]
    sheet = preview.contact_sheet(pictures, 2)
    assert sheet.shape == (8, 12, 3)
    assert sheet[0, 6, 0] == 20
    assert sheet[4, 0, 0] == 30
    assert (sheet[4:, 6:] == 0).all()
    with pytest.raises(ValueError, match="no pictures"):
        preview.contact_sheet([], 2)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_the_preview_of_rendered_hands_is_written(tmp_path, monkeypatch, suffix):
    for name, value in {
        "CROP_SIZE": 48,
        "CROPS_PER_ROW": 2,
        "CROP_ROWS": 2,
        "SCENE_SIZE": 96,
        "SCENES_PER_ROW": 1,
        "SCENE_ROWS": 1,
    }.items():
        monkeypatch.setattr(preview, name, value)
    target = tmp_path / f"sheet{suffix}"
    preview.KINDS["synthetic"](target, tmp_path, 1)
    assert cv2.imread(str(target)).shape == (192, 96, 3)
    for name in ("missing/sheet.png", "sheet.txt"):
        with pytest.raises(OSError, match="cannot write"):
            preview.preview_synthetic(tmp_path / name, None)


def test_every_kind_of_preview_has_a_command():
    assert set(PREVIEWS) == set(preview.KINDS)


@pytest.fixture
def short_sequence(monkeypatch):
    monkeypatch.setattr(preview, "SEQUENCE_FRAMES", 6)
    monkeypatch.setattr(preview, "SEQUENCE_WIDTH", 160)
    monkeypatch.setattr(preview, "SEQUENCE_HEIGHT", 120)


@pytest.mark.parametrize(
    ("name", "frames", "width", "height"), [("a.mp4", 6, 160, 120), ("a.gif", 2, 80, 60)]
)
def test_the_preview_of_a_sequence_is_written(tmp_path, short_sequence, name, frames, width, height):
    preview.KINDS["sequence"](tmp_path / name, tmp_path, 0)
    video = cv2.VideoCapture(str(tmp_path / name))
    shapes = []
    while (read := video.read())[0]:
        shapes.append(read[1].shape)
    assert shapes == [(height, width, 3)] * frames
    with pytest.raises(ValueError, match="mp4 or"):
        preview.preview_sequence(tmp_path / "a.txt", None)


def test_ids_and_phases_are_drawn_below_the_hands():
    sequence = HandSequence(0, Backgrounds([]), frames=1, width=160, height=120, hands=1)
    frame = sequence[0]
    labels, drawn = preview.draw_labels(frame.picture), preview.draw_sequence_labels(frame)
    changed = np.argwhere((labels != drawn).any(axis=2))  # (N, 2) row, column
    x, y, _, height = frame.picture.hands[0].box
    assert len(changed) > 20
    assert changed[:, 0].min() >= y + height
    assert changed[:, 1].min() >= x
