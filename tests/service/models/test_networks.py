from collections.abc import Callable

import pytest
import torch

from service.models.architectures import EFFICIENTNET_LITE0_FPN, UNET
from service.models.checkpoint import Checkpoint, CheckpointError
from service.models.detector import MAX_DETECTIONS, HandDetector
from service.models.efficientnet import EfficientNetLite
from service.models.networks import load_network
from service.models.pose import HandPose, decode_heatmaps
from service.models.unet import HandUNet
from training.initialise import initialise

Write = Callable[..., Checkpoint]


def gaussian(x: float, y: float, size: int = 32, spread: float = 1.2) -> torch.Tensor:
    """Logits of a heatmap with its mode at (x, y) cells."""
    cells = torch.arange(size) + 0.5
    distance = (cells[None] - x) ** 2 + (cells[:, None] - y) ** 2
    return (-distance / (2 * spread**2))[None, None]


@pytest.mark.parametrize(("x", "y"), [(10.5, 20.5), (10.0, 20.0), (3.3, 28.7), (16.49, 15.51)])
def test_keypoints_are_read_below_a_cell(x: float, y: float) -> None:
    points, scores = decode_heatmaps(gaussian(x, y))
    assert points[0, 0].tolist() == pytest.approx([x, y], abs=0.02)
    assert scores.item() > 0.6


def test_the_score_falls_as_the_heatmap_spreads() -> None:
    scores = [decode_heatmaps(gaussian(16, 16, spread=s))[1].item() for s in (0.8, 1.5, 3.0, 6.0)]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < 0.2


def test_a_tie_between_neighbouring_cells_does_not_make_keypoints_jump() -> None:
    flat = gaussian(16.0, 16.5, spread=1.5)  # cells 15 and 16 are equally high
    nudge = torch.zeros_like(flat)
    nudge[..., 16, 15] = 1e-4
    left, right = decode_heatmaps(flat + nudge)[0], decode_heatmaps(flat + nudge.flip(3))[0]
    assert (left - right).abs().max() < 0.02


def test_detections_are_peaks_best_first_with_boxes_around_their_cells() -> None:
    network = HandDetector().eval()
    logits = torch.full((1, 1, 8, 8), -9.0)
    logits[0, 0, 2, 5], logits[0, 0, 2, 4], logits[0, 0, 6, 1] = 2.0, 1.0, 3.0
    distances = torch.tensor([10.0, 20.0, 30.0, 40.0]).view(1, 4, 1, 1).expand(1, 4, 8, 8)
    network.forward = lambda images: (logits, distances)  # type: ignore[method-assign, assignment]
    boxes, scores = network.detect(torch.zeros(1, 64, 64, 3, dtype=torch.uint8))
    assert boxes.shape == (1, MAX_DETECTIONS, 4)
    assert scores[0, :2].tolist() == pytest.approx(torch.sigmoid(torch.tensor([3.0, 2.0])).tolist())
    assert scores[0, 2] < 1e-3  # the neighbour of a higher cell is no peak
    assert boxes[0, 0].tolist() == [12 - 10, 52 - 20, 12 + 30, 52 + 40]
    assert boxes[0, 1].tolist() == [44 - 10, 20 - 20, 44 + 30, 20 + 40]


def test_frozen_stages_neither_learn_nor_count() -> None:
    encoder = EfficientNetLite(strides=(8,))
    encoder.freeze(3)
    encoder.train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder(torch.randn(2, 3, 64, 64))[0].sum().backward()
    changed = {name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])}
    assert all(p.grad is None for p in [*encoder.stem.parameters(), *encoder.blocks[1].parameters()])
    assert encoder.blocks[2].layers[0].weight.grad is not None
    assert changed
    assert not any(name.startswith(("stem", "blocks.0.", "blocks.1.")) for name in changed)


def test_imagenet_weights_fill_the_encoder() -> None:
    network = HandPose()
    before = network.encoder.stem[0].weight.clone()
    taken = initialise(network, "imagenet")
    ours = [name for name in network.encoder.state_dict() if not name.endswith("num_batches_tracked")]
    assert taken >= len(ours)
    assert not torch.equal(before, network.encoder.stem[0].weight)


def test_starting_weights_of_another_network_are_refused(tmp_path: object) -> None:
    path = f"{tmp_path}/other.pt"
    torch.save({"state": {"fc.weight": torch.zeros(2, 2)}}, path)
    with pytest.raises(ValueError, match="no tensor that this network has"):
        initialise(HandPose(), path)


def test_a_network_comes_back_from_its_checkpoint(write_checkpoint: Write) -> None:
    network = HandUNet()
    loaded = load_network(write_checkpoint("pose", UNET, 64, network.state_dict()))
    assert isinstance(loaded, HandUNet)
    assert not loaded.training
    for name, value in network.state_dict().items():
        found = loaded.state_dict()[name]
        assert found.dtype == value.dtype, name
        assert torch.allclose(found.double(), value.double(), rtol=1e-3, atol=1e-6), name


def test_an_architecture_of_the_other_task_is_refused(write_checkpoint: Write) -> None:
    checkpoint = write_checkpoint("detector", UNET, 64, HandUNet().state_dict())
    with pytest.raises(
        CheckpointError, match=f"no detector network '{UNET}', only .*fasterrcnn-resnet50-fpn"
    ):
        load_network(checkpoint)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("last.bias"), "last.bias is missing"),
        (lambda s: s.update({"last.bias": torch.zeros(7)}), r"last.bias is \(7,\), expected \(21,\)"),
        (lambda s: s.update({"more.weight": torch.zeros(1)}), "it has no more.weight"),
    ],
)
def test_weights_of_another_network_are_refused_by_name(
    write_checkpoint: Write, change: Callable, words: str
) -> None:
    state = HandUNet().state_dict()
    change(state)
    checkpoint = write_checkpoint("pose", UNET, 64, state)
    with pytest.raises(CheckpointError, match=f"not the weights of {UNET}: {words}"):
        load_network(checkpoint)


@pytest.mark.parametrize(("task", "made"), [("detector", HandDetector), ("pose", HandPose)])
def test_the_default_networks_share_a_name(write_checkpoint: Write, task: str, made: type) -> None:
    checkpoint = write_checkpoint(task, EFFICIENTNET_LITE0_FPN, 64, made().state_dict())
    assert isinstance(load_network(checkpoint), made)
