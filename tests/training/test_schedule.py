from itertools import chain

from tests.training.reference_recipes import small_pose
from training.recipe import load_recipe
from training.schedule import Schedule


def test_epochs_become_steps() -> None:
    recipe = small_pose(batch=8, epochs=5, save_every=1, evaluate_every=2)
    schedule = Schedule.of(recipe, samples=20)
    assert (schedule.steps, schedule.save_every, schedule.evaluate_every) == (13, 3, 5)  # 100, 20, 40 samples
    assert Schedule.of(recipe, samples=16).steps == 10


def test_the_published_lengths(root) -> None:
    recipes = root / "training" / "recipes"
    steps = {
        name: Schedule.of(load_recipe(recipes / f"{name}.toml"), samples).steps
        for name, samples in (
            ("reference-detector", 3600),
            ("reference-pose-green", 29_304),
            ("reference-pose-all", 117_216),
        )
    }
    assert steps == {
        "reference-detector": 4500,
        "reference-pose-green": 68_682,
        "reference-pose-all": 183_150,
    }


def test_epochs_of_phases_with_different_batches_show_everything() -> None:
    recipe = small_pose(epochs=10)
    phases = [{"until": 0.5, "size": 64, "batch": 12}, {"until": 1.0, "size": 96, "batch": 4}]
    schedule = Schedule.of(recipe.changed(phases=phases), samples=40)
    drawn = list(schedule.batches(0, 0))
    assert len(drawn) == schedule.steps == 50
    assert [number for number, _ in chain(*drawn)] == list(range(400))


def test_processes_share_every_batch() -> None:
    schedule = Schedule.of(small_pose(batch=6, steps=4))
    whole = list(schedule.batches(1, 6))
    shares = [list(schedule.batches(1, 6, process, 3)) for process in range(3)]
    assert len(whole) == 3
    for batch, *parts in zip(whole, *shares, strict=True):
        assert [len(part) for part in parts] == [2, 2, 2]
        assert sorted(chain(*parts)) == batch
