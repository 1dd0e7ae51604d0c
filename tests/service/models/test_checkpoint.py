import json
from pathlib import Path
from typing import Any

import pytest

from service.models.architectures import UNET
from service.models.checkpoint import (
    CARD,
    GRAPH,
    INT8_GRAPH,
    WEIGHTS,
    Checkpoint,
    CheckpointError,
    change_card,
    sha256_of,
    write_card,
)
from service.models.keypoints import KEYPOINT_NAMES

FIELDS: dict[str, Any] = {
    "name": "tiny",
    "version": "1",
    "task": "pose",
    "architecture": "none",
    "input_size": 64,
    "normalisation": {"mean": 127.0, "scale": 128.0},
    "keypoints": KEYPOINT_NAMES,
    "licence": "Apache-2.0",
    "initialised_from": "nothing",
    "recipe": {},
    "trained_samples": 0,
    "data": [{"name": "photos", "licence": "CC0"}],
    "metrics": [{"name": "pck_0.1", "value": 0.5, "data": "photos", "command": "true"}],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / WEIGHTS).write_bytes(b"weights")
    (tmp_path / GRAPH).write_bytes(b"graph")
    write_card(tmp_path, FIELDS)
    return tmp_path


def change(folder: Path, **fields: Any) -> None:
    card = json.loads((folder / CARD).read_text())
    for name, value in fields.items():
        if value is None:
            del card[name]
        else:
            card[name] = value
    (folder / CARD).write_text(json.dumps(card))


def test_what_is_written_is_read(folder: Path) -> None:
    checkpoint = Checkpoint.load(folder, "pose")
    assert checkpoint.card.name == "tiny"
    assert checkpoint.card.keypoints == KEYPOINT_NAMES
    assert checkpoint.graph.read_bytes() == b"graph"
    assert checkpoint.weights.read_bytes() == b"weights"


@pytest.fixture
def with_int8(folder: Path) -> Path:
    (folder / INT8_GRAPH).write_bytes(b"integers")
    write_card(folder, FIELDS, int8=True)
    return folder


def test_a_graph_in_8_bit_integers_may_be_there(with_int8: Path) -> None:
    checkpoint = Checkpoint.load(with_int8)
    assert checkpoint.has_int8_graph
    assert checkpoint.int8_graph.read_bytes() == b"integers"


def test_a_changed_card_lists_the_same_files(with_int8: Path) -> None:
    before = Checkpoint.load(with_int8)
    after = change_card(before, name="other")
    assert after.card == before.card.model_copy(update={"name": "other"})
    without = change_card(after, int8=False)
    (with_int8 / INT8_GRAPH).write_bytes(b"of something else")
    assert not change_card(without, version="2").has_int8_graph  # though such a file lies there
    assert change_card(without, int8=True).int8_graph.read_bytes() == b"of something else"


def test_a_graph_in_8_bit_integers_is_one_that_the_card_knows(folder: Path) -> None:
    (folder / INT8_GRAPH).write_bytes(b"of something else")
    checkpoint = Checkpoint.load(folder)
    assert not checkpoint.has_int8_graph
    with pytest.raises(
        CheckpointError, match=rf"{folder}: card.json lists no {INT8_GRAPH}: .*quantise {folder}"
    ):
        _ = checkpoint.int8_graph


@pytest.mark.parametrize("name", [WEIGHTS, GRAPH, INT8_GRAPH])
def test_a_changed_file_is_refused(with_int8: Path, name: str) -> None:
    folder = with_int8
    (folder / name).write_bytes(b"other")
    with pytest.raises(CheckpointError, match=rf"{name}: sha256 is"):
        Checkpoint.load(folder)


@pytest.mark.parametrize("name", [WEIGHTS, GRAPH, INT8_GRAPH, CARD])
def test_a_missing_file_is_named(with_int8: Path, name: str) -> None:
    folder = with_int8
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"has no {name}"):
        Checkpoint.load(folder)


