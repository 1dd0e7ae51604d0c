"""Labels of our own: kept where many looks agree, and read back as they were written."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from service.engines.base import Poses
from training.datasets import photos as photo_files
from training.datasets.coco import CocoHands, DatasetError
from training.datasets.photos import OwnLabels
from training.self_training import label_boxed_hands, write_labels


class Blobs:
    """A pose engine that sees every keypoint on the brightest spot of a crop, and a right hand where that spot is red
    in an unmirrored crop (blue in a mirrored one).
    """

    input_size = 64

    def __init__(self, score: float = 0.9, hand: float = 0.95) -> None:
        self.score, self.hand = score, hand

    def __call__(self, crops: NDArray[np.uint8]) -> Poses:
        count = len(crops)
        keypoints = np.zeros((count, 21, 2), np.float32)
        for i, crop in enumerate(crops):
            bright = crop.max(axis=2).astype(float)
            rows, columns = np.nonzero(bright > 0.7 * bright.max())
            keypoints[i] = columns.mean() + 0.5, rows.mean() + 0.5
        return Poses(
            keypoints,
            np.full((count, 21), self.score, np.float32),
            np.full(count, self.hand, np.float32),
            np.tile(np.array([1.0, 0.0], np.float32), count // 2),  # swapped where the crop is mirrored
            None,
        )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """One photo with a spot at (70, 50); a hand with a box alone and one with keypoints."""
    image = np.zeros((120, 160, 3), np.uint8)
    cv2.circle(image, (70, 50), 4, (255, 255, 255), -1)
    cv2.imwrite(str(tmp_path / "photo.png"), image)
    boxed = {"id": 1, "image_id": 1, "bbox": [50, 30, 40, 40], "keypoints": [0] * 63, "num_keypoints": 0}
    known = {**boxed, "id": 2, "bbox": [110, 70, 30, 30], "keypoints": [120, 80, 2] * 21, "num_keypoints": 21}
    file = {
        "images": [{"id": 1, "file_name": "photo.png", "width": 160, "height": 120}],
        "annotations": [{**boxed, "category_id": 1}, {**known, "category_id": 1}],
        "categories": [{"id": 1, "name": "hand"}],
    }
    (tmp_path / "photos.json").write_text(json.dumps(file))
    return tmp_path


def test_a_sure_hand_is_labelled_and_read_back(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = label_boxed_hands(Blobs(), CocoHands(data / "photos.json"), data)
    ((photo, (hand,)),) = labels.items()
    assert photo == "photo.png"
    assert hand["box"] == [50, 30, 40, 40]
    assert hand["handedness"] == "right"
    np.testing.assert_allclose(hand["keypoints"], np.tile([70.5, 50.5], (21, 1)), atol=0.7)

    hand["keypoints"][3] = None
    write_labels(labels, data / "own.json")
    monkeypatch.setattr(photo_files, "RECIPES", data)
    own = OwnLabels(data, "own.json")
    assert len(own) == 1
    (read,) = own[0].hands
    assert own[0].image.shape == (120, 160, 3)
    assert not own[0].complete
    assert read.labelled is not None
    assert read.keypoints is not None
    assert np.flatnonzero(~read.labelled).tolist() == [3]
    np.testing.assert_allclose(read.keypoints[4], hand["keypoints"][4], atol=1e-4)
    assert read.handedness == "right"


@pytest.mark.parametrize("unsure", [Blobs(score=0.3), Blobs(hand=0.5)])
def test_an_unsure_hand_is_not_labelled(data: Path, unsure: Blobs) -> None:
    assert label_boxed_hands(unsure, CocoHands(data / "photos.json"), data) == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"photo.png": [{"box": [1, 2, 3, 4]}]}', "is no list of hands by photo"),
        ('{"photo.png": [{"box": [1, 2], "keypoints": [], "handedness": null}]}', "is no list of hands"),
        ("{}", "has no hands"),
        (None, "does not exist"),
    ],
)
def test_a_file_that_is_none_is_refused(
    data: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, said: str
) -> None:
    monkeypatch.setattr(photo_files, "RECIPES", data)
    if content is not None:
        (data / "own.json").write_text(content)
    with pytest.raises(DatasetError, match=said):
        OwnLabels(data, "own.json")
