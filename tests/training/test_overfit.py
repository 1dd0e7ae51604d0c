"""Proof that losses and targets are right: the U-Net learns rendered hands by heart, and the ResNet-50 takes steps.

`make train-smoke` runs this, and goes on to `smoke.py`, which proves the same of Faster R-CNN.
"""

from pathlib import Path

import pytest
import torch

from tests.training.datasets.miniature import write_egohands, write_freihand
from tests.training.reference_recipes import small_detector, small_pose
from training.evaluate import hand_crops
from training.loop import Run
from training.reference_detector import ReferenceDetectorTask
from training.reference_pose import ReferencePoseTask

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_the_unet_learns_eight_hands_by_heart(tmp_path: Path) -> None:
    write_freihand(tmp_path / "freihand", count=10, evaluation=1)
    recipe = small_pose(
        limit=8,
        steps=120,
        optimiser={"rate": 4e-3, "warm_up": 10, "ema": 0.9},
        data={"augment": False},
    )
    task = ReferencePoseTask(recipe, tmp_path, tmp_path)
    assert len(task) == 8
    task.validation = hand_crops(task.pictures, recipe.input_size)
    figures = Run(task, recipe, tmp_path / "run").train()
    assert figures["pck_0.1"] >= 0.95


def test_the_resnet_takes_a_few_steps(tmp_path: Path) -> None:
    write_egohands(tmp_path / "egohands", ("CARDS_LIVINGROOM_B_T", "CHESS_LIVINGROOM_H_T"), frames=1)
    recipe = small_detector(
        architecture="fasterrcnn-resnet50-fpn", size=128, batch=1, steps=3, optimiser={"warm_up": 1}
    )
    run = Run(ReferenceDetectorTask(recipe, tmp_path, tmp_path), recipe, tmp_path / "run")
    before = {name: value.clone() for name, value in run.network.named_parameters()}
    run.train()
    assert all(torch.isfinite(value).all() for value in run.network.parameters())
    moved = {name for name, value in run.network.named_parameters() if not torch.equal(before[name], value)}
    for part in (
        "backbone.body.conv1",
        "backbone.fpn",
        "rpn.head",
        "roi_heads.box_head",
        "roi_heads.box_predictor",
    ):
        assert any(name.startswith(f"network.{part}") for name in moved), part
