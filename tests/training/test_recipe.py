import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.models.checkpoint import Checkpoint
from service.models.faster_rcnn import HandFasterRCNN
from service.models.unet import CHANNELS, SIGMA
from tests.training.reference_recipes import RECIPES, small_pose, write_toml
from training.recipe import EgoHandsSection, FreiHandSection, Recipe, RecipeError, load_recipe

REFERENCE = ("reference-detector", "reference-pose-green", "reference-pose-all")


def test_the_reference_detector_is_fine_tuned_as_published() -> None:
    recipe = load_recipe(RECIPES / "reference-detector.toml")
    assert (recipe.architecture, recipe.init) == ("fasterrcnn-resnet50-fpn", "coco")
    assert (recipe.epochs, recipe.optimiser.kind) == (10, "sgd")
    assert recipe.optimiser.momentum > 0
    assert recipe.optimiser.warm_up == 3600 / recipe.phases[0].batch  # one epoch
    assert isinstance(recipe.data, EgoHandsSection)


def test_the_reference_pose_network_is_trained_in_two_halves() -> None:
    green, everything = (load_recipe(RECIPES / f"reference-pose-{part}.toml") for part in ("green", "all"))
    assert (CHANNELS, SIGMA) == ((16, 32, 64, 128), 3.0)
    for recipe in (green, everything):
        assert recipe.architecture == "unet-16-32-64-128"
        assert recipe.loss.weight == {"dice": 1.0}
        assert isinstance(recipe.data, FreiHandSection)
    assert (green.init, green.epochs, green.data.versions) == ("none", 150, ("gs",))
    assert (everything.init, everything.epochs) == ("runs/reference-pose-green/best.pt", 100)
    assert everything.data.versions == ("gs", "hom", "sample", "auto")


@pytest.mark.parametrize("name", REFERENCE)
def test_every_field_has_a_comment(name: str) -> None:
    lines = (RECIPES / f"{name}.toml").read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"\s*(\w+ =|\{)", line):
            beside, above = "#" in line.partition("=")[2], lines[number - 1].startswith("#")
            assert beside or above, line


