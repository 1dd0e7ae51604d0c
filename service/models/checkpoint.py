"""The checkpoint format: a folder with the weights, the exported graph and a card that says what they are.

    detector/
        model.safetensors   weights; tensors of two and more dimensions in float16, the rest in float32
        model.onnx          the same weights as a graph that takes uint8 pictures and returns decoded results;
                        architectures that only torch serves have none
        model-int8.onnx     that graph with convolutions of 8-bit integers; optional, and there only if the card
                        lists it
        card.json           what it is, what it was trained on, what it measures, sha256 of the other files

Loading refuses a folder whose files are missing or changed, and a card that lacks a field or has an unknown one.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.models.architectures import has_graph
from service.models.keypoints import KEYPOINT_NAMES

CARD = "card.json"
WEIGHTS = "model.safetensors"
GRAPH = "model.onnx"
INT8_GRAPH = "model-int8.onnx"
FORMAT = 1


class CheckpointError(ValueError):
    """A checkpoint folder that cannot be used; the message names the folder and what is wrong with it."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Normalisation(_Strict):
    """The network computes (value - mean) / scale from uint8 RGB itself; three values are those of R, G and B."""

    mean: float | tuple[float, float, float]
    scale: float | tuple[float, float, float]


class DataSource(_Strict):
    """One data set the weights were trained on, with the licence its source states."""

    name: str
    licence: str
    images: int | None = None
    remarks: str = ""


class Metric(_Strict):
    """One measured figure and the command that measured it."""

    name: str
    value: float
    data: str
    command: str


class ScoreCalibration(_Strict):
    """How the score of a hand becomes the probability that it is one: see `service.inference.calibration`.

    detector: `Checkpoint.identity` of the detector that it was fitted with; with another one it does not hold.
    """

    detector: str
    slope: float = Field(gt=0, allow_inf_nan=False)
    offset: float = Field(allow_inf_nan=False)
    command: str


class KeypointCalibration(_Strict):
    """How the score of a keypoint becomes the probability that it is within a tenth of the hand's size of where it
    truly is, by points of a curve: see `service.inference.calibration`.
    """

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]
    command: str


