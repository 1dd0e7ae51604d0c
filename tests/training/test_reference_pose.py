from pathlib import Path

import numpy as np
import pytest
import torch

from service.models.unet import SIGMA, HandUNet
from tests.training.reference_recipes import small_pose
from training.datasets.types import HandLabel, LabelledImage
from training.evaluate import hand_crops
from training.losses import gaussian_heatmaps
from training.reference_pose import ReferencePoseTask, bumps_engine, dice, hand_crop


@pytest.fixture(scope="module")
def task(miniature: Path) -> ReferencePoseTask:
    return ReferencePoseTask(small_pose(limit=4), miniature, miniature)


def picture() -> LabelledImage:
    """A white dot at each keypoint; the thumb lies to the left of the fingers."""
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(60, 160, (21, 2)).astype(np.float32)
    image = np.zeros((224, 224, 3), np.uint8)
    hand = HandLabel(np.array([55, 55, 110, 110], np.float32), keypoints, handedness="right")
    return LabelledImage(image, (hand,))


def orientation(points: np.ndarray) -> float:
    """The sign of the area of a triangle of three keypoints: a mirror image turns the other way."""
    a, b = points[5] - points[0], points[17] - points[0]
    return float(np.sign(a[0] * b[1] - a[1] * b[0]))


def test_dice_is_one_for_equal_maps_and_less_for_all_others() -> None:
    target = gaussian_heatmaps(torch.tensor([[[20.0, 30.0]]]), 64, SIGMA)
    assert float(dice(target, target)) == pytest.approx(1)
    assert float(dice(target * 0.9, target)) < 1
    assert float(dice((target * 1.1).clamp(max=1), target)) < 1
    assert float(dice(torch.zeros_like(target), target)) == 0
    shifted = gaussian_heatmaps(torch.tensor([[[20.0 + 2 * SIGMA, 30.0]]]), 64, SIGMA)
    assert float(dice(shifted, target)) == pytest.approx(np.exp(-1), abs=1e-3)  # by the integral of two bumps
    p, t = torch.tensor([[[[0.5, 0.0]]]]), torch.tensor([[[[1.0, 1.0]]]])
    assert float(dice(p, t)) == pytest.approx(2 * 0.5 / (0.25 + 2))


def test_crops_turn_shift_and_scale_but_are_never_mirrored() -> None:
    shown = picture()
    original = shown.hands[0].keypoints
    spans, crops = [], []
    for seed in range(60):
        sample = hand_crop(shown, 128, np.random.default_rng(seed))
        points = sample["keypoints"]
        assert orientation(points) == orientation(original)
        spans.append(np.linalg.norm(points[5] - points[0]) / np.linalg.norm(original[5] - original[0]))
        crops.append(points[0])
    assert max(spans) / min(spans) > 1.3
    assert np.ptp(crops, axis=0).min() > 10


def test_without_chance_the_crop_is_the_one_of_serving(task: ReferencePoseTask) -> None:
    served = hand_crops(task.pictures, 64)
    for index in range(len(task)):
        sample = hand_crop(task.pictures[index], 64, None)
        np.testing.assert_allclose(sample["keypoints"], served.keypoints[index], atol=1e-3)
        difference = np.abs(sample["crop"].astype(int) - served.crops[index])
        assert difference.mean() < 6  # shrunk by another filter


def test_keypoints_outside_the_crop_do_not_count() -> None:
    shown = picture()
    (hand,) = shown.hands
    hand.keypoints[3] = [1000, 1000]
    unknown = np.arange(21) != 5
    shown = LabelledImage(shown.image, (HandLabel(hand.box, hand.keypoints, unknown),))
    labelled = hand_crop(shown, 128, None)["labelled"]
    assert labelled.sum() == 19
    assert labelled[3] == labelled[5] == 0


def test_the_loss_is_nothing_for_perfect_heatmaps_and_ignores_what_is_not_labelled(
    task: ReferencePoseTask,
) -> None:
    batch = {
        k: torch.from_numpy(np.stack([task.sample(i, 64)[k] for i in range(4)])) for k in task.sample(0, 64)
    }
    targets = gaussian_heatmaps(batch["keypoints"], 64, SIGMA)
    perfect = torch.nn.Identity()
    perfect.forward = lambda crops: torch.logit(targets, eps=1e-7)
    loss, parts = task.loss(perfect, batch)
    assert float(loss) == pytest.approx(0, abs=1e-5)
    assert parts["dice"] == float(loss)
    targets[0, 0] = 0
    assert float(task.loss(perfect, batch)[0]) == pytest.approx(1 / float(batch["labelled"].sum()), rel=1e-2)
    batch["labelled"][0, 0] = 0
    assert float(task.loss(perfect, batch)[0]) == pytest.approx(0, abs=1e-5)


def test_samples_are_the_same_whenever_asked_for(task: ReferencePoseTask) -> None:
    first, again = task.sample(6, 64), task.sample(6, 64)
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert len(task) == 4


def test_evaluation_reads_right_hands_as_they_are(task: ReferencePoseTask) -> None:
    torch.manual_seed(0)
    network = HandUNet().eval()
    figures = task.evaluate(network)
    assert {"pck_0.1", "pck_0.2", "auc", "epe"} <= figures.keys()
    assert not {"handedness", "seen_as_hand"} & figures.keys()

    targets = gaussian_heatmaps(torch.from_numpy(task.validation.keypoints), 64, SIGMA)
    network.forward = lambda crops: torch.logit(targets, eps=1e-7)
    read = bumps_engine(network)(task.validation.crops)
    inside = ((task.validation.keypoints > 8) & (task.validation.keypoints < 56)).all(2)
    np.testing.assert_allclose(read.keypoints[inside], task.validation.keypoints[inside], atol=0.1)


def test_another_loss_is_refused(miniature: Path) -> None:
    recipe = small_pose(loss={"weight": {"dice": 1.0, "heatmap": 2.0}})
    with pytest.raises(ValueError, match=r"must be of dice, not dice, heatmap"):
        ReferencePoseTask(recipe, miniature, miniature)
