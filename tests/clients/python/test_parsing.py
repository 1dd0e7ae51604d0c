"""JSON that breaks the contract is refused by name; what is new in it is passed over."""

import copy
from types import SimpleNamespace
from typing import Any

import pytest
from handpose_client import AnswerError, Timing
from handpose_client.parsing import Node, document, frame_answer, models, pose_result

MODEL = {
    "task": "pose",
    "name": "light",
    "version": "2",
    "architecture": "a",
    "licence": "Apache-2.0",
    "sha256": "0" * 64,
    "input_size": 192,
    "engine": "onnxruntime",
    "device": "cpu",
    "precision": "float32",
    "reason": "no GPU was found",
}


def change(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    """A copy with one member replaced, or removed where new is `...`."""
    value = copy.deepcopy(value)
    inner = value
    for step in path[:-1]:
        inner = inner[step]
    if new is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = new
    return value


@pytest.mark.parametrize(
    ("path", "new", "message"),
    [
        (("hands",), ..., "the answer has no hands"),
        (("hands",), {}, "hands is not a list"),
        (("hands", 0), 5, r"hands\[0\] is not a JSON object"),
        (("hands", 0, "score"), "high", r"hands\[0\].score is not a number"),
        (("hands", 0, "score"), True, r"hands\[0\].score is not a number"),
        (("hands", 0, "box", "width"), ..., r"the answer has no hands\[0\].box.width"),
        (("hands", 0, "handedness", "label"), "both", "neither left nor right but 'both'"),
        (("hands", 0, "keypoints", 4, "x"), None, r"hands\[0\].keypoints\[4\].x is not a number"),
        (("hands", 0, "keypoints", 4, "name"), "elbow", r"hands\[0\].keypoints: a hand has the 21 keypoints"),
        (("hands", 0, "keypoints", 20), ..., r"hands\[0\].keypoints: a hand has the 21"),
        (("hands", 0, "track_id"), "a", r"hands\[0\].track_id is not a whole number"),
        (("image", "width"), 1.5, "image.width is not a whole number"),
        (("models", "pose"), 1, "models.pose is not a string"),
        (("timing_ms",), ..., "the answer has no timing_ms"),
    ],
)
def test_what_breaks_the_contract_is_named(
    documents: SimpleNamespace, path: tuple[str | int, ...], new: Any, message: str
) -> None:
    good = documents.pose(documents.hand())
    pose_result(Node(good))
    with pytest.raises(AnswerError, match=message):
        pose_result(Node(change(good, path, new)))


def test_members_that_are_new_are_passed_over(documents: SimpleNamespace) -> None:
    good = documents.pose(documents.hand())
    more = change(good, ("hands", 0, "gesture"), "fist")
    more = change(more, ("timing_ms", "track"), 1.0)
    more = change(more, ("cached",), True)
    assert pose_result(Node(more)) == pose_result(Node(good))


def test_steps_that_did_not_run_took_no_time(documents: SimpleNamespace) -> None:
    answer = documents.pose()
    answer["timing_ms"] = {"pose": 4.0, "detect": None}
    assert frame_answer(Node(answer)).timing_ms == Timing(pose=4.0)


def test_models() -> None:
    found = models(Node({"detector": MODEL | {"task": "detector"}, "pose": MODEL | {"new": 1}}))
    assert (found.detector.task, found.pose.input_size) == ("detector", 192)
    assert found.pose.reason == "no GPU was found"
    with pytest.raises(AnswerError, match=r"no pose\.licence"):
        models(Node({"detector": MODEL, "pose": change(MODEL, ("licence",), ...)}))


@pytest.mark.parametrize(
    ("body", "message"), [(b"<html>", "not JSON"), (b"[]", "not a JSON object"), (b"\xff", "not JSON")]
)
def test_a_body_that_is_no_object(body: bytes, message: str) -> None:
    with pytest.raises(AnswerError, match=message):
        document(body)
