from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.training.few_photos import copy_photos
from training.detector import DetectorTask
from training.recipe import load_recipe

SIZE = 128


@pytest.fixture
def create(root: Path, tmp_path: Path) -> Callable[..., DetectorTask]:
    """The default detector's recipe with one kind alone: four photos with hands, four backgrounds, one negative."""
    copy_photos(root, tmp_path, "mine", "judged")
    for folder, names in (
        ("backgrounds", ("a.png", "b.png", "c.png", "d.png")),
        ("negatives", ("none.png",)),
    ):
        (tmp_path / folder).mkdir()
        for number, name in enumerate(names):
            grey = np.full((150, 200, 3), 30 * (number + 1), np.uint8)
            cv2.imwrite(str(tmp_path / folder / name), grey)

    def make(kind: str, limit: int | None = None) -> DetectorTask:
        share = {
            name: int(name == kind) for name in ("single", "mosaic", "scene", "close", "pasted", "empty")
        }
        changes = [
            'data.photos=["mine.json"]',
            'data.validation=["judged.json"]',
            "data.share={" + ",".join(f"{name}={part}" for name, part in share.items()) + "}",
            'data.false_hands=""',
            'data.found_hands=""',
            'data.hand_free=""',
            "data.close_ups=4",
            "data.close_ups_size=96",
        ]
        recipe = load_recipe(root / "training" / "recipes" / "default-detector.toml", changes)
        recipe = recipe if limit is None else recipe.shortened(limit)
        return DetectorTask(recipe, tmp_path, tmp_path / "cache")

    return make


@pytest.fixture
def task(create: Callable[..., DetectorTask]) -> DetectorTask:
    """With pasted hands."""
    return create("pasted")


def test_pasted_hands_are_targets_in_front_of_other_places(task: DetectorTask) -> None:
    samples = [task.sample(number, SIZE) for number in range(40)]
    hands = [int((sample["centre"] == 1).sum()) for sample in samples]
    assert set(hands) <= {0, 1, 2, 3}
    assert sum(count > 0 for count in hands) > 25
    assert 0 in hands  # now and then something else has the shape of a hand
    for sample, count in zip(samples, hands, strict=True):
        assert sample["image"].shape == (SIZE, SIZE, 3)
        assert sample["box_weight"].sum() == pytest.approx(
            count, abs=0.6
        )  # one for each, less where one hides another
    # Nobody looked for hands in backgrounds, but in negatives.
    unlabelled = [float(sample["unlabelled"].mean()) for sample in samples]
    assert set(unlabelled) == {0.0, 1.0}


def test_the_same_sample_comes_again(task: DetectorTask) -> None:
    first, again, other = task.sample(3, SIZE), task.sample(3, SIZE), task.sample(4, SIZE)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["image"], other["image"])


def test_a_close_up_is_one_rendered_hand(create: Callable[..., DetectorTask]) -> None:
    samples = [create("close").sample(number, SIZE) for number in range(12)]
    assert {int((sample["centre"] == 1).sum()) for sample in samples} == {1}
    for sample in samples:
        row, column = np.argwhere(sample["centre"] == 1)[0]
        x0, y0, x1, y1 = sample["box"][:, row, column]
        assert max(x1 - x0, y1 - y0) > 0.35 * SIZE
        assert 0 <= (x0 + x1) / 2 <= SIZE
        assert 0 <= (y0 + y1) / 2 <= SIZE
        assert sample["unlabelled"].mean() == 1  # another hand may be in it


def test_a_limit_thins_out_what_it_learns_from_and_is_judged_on(create: Callable[..., DetectorTask]) -> None:
    task = create("close", limit=2)
    assert (len(task.photos), len(task.close_ups), len(task.validation.images)) == (2, 2, 2)
    assert task.photo_weights.shape == (2,)
    whole = create("close")
    assert (len(whole.photos), len(whole.close_ups), len(whole.validation.images)) == (4, 4, 4)
