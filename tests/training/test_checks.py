"""Recipes that say something which would come to nothing."""

from pathlib import Path

import pytest

from tests.training.reference_recipes import RECIPES, small_detector, small_pose
from training.checks import warn_of_unknown_sources
from training.datasets.coco import CocoHands
from training.recipe import DataSection, RecipeError, load_recipe
from training.tasks import create_task


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        ("detector", "loss.weight.tpyo=3", "must be of centre, box, not centre, box, tpyo"),
        ("pose", "loss.weight.tpyo=3", "must be of heatmap, .*tpyo"),
        ("detector", "data.share={empty=0.0, emtpy=0.11}", "no samples emtpy, but single, mosaic, scene"),
        ("pose", "data.share={photo=0.0, single=0.44}", "no samples single, but photo, own, boxed"),
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


def test_a_field_that_the_reference_pair_does_not_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="restore_norms: training a detector network fasterrcnn"):
        create_task(small_detector(restore_norms=True), tmp_path, tmp_path)
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
