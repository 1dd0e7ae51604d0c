import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from training.datasets import photos as photo_files
from training.datasets.coco import DatasetError
from training.datasets.photos import OwnLabels, listed_names, photos_without_hands, training_photos
from training.datasets.synthetic.backgrounds import held_out


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of two photos, one labelled hand in the first; files of ours are looked for in it as well."""
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((60, 80, 3), np.uint8))
    images = [{"id": i, "file_name": name} for i, name in enumerate(("a.png", "b.png"))]
    hand = {"id": 1, "image_id": 0, "bbox": [1, 2, 30, 40]}
    (tmp_path / "hands.json").write_text(json.dumps({"images": images, "annotations": [hand]}))
    monkeypatch.setattr(photo_files, "RECIPES", tmp_path)
    return tmp_path


def test_found_hands_are_added_as_boxes_alone(data: Path) -> None:
    (data / "found.json").write_text('{"a.png": [[50, 5, 10, 12]], "b.png": [[0, 0, 9, 9], [20, 20, 9, 9]]}')
    photos = training_photos(data, ["hands.json"], "found.json")
    first, second = photos[0].hands, photos[1].hands
    assert [hand.box.tolist() for hand in first] == [[1, 2, 30, 40], [50, 5, 10, 12]]
    assert [hand.loose_box for hand in first] == [False, True]
    assert first[1].keypoints is None
    assert [hand.box.tolist() for hand in second] == [[0, 0, 9, 9], [20, 20, 9, 9]]


def test_a_photo_of_another_folder_joins(data: Path) -> None:
    (data / "streets").mkdir()
    cv2.imwrite(str(data / "streets" / "c.png"), np.zeros((50, 70, 3), np.uint8))
    (data / "found.json").write_text('{"streets/c.png": [[5, 6, 7, 8]]}')
    photos = training_photos(data, ["hands.json"], "found.json")
    assert [len(photo.hands) for photo in photos] == [1, 0, 1]
    assert photos[2].image.shape == (50, 70, 3)
    assert photos[2].source == "streets"
    # Its folder is a collection like any other.
    assert photos.weights(1.0, {"streets": 2.0}).tolist() == [0.25, 0.25, 0.5]


def test_a_photo_is_the_same_however_its_path_is_written(data: Path) -> None:
    (data / "found.json").write_text('{"x/../a.png": [[50, 5, 10, 12]]}')
    (data / "labels").mkdir()
    file = data / "labels" / "hands.json"
    file.write_text((data / "hands.json").read_text().replace('"a.png"', '"../a.png"'))
    photos = training_photos(data, ["labels/hands.json"], "found.json")
    assert [len(entry.hands) for entry in photos.entries] == [2, 0]


def test_a_hand_with_wrong_labels_keeps_its_box_alone(data: Path) -> None:
    content = json.loads((data / "hands.json").read_text())
    posed = {"keypoints": [9, 9, 2] * 21, "handedness": "left", "image_id": 0}
    content["annotations"] = [
        {"id": 1, "bbox": [1, 2, 30, 40], **posed},
        {"id": 2, "bbox": [40, 2, 30, 40], **posed},
    ]
    (data / "hands.json").write_text(json.dumps(content))
    # The second photo of the list is in none of the files.
    (data / "wrong.json").write_text('{"a.png": [[40.2, 2, 30, 39.8]], "z.png": [[1, 2, 3, 4]]}')
    right, wrong = training_photos(data, ["hands.json"], wrong_labels="wrong.json")[0].hands
    assert right.keypoints is not None
    assert (right.handedness, right.loose_box) == ("left", False)
    assert wrong.keypoints is None
    assert (wrong.handedness, wrong.loose_box) == (None, True)
    assert wrong.box.tolist() == [40, 2, 30, 40]


def test_a_wrong_label_that_its_photo_does_not_have_is_refused(data: Path) -> None:
    (data / "wrong.json").write_text('{"a.png": [[1, 5, 30, 40]]}')
    with pytest.raises(DatasetError, match=r"wrong\.json: .*a\.png has no hand with the box \[1"):
        training_photos(data, ["hands.json"], wrong_labels="wrong.json")


def test_a_label_of_ours_is_checked(data: Path) -> None:
    label = {"box": [1, 2, 30, 40], "keypoints": [[5, 5]] * 21, "handedness": "left"}
    for change, said in (
        ({}, None),
        ({"handedness": "Right"}, "handedness is 'Right'"),
        ({"box": [1, 2, -3, 4]}, "a box is x, y, width, height"),
    ):
        (data / "own.json").write_text(json.dumps({"a.png": [{**label, **change}]}))
        if said is None:
            assert OwnLabels(data, "own.json").hands[0][1].handedness == "left"
        else:
            with pytest.raises(DatasetError, match=said):
                OwnLabels(data, "own.json")


def test_without_a_file_labels_are_as_they_are(data: Path) -> None:
    assert [len(photo.hands) for photo in training_photos(data, ["hands.json"], "")] == [1, 0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"a.png": [[1, 2, 3]]}', "is no list of boxes by photo"),
        ("{}", "has no boxes"),
        (None, "does not exist"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(data: Path, content: str | None, said: str) -> None:
    if content is not None:
        (data / "found.json").write_text(content)
    with pytest.raises(DatasetError, match=said):
        training_photos(data, ["hands.json"], "found.json")


def test_listed_photos_join_those_of_the_folders(data: Path) -> None:
    (data / "free").mkdir()
    for path in ("free/c.png", "b.png"):
        cv2.imwrite(str(data / path), np.full((50, 70, 3), 9, np.uint8))
    (data / "free.txt").write_text("# looked through\nb.png\n\n")
    photos = photos_without_hands(data, ["free"], "free.txt")
    assert [str(file.relative_to(data)) for file in photos.files] == ["free/c.png", "b.png"]
    assert photos[1].max() == 9
    assert len(photos_without_hands(data, ["free"], "")) == 1


@pytest.mark.parametrize(("content", "said"), [("# nothing\n", "lists no photos"), (None, "does not exist")])
def test_a_list_of_nothing_is_refused(data: Path, content: str | None, said: str) -> None:
    if content is not None:
        (data / "free.txt").write_text(content)
    with pytest.raises(DatasetError, match=said):
        photos_without_hands(data, ["."], "free.txt")


def test_our_photos_without_hands_are_neither_held_out_nor_full_of_hands() -> None:
    listed = set(listed_names(photo_files.RECIPES / "hand-free.txt"))
    assert len(listed) > 700
    assert not [line for line in listed if held_out(Path(line))]
    assert listed.isdisjoint(json.loads((photo_files.RECIPES / "found-hands.json").read_text()))
