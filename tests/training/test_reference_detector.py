from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.reference_recipes import small_detector
from training.datasets.egohands import EgoHands
from training.epochs import picture_of
from training.reference_detector import ReferenceDetectorTask


def task_of(root: Path, **fields: object) -> ReferenceDetectorTask:
    return ReferenceDetectorTask(small_detector(**fields), root, root)


def test_samples_are_whole_frames_with_their_boxes(miniature: Path) -> None:
    task = task_of(miniature, data={"mirrored": 0.0})
    frames = EgoHands(miniature / "egohands", "train")
    assert len(task) == len(frames) == 2
    for index in range(4):
        frame, sample = frames[picture_of(index, 2, task.recipe.seed)], task.sample(index, 320)
        assert np.array_equal(sample["image"], frame.image)
        expected = np.array([[*h.box[:2], *(h.box[:2] + h.box[2:])] for h in frame.hands], np.float32)
        np.testing.assert_array_equal(sample["boxes"][sample["present"]], expected.reshape(-1, 4))
        assert sample["boxes"].shape == (4, 4)


def test_mirrored_frames_take_their_boxes_along(miniature: Path) -> None:
    plain, mirrored = (task_of(miniature, data={"mirrored": share}).sample(0, 320) for share in (0.0, 1.0))
    assert np.array_equal(mirrored["image"], plain["image"][:, ::-1])
    x0, y0, x1, y1 = plain["boxes"][plain["present"]].T
    back = mirrored["boxes"][mirrored["present"]].T
    np.testing.assert_allclose(back, [1280 - x1, y0, 1280 - x0, y1], atol=1e-3)


def test_the_loss_is_torchvisions_weighted(miniature: Path) -> None:
    task = task_of(miniature, size=64)
    sample = task.sample(0, 64)
    batch = {key: torch.from_numpy(value[None].copy()) for key, value in sample.items()}
    seen = {}

    def network(images: torch.Tensor, targets: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        seen["targets"] = targets
        names = ("loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg")
        return {name: torch.tensor(10.0**i) for i, name in enumerate(names)}

    weight = dict(zip(task.recipe.loss.weight, (1.0, 2.0, 3.0, 4.0), strict=True))
    task.recipe = task.recipe.changed(loss={"weight": weight})
    total, parts = task.loss(network, batch)  # type: ignore[arg-type]
    assert float(total) == 4321
    assert parts == {"classifier": 1, "box_reg": 10, "objectness": 100, "rpn_box_reg": 1000}
    (target,) = seen["targets"]
    np.testing.assert_array_equal(target["boxes"], sample["boxes"][sample["present"]])
    assert target["labels"].tolist() == [1] * int(sample["present"].sum())


def test_what_the_recipe_freezes_is_frozen(miniature: Path) -> None:
    task = task_of(miniature, size=64, frozen=3, freeze_norms=True)
    network = task.network().train()
    body = network.network.backbone.body
    trained = [any(p.requires_grad for p in part.parameters()) for part in body.children()]
    assert trained[:3] == [False] * 3
    assert all(trained[3:-1])
    assert not any(m.training for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d))


def test_more_blocks_than_there_are_cannot_be_frozen(miniature: Path) -> None:
    network = task_of(miniature, size=64).network()
    with pytest.raises(ValueError, match=r"has 17 blocks, 18 cannot be frozen"):
        network.freeze_blocks(18)


def test_resnets_stem_has_its_norm_with_it() -> None:
    from service.models.faster_rcnn import HandFasterRCNN

    with torch.device("meta"):
        network = HandFasterRCNN()
        network.freeze_blocks(2)
    body = network.network.backbone.body
    frozen = {
        name for name, part in body.named_children() if not any(p.requires_grad for p in part.parameters())
    }
    assert frozen == {"conv1", "bn1", "relu", "maxpool", "layer1"}


def test_phases_of_another_size_are_refused(miniature: Path) -> None:
    recipe = small_detector(size=320)
    recipe = recipe.changed(phases=[{"until": 1.0, "size": 256, "batch": 2}])
    with pytest.raises(ValueError, match="every phase must have input_size"):
        ReferenceDetectorTask(recipe, miniature, miniature)
