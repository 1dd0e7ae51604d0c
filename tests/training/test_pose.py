import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from service.models.pose import HandPose
from tests.training.few_photos import copy_photos
from training.datasets import photos as photo_files
from training.loading import Batch
from training.pose import PoseTask
from training.pose_batches import _apart, _place
from training.recipe import load_recipe

CPU = torch.device("cpu")
MakeBatch = Callable[[int, int, int], Batch]


def test_what_has_no_depth_teaches_none(task: PoseTask, make: MakeBatch) -> None:
    torch.manual_seed(0)
    network = HandPose()
    batch = make(0, 6, 64)
    batch["depth"].fill_(torch.nan)
    loss, parts = task.loss(network, batch)
    loss.backward()
    assert parts["depth"] == 0
    assert all(p.grad is None or not p.grad.any() for p in network.depth_head.parameters())
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@pytest.fixture(scope="module")
def task(root: Path, shared_data: Path | None, tmp_path_factory: pytest.TempPathFactory) -> PoseTask:
    if shared_data is None:
        pytest.skip("the project's photos are not beside this checkout")
    recipe = load_recipe(root / "training" / "recipes" / "default-pose.toml")
    data = recipe.data.model_copy(update={"rendered": 8})
    recipe = recipe.model_copy(update={"data": data, "init": "none"})
    return PoseTask(recipe, shared_data, tmp_path_factory.mktemp("rendered"))


@pytest.fixture(scope="module")
def make(task: PoseTask) -> MakeBatch:
    return task.batches(CPU, 1)


def test_batches_repeat_and_hold_every_kind(task: PoseTask, make: MakeBatch) -> None:
    batch, again = make(64, 48, 64), make(64, 48, 64)
    shapes = {
        "crop": (64, 64, 3),
        "keypoints": (21, 2),
        "labelled": (21,),
        "hand": (),
        "right": (),
        "depth": (21,),
    }
    assert {key: value.shape for key, value in batch.items()} == {k: (48, *v) for k, v in shapes.items()}
    for key, value in batch.items():
        assert torch.equal(value.nan_to_num(), again[key].nan_to_num())
    deep = batch["depth"].isfinite()
    assert torch.equal(deep.all(1), deep.any(1))  # what depth is trained on: rendered hands and nothing else
    assert set(deep.all(1).tolist()) == {False, True}
    assert set(batch["hand"].tolist()) == {0.0, 1.0}
    assert set(batch["right"].tolist()) == {0.0, 1.0, -1.0}
    torch.manual_seed(0)
    loss, _ = task.loss(HandPose(), batch)
    assert loss.isfinite()


def test_the_loss_falls_on_one_batch(task: PoseTask, make: MakeBatch) -> None:
    torch.manual_seed(0)
    network = HandPose()
    batch = make(0, 8, 64)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    losses = []
    for _ in range(15):
        loss, parts = task.loss(network, batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert set(parts) == {"heatmap", "distance", "hand", "handedness", "depth"}
    assert losses[-1] < 0.8 * losses[0]


@pytest.fixture
def own_data(root: Path, tmp_path: Path) -> Path:
    """Somebody's own data folder: four photos with hands, copies of them to judge on, and three without."""
    copy_photos(root, tmp_path, "mine", "judged", "others_sample")
    (tmp_path / "negatives").mkdir()
    for number in range(3):
        cv2.imwrite(str(tmp_path / "negatives" / f"{number}.png"), np.full((90, 120, 3), number, np.uint8))
    return tmp_path


def own_task(root: Path, data: Path, limit: int | None, *more: str) -> PoseTask:
    changes = [
        'data.photos=["mine.json"]',
        'data.validation=["judged.json", "others_sample.json"]',
        "data.backgrounds=[]",
        'data.false_hands=""',
        'data.found_hands=""',
        'data.hand_free=""',
        'data.own_labels=""',
        "data.share={photo=0.9, own=0.0, boxed=0.0, rendered=0.0, empty=0.1}",
        'init="none"',
    ]
    recipe = load_recipe(root / "training" / "recipes" / "default-pose.toml", [*changes, *more])
    return PoseTask(recipe if limit is None else recipe.shortened(limit), data, data / "cache")


def test_it_learns_from_and_is_judged_on_data_of_ones_own(root: Path, own_data: Path) -> None:
    task = own_task(root, own_data, None)
    assert task.batches(CPU, 1)(0, 2, 64)["crop"].shape == (2, 64, 64, 3)
    torch.manual_seed(0)
    figures = task.evaluate(HandPose())
    assert task.key_metric in figures
    assert {name for name in figures if "others" in name} == {"others_pck_0.1", "others_pck_0.2"}


def test_a_limit_thins_out_every_part_of_the_data(root: Path, own_data: Path) -> None:
    task = own_task(root, own_data, 2)
    pictures = task.pictures
    parts = pictures.posed, pictures.posed_weights, pictures.complete, pictures.negatives
    assert [len(part) for part in parts] == [2] * 4
    assert pictures.posed_weights.sum() == pytest.approx(1)
    assert all(len(crops.crops) <= 4 for crops in task.validation.values())
    batch = task.batches(CPU, 1)(0, 8, 64)
    assert batch["crop"].shape == (8, 64, 64, 3)
    whole = own_task(root, own_data, None)
    assert (len(whole.pictures.posed), len(whole.pictures.negatives)) == (4, 3)


def test_of_a_hand_with_wrong_keypoints_its_box_is_learnt(
    root: Path, own_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.loads((own_data / "mine.json").read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    wrong = content["annotations"][0]
    (own_data / "wrong.json").write_text(json.dumps({names[wrong["image_id"]]: [wrong["bbox"]]}))
    monkeypatch.setattr(photo_files, "RECIPES", own_data)
    task = own_task(root, own_data, None, 'data.wrong_labels="wrong.json"')
    assert (len(task.pictures.posed), len(task.pictures.boxed)) == (3, 1)


def test_norms_are_restored_on_what_it_learns_from(root: Path, own_data: Path) -> None:
    start = 'init="service/weights/pose"'
    plain = own_task(root, own_data, None, start).network().eval()
    restored = own_task(root, own_data, None, start, "restore_norms=true").network().eval()
    norms = [m for m in restored.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert any(norm.running_mean.abs().max() > 0.1 for norm in norms)  # folded ones that come back have none
    crops = own_task(root, own_data, None).batches(CPU, 1)(0, 4, 64)["crop"]
    for was, now in zip(plain(crops), restored(crops), strict=True):
        torch.testing.assert_close(was, now, atol=1e-2, rtol=1e-3)


def test_places_without_a_hand_show_none(root: Path, own_data: Path) -> None:
    task = own_task(root, own_data, None)
    rng = np.random.default_rng(0)
    centre = np.array([50.0, 50.0])
    (hand,) = task.pictures.photos[0].hands[:1]
    middle = hand.box[:2] + hand.box[2:] / 2
    assert not _apart(middle.astype(float), float(hand.box[2:].max()), hand)
    assert _apart(centre - 1000, 100.0, hand)
    assert {_place(task.pictures, rng).shape for _ in range(4)} == {(192, 192, 3)}


def test_rendered_hands_need_no_photos(root: Path, own_data: Path) -> None:
    share = "data.share={photo=0.0, rendered=1.0, empty=0.0}"
    task = own_task(root, own_data, 2, share, "data.negatives=[]")
    assert task.batches(CPU, 1)(0, 4, 64)["hand"].tolist() == [1, 1, 1, 1]
