import math

import pytest
import torch
from torch import nn

from service.models.architectures import FASTER_RCNN_MOBILENET
from service.models.faster_rcnn import MAX_DETECTIONS, HandFasterRCNN


@pytest.fixture(scope="module")
def network() -> HandFasterRCNN:
    torch.manual_seed(0)
    return HandFasterRCNN(FASTER_RCNN_MOBILENET, 320).eval()


def test_boxes_are_padded_to_the_same_number(network: HandFasterRCNN) -> None:
    images = torch.randint(0, 255, (2, 192, 320, 3), dtype=torch.uint8)
    with torch.inference_mode():
        boxes, scores = network.detect(images)
    assert boxes.shape == (2, MAX_DETECTIONS, 4)
    assert scores.shape == (2, MAX_DETECTIONS)
    assert (scores.diff(dim=1) <= 0).all()
    assert ((scores >= 0) & (scores <= 1)).all()
    found = boxes[scores > 0]
    assert (found[:, 2:] > found[:, :2]).all()
    assert (found >= 0).all()
    assert (found[:, 0::2] <= 320).all()
    assert (found[:, 1::2] <= 192).all()


def test_few_boxes_come_first_and_the_rest_score_nothing() -> None:
    network = HandFasterRCNN(FASTER_RCNN_MOBILENET, 320).eval()
    found = {"boxes": torch.tensor([[1.0, 2.0, 30.0, 40.0]]), "scores": torch.tensor([0.75])}
    none = {"boxes": torch.zeros(0, 4), "scores": torch.zeros(0)}
    network.forward = lambda images: [found, none]  # type: ignore[method-assign, assignment, misc]
    boxes, scores = network.detect(torch.zeros(2, 64, 64, 3, dtype=torch.uint8))
    assert boxes[0, 0].tolist() == [1, 2, 30, 40]
    assert scores[0, 0] == 0.75
    assert scores[0, 1:].sum() == scores[1].sum() == 0


def test_pictures_are_resized_and_normalised_inside(network: HandFasterRCNN) -> None:
    seen = []
    handle = network.network.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    grey = torch.tensor([124, 116, 104], dtype=torch.uint8).expand(1, 640, 320, 3)
    with torch.inference_mode():
        network.detect(grey)
    handle.remove()
    assert seen[0].shape[2:] == (320, 160)  # the longer side is bounded
    assert seen[0].abs().max() < 0.02  # ImageNet's mean is 0


def test_training_gives_four_finite_losses_that_reach_every_parameter() -> None:
    torch.manual_seed(0)
    network = HandFasterRCNN(FASTER_RCNN_MOBILENET, 160).train()
    images = [torch.randint(0, 255, (120, 160, 3), dtype=torch.uint8) for _ in range(2)]
    targets = [
        {"boxes": torch.tensor([[20.0, 30.0, 90.0, 100.0]]), "labels": torch.ones(1, dtype=torch.int64)},
        {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)},
    ]
    losses = network(images, targets)
    assert isinstance(losses, dict)
    assert sorted(losses) == ["loss_box_reg", "loss_classifier", "loss_objectness", "loss_rpn_box_reg"]
    total = sum(losses.values())
    assert math.isfinite(total.detach())
    total.backward()
    assert all(p.grad is not None for p in network.parameters())
    assert targets[0]["boxes"].tolist() == [[20, 30, 90, 100]]  # what came in is left alone


def test_detecting_while_training_is_refused() -> None:
    with pytest.raises(RuntimeError, match="call eval"):
        HandFasterRCNN(FASTER_RCNN_MOBILENET, 160).train().detect(
            torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
        )


def test_frozen_norms_stay_frozen_when_training_resumes() -> None:
    network = HandFasterRCNN(FASTER_RCNN_MOBILENET, 160)
    network.freeze_norms()
    network.eval()
    network.train()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training or norm.weight.requires_grad for norm in norms)
    assert network.network.roi_heads.training


def test_the_reference_detector_is_torchvisions_resnet50_with_two_classes() -> None:
    from torchvision.models.detection import fasterrcnn_resnet50_fpn

    with torch.device("meta"):  # names and shapes, no memory
        ours = HandFasterRCNN().state_dict()
        theirs = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None).state_dict()
    assert {name.removeprefix("network.") for name in ours} == set(theirs)
    others = {name for name, value in theirs.items() if ours[f"network.{name}"].shape != value.shape}
    assert {name.rpartition(".")[0] for name in others} == {
        "roi_heads.box_predictor.cls_score",
        "roi_heads.box_predictor.bbox_pred",
    }
    assert ours["network.roi_heads.box_predictor.cls_score.weight"].shape == (2, 1024)


def test_fewer_boxes_to_learn_from_mean_fewer_anchors_too() -> None:
    with torch.device("meta"):
        network = HandFasterRCNN(FASTER_RCNN_MOBILENET, 320)
    heads, proposals = network.network.roi_heads.fg_bg_sampler, network.network.rpn.fg_bg_sampler
    assert (heads.batch_size_per_image, proposals.batch_size_per_image) == (512, 256)  # torchvision's
    network.learn_from(64)
    assert (heads.batch_size_per_image, proposals.batch_size_per_image) == (64, 32)


def test_an_untrained_network_has_proposals_to_learn_from() -> None:
    torch.manual_seed(0)
    network = HandFasterRCNN(FASTER_RCNN_MOBILENET, 160).train()
    seen = []
    network.network.rpn.register_forward_hook(lambda module, inputs, output: seen.append(output[0][0]))
    target = {"boxes": torch.tensor([[20.0, 30.0, 90.0, 100.0]]), "labels": torch.ones(1, dtype=torch.int64)}
    network([torch.randint(0, 255, (120, 160, 3), dtype=torch.uint8)], [target])
    assert len(seen[0]) > 10


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'resnet'.*fasterrcnn-resnet50-fpn"):
        HandFasterRCNN("resnet")
