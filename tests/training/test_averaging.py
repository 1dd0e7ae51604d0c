"""Several runs become one network."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from training.averaging import load_run_weights
from training.recipe import DataSection, Recipe, load_recipe

RECIPES = Path(__file__).parents[2] / "training" / "recipes"


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe(RECIPES / "default-pose.toml")


def write(file: Path, recipe: Recipe, value: float, samples: int) -> Path:
    state = {"layer.weight": torch.full((2, 3), value), "norm.num_batches_tracked": torch.tensor(int(value))}
    content = {"state": state, "samples": samples, "recipe": recipe.model_dump(mode="json")}
    torch.save(content, file)
    return file


def test_one_run_stays_as_it_is(recipe: Recipe, tmp_path: Path) -> None:
    content = load_run_weights([write(tmp_path / "a.pt", recipe, 1.0, 320)])
    assert content["samples"] == 320
    assert Recipe.model_validate(content["recipe"]) == recipe
    assert content["state"]["layer.weight"].tolist() == [[1.0] * 3] * 2


def test_two_runs_become_their_mean(recipe: Recipe, tmp_path: Path) -> None:
    files = [
        write(tmp_path / "a.pt", recipe, 1.0, 3200),
        write(tmp_path / "b.pt", recipe.changed(name="second", seed=99), 4.0, 640),
    ]
    content = load_run_weights(files)
    assert content["state"]["layer.weight"].tolist() == [[2.5] * 3] * 2
    assert content["state"]["norm.num_batches_tracked"] == 1
    assert content["samples"] == 3840
    made = Recipe.model_validate(content["recipe"])
    assert made.name == recipe.name
    assert made.init_remarks.startswith(recipe.init_remarks)
    assert (
        f"{recipe.name}, seed {recipe.seed}, 3,200 samples; second, seed 99, 640 samples" in made.init_remarks
    )


def test_the_card_tells_every_start_and_every_source(recipe: Recipe, tmp_path: Path) -> None:
    data = recipe.data.model_dump(mode="json")
    more = {**data, "sources": [*data["sources"][:1], {"name": "my hands", "licence": "mine"}]}
    files = [
        write(tmp_path / "a.pt", recipe.changed(init_checkpoint="pose 6 (sha256 aa)"), 1.0, 64),
        write(tmp_path / "b.pt", recipe.changed(init_checkpoint="pose 7 (sha256 bb)", data=more), 4.0, 64),
    ]
    made = Recipe.model_validate(load_run_weights(files)["recipe"])
    assert isinstance(made.data, DataSection)
    assert [dict(s) for s in made.data.sources] == [*data["sources"], {"name": "my hands", "licence": "mine"}]
    assert "64 samples from pose 6 (sha256 aa); " in made.init_remarks
    assert made.init_remarks.endswith("64 samples from pose 7 (sha256 bb)")


def test_a_file_given_twice_weighs_twice_and_counts_once(recipe: Recipe, tmp_path: Path) -> None:
    first, second = write(tmp_path / "a.pt", recipe, 1.0, 320), write(tmp_path / "b.pt", recipe, 4.0, 64)
    content = load_run_weights([first, first, second])
    assert content["state"]["layer.weight"].tolist() == [[2.0] * 3] * 2
    assert content["samples"] == 384
    remarks = Recipe.model_validate(content["recipe"]).init_remarks
    assert remarks.endswith(f"320 samples (2 times); {recipe.name}, seed {recipe.seed}, 64 samples")


def test_the_start_may_take_part(recipe: Recipe, tmp_path: Path, root: Path) -> None:
    start = root / "service" / "weights" / "pose"
    state = load_file(start / "model.safetensors")
    plain = recipe.changed(fold_norms=False, restore_norms=False).model_dump(mode="json")
    torch.save({"state": state, "samples": 320, "recipe": plain}, tmp_path / "a.pt")
    same = load_run_weights([tmp_path / "a.pt", start])  # nothing had been learnt
    for name, value in same["state"].items():
        torch.testing.assert_close(value.float(), state[name].float())
    assert same["samples"] == 320
    assert "default-pose" in same["recipe"]["init_remarks"]
    with pytest.raises(ValueError, match="detector"):
        load_run_weights([tmp_path / "a.pt", root / "service" / "weights" / "detector"])


def test_the_start_of_runs_with_restored_norms_is_refused(recipe: Recipe, tmp_path: Path, root: Path) -> None:
    file = write(tmp_path / "a.pt", recipe.changed(fold_norms=False, restore_norms=True), 1.0, 1)
    with pytest.raises(ValueError, match="restore_norms cannot be averaged"):
        load_run_weights([file, root / "service" / "weights" / "pose"])


def test_runs_of_different_networks_or_starts_are_refused(recipe: Recipe, tmp_path: Path) -> None:
    plain = recipe.changed(fold_norms=False, restore_norms=False)
    file = write(tmp_path / "a.pt", plain, 1.0, 1)
    for name, other in {
        "input_size": plain.changed(input_size=160),
        "init": plain.changed(init="imagenet"),
        "fold_norms": plain.changed(fold_norms=True),
        "restore_norms": plain.changed(restore_norms=True),
        "licence": plain.changed(licence="mine"),
        "task": load_recipe(RECIPES / "default-detector.toml"),
    }.items():
        with pytest.raises(ValueError, match=f"cannot be averaged: {name} differs"):
            load_run_weights([file, write(tmp_path / "b.pt", other, 2.0, 1)])
