import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from service.engines.base import Poses
from service.engines.onnx import OnnxDetector, OnnxPose
from service.inference.geometry import Pyramid, letterbox
from service.models.checkpoint import Checkpoint, CheckpointError, write_card
from service.models.detector import HandDetector
from service.models.keypoints import KEYPOINT_NAMES
from service.models.networks import load_network
from service.models.pose import HandPose
from training.__main__ import main
from training.datasets.photos import PhotoFolder
from training.evaluate import torch_detector, torch_pose
from training.export import ExportError, _judge, compare, default_folder, export, export_run
from training.initialise import initialise
from training.recipe import load_recipe

CARD: dict[str, Any] = {
    "name": "tiny",
    "version": "1",
    "task": "pose",
    "architecture": "efficientnet-lite1-fpn",
    "input_size": 64,
    "normalisation": {"mean": 127.0, "scale": 128.0},
    "keypoints": KEYPOINT_NAMES,
    "licence": "Apache-2.0",
    "initialised_from": "nothing",
    "recipe": {},
    "trained_samples": 0,
    "data": [],
    "metrics": [],
}


@pytest.fixture(scope="module")
def network(root: Path) -> HandPose:
    """The network that ships, since one that never learned has no keypoint it is sure of."""
    network = load_network(Checkpoint.load(root / "service" / "weights" / "pose"))
    assert isinstance(network, HandPose)
    return network


def pictures(root: Path, size: int) -> np.ndarray:
    """The photos that ship, fitted into squares: (N, size, size, 3) uint8 RGB."""
    photos = PhotoFolder(root / "tests" / "photos")
    return np.stack([letterbox(Pyramid(photos[i]), size, multiple=size)[0] for i in range(len(photos))])


@pytest.fixture(scope="module")
def crops(root: Path) -> np.ndarray:
    return pictures(root, 192)


@pytest.mark.timeout(400)  # two exports
def test_a_network_is_written_read_and_agrees(
    network: HandPose, crops: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = export(network, tmp_path / "pose", {**CARD, "input_size": 192}, crops)
    state = load_file(checkpoint.weights)
    assert {v.dtype for v in state.values() if v.ndim > 1} == {torch.float16}
    assert compare(network, checkpoint, crops) < 0.1

    ours, theirs = torch_pose(network)(crops), OnnxPose(checkpoint)(crops)
    assert theirs.hand == pytest.approx(ours.hand, abs=1e-3)
    assert theirs.right == pytest.approx(ours.right, abs=1e-3)

    class Wrong(OnnxPose):
        def __call__(self, crops: np.ndarray) -> Poses:
            poses = super().__call__(crops)
            return replace(poses, right=1 - poses.right)

    with monkeypatch.context() as other:
        other.setattr("training.export.OnnxPose", Wrong)
        with pytest.raises(ExportError, match="scores of ONNX and torch differ by"):
            compare(network, checkpoint, crops)

    # A network that is not the one in the graph is noticed, and leaves the folder as it was.
    card = (checkpoint.folder / "card.json").read_text()
    monkeypatch.setattr("training.export.MAX_DIFFERENCE", 0.0)
    with pytest.raises(ExportError, match="ONNX and torch differ by"):
        export(network, tmp_path / "pose", {**CARD, "input_size": 192, "version": "2"}, crops)
    assert (checkpoint.folder / "card.json").read_text() == card


def test_the_detector_that_ships_equals_its_weights(root: Path) -> None:
    photos = pictures(root, 256)
    checkpoint = Checkpoint.load(root / "service" / "weights" / "detector", "detector")
    network = HandDetector()
    initialise(network, str(checkpoint.folder))
    assert compare(network.eval(), checkpoint, photos) < 0.1
    found, ours = OnnxDetector(checkpoint)(photos), torch_detector(network)(photos)
    assert found.scores == pytest.approx(ours.scores, abs=1e-3)


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    torch.save({"state": {}}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="was not written by the training loop"):
        export_run([tmp_path / "other.pt"], tmp_path / "out", tmp_path)


def test_only_a_whole_default_run_replaces_what_ships(root: Path) -> None:
    path, best = root / "training" / "recipes" / "default-pose.toml", Path("runs/some/best.pt")
    assert default_folder(load_recipe(path), best) == root / "service" / "weights" / "pose"
    beside = Path("runs/some/checkpoint")
    assert default_folder(load_recipe(path, limit=2), best) == beside
    assert default_folder(load_recipe(path, ['name = "mine"']), best) == beside
    reference = load_recipe(path.with_name("reference-detector.toml"))
    assert default_folder(reference, best) == beside


def test_a_card_without_a_field_is_refused(network: HandPose, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(CheckpointError, match="licence"):
        write_card(tmp_path, {k: v for k, v in CARD.items() if k != "licence"})


def test_exporting_quantises_and_says_how_to_calibrate(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.quantise.quantise", lambda folder, _: 0.25)
    shipped = {task: Checkpoint.load(root / "service" / "weights" / task) for task in ("detector", "pose")}
    card = shipped["pose"].card.model_copy(update={"score_calibration": None})
    fresh = replace(shipped["pose"], card=card)
    said = {}
    for name, checkpoint in {**shipped, "fresh": fresh}.items():
        monkeypatch.setattr("training.export.export_run", lambda *_, made=checkpoint: made)
        assert main(["--data", str(root), "export", "final.pt"]) == 0
        *_, before_last, last = capsys.readouterr().out.splitlines()
        said[name] = "not calibrated" in last
        assert "in 8-bit integers, too" in (before_last if said[name] else last)
    assert said == {"detector": False, "pose": False, "fresh": True}


def test_a_checkpoint_that_cannot_be_quantised_is_exported_all_the_same(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(root / "service" / "weights" / "detector", tmp_path / "detector")
    monkeypatch.setattr("training.export.export_run", lambda *_: Checkpoint.load(folder))
    assert main(["--data", str(tmp_path), "export", "final.pt"]) == 0  # its photos are not there
    *_, last = capsys.readouterr().out.splitlines()
    assert last == f"no graph in 8-bit integers: {tmp_path}/hands/train.json does not exist"


def test_a_run_is_judged_on_the_validation_files_of_its_recipe(network: HandPose, root: Path) -> None:
    figures, pictures = _judge(network, root / "tests", ["photos/labels.json"], 128)
    assert list(figures) == ["photos/labels.json"]
    assert pictures.shape == (4, 128, 128, 3)  # of few photos all: the first may show no hand
