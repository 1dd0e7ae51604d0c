"""From the service's JSON to results. Members that are not known are passed over, so that a newer service can
say more; a member that is missing or of the wrong type is an `AnswerError` that names it.
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal

from handpose_client.errors import AnswerError, ProblemError, problem_from_document
from handpose_client.results import (
    Box,
    FrameAnswer,
    Hand,
    Handedness,
    ImageSize,
    Keypoint,
    Keypoints,
    ModelInfo,
    ModelNames,
    Models,
    PoseResult,
    Timing,
)


class Node:
    """A JSON object and where it is in the document."""

    def __init__(self, value: Any, path: str = "") -> None:
        """Raises AnswerError unless value is an object."""
        if not isinstance(value, Mapping):
            raise AnswerError(f"{path or 'the answer'} is not a JSON object")
        self.value = value
        self._path = path

    def _at(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def raw(self, name: str) -> Any:
        """A member as it is. Raises AnswerError when it is missing."""
        if name not in self.value:
            raise AnswerError(f"the answer has no {self._at(name)}")
        return self.value[name]

    def has(self, name: str) -> bool:
        """Whether a member is there and not null."""
        return self.value.get(name) is not None

    def object(self, name: str) -> "Node":
        return Node(self.raw(name), self._at(name))

    def objects(self, name: str) -> list["Node"]:
        value = self.raw(name)
        if not isinstance(value, list):
            raise AnswerError(f"{self._at(name)} is not a list")
        return [Node(item, f"{self._at(name)}[{i}]") for i, item in enumerate(value)]

    def number(self, name: str) -> float:
        value = self.raw(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise AnswerError(f"{self._at(name)} is not a number")
        return float(value)

    def integer(self, name: str) -> int:
        value = self.raw(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise AnswerError(f"{self._at(name)} is not a whole number")
        return value

    def text(self, name: str) -> str:
        value = self.raw(name)
        if not isinstance(value, str):
            raise AnswerError(f"{self._at(name)} is not a string")
        return value

    def keypoints(self, name: str) -> Keypoints:
        points = [
            Keypoint(
                p.text("name"),
                p.number("x"),
                p.number("y"),
                p.number("score"),
                p.number("z") if p.has("z") else None,
            )
            for p in self.objects(name)
        ]
        try:
            return Keypoints(points)
        except ValueError as error:
            raise AnswerError(f"{self._at(name)}: {error}") from None


def document(body: str | bytes) -> Node:
    """A JSON text. Raises AnswerError when it is not an object."""
    try:
        value = json.loads(body)
    except ValueError as error:
        raise AnswerError(f"the answer is not JSON: {error}") from None
    return Node(value)


def pose_result(node: Node) -> PoseResult:
    """The answer of `POST /v1/pose`."""
    models = node.object("models")
    return PoseResult(
        _size(node), _hands(node), ModelNames(models.text("detector"), models.text("pose")), _timing(node)
    )


def batch(node: Node) -> list[PoseResult | ProblemError]:
    """The answer of `POST /v1/pose/batch`: a result or an error for each picture, in order."""
    results = node.objects("results")
    indices = [result.integer("index") for result in results]
    if indices != list(range(len(results))):
        raise AnswerError(f"the results are out of order: {indices}")
    return [problem(r.object("error")) if r.has("error") else pose_result(r) for r in results]


def problem(node: Node) -> ProblemError:
    """A problem document as the exception for it."""
    return problem_from_document(node.value, node.integer("status"))


def frame_answer(node: Node) -> FrameAnswer:
    """A `result` message of `/v1/stream`."""
    detector_ran = bool(node.raw("detector_ran")) if node.has("detector_ran") else None
    return FrameAnswer(_size(node), _hands(node), _timing(node), detector_ran)


def models(node: Node) -> Models:
    """The answer of `GET /v1/models`."""
    return Models(_model(node.object("detector")), _model(node.object("pose")))


def _size(node: Node) -> ImageSize:
    image = node.object("image")
    return ImageSize(image.integer("width"), image.integer("height"))


def _hands(node: Node) -> tuple[Hand, ...]:
    return tuple(_hand(hand) for hand in node.objects("hands"))


def _hand(node: Node) -> Hand:
    box, handedness = node.object("box"), node.object("handedness")
    return Hand(
        score=node.number("score"),
        handedness=Handedness(_label(handedness), handedness.number("score")),
        box=Box(box.number("x"), box.number("y"), box.number("width"), box.number("height")),
        keypoints=node.keypoints("keypoints"),
        track_id=node.integer("track_id") if node.has("track_id") else None,
    )


def _label(node: Node) -> Literal["left", "right"]:
    label = node.text("label")
    if label == "left":
        return "left"
    if label == "right":
        return "right"
    raise AnswerError(f"a hand is neither left nor right but {label!r}")


def _timing(node: Node) -> Timing:
    steps = node.object("timing_ms")
    return Timing(**{step.name: steps.number(step.name) for step in fields(Timing) if steps.has(step.name)})


def _model(node: Node) -> ModelInfo:
    texts = {field.name: node.text(field.name) for field in fields(ModelInfo) if field.name != "input_size"}
    return ModelInfo(input_size=node.integer("input_size"), **texts)
