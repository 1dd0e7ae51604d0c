from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from service.models.detector import HandDetector
from service.models.faster_rcnn import HandFasterRCNN
from service.models.pose import HandPose
from service.models.unet import HandUNet
from tests.training.reference_recipes import small_detector, small_pose
from training.recipe import Recipe
from training.runs import RunError, build_network, load_run, read_curves


def write_run(folder: Path, recipe: Recipe, network: torch.nn.Module, **fields: Any) -> Path:
    """What the training loop leaves behind: best.pt."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "state": network.state_dict(),
        "samples": 320,
        "metrics": {"pck_0.1": 0.5},
        "recipe": recipe.model_dump(mode="json"),
    }
    torch.save({**content, **fields}, folder / "best.pt")
    return folder


@pytest.mark.parametrize(
    ("recipe", "kind"),
    [(small_pose(), HandUNet), (small_detector(), HandFasterRCNN)],
    ids=["pose", "detector"],
)
def test_a_run_of_the_reference_pair_is_read(recipe: Recipe, kind: type, tmp_path: Path) -> None:
    network = build_network(recipe.task, recipe.architecture, recipe.input_size)
    run = load_run(write_run(tmp_path, recipe, network))
    assert isinstance(run.network, kind)
    assert not run.network.training
    assert (run.name, run.task, run.samples, run.curves, run.card) == (
        recipe.name,
        recipe.task,
        320,
        {},
        None,
    )
    for name, value in network.state_dict().items():
        assert torch.equal(run.network.state_dict()[name], value)


def test_a_checkpoint_folder_is_read(root: Path) -> None:
    run = load_run(root / "service" / "weights" / "pose")
    assert isinstance(run.network, HandPose)
    assert run.card is not None
    assert (run.name, run.samples) == (run.card.name, run.card.trained_samples)
    assert isinstance(load_run(root / "service" / "weights" / "detector").network, HandDetector)


def test_what_a_resumed_run_wrote_twice_counts_once(tmp_path: Path) -> None:
    for steps, value in (((50, 100, 150), 1.0), ((100, 150, 200), 2.0)):
        with SummaryWriter(str(tmp_path)) as board:
            for step in steps:
                board.add_scalar("train/loss", value, step)
    steps, values = read_curves(tmp_path)["train/loss"]
    assert steps.tolist() == [50, 100, 150, 200]
    assert values.tolist() == [1, 2, 2, 2]


def test_folders_without_a_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"neither best\.pt nor final\.pt nor card\.json"):
        load_run(tmp_path)
    torch.save({"state": {}}, tmp_path / "best.pt")
    with pytest.raises(ValueError, match="was not written by the training loop"):
        load_run(tmp_path)
    write_run(tmp_path, small_pose(), HandDetector())
    with pytest.raises(RunError, match="has not the weights of unet"):
        load_run(tmp_path)
    with pytest.raises(RunError, match="there is no pose network resnet"):
        build_network("pose", "resnet", 64)
