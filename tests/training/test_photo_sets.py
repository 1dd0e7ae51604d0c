import json
from pathlib import Path

import pytest

from training.datasets.coco import CocoHands, DatasetError
from training.photo_sets import own_photo_sets, photo_sets, thin_out


def test_what_can_be_judged_follows_from_the_labels(root: Path, miniature: Path, tmp_path: Path) -> None:
    labels = root / "tests" / "photos" / "labels.json"
    content = json.loads(labels.read_text())
    for annotation in content["annotations"]:
        annotation["keypoints"] = [0] * 63
    content["annotations"][-1]["iscrowd"] = 1
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps(content))
    sets = photo_sets([labels, boxes], miniature / "freihand", miniature / "egohands")
    assert [(s.name, s.parts) for s in sets] == [
        ("labels.json", ("detector", "pose", "both")),
        ("boxes.json", ("detector", "both")),
        ("FreiHAND evaluation", ("pose",)),
        ("EgoHands test", ("detector",)),
    ]
    assert [len(s.photos) for s in sets] == [4, 3, 2, 2]  # one of them has a crowd


def test_a_limit_spreads_over_all_photos(root: Path) -> None:
    file = root / "tests" / "photos" / "labels.json"
    names = [entry.path.name for entry in CocoHands(file).entries]
    assert [entry.path.name for entry in thin_out(CocoHands(file), 2).entries] == [names[0], names[2]]
    assert len(thin_out(CocoHands(file), 100)) == 4
    assert len(photo_sets([file], limit=3)[0].photos) == 3


def test_a_run_is_judged_on_its_own_kind_of_data(miniature: Path) -> None:
    (pose,) = own_photo_sets({"data": {"kind": "freihand", "root": "freihand"}}, miniature)
    (detector,) = own_photo_sets({"data": {"kind": "egohands", "root": "egohands"}}, miniature, limit=1)
    assert (pose.parts, detector.parts) == (("pose",), ("detector",))
    assert len(detector.photos) == 1
    with pytest.raises(DatasetError, match=r"hands/val\.json does not exist"):
        own_photo_sets({"data": {"photos": ["hands/train.json"]}}, miniature)


def test_a_run_is_judged_on_the_files_that_its_recipe_names(root: Path) -> None:
    recipe = {"data": {"validation": ["labels.json", "more.json"]}}
    (photos,) = own_photo_sets(recipe, root / "tests" / "photos")
    assert photos.name == "labels.json"