@pytest.mark.parametrize("name", REFERENCE)
def test_it_says_everything_itself(name: str) -> None:
    recipe = load_recipe(RECIPES / f"{name}.toml")
    for section in (recipe, recipe.data, recipe.optimiser):
        silent = set(type(section).model_fields) - section.model_fields_set
        unused = {
            "licence",
            "steps",
            "limit",
            "init_remarks",
            "init_checkpoint",
            "freeze_norms",
            "fold_norms",
            "restore_norms",
            "frozen",
            "momentum",
            "boxes",
        }
        assert silent <= unused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('root = "freihand"', 'root = "freihand"\nfolder = "x"'), "data.folder: Extra inputs"),
        (('versions = ["gs"]', 'versions = ["green"]'), "data.versions.0: Input should be 'gs'"),
        (('kind = "freihand"', 'kind = "coco"'), "data: Input tag 'coco'"),
        (('kind = "adamw"', 'kind = "adam"'), "optimiser.kind: Input should be 'adamw' or 'sgd'"),
        (("epochs = 150", "epochs = 150\nsteps = 10"), "either steps or epochs"),
        (("epochs = 150", ""), "either steps or epochs"),
        (('precision = "bfloat16"', 'precision = "half"'), "precision: Input should be 'float32'"),
        (('task = "pose"', 'task = "detector"'), "there is no detector network unet"),
        (('"unet-16-32-64-128"', '"efficientnet-lite0-fpn"'), "data.kind 'photos', not 'freihand'"),
    ],
)
def test_a_wrong_field_is_refused_by_name(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    text = (RECIPES / "reference-pose-green.toml").read_text()
    assert change[0] in text
    (tmp_path / "wrong.toml").write_text(text.replace(*change))
    with pytest.raises(RecipeError, match=message):
        load_recipe(tmp_path / "wrong.toml")


def test_photos_have_no_epochs() -> None:
    recipe = load_recipe(RECIPES / "default-pose.toml")
    with pytest.raises(ValidationError, match="photos are drawn at random and have no epochs"):
        recipe.changed(steps=None, epochs=3)


def test_a_limit_shortens_everything() -> None:
    recipe = load_recipe(RECIPES / "reference-pose-green.toml").shortened(6)
    assert (recipe.limit, recipe.epochs, recipe.phases[0].batch) == (6, 2, 6)
    by_steps = load_recipe(RECIPES / "default-pose.toml").shortened(6)
    assert (by_steps.steps, by_steps.epochs, by_steps.data.rendered) == (6, None, 6)
    assert by_steps.data.close_ups == 20_000  # of detectors alone
    closer = load_recipe(RECIPES / "default-detector.toml")
    assert closer.shortened(6).data.close_ups == 6
    assert small_pose(batch=2).shortened(6).phases[0].batch == 2


def test_a_recipe_survives_being_written(tmp_path: Path) -> None:
    recipe = small_pose(steps=3, limit=2)
    assert load_recipe(write_toml(recipe, tmp_path / "copy.toml")) == recipe


def test_the_size_of_the_detector_is_one_that_serving_accepts() -> None:
    size = load_recipe(RECIPES / "reference-detector.toml").input_size
    assert HandFasterRCNN.__init__.__defaults__[1] == size


def test_fields_can_be_changed_from_outside() -> None:
    path = RECIPES / "default-pose.toml"
    recipe = load_recipe(path)
    changed = load_recipe(
        path,
        ["seed=14", "optimiser.rate = 2e-4", 'name = "another"', "phases = [{until=1.0, size=96, batch=8}]"],
    )
    assert (changed.seed, changed.name, changed.optimiser.rate) == (14, "another", 2e-4)
    assert changed.optimiser.ema == recipe.optimiser.ema
    assert changed.data == recipe.data
    assert [phase.size for phase in changed.phases] == [96]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("seed", "'seed' is no TOML"),
        ("sead=1", "sead: Extra inputs"),
        ("optimiser.rate=-1", "optimiser.rate: Input should be greater than 0"),
        ("optimiser=1", "optimiser: Input should be a valid dictionary"),
    ],
)
def test_wrong_changes_are_named(change: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(RECIPES / "default-pose.toml", [change])


def test_remarks_on_other_starting_weights_are_dropped() -> None:
    path = RECIPES / "default-detector.toml"
    remarks = load_recipe(path).init_remarks
    assert remarks
    assert load_recipe(path, ['init="runs/x"']).init_remarks == ""
    assert load_recipe(path, ['init="runs/x"', 'init_remarks="ours"']).init_remarks == "ours"
    assert load_recipe(path, ["seed=3", 'init="service/weights/detector"']).init_remarks == remarks


@pytest.mark.parametrize("task", ["detector", "pose"])
def test_a_recipe_of_an_earlier_version_can_be_read(root: Path, task: str) -> None:
    """With a field less, and with one that is gone; of a file that is no longer taken."""
    stored = Checkpoint.load(root / "service" / "weights" / task).card.recipe
    older = {k: v for k, v in stored["data"].items() if k != "validation"} | {"augment": "batches"}
    recipe = Recipe.stored({**stored, "data": older})
    assert recipe.data.validation == ("hands/val.json", "hands/freihand_sample.json")
    assert recipe.data.validation == load_recipe(RECIPES / f"default-{task}.toml").data.validation


def test_a_stored_recipe_of_the_reference_network_is_what_it_was() -> None:
    recipe = load_recipe(RECIPES / "reference-pose-green.toml", ["data.augment=false"])
    assert Recipe.stored(recipe.model_dump(mode="json")) == recipe


def test_a_field_that_is_gone_is_refused_in_a_file() -> None:
    with pytest.raises(RecipeError, match=r"data\.augment: Extra inputs"):
        load_recipe(RECIPES / "default-pose.toml", ['data.augment="batches"'])


def test_a_recipe_is_judged_on_something() -> None:
    with pytest.raises(RecipeError, match=r"data\.validation: Tuple should have at least 1 item"):
        load_recipe(RECIPES / "default-pose.toml", ["data.validation=[]"])
