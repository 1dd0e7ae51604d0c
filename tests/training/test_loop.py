import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.tiny_run import Line
from training.loading import Batch
from training.loop import Run, TrainingError
from training.recipe import RecipeError, load_recipe
from training.schedule import Schedule

RECIPE = """
name = "tiny"
version = "1"
task = "pose"
init = "none"
steps = 40
input_size = 64
phases = [{ until = 0.5, size = 64, batch = 8 }, { until = 1.0, size = 96, batch = 4 }]
save_every = 5
evaluate_every = 20
[data]
share = { all = 1.0 }
[optimiser]
rate = 0.05
warm_up = 4
[loss]
weight = { all = 1.0 }
"""
SCRIPT = Path(__file__).with_name("tiny_run.py")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    return path


def run_script(root: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.training.tiny_run", *map(str, arguments)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def whole(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "tiny.toml").write_text(RECIPE)
    done = run_script(root, folder / "whole", folder / "tiny.toml")
    assert done.returncode == 0, done.stderr
    return folder / "whole"


def test_a_killed_run_goes_on_to_the_same_result(
    root: Path, whole: Path, tmp_path: Path, recipe: Path
) -> None:
    killed = tmp_path / "killed"
    assert run_script(root, killed, recipe, 18).returncode == -9
    resumed = run_script(root, killed, recipe)
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed at 15" in resumed.stdout  # the last save before the kill

    expected = whole.with_suffix(".losses").read_text().split()
    losses = (tmp_path / "killed.losses").read_text().split()
    assert len(expected) == 40
    assert losses[:18] == expected[:18]
    assert losses[18:] == expected[15:]
    a, b = (torch.load(folder / "final.pt")["state"] for folder in (whole, killed))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns_and_keeps_the_averaged_weights(whole: Path) -> None:
    losses = [float(x) for x in whole.with_suffix(".losses").read_text().split()]
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    final = torch.load(whole / "final.pt")
    state = torch.load(whole / "state.pt")
    assert final["samples"] == 20 * 8 + 20 * 4
    assert not torch.equal(final["state"]["0.weight"], state["network"]["0.weight"])
    assert list(whole.glob("events.*"))


class Broken:
    key_metric = "none"

    def network(self) -> torch.nn.Module:
        return torch.nn.Linear(1, 1)

    def sample(self, index: int, size: int) -> dict[str, object]:
        return {"x": torch.zeros(1).numpy()}

    def loss(
        self, network: torch.nn.Module, batch: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, dict[str, float]]:
        return network(batch["x"]).sum() * float("nan"), {"part": 1.0}

    def evaluate(self, network: torch.nn.Module) -> dict[str, float]:
        return {"none": 0.0}


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path, recipe: Path) -> None:
    run = Run(Broken(), load_recipe(recipe), tmp_path / "run")  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="the loss is nan at step 0"):
        run.train()


class ByBatches(Line):
    """The same task; whole batches are made of the samples, and noted."""

    def __init__(self, log: Path) -> None:
        super().__init__(None, log)
        self.made: list[tuple[int, int, int]] = []

    def batches(self, device: torch.device, workers: int) -> Callable[[int, int, int], Batch]:
        def make(first: int, count: int, size: int) -> Batch:
            self.made.append((first, count, size))
            samples = [self.sample(first + i, size) for i in range(count)]
            return {key: torch.from_numpy(np.stack([s[key] for s in samples])) for key in samples[0]}

        return make


def test_whole_batches_train_like_their_samples(tmp_path: Path, recipe: Path, whole: Path) -> None:
    task = ByBatches(tmp_path / "losses")
    Run(task, load_recipe(recipe), tmp_path / "run").train()
    assert task.made[0] == (0, 8, 64)
    assert task.made[20] == (160, 4, 96)  # after 20 steps of 8
    assert len(task.made) == 40
    losses, expected = (
        [float(x) for x in file.read_text().split()]
        for file in (tmp_path / "losses", whole.with_suffix(".losses"))
    )
    assert losses == pytest.approx(expected, rel=1e-4)  # another process adds in another order


def test_another_recipe_does_not_resume(tmp_path: Path, recipe: Path) -> None:
    first = Run(Broken(), load_recipe(recipe), tmp_path / "run")  # type: ignore[arg-type]
    first.folder.mkdir()
    first.save()
    recipe.write_text(RECIPE.replace("rate = 0.05", "rate = 0.01").replace('version = "1"', 'version = "2"'))
    with pytest.raises(TrainingError, match="another recipe: optimiser, version differ"):
        Run(Broken(), load_recipe(recipe), tmp_path / "run").resume()  # type: ignore[arg-type]


def test_the_learning_rate_warms_up_and_falls(recipe: Path) -> None:
    rates = [Schedule.of(load_recipe(recipe)).learning_rate(step) for step in range(40)]
    assert rates[0] == pytest.approx(0.05 / 4, rel=0.01)
    assert max(rates) == rates[3]
    assert rates[-1] < 0.05 * 0.02
    assert rates[3:] == sorted(rates[3:], reverse=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("steps = 40", "steps = 40\nspeed = 3"), "speed: Extra inputs"),
        (("rate = 0.05", "rate = -1"), "optimiser.rate: .*greater than 0"),
        (("rate = 0.05", "rating = 1"), "optimiser.rate: Field required"),
        (("all = 1.0 }\n[opt", "all = 0.7 }\n[opt"), "data: .*share sums to 0.7"),
        (
            ("all = 1.0 }\n[opt", "all = 1.0 }\nrendered = 0\n[opt"),
            "data.rendered: .*greater than or equal to 1",
        ),
        (("until = 1.0", "until = 0.9"), "the last at 1"),
        (("size = 96", "size = 97"), "phases.1.size: .*multiple of 32"),
        (("steps = 40", "steps 40"), "is no TOML"),
    ],
)
def test_a_wrong_recipe_is_refused_by_name(recipe: Path, change: tuple[str, str], message: str) -> None:
    recipe.write_text(RECIPE.replace(*change))
    with pytest.raises(RecipeError, match=message):
        load_recipe(recipe)


def test_the_recipes_that_ship_are_sound(root: Path) -> None:
    recipes = sorted((root / "training" / "recipes").glob("*.toml"))
    assert recipes
    for path in recipes:
        assert load_recipe(path).name == path.stem