class Card(_Strict):
    """What a checkpoint is. `input_size` is the side of the square input in pixels; a pose checkpoint may have a
    `score_calibration` and a `keypoint_calibration`.
    """

    format: Literal[1]
    name: str
    version: str
    task: Literal["detector", "pose"]
    architecture: str
    input_size: int = Field(ge=32, le=2048, multiple_of=32)
    normalisation: Normalisation
    keypoints: tuple[str, ...]
    licence: str
    initialised_from: str
    recipe: dict[str, Any]
    trained_samples: int
    data: tuple[DataSource, ...]
    metrics: tuple[Metric, ...]
    score_calibration: ScoreCalibration | None = None
    keypoint_calibration: KeypointCalibration | None = None
    sha256: dict[str, str]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder whose files were found to be what its card says."""

    folder: Path
    card: Card

    @property
    def identity(self) -> str:
        """Its name, its version and the first digits of its weights' hash, for people and to tell it from others."""
        return f"{self.card.name} {self.card.version} (sha256 {self.card.sha256[WEIGHTS][:12]})"

    @property
    def graph(self) -> Path:
        """The ONNX file. Raises CheckpointError for an architecture that has none."""
        if not self.has_graph:
            raise CheckpointError(
                f"{self.folder}: {self.card.architecture} has no ONNX graph, only torch serves it: use engine=torch"
            )
        return self.folder / GRAPH

    @property
    def int8_graph(self) -> Path:
        """The ONNX file that computes in 8-bit integers. Raises CheckpointError if there is none."""
        graph = self.graph
        if not self.has_int8_graph:
            raise CheckpointError(
                f"{self.folder}: {CARD} lists no {INT8_GRAPH}: make it with `python -m training quantise {self.folder}`"
            )
        return graph.with_name(INT8_GRAPH)

    @property
    def has_int8_graph(self) -> bool:
        """Whether the card lists an ONNX file that computes in 8-bit integers."""
        return INT8_GRAPH in self.card.sha256

    @property
    def has_graph(self) -> bool:
        """Whether there is an ONNX file."""
        return has_graph(self.card.architecture)

    @property
    def weights(self) -> Path:
        """The safetensors file."""
        return self.folder / WEIGHTS

    @classmethod
    def load(
        cls, folder: Path, task: Literal["detector", "pose"] | None = None, int8: bool = True
    ) -> "Checkpoint":
        """Read and verify a checkpoint folder.

        task: what the checkpoint must be for, if that matters. int8: False for one whose graph in 8-bit integers is
        about to be made anew, whatever is there.
        Raises CheckpointError if the folder, a file or a field is missing or cannot be read, a hash differs or the
        task is another.
        """
        path = folder / CARD
        try:
            card = Card.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise CheckpointError(f"{folder} is not a checkpoint: it has no {CARD}") from None
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "the file"
            raise CheckpointError(f"{path}: {field}: {first['msg']}") from None
        if task is not None and card.task != task:
            raise CheckpointError(f"{path}: this is a {card.task} checkpoint, a {task} was asked for")
        expected = KEYPOINT_NAMES if card.task == "pose" else ()
        if card.keypoints != expected:
            raise CheckpointError(f"{path}: keypoints are not {list(expected)}")
        required = _files(card.architecture)
        if missing := sorted(set(required) - card.sha256.keys()):
            raise CheckpointError(f"{path}: sha256: {missing[0]} is missing")
        if unknown := sorted(card.sha256.keys() - _files(card.architecture, int8=True)):
            raise CheckpointError(f"{path}: sha256: {card.architecture} has no {unknown[0]}")
        for name, expected_hash in card.sha256.items():
            if name == INT8_GRAPH and not int8:
                continue
            if not (folder / name).is_file():
                raise CheckpointError(f"{folder} has no {name}")
            try:
                found = sha256_of(folder / name)
            except OSError as error:
                raise CheckpointError(f"{folder / name} cannot be read: {error.strerror}") from None
            if found != expected_hash:
                raise CheckpointError(f"{folder / name}: sha256 is {found}, {CARD} says {expected_hash}")
        return cls(folder, card)


def write_card(folder: Path, card: dict[str, Any], int8: bool = False) -> Checkpoint:
    """Write `card.json` for the files already in `folder`, with their hashes, and load the result to verify it.

    card: the fields of `Card` but `format` and `sha256`. int8: there is a graph that computes in 8-bit integers. Raises
    CheckpointError as `Checkpoint.load` does.
    """
    hashes = {name: sha256_of(folder / name) for name in _files(card.get("architecture", ""), int8)}
    text = json.dumps({"format": FORMAT, **card, "sha256": hashes}, indent=2, ensure_ascii=False)
    (folder / CARD).write_text(text + "\n")
    return Checkpoint.load(folder)


def change_card(checkpoint: Checkpoint, int8: bool | None = None, **fields: Any) -> Checkpoint:
    """Write a checkpoint's card anew with other values of some fields, for files that may be others than before.

    int8: as for `write_card`; None: as it was. Raises CheckpointError as `Checkpoint.load` does.
    """
    card = json.loads((checkpoint.folder / CARD).read_text())
    del card["format"], card["sha256"]
    return write_card(checkpoint.folder, card | fields, checkpoint.has_int8_graph if int8 is None else int8)


def _files(architecture: str, int8: bool = False) -> tuple[str, ...]:
    """What belongs to a checkpoint of this architecture beside its card."""
    if not has_graph(architecture):
        return (WEIGHTS,)
    return (WEIGHTS, GRAPH, INT8_GRAPH) if int8 else (WEIGHTS, GRAPH)


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
