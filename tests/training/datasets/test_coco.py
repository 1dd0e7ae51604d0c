import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from training.datasets.coco import CocoHands, DatasetError

KEYPOINTS = [float(v) for k in range(21) for v in (10 + k, 20 + k, 0 if k == 4 else 1 if k == 3 else 2)]


def write(folder: Path, annotations: list[dict[str, Any]], **image: Any) -> Path:
    (folder / "images").mkdir(exist_ok=True)
    picture = np.zeros((60, 80, 3), np.uint8)
    picture[..., 2] = 200  # red, as OpenCV writes it
    cv2.imwrite(str(folder / "images" / "a.png"), picture)
    images = [{"id": 7, "file_name": "images/a.png", "width": 80, "height": 60, **image}]
    annotations = [{"id": i, "image_id": 7, **a} for i, a in enumerate(annotations)]
    file = folder / "hands.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations}))
    return file


def test_labels_and_pixels_are_read(tmp_path: Path) -> None:
    hand = {"bbox": [1, 2, 30, 40], "keypoints": KEYPOINTS, "num_keypoints": 20, "handedness": "left"}
    picture = CocoHands(write(tmp_path, [hand], source="home", group="anna"))[0]
    assert picture.image.shape == (60, 80, 3)
    assert picture.image[0, 0].tolist() == [200, 0, 0]
    assert (picture.source, picture.group) == ("home", "anna")
    (label,) = picture.hands
    assert label.box.tolist() == [1, 2, 30, 40]
    assert label.keypoints is not None
    assert label.labelled is not None
    assert label.visible is not None
    assert label.keypoints[20].tolist() == [30, 40]
    assert label.labelled.sum() == 20
    assert not label.labelled[4]
    assert not label.visible[3]
    assert label.handedness == "left"


def test_a_hand_without_keypoints_is_a_box_alone(tmp_path: Path) -> None:
    hand = {"bbox": [1, 2, 30, 40], "keypoints": [0] * 63, "num_keypoints": 0, "box_source": "human-loose"}
    (label,) = CocoHands(write(tmp_path, [hand]))[0].hands
    assert label.keypoints is None
    assert label.handedness is None
    assert label.loose_box


def test_hands_in_a_crowd_are_neither_labelled_nor_nothing(tmp_path: Path) -> None:
    hands = [{"bbox": [1, 2, 30, 40]}, {"bbox": [40, 2, 30, 40], "iscrowd": 1}]
    picture = CocoHands(write(tmp_path, hands))[0]
    assert len(picture.hands) == 1
    assert not picture.complete
    with pytest.raises(DatasetError, match="hands are missing in every image"):
        CocoHands.judged(tmp_path / "hands.json")
    assert CocoHands(write(tmp_path, hands[:1]))[0].complete
    assert len(CocoHands.judged(tmp_path / "hands.json")) == 1


def test_a_picture_of_another_size_than_its_labels_is_refused(tmp_path: Path) -> None:
    photos = CocoHands(write(tmp_path, [], width=60, height=80))  # labelled before it was turned
    with pytest.raises(
        DatasetError, match=r"a\.png has 80 × 60 pixels upright, its labels are for \(60, 80\)"
    ):
        photos[0]


def test_keypoints_count_without_their_number(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "training")
    hand = {"bbox": [1, 2, 30, 40], "keypoints": KEYPOINTS}
    (label,) = CocoHands(write(tmp_path, [hand]))[0].hands
    assert label.labelled is not None
    assert label.labelled.sum() == 20
    assert not caplog.messages  # nothing was left out


def test_a_hand_boxed_twice_counts_once_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "training")
    boxes = [{"bbox": b} for b in ([10, 10, 20, 20], [8, 8, 30, 30], [60, 10, 15, 15])]
    file = write(tmp_path, [*boxes, {"bbox": [40, 2, 30, 40], "iscrowd": 1}])
    for _ in range(2):
        hands = CocoHands(file)[0].hands
        assert [hand.box.tolist() for hand in hands] == [[8, 8, 30, 30], [60, 10, 15, 15]]
    assert caplog.messages == [f"{file}: 1 of 3 hands left out, whose boxes lie inside larger ones"]


@pytest.mark.parametrize("keypoints", [None, [], [1.0, 2.0, 0] * 21])
def test_keypoints_of_which_none_is_labelled_are_none(tmp_path: Path, keypoints: list[float] | None) -> None:
    (label,) = CocoHands(write(tmp_path, [{"bbox": [1, 2, 30, 40], "keypoints": keypoints}]))[0].hands
    assert label.keypoints is None
    assert label.labelled is None


@pytest.mark.parametrize(
    ("hand", "message"),
    [
        ({"bbox": [1, 2, 3]}, "annotation 0: bbox or keypoints: a box is x, y, width, height"),
        ({"bbox": [1, 2, 0, 4]}, "annotation 0: bbox or keypoints: a box is x, y, width, height"),
        ({"bbox": [1, 2, "a", 4]}, "annotation 0: bbox or keypoints: could not convert"),
        (
            {"bbox": [1, 2, 3, 4], "keypoints": ["x"] * 63},
            "annotation 0: bbox or keypoints: could not convert",
        ),
        ({"bbox": [80, 2, 3, 4]}, "annotation 0: bbox lies outside of its picture of 80 × 60"),
        ({"bbox": [1, 2, 3, 4], "image_id": 8}, "annotation 0 is of no image"),
        ({"bbox": [1, 2, 3, 4], "num_keypoints": 1, "keypoints": [1, 2, 2]}, "keypoints are not 21"),
        ({"bbox": [1, 2, 3, 4], "handedness": "both"}, "handedness is 'both'"),
    ],
)
def test_wrong_labels_are_named(tmp_path: Path, hand: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        CocoHands(write(tmp_path, [hand]))


def test_wrong_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        CocoHands(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("hello")
    with pytest.raises(DatasetError, match="is no COCO keypoint file"):
        CocoHands(tmp_path / "text.json")
    (tmp_path / "text.json").write_text('{"images": [], "annotations": []}')
    with pytest.raises(DatasetError, match="lists no images"):
        CocoHands(tmp_path / "text.json")
    file = write(tmp_path, [])
    (tmp_path / "images" / "a.png").unlink()
    with pytest.raises(DatasetError, match="missing or no picture"):
        CocoHands(file)[0]


def test_large_collections_do_not_rule(tmp_path: Path) -> None:
    images = [
        {"id": i, "file_name": f"{i}.jpg", "source": "many" if i < 100 else "few", "group": ""}
        for i in range(104)
    ]
    file = tmp_path / "hands.json"
    file.write_text(json.dumps({"images": images, "annotations": []}))
    weights = CocoHands(file).weights(0.5)
    assert weights.sum() == pytest.approx(1)
    assert weights[:100].sum() / weights[100:].sum() == pytest.approx(5)  # 100 to 4 photos, 10 to 2 in weight

    first = CocoHands(file).entries[0].source
    heavier = CocoHands(file).weights(0.5, {first[:3]: 3.0, first: 100.0})  # the first key that fits
    assert heavier[:100].sum() / heavier[100:].sum() == pytest.approx(15)


@pytest.mark.parametrize("name", ["train", "train_more", "val", "freihand_sample"])
def test_the_project_photos_are_read(shared_data: Path | None, name: str) -> None:
    if shared_data is None:
        pytest.skip("the project's photos are not beside this checkout")
    photos = CocoHands(shared_data / "hands" / f"{name}.json")
    picture = photos[len(photos) // 2]
    assert picture.image.ndim == 3
    assert any(hand.keypoints is not None for entry in photos.entries for hand in entry.hands)
