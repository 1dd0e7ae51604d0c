"""Results do not change, and find keypoints by name."""

import dataclasses
import json
import pickle
from types import SimpleNamespace

import pytest
from handpose_client import KEYPOINT_NAMES, Box, FrameResult, Keypoint, Keypoints, PoseResult
from handpose_client.errors import problem
from handpose_client.parsing import Node, frame_answer, pose_result


@pytest.fixture
def result(documents: SimpleNamespace) -> PoseResult:
    return pose_result(Node(documents.pose(documents.hand(10), documents.hand(90, "left"))))


def test_keypoints_by_index_and_by_name(result: PoseResult) -> None:
    keypoints = result.hands[0].keypoints
    assert len(keypoints) == 21
    for index, name in enumerate(KEYPOINT_NAMES):
        assert keypoints[index] is keypoints[name]
        assert keypoints[name].name == name
    assert keypoints["index_tip"] == Keypoint("index_tip", 26.0, 28.0, 0.9, -4.0)
    assert [k.name for k in keypoints[-2:]] == ["pinky_dip", "pinky_tip"]
    assert keypoints.xy[8] == (26.0, 28.0)
    assert keypoints.xyz is not None
    assert keypoints.xyz[8] == (26.0, 28.0, -4.0)


def test_a_model_without_depth_has_none(documents: SimpleNamespace) -> None:
    hand = documents.hand(10)
    for keypoint in hand["keypoints"]:
        del keypoint["z"]
    (flat,) = pose_result(Node(documents.pose(hand))).hands
    assert {keypoint.z for keypoint in flat.keypoints} == {None}
    assert flat.keypoints.xyz is None
    assert flat.to_dict() == hand


def test_a_keypoint_that_is_none(result: PoseResult) -> None:
    with pytest.raises(KeyError, match="elbow; the keypoints are wrist, thumb_cmc"):
        result.hands[0].keypoints["elbow"]
    with pytest.raises(IndexError):
        result.hands[0].keypoints[21]


def test_keypoints_are_21_in_order(result: PoseResult) -> None:
    keypoints = list(result.hands[0].keypoints)
    with pytest.raises(ValueError, match="21 keypoints"):
        Keypoints(keypoints[:20])
    with pytest.raises(ValueError, match="21 keypoints"):
        Keypoints(reversed(keypoints))


def test_results_do_not_change(result: PoseResult) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.hands = ()  # type: ignore[misc]
    with pytest.raises(TypeError):
        result.hands[0].keypoints[0] = None  # type: ignore[index]


def test_results_compare_hash_and_pickle(result: PoseResult) -> None:
    copy = pickle.loads(pickle.dumps(result))
    assert copy == result
    assert hash(copy) == hash(result)
    assert isinstance(copy.hands[0].keypoints, Keypoints)


def test_a_result_gives_back_the_services_json(documents: SimpleNamespace) -> None:
    document = documents.pose(documents.hand(10), documents.hand(90, "left"))
    assert json.loads(json.dumps(pose_result(Node(document)).to_dict())) == document


def test_corners() -> None:
    assert Box(1, 2, 30, 40).corners == (1, 2, 31, 42)


def test_a_frame_gives_its_hands(documents: SimpleNamespace) -> None:
    answer = frame_answer(Node(documents.pose(documents.hand(track_id=3))))
    result = FrameResult(7, "frame.jpg", 2, 12.34567, None, answer)
    assert result.hands == answer.hands
    assert result.hands[0].track_id == 3
    assert (result.image.width, result.timing_ms.total) == (160, 10.5)
    document = json.loads(json.dumps(result.to_dict()))
    assert (document["frame"], document["dropped"], document["round_trip_ms"]) == (7, 2, 12.346)
    assert document["hands"][0] == documents.hand(track_id=3)
    assert "error" not in document


@pytest.mark.parametrize("what", ["hands", "image", "timing_ms"])
def test_a_frame_that_failed_does_not_look_like_one_without_hands(what: str) -> None:
    error = problem(422, detail="cut off")
    result = FrameResult(7, "frame.jpg", 0, 1.0, error, None)
    with pytest.raises(type(error), match="cut off"):
        getattr(result, what)
    assert result.to_dict()["error"]["detail"] == "cut off"
    assert "hands" not in result.to_dict()
