"""What a run is told when it starts, and what it remembers of that."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from service.engines.torch import place
from service.models.checkpoint import Checkpoint
from tests.training.test_loop import RECIPE
from tests.training.tiny_run import Line
from training.checkpoint_folder import card_of
from training.datasets.synthetic import Backgrounds, RenderedPool
from training.launch import _has_bfloat16, _started_from, _train
from training.loop import Run, TrainingError
from training.recipe import Recipe, load_recipe

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "service" / "weights" / "pose"
RECIPES = ROOT / "training" / "recipes"


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """Starts, as it says, from the pose network that ships."""
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    return load_recipe(path, [f"init={json.dumps(str(SHIPPED))}", "steps=4", "evaluate_every=4"])


def train(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """Train in `tmp_path`/run, and return the recipe that the weights come with."""
    monkeypatch.setattr("training.launch.create_task", lambda *_: Line(None, tmp_path / "losses"))
    folder = tmp_path / "run"
    _train(recipe, tmp_path, tmp_path, folder, 0, place("cpu"))
    return Recipe.model_validate(torch.load(folder / "final.pt")["recipe"])


def test_the_checkpoint_it_starts_from_comes_first_in_the_card(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = train(recipe.changed(init_remarks="and more"), tmp_path, monkeypatch)
    card = Checkpoint.load(SHIPPED).card
    start = f"{card.name} {card.version} (sha256 {card.sha256['model.safetensors'][:12]})"
    assert card_of(trained, 1, {}, "")["initialised_from"] == f"{start}; and more"
    assert card_of(trained.changed(init_remarks=""), 1, {}, "")["initialised_from"] == start
    assert card_of(recipe, 1, {}, "")["initialised_from"] == str(SHIPPED)
    assert card_of(recipe, 1, {}, "")["licence"] == "Apache-2.0"
    assert card_of(recipe.changed(licence="mine"), 1, {}, "")["licence"] == "mine"


@pytest.mark.parametrize("task", ["detector", "pose"])
def test_a_default_recipe_run_again_tells_of_its_own_start(task: str) -> None:
    shipped = Checkpoint.load(SHIPPED.with_name(task))
    recipe = load_recipe(RECIPES / f"default-{task}.toml")
    again = _started_from(shipped, recipe)
    assert again.version == f"{shipped.card.version}+"
    assert card_of(again, 1, {}, "")["initialised_from"] == (
        f"{shipped.identity}; it started from {shipped.card.initialised_from}"
    )
    once_more = replace(shipped, card=shipped.card.model_copy(update={"version": again.version}))
    assert _started_from(once_more, recipe).version == f"{shipped.card.version}++"
    other = _started_from(shipped, recipe.changed(version="99"))
    assert other.version == "99"
    assert other.init_remarks == again.init_remarks


def test_a_run_named_like_its_start_keeps_its_version_when_it_goes_on(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Checkpoint.load(SHIPPED).card
    namesake = recipe.changed(name=card.name, version=card.version)
    assert train(namesake, tmp_path, monkeypatch).version == f"{card.version}+"
    newer = card.model_copy(update={"version": f"{card.version}+"})
    monkeypatch.setattr(
        "training.launch.checkpoint_at", lambda _: replace(Checkpoint.load(SHIPPED), card=newer)
    )
    assert train(namesake, tmp_path, monkeypatch).version == f"{card.version}+"
    with pytest.raises(TrainingError, match="version differ"):
        train(namesake.changed(version="99"), tmp_path, monkeypatch)


def test_a_run_goes_on_without_the_weights_it_started_from(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(recipe, tmp_path, monkeypatch)
    train_anew = partial(_train, recipe, tmp_path, tmp_path, tmp_path / "run", 0, place("cpu"))
    starts: list[str] = []

    def create_task(given: Recipe, *_: Path) -> Line:
        starts.append(given.init)
        return Line(None, tmp_path / "losses")

    monkeypatch.setattr("training.launch.create_task", create_task)
    train_anew()
    (tmp_path / "run" / "state.pt").unlink()
    train_anew()
    assert starts == ["none", recipe.init]


def test_a_resumed_run_remembers_what_it_started_from(recipe: Recipe, tmp_path: Path) -> None:
    started = Run(Line(None, tmp_path / "losses"), recipe.changed(init_checkpoint="old 1"), tmp_path)
    started.save()
    resumed = Run(Line(None, tmp_path / "losses"), recipe.changed(init_checkpoint="new 2"), tmp_path)
    assert resumed.resume()
    assert resumed.recipe.init_checkpoint == "old 1"


def test_a_state_from_before_there_were_some_fields_resumes(recipe: Recipe, tmp_path: Path) -> None:
    Run(Line(None, tmp_path / "losses"), recipe, tmp_path).save()
    saved = torch.load(tmp_path / "state.pt", weights_only=False)
    del saved["recipe"]["init_checkpoint"], saved["recipe"]["data"]["validation"]
    torch.save(saved, tmp_path / "state.pt")
    resumed = Run(Line(None, tmp_path / "losses"), recipe.changed(init_checkpoint="new 2"), tmp_path)
    assert resumed.resume()
    assert resumed.recipe.init_checkpoint == ""  # nobody knows


def test_a_pool_that_nobody_fills_any_more_ends_the_run_with_a_reason(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = RenderedPool(tmp_path / "pool", "crop", 1, 48, 0, Backgrounds([]))

    def without_pictures(_: Run) -> None:
        raise pool.ended_early()

    monkeypatch.setattr(Run, "train", without_pictures)
    with pytest.raises(TrainingError, match=r"processes that render into .*pool ended early"):
        train(recipe, tmp_path, monkeypatch)


def test_a_torch_without_mkldnn_has_no_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Apple's processors, where there is nothing to ask."""
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(torch.ops, "mkldnn", None)
    assert not _has_bfloat16()
