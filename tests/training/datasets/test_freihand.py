"""FreiHAND is read from files in the released formats; what is wrong with one is said by file and record."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.training.datasets.miniature import DISTANCE, FOCAL, write_freihand
from training.datasets.coco import DatasetError
from training.datasets.freihand import SIZE, VERSIONS, FreiHand, split_ids

COUNT, EVALUATION = 11, 2


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_freihand(tmp_path_factory.mktemp("freihand"), COUNT, EVALUATION)


@pytest.fixture
def copy(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "FreiHAND_pub_v2"))


def edit(file: Path, change: Callable[[list[Any]], Any]) -> None:
    """Change the list of a JSON file."""
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))


def test_the_green_screen_pictures_are_read_by_default(written):
    data = FreiHand(written)
    assert [entry.path.name for entry in data.entries] == [f"{i:08d}.jpg" for i in range(COUNT)]
    picture = data[3]
    assert picture.image.shape == (SIZE, SIZE, 3)
    assert picture.source == "freihand"
    assert picture.group == "00000003"
    assert picture.complete
    (hand,) = picture.hands
    assert hand.handedness == "right"
    assert hand.labelled is not None
    assert hand.labelled.all()
    assert hand.visible is None
    means = np.array([data[i].image.mean((0, 1)) for i in range(COUNT)])
    assert np.median(means[:, 1] - means[:, [0, 2]].max(axis=1)) > 20  # green


def test_keypoints_are_projected_as_k_says(written):
    data = FreiHand(written)
    K = np.array(json.loads((written / "training_K.json").read_text()))
    xyz = np.array(json.loads((written / "training_xyz.json").read_text()))
    for index, entry in enumerate(data.entries):
        (hand,) = entry.hands
        assert hand.keypoints is not None
        x, y, z = xyz[index, 8]
        assert hand.keypoints[8] == pytest.approx(
            [K[index, 0, 0] * x / z + 112, K[index, 1, 1] * y / z + 112], abs=1e-3
        )


def test_depth_is_in_pixels_behind_the_wrist(written):
    xyz = np.array(json.loads((written / "training_xyz.json").read_text()))
    (hand,) = FreiHand(written).entries[0].hands
    assert hand.depth is not None
    assert hand.depth[0] == 0
    np.testing.assert_allclose(hand.depth, (xyz[0, :, 2] - DISTANCE) * FOCAL / DISTANCE, atol=1e-3)


def test_boxes_are_tight_around_the_keypoints_with_a_margin(written):
    for entry in FreiHand(written).entries:
        (hand,) = entry.hands
        assert hand.keypoints is not None
        low, high = hand.keypoints.min(axis=0), hand.keypoints.max(axis=0)
        margin = 0.06 * (high - low).max()
        corners = np.array([low - margin, high + margin]).clip(0, SIZE)
        np.testing.assert_allclose(hand.box, [*corners[0], *(corners[1] - corners[0])], atol=1e-3)


def test_versions_show_the_same_hand_on_another_background(written):
    data = FreiHand(written, versions=VERSIONS)
    assert len(data) == 4 * COUNT
    assert [entry.path.name for entry in data.entries[COUNT : COUNT + 2]] == ["00000011.jpg", "00000012.jpg"]
    assert {entry.version for entry in data.entries} == set(VERSIONS)
    for index in range(COUNT):
        same = [data.entries[index + version * COUNT] for version in range(4)]
        assert len({entry.group for entry in same}) == 1
        np.testing.assert_array_equal(same[0].hands[0].keypoints, same[3].hands[0].keypoints)
    assert np.abs(data[0].image.astype(int) - data[COUNT].image).mean() > 5
    with pytest.raises(ValueError, match="not color"):
        FreiHand(written, versions=("color",))  # type: ignore[arg-type]


def test_the_evaluation_set_is_read(written):
    data = FreiHand(written, "evaluation", versions=VERSIONS)
    assert len(data) == EVALUATION
    assert data.entries[1].path == written / "evaluation" / "rgb" / "00000001.jpg"
    assert data[0].hands[0].keypoints is not None
    with pytest.raises(ValueError, match="not split"):
        FreiHand(written, "evaluation", split="train")


def test_the_evaluation_keypoints_came_later(copy, written):
    (copy / "evaluation_xyz.json").unlink()
    with pytest.raises(DatasetError, match=r"FreiHAND_pub_v2_eval\.zip"):
        FreiHand(copy, "evaluation")
    later = copy.parent / "FreiHAND_pub_v2_eval"
    later.mkdir()
    shutil.copytree(written / "evaluation", later / "evaluation")
    for file in written.glob("evaluation_*.json"):
        shutil.copy(file, later)
    data = FreiHand(copy.parent, "evaluation")
    assert data.entries[0].path.is_relative_to(later)
    assert len(FreiHand(copy.parent)) == COUNT


def test_the_split_is_by_unique_id(written):
    train = FreiHand(written, versions=VERSIONS, split="train")
    validation = FreiHand(written, versions=VERSIONS, split="validation")
    assert len(train) == 4 * (COUNT - 1)
    assert {entry.id for entry in validation.entries} == {9}
    assert not {entry.group for entry in train.entries} & {entry.group for entry in validation.entries}


def test_the_split_of_the_full_data_set_is_fixed():
    train, validation = split_ids(32_560, "train"), split_ids(32_560, "validation")
    assert len(validation) == 3256
    assert len(train) == 29_304
    assert np.array_equal(np.sort(np.concatenate([train, validation])), split_ids(32_560, None))
    assert validation[[0, 406, 407]].tolist() == [3663, 4069, 7733]
    held_out = np.isin(np.arange(32_560), validation)
    assert (held_out.reshape(8, 4070) == held_out[:4070]).all()  # the same moments, camera by camera


def test_too_few_ids_for_a_part_are_refused(copy):
    for name in ("K", "xyz", "scale"):
        edit(copy / f"training_{name}.json", lambda values: values.__delitem__(slice(5, None)))
    with pytest.raises(DatasetError, match="5 ids, too few for the validation part"):
        FreiHand(copy, split="validation")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("K", [[1, 0, 0], [0, 1, 0]], r"training_K\.json: record 4: the shape is 2 × 3, not 3 × 3"),
        ("K", [[1, 0, 0], [0, 1], [0, 0, 1]], r"training_K\.json: record 4: this is not 3 × 3 of numbers"),
        ("K", [[480, 0, 112], [0, -480, 112], [0, 0, 1]], r"training_K\.json: record 4: .* no camera matrix"),
        ("K", [[480, 0, 112], [0, 480, 112], [0, 1, 0]], r"training_K\.json: record 4: .* no camera matrix"),
        (
            "K",
            [[480, 0, 9000], [0, 480, 112], [0, 0, 1]],
            r"training_K\.json: record 4: .* outside the picture",
        ),
        (
            "K",
            [[480, 0, None], [0, 480, 112], [0, 0, 1]],
            r"training_K\.json: record 4: a number is not finite",
        ),
        ("K", "camera", r"training_K\.json: record 4: this is not 3 × 3"),
        ("xyz", [[0, 0, 1]] * 20, r"training_xyz\.json: record 4: the shape is 20 × 3, not 21 × 3"),
        ("xyz", [[0.1, 0.2, -0.5]] * 21, r"training_xyz\.json: record 4: .* behind the camera"),
        ("scale", 0, r"training_scale\.json: record 4: the scale is not positive"),
        ("scale", [0.03, 0.03], r"training_scale\.json: record 4: the shape is 2, not a single number"),
    ],
)
def test_a_bad_record_is_named(copy, name, value, message):
    edit(copy / f"training_{name}.json", lambda values: values.__setitem__(4, value))
    with pytest.raises(DatasetError, match=message):
        FreiHand(copy)


def test_lists_of_different_lengths_are_refused(copy):
    edit(copy / "training_K.json", lambda values: values.pop())
    with pytest.raises(DatasetError, match=r"training_K\.json has 10 records, training_xyz\.json has 11"):
        FreiHand(copy)


@pytest.mark.parametrize("name", ["K", "xyz", "scale"])
def test_truncated_and_missing_lists_are_named(copy, name):
    file = copy / f"training_{name}.json"
    file.write_text(file.read_text()[:-20])
    with pytest.raises(DatasetError, match=rf"training_{name}\.json is no JSON, or it is cut short"):
        FreiHand(copy)
    file.write_text("{}")
    with pytest.raises(DatasetError, match=rf"training_{name}\.json is no list of records"):
        FreiHand(copy)
    file.unlink()
    with pytest.raises(DatasetError, match=rf"training_{name}\.json"):
        FreiHand(copy)


def test_a_missing_picture_is_named(copy):
    (copy / "training" / "rgb" / f"{2 * COUNT + 5:08d}.jpg").unlink()
    assert len(FreiHand(copy, versions=("gs", "hom"))) == 2 * COUNT
    with pytest.raises(DatasetError, match=r"00000027\.jpg is missing: id 5, version sample"):
        FreiHand(copy, versions=VERSIONS)


def test_a_picture_that_does_not_fit_is_named(copy):
    data = FreiHand(copy)
    cv2.imwrite(str(data.entries[2].path), np.zeros((128, 224, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"00000002\.jpg is 224 × 128, not 224 × 224"):
        data[2]
    data.entries[2].path.write_text("hello")
    with pytest.raises(DatasetError, match=r"00000002\.jpg is missing or no picture"):
        data[2]


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"has no training_xyz\.json: it is not the folder of FreiHAND"):
        FreiHand(tmp_path)
