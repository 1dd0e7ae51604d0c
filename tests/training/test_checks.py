"""Recipes that say something which would come to nothing."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.training.few_photos import copy_photos
from tests.training.reference_recipes import RECIPES, small_detector, small_pose
from training.checks import warn_of_unknown_sources
from training.datasets.coco import CocoHands
from training.recipe import DataSection, Recipe, RecipeError, load_recipe
from training.tasks import create_task


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        ("detector", "loss.weight.tpyo=3", "must be of centre, box, not centre, box, tpyo"),
        ("pose", "loss.weight.tpyo=3", "must be of heatmap, .*tpyo"),
        ("detector", "data.share={empty=0.0, emtpy=0.09}", "no samples emtpy, but single, mosaic, scene"),
        ("pose", "data.share={photo=0.0, single=0.47}", "no samples single, but photo, own, boxed"),
        ("detector", "restore_norms=true", "^restore_norms: training a detector"),
        ("detector", "freeze_norms=true", "^freeze_norms: "),
        ("detector", 'data.own_labels="own-labels.json"', r"^data\.own_labels: "),
        ("detector", "loss.boxes=64", r"^loss\.boxes: "),
        ("pose", "freeze_norms=true", "^freeze_norms: "),
        ("pose", "loss.boxes=64", r"^loss\.boxes: "),
        ("pose", "data.close_ups_size=96", r"^data\.close_ups_size: "),
    ],
)
def test_a_field_that_does_nothing_is_refused(tmp_path: Path, task: str, change: str, message: str) -> None:
    recipe = load_recipe(RECIPES / f"default-{task}.toml", [change])
    with pytest.raises(RecipeError, match=message):
        create_task(recipe, tmp_path, tmp_path)


@pytest.fixture
def few(root: Path, tmp_path: Path) -> Path:
    """A data folder: a few photos in `own`, copies of them in `held`, and one without a label in `free`."""
    copy_photos(root, tmp_path, "own", "held")
    (tmp_path / "free").mkdir()
    shutil.copy(tmp_path / "own" / "rendered_005.jpg", tmp_path / "free")
    return tmp_path


def of_few(task: str, kind: str, **data: Any) -> Recipe:
    """A recipe whose samples are all of one kind. data: other fields of the section."""
    section = {"photos": ["own.json"], "validation": ["held.json"], "negatives": ["free"]}
    recipe = load_recipe(RECIPES / f"default-{task}.toml")
    return recipe.changed(data={**section, "share": {kind: 1.0}, **data})


def test_what_is_judged_on_is_not_trained_on(few: Path) -> None:
    for task, kind in (("detector", "single"), ("pose", "photo")):
        create_task(of_few(task, kind), few, few)
        with pytest.raises(RecipeError, match=r"4 photos of own/\.\./own\.json would be trained on"):
            create_task(of_few(task, kind, validation=["own/../own.json"]), few, few)
        with pytest.raises(RecipeError, match=r"4 photos of held\.json .* as .*/held/rendered_005\.jpg"):
            create_task(of_few(task, kind, negatives=["free", "held"]), few, few)


@pytest.mark.parametrize(
    ("task", "kind", "data", "message"),
    [
        ("pose", "own", {}, "samples own are made of labels of own_labels"),
        ("pose", "photo", {"photos": []}, "samples photo are made of photos with keypoints"),
        ("pose", "photo", {"negatives": []}, "samples photo are made of negatives and hand_free photos"),
        ("pose", "boxed", {}, "samples boxed are made of hands that have a box alone"),
        ("detector", "single", {"photos": []}, "samples single are made of photos"),
        ("detector", "empty", {"negatives": []}, "samples empty are made of negatives"),
        ("detector", "pasted", {}, "samples pasted are made of backgrounds"),
    ],
)
def test_samples_that_cannot_be_made_are_refused(
    few: Path, task: str, kind: str, data: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        create_task(of_few(task, kind, **data), few, few)


def test_a_validation_file_without_keypoints_is_named(few: Path) -> None:
    boxes = few / "held.json"
    content = json.loads(boxes.read_text())
    for hand in content["annotations"]:
        del hand["keypoints"]
    boxes.write_text(json.dumps(content))
    create_task(of_few("detector", "single"), few, few)
    with pytest.raises(RecipeError, match=r"no hand of .*held\.json has keypoints"):
        create_task(of_few("pose", "photo"), few, few)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("seed=-1", "seed: "),
        ("data=5", "data: Input should be a valid dictionary"),
        ("optimiser.momentum=0.5", "momentum: adamw has none"),
        ('data.validation=["a/val.json", "b/val.json"]', "must differ"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(change: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(RECIPES / "default-pose.toml", [change])


def test_a_field_that_the_reference_pair_does_not_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="restore_norms: training a detector network fasterrcnn"):
        create_task(small_detector(restore_norms=True), tmp_path, tmp_path)
    with pytest.raises(RecipeError, match="fold_norms: training a detector network fasterrcnn"):
        create_task(small_detector(fold_norms=True), tmp_path, tmp_path)
    for small in (small_detector, small_pose):
        with pytest.raises(RecipeError, match="licence: training a"):
            create_task(small(licence="mine"), tmp_path, tmp_path)
    with pytest.raises(RecipeError, match="frozen: training a pose network unet"):
        create_task(small_pose(frozen=2), tmp_path, tmp_path)


def test_sources_that_no_photo_has_are_told(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    photos = CocoHands(root / "tests" / "photos" / "labels.json")
    known = photos.entries[0].source[:4]
    section = DataSection(
        share={"photo": 1.0}, source_weight={known: 2.0, "nosuch/": 9.0}, incomplete_sources=("nobody",)
    )
    warn_of_unknown_sources(section, photos)
    assert [record.getMessage() for record in caplog.records] == [
        "data.source_weight: no photo is of 'nosuch/'",
        "data.incomplete_sources: no photo is of 'nobody'",
    ]