def test_a_folder_that_is_a_file_is_named(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=rf"{WEIGHTS}/{CARD} cannot be read: Not a directory"):
        Checkpoint.load(folder / WEIGHTS)


def test_a_file_that_cannot_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("service.models.checkpoint.sha256_of", refuse)
    with pytest.raises(CheckpointError, match=f"{WEIGHTS} cannot be read: Permission denied"):
        Checkpoint.load(folder)


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_a_missing_field_is_named(folder: Path, field: str) -> None:
    change(folder, **{field: None})
    with pytest.raises(CheckpointError, match=rf"{CARD}: {field}: Field required"):
        Checkpoint.load(folder)


def test_an_unknown_field_is_named(folder: Path) -> None:
    change(folder, colour="blue")
    with pytest.raises(CheckpointError, match="colour: Extra inputs are not permitted"):
        Checkpoint.load(folder)


def test_a_wrong_shape_is_named(folder: Path) -> None:
    change(folder, input_size=100)
    with pytest.raises(CheckpointError, match=r"input_size: .*multiple of 32"):
        Checkpoint.load(folder)


def test_the_wrong_task_is_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="this is a pose checkpoint, a detector was asked for"):
        Checkpoint.load(folder, "detector")


def test_keypoints_in_another_order_are_refused(folder: Path) -> None:
    change(folder, keypoints=list(reversed(KEYPOINT_NAMES)))
    with pytest.raises(CheckpointError, match="keypoints are not"):
        Checkpoint.load(folder)


def test_a_card_that_is_no_json_is_refused(folder: Path) -> None:
    (folder / CARD).write_text("hello")
    with pytest.raises(CheckpointError, match="Invalid JSON"):
        Checkpoint.load(folder)


@pytest.fixture
def without_graph(tmp_path: Path) -> Path:
    folder = tmp_path / "reference"
    folder.mkdir()
    (folder / WEIGHTS).write_bytes(b"weights")
    write_card(folder, {**FIELDS, "architecture": UNET})
    return folder


def test_an_architecture_that_torch_alone_serves_has_no_graph(without_graph: Path) -> None:
    checkpoint = Checkpoint.load(without_graph)
    assert not checkpoint.has_graph
    assert set(checkpoint.card.sha256) == {WEIGHTS}
    for graph in ("graph", "int8_graph"):
        with pytest.raises(CheckpointError, match=f"reference: {UNET} has no ONNX graph.*use engine=torch"):
            getattr(checkpoint, graph)


@pytest.mark.parametrize("name", [GRAPH, INT8_GRAPH])
def test_a_graph_where_none_belongs_is_refused(without_graph: Path, name: str) -> None:
    (without_graph / name).write_bytes(b"graph")
    change(without_graph, sha256={WEIGHTS: sha256_of(without_graph / WEIGHTS), name: "0" * 64})
    with pytest.raises(CheckpointError, match=f"{UNET} has no {name}"):
        Checkpoint.load(without_graph)


def test_normalisation_may_differ_by_channel(folder: Path) -> None:
    change(folder, normalisation={"mean": [1.0, 2.0, 3.0], "scale": 4.0})
    assert Checkpoint.load(folder).card.normalisation.mean == (1.0, 2.0, 3.0)
    change(folder, normalisation={"mean": [1.0, 2.0], "scale": 4.0})
    with pytest.raises(CheckpointError, match="normalisation"):
        Checkpoint.load(folder)


def test_the_pair_that_ships_is_sound_and_small(root: Path) -> None:
    size = 0
    for task in ("detector", "pose"):
        checkpoint = Checkpoint.load(root / "service" / "weights" / task, task)  # type: ignore[arg-type]
        assert checkpoint.card.data
        assert checkpoint.card.metrics
        size += sum(file.stat().st_size for file in checkpoint.folder.iterdir())
    assert size < 40e6
