import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from service.inference.geometry import CROP_FACTOR
from service.models.pose import HandPose
from tests.training.few_photos import copy_photos
from training.datasets import photos as photo_files
from training.datasets.types import HandLabel, LabelledImage
from training.pose import PoseTask, hand_sample
from training.recipe import load_recipe


def right_hand() -> LabelledImage:
    """Keypoint k is a white dot in a dark picture; the thumb lies to the left of the fingers."""
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(60, 140, (21, 2)).astype(np.float32)
    image = np.full((200, 200, 3), 10, np.uint8)
    hand = HandLabel(np.array([55, 55, 90, 90], np.float32), keypoints, np.ones(21, bool), handedness="right")
    return LabelledImage(image, (hand,))


def is_mirrored(points: np.ndarray, original: np.ndarray) -> bool:
    """Whether the triangle of three keypoints turns the other way."""

    def turn(p: np.ndarray) -> float:
        a, b = p[5] - p[0], p[17] - p[0]
        return float(a[0] * b[1] - a[1] * b[0])

    return turn(points) * turn(original) < 0


def test_mirroring_swaps_the_handedness_and_keeps_the_order() -> None:
    picture = right_hand()
    (hand,) = picture.hands
    assert hand.keypoints is not None
    seen = set()
    for seed in range(40):
        sample = hand_sample(picture, hand, np.random.default_rng(seed), 128, turn=20)
        mirrored = is_mirrored(sample["keypoints"], hand.keypoints)
        assert float(sample["right"]) == (0.0 if mirrored else 1.0)
        seen.add(mirrored)
    assert seen == {False, True}


def test_depth_is_a_share_of_the_crop_in_every_direction() -> None:
    """A hand as deep as it is wide stays so, however it is turned, mirrored and scaled."""
    picture = right_hand()
    (hand,) = picture.hands
    assert hand.keypoints is not None
    deep = replace(hand, depth=np.linspace(0, 80, 21).astype(np.float32))
    first, last = hand.keypoints[0], hand.keypoints[20]
    for seed in range(10):
        sample = hand_sample(picture, deep, np.random.default_rng(seed), 128, turn=40)
        apart = np.linalg.norm(sample["keypoints"][20] - sample["keypoints"][0])
        assert sample["depth"][20] / apart == pytest.approx(80 / np.linalg.norm(last - first), rel=1e-4)
    assert np.isnan(hand_sample(picture, hand, np.random.default_rng(0), 128, turn=0)["depth"]).all()


def test_what_has_no_depth_teaches_none(task: PoseTask) -> None:
    torch.manual_seed(0)
    network = HandPose()
    samples = [task.sample(index, 64) for index in range(6)]
    for sample in samples:
        sample["depth"] = np.full(21, np.nan, np.float32)
    batch = {key: torch.from_numpy(np.stack([s[key] for s in samples])) for key in samples[0]}
    loss, parts = task.loss(network, batch)
    loss.backward()
    assert parts["depth"] == 0
    assert all(p.grad is None or not p.grad.any() for p in network.depth_head.parameters())
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_crops_vary_around_the_factor_of_serving() -> None:
    picture = right_hand()
    (hand,) = picture.hands
    spans = []
    for seed in range(60):
        points = hand_sample(picture, hand, np.random.default_rng(seed), 128, turn=0)["keypoints"]
        spans.append(float(np.ptp(points, axis=0).max()))
    assert min(spans) < 0.85 / CROP_FACTOR < max(spans)


@pytest.fixture(scope="module")
def task(root: Path, shared_data: Path | None, tmp_path_factory: pytest.TempPathFactory) -> PoseTask:
    if shared_data is None:
        pytest.skip("the project's photos are not beside this checkout")
    recipe = load_recipe(root / "training" / "recipes" / "default-pose.toml")
    data = recipe.data.model_copy(update={"rendered": 8})
    recipe = recipe.model_copy(update={"data": data, "init": "none"})
    return PoseTask(recipe, shared_data, tmp_path_factory.mktemp("rendered"))


def test_samples_repeat_by_index_and_come_in_every_kind(task: PoseTask) -> None:
    samples = [task.sample(index, 64) for index in range(40)]
    again = task.sample(7, 64)
    for key, value in again.items():
        np.testing.assert_array_equal(samples[7][key], value)
    for sample in samples:  # what depth is trained on: rendered hands and nothing else
        assert np.isfinite(sample["depth"]).all() or np.isnan(sample["depth"]).all()
    assert {bool(np.isfinite(s["depth"]).all()) for s in samples} == {False, True}
    assert {float(s["hand"]) for s in samples} == {0.0, 1.0}
    assert {float(s["right"]) for s in samples} >= {0.0, 1.0, -1.0}
    assert all(s["crop"].shape == (64, 64, 3) and s["crop"].dtype == np.uint8 for s in samples)


def test_the_loss_falls_on_one_batch(task: PoseTask) -> None:
    torch.manual_seed(0)
    network = HandPose()
    samples = [task.sample(index, 64) for index in range(8)]
    batch = {key: torch.from_numpy(np.stack([s[key] for s in samples])) for key in samples[0]}
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


def test_whole_batches_have_what_samples_have_and_repeat(task: PoseTask) -> None:
    make = task.batches(torch.device("cpu"), 1)
    batch, again = make(64, 48, 64), make(64, 48, 64)
    sample = task.sample(0, 64)
    assert set(batch) == set(sample)
    for key, value in batch.items():
        assert value.shape == (48, *sample[key].shape)
        assert torch.equal(value.nan_to_num(), again[key].nan_to_num())
    torch.manual_seed(0)
    loss, _ = task.loss(HandPose(), batch)
    assert loss.isfinite()


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
    assert task.sample(0, 64)["crop"].shape == (64, 64, 3)
    torch.manual_seed(0)
    figures = task.evaluate(HandPose())
    assert task.key_metric in figures
    assert {name for name in figures if "others" in name} == {"others_pck_0.1", "others_pck_0.2"}


def test_a_limit_thins_out_every_part_of_the_data(root: Path, own_data: Path) -> None:
    task = own_task(root, own_data, 2)
    assert len(task.posed) == len(task.posed_weights) == len(task.complete) == len(task.negatives) == 2
    assert task.posed_weights.sum() == pytest.approx(1)
    assert all(len(crops.crops) <= 4 for crops in task.validation.values())
    batch = task.batches(torch.device("cpu"), 1)(0, 8, 64)
    assert batch["crop"].shape == (8, 64, 64, 3)
    whole = own_task(root, own_data, None)
    assert (len(whole.posed), len(whole.negatives)) == (4, 3)


def test_of_a_hand_with_wrong_keypoints_its_box_is_learnt(
    root: Path, own_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.loads((own_data / "mine.json").read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    wrong = content["annotations"][0]
    (own_data / "wrong.json").write_text(json.dumps({names[wrong["image_id"]]: [wrong["bbox"]]}))
    monkeypatch.setattr(photo_files, "RECIPES", own_data)
    task = own_task(root, own_data, None, 'data.wrong_labels="wrong.json"')
    assert (len(task.posed), len(task.boxed)) == (3, 1)


def test_whole_batches_of_rendered_hands_need_no_photos(root: Path, own_data: Path) -> None:
    share = "data.share={photo=0.0, rendered=1.0, empty=0.0}"
    task = own_task(root, own_data, 2, share, "data.negatives=[]")
    assert task.batches(torch.device("cpu"), 1)(0, 4, 64)["hand"].tolist() == [1, 1, 1, 1]
