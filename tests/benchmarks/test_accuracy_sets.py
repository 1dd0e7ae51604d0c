import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from accuracy_sets import HumanBoxes, close_up, hand_free_names

from training.datasets.coco import CocoHands
from training.datasets.synthetic.backgrounds import held_out
from training.datasets.types import HandLabel, LabelledImage


def test_a_close_up_keeps_the_hand_where_it_is() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    keypoints = np.full((21, 2), [120, 90], np.float32)
    image[90, 120] = 255
    hand = HandLabel(np.array([100, 60, 40, 40], np.float32), keypoints)
    cut = close_up(LabelledImage(image, (hand,)), hand)
    assert cut.image.shape == (45, 50, 3)  # the picture ends below the hand
    moved = cut.hands[0].keypoints
    assert moved is not None
    x, y = moved[0].astype(int)
    assert cut.image[y, x].all()
    assert cut.hands[0].box == pytest.approx([5, 5, 40, 40])


def test_a_close_up_needs_keypoints() -> None:
    hand = HandLabel(np.array([0, 0, 5, 5], np.float32))
    with pytest.raises(ValueError, match="keypoints"):
        close_up(LabelledImage(np.zeros((9, 9, 3), np.uint8), (hand,)), hand)


def test_every_listed_background_is_held_out() -> None:
    names = hand_free_names()
    assert len(names) == len(set(names)) > 100
    assert all(held_out(Path(name)) for name in names)


def test_human_boxes_leaves_out_photos_with_other_boxes_or_none(tmp_path: Path) -> None:
    boxes = [("human",), ("human", "keypoints"), (), ("keypoints",), ("human", "human")]
    images, annotations = [], []
    for number, sources in enumerate(boxes):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((50, 50, 3), number, np.uint8))
        images.append({"id": number, "file_name": f"{number}.png", "width": 50, "height": 50})
        annotations += [
            {
                "id": len(annotations) + i,
                "image_id": number,
                "bbox": [20 * i, 5, 15, 20],
                "box_source": source,
            }
            for i, source in enumerate(sources)
        ]
    file = tmp_path / "labels.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations}))
    assert len(CocoHands(file)) == 5
    assert [int(picture.image[0, 0, 0]) for picture in HumanBoxes(file)] == [0, 4]
