"""torchvision's weights, from a local server: a network of random weights stands in for the one trained on COCO."""

import hashlib
import io
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn
from torchvision.ops.misc import FrozenBatchNorm2d

from service.models.architectures import FASTER_RCNN_MOBILENET, FASTER_RCNN_RESNET50
from service.models.faster_rcnn import HandFasterRCNN
from tests.training.file_server import FileServer, serving
from training.coco_weights import coco_address, coco_state, load_torchvision
from training.initialise import initialise


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    """The state of torchvision's network with frozen norms and 91 classes, under the names of its first release."""
    torch.manual_seed(3)
    network = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None)
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_var.uniform_(0.1, 2)
    state = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    for kind in ("weight", "bias"):
        state[f"rpn.head.conv.{kind}"] = state.pop(f"rpn.head.conv.0.0.{kind}")
    return state


@pytest.fixture
def network() -> HandFasterRCNN:
    torch.manual_seed(4)
    return HandFasterRCNN(FASTER_RCNN_MOBILENET, 320)


def test_the_addresses_are_torchvisions_and_carry_a_checksum() -> None:
    for architecture in (FASTER_RCNN_RESNET50, FASTER_RCNN_MOBILENET):
        assert coco_address(architecture).startswith("https://download.pytorch.org/models/fasterrcnn_")
        assert torch.hub.HASH_REGEX.search(coco_address(architecture))


def test_coco_weights_are_downloaded_and_fill_all_but_the_head(
    network: HandFasterRCNN,
    published: dict[str, torch.Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    head = network.network.roi_heads.box_predictor.cls_score.weight.clone()
    file = io.BytesIO()
    torch.save(published, file)
    name = f"/weights-{hashlib.sha256(file.getvalue()).hexdigest()[:8]}.pth"
    with serving(FileServer(file.getvalue()), name) as server:
        monkeypatch.setattr("training.initialise.coco_address", lambda architecture: server.url)
        assert initialise(network, "coco") == len(published) - 4  # weights and biases of the two outputs
    ours = network.network.state_dict()
    moved = {
        "rpn.head.conv.weight": "rpn.head.conv.0.0.weight",
        "rpn.head.conv.bias": "rpn.head.conv.0.0.bias",
    }
    for key, value in published.items():
        if not key.startswith("roi_heads.box_predictor."):
            assert torch.equal(ours[moved.get(key, key)], value)
    assert torch.equal(ours["roi_heads.box_predictor.cls_score.weight"], head)


def test_weights_with_another_checksum_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with (
        serving(FileServer(b"something else"), "/weights-01234567.pth") as server,
        pytest.raises(ValueError, match=r"invalid hash value.*--weights none"),
    ):
        coco_state(server.url)


def test_without_a_network_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with serving(FileServer(b"")) as server:
        nothing_here = server.url.replace("data.zip", "weights-01234567.pth")
        with pytest.raises(ValueError, match=r"cannot be had from .*404.*--weights PATH.*--weights none"):
            coco_state(nothing_here)


def test_a_file_of_torchvisions_is_taken_from_the_disk(
    network: HandFasterRCNN, published: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save(published, tmp_path / "weights.pth")
    initialise(network, str(tmp_path / "weights.pth"))
    key = "backbone.body.0.0.weight"
    assert torch.equal(network.network.state_dict()[key], published[key])


def test_weights_of_another_network_are_refused(
    network: HandFasterRCNN, published: dict[str, torch.Tensor]
) -> None:
    short = {k: v for k, v in published.items() if k != "backbone.body.0.0.weight"}
    with pytest.raises(ValueError, match=r"here: not the weights of .*backbone.body.0.0.weight is missing"):
        load_torchvision(network, short, "here")
    with pytest.raises(ValueError, match=r"it has no backbone.extra"):
        load_torchvision(network, {**published, "backbone.extra": torch.zeros(1)}, "here")
    wrong = {**published, "backbone.body.0.0.weight": torch.zeros(1, 2, 3, 4)}
    with pytest.raises(ValueError, match=r"here: not the weights of .*size mismatch"):
        load_torchvision(network, wrong, "here")


def test_only_faster_rcnn_has_coco_weights() -> None:
    with pytest.raises(ValueError, match="Faster R-CNN alone"):
        initialise(nn.Linear(1, 1), "coco")


def test_starting_weights_that_are_not_there_are_named(network: HandFasterRCNN) -> None:
    with pytest.raises(FileNotFoundError, match=r"starting weights: runs/nothing/best\.pt does not exist"):
        initialise(network, "runs/nothing/best.pt")


def test_norms_trained_without_an_epsilon_compute_the_same_here() -> None:
    """torchvision loads ResNet-50's COCO weights into frozen norms and sets their epsilon to 0."""
    from training.coco_weights import _without_epsilon

    torch.manual_seed(0)
    theirs = FrozenBatchNorm2d(6, eps=0.0)
    for value, low in ((theirs.weight, 0.5), (theirs.bias, -1.0), (theirs.running_mean, -1.0)):
        value.uniform_(low, 1.0)
    theirs.running_var.copy_(torch.tensor([1e-7, 1e-6, 1e-5, 1e-3, 0.1, 1.0]))
    ours = nn.BatchNorm2d(6).eval()
    ours.load_state_dict(theirs.state_dict(), strict=False)
    x = torch.randn(2, 6, 3, 3)
    assert not torch.allclose(ours(x), theirs(x), rtol=1e-3)
    _without_epsilon(ours)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-4)
