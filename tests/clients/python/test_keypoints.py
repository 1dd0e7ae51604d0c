"""The client's vocabulary is the service's."""

import handpose_client

from service.models import keypoints


def test_the_names_and_bones_are_the_services() -> None:
    assert handpose_client.KEYPOINT_NAMES == keypoints.KEYPOINT_NAMES
    assert handpose_client.FINGERS == keypoints.FINGERS
    assert handpose_client.SKELETON == keypoints.SKELETON
