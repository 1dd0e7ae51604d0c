import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.engines.base import Detections
from service.models.architectures import UNET
from service.models.checkpoint import CARD, GRAPH, INT8_GRAPH, Checkpoint
from training.__main__ import main
from training.quantise import QuantisationError, _moved_boxes, _served_pictures, quantise


def plain(
    root: Path,
    to: Path,
    task: str,
    photos: tuple[str, ...] = ("photos/labels.json",),
    negatives: tuple[str, ...] = (),
) -> Path:
    """The checkpoint that ships, without its graph in 8-bit integers, as if it had learnt from these photos."""
    shutil.copytree(root / "service" / "weights" / task, to)
    (to / INT8_GRAPH).unlink()
    card = json.loads((to / CARD).read_text())
    del card["sha256"][INT8_GRAPH]
    card["recipe"]["data"] |= {"photos": photos, "negatives": negatives, "hand_free": ""}
    (to / CARD).write_text(json.dumps(card))
    return to


@pytest.mark.parametrize("task", ["detector", "pose"])
def test_a_graph_in_8_bit_integers_is_added(
    root: Path, tmp_path: Path, task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = plain(root, tmp_path / task, task)
    before = Checkpoint.load(folder)
    assert main(["--data", str(root / "tests"), "quantise", str(folder)]) == 0
    assert capsys.readouterr().out.startswith(
        f"{folder}: in 8-bit integers, too; the median of what it finds moves by 0."
    )
    after = Checkpoint.load(folder)
    assert after.int8_graph.stat().st_size < 0.6 * after.graph.stat().st_size
    fields = {"sha256"}
    assert after.card.model_dump(exclude=fields) == before.card.model_dump(exclude=fields)
    assert {n: s for n, s in after.card.sha256.items() if n != INT8_GRAPH} == before.card.sha256
    # Made again, it is the same, whatever became of it.
    (folder / INT8_GRAPH).write_bytes(b"broken")
    quantise(folder, root / "tests")
    assert Checkpoint.load(folder).card.sha256 == after.card.sha256


def test_a_graph_that_finds_something_else_is_not_kept(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plain(root, tmp_path / "pose", "pose")
    monkeypatch.setattr("training.quantise._MOST", 1e-4)
    with pytest.raises(
        QuantisationError, match=r"pose: in 8-bit integers, what it finds moves by 0\.\d\d px"
    ):
        quantise(folder, root / "tests")
    assert not Checkpoint.load(folder).has_int8_graph
    assert not (folder / INT8_GRAPH).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["pose"]


def test_a_hand_that_is_told_elsewhere_or_hardly_is_lost() -> None:
    def engine(x: float, score: float = 0.9) -> Any:
        found = Detections(np.array([[[x, 0, x + 20, 20]]], np.float32), np.array([[score]], np.float32))
        return lambda images: found

    pictures = [np.zeros((32, 32, 3), np.uint8)]
    for rounded, lost in ((engine(2), 0), (engine(40), 1), (engine(0, 0.2), 1)):
        assert _moved_boxes(engine(0), rounded, pictures)[2] == lost


def test_a_graph_that_loses_hands_is_not_kept(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plain(root, tmp_path / "detector", "detector")
    monkeypatch.setattr("training.quantise._SAME", 1.01)
    with pytest.raises(QuantisationError, match=r"100\.0% of the hands are lost"):
        quantise(folder, root / "tests")
    assert not Checkpoint.load(folder).has_int8_graph


def test_ranges_are_measured_on_photos(root: Path, tmp_path: Path) -> None:
    folder = plain(root, tmp_path / "pose", "pose", photos=())
    with pytest.raises(QuantisationError, match="its recipe names no photos"):
        quantise(folder, root / "tests")


def test_an_architecture_that_has_no_graph_gets_none(root: Path, tmp_path: Path) -> None:
    folder = plain(root, tmp_path / "pose", "pose")
    card = json.loads((folder / CARD).read_text()) | {"architecture": UNET}
    del card["sha256"][GRAPH]
    (folder / CARD).write_text(json.dumps(card))
    with pytest.raises(QuantisationError, match=f"{UNET} has no ONNX graph"):
        quantise(folder, root / "tests")


@pytest.mark.parametrize(
    ("task", "sides"), [("pose", {128: 300 + 4}), ("detector", {160: 60, 256: 120 + 4, 384: 60, 512: 60})]
)
def test_pictures_are_as_serving_makes_them(
    root: Path, tmp_path: Path, task: str, sides: dict[int, int]
) -> None:
    labels = json.loads((root / "tests" / "photos" / "labels.json").read_text())
    images, annotations = labels["images"], labels["annotations"]
    for copy in range(1, 100):  # the same four photos again and again
        labels["images"] = labels["images"] + [{**i, "id": f"{i['id']} {copy}"} for i in images]
        labels["annotations"] = labels["annotations"] + [
            {**a, "image_id": f"{a['image_id']} {copy}"} for a in annotations
        ]
    shutil.copytree(root / "tests" / "photos", tmp_path / "photos")
    (tmp_path / "photos" / "labels.json").write_text(json.dumps(labels))
    folder = plain(root, tmp_path / task, task, negatives=("photos",))
    pictures = _served_pictures(Checkpoint.load(folder).card, tmp_path)
    assert {picture.dtype for picture in pictures} == {np.dtype(np.uint8)}
    assert Counter(max(picture.shape) for picture in pictures) == sides
    assert max(picture.std() for picture in pictures) > 20  # they show something
    assert min(picture.std() for picture in pictures) > 2
    again = _served_pictures(Checkpoint.load(folder).card, tmp_path)
    assert all((a == b).all() for a, b in zip(pictures, again, strict=True))
