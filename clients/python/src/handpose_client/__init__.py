"""Find hands in photos and streams with the handpose service.

    from handpose_client import HandPose

    with HandPose("http://localhost:8000") as client:
        for hand in client.pose("hand.jpg").hands:
            print(hand.handedness.label, hand.keypoints["index_tip"])

Every coordinate is in pixels of the upright picture, x to the right and y down from its top-left corner.
"""

from handpose_client.aio import AsyncHandPose
from handpose_client.client import HandPose
from handpose_client.errors import (
    AnswerError,
    ConnectionFailedError,
    HandPoseError,
    MissingExtraError,
    ProblemError,
    TimedOutError,
    TooLargeError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
    UnprocessableError,
    UnsupportedImageError,
)
from handpose_client.images import ImageInput
from handpose_client.keypoints import FINGERS, KEYPOINT_NAMES, SKELETON
from handpose_client.results import (
    Box,
    FrameResult,
    Hand,
    Handedness,
    ImageSize,
    Keypoint,
    Keypoints,
    ModelInfo,
    ModelNames,
    Models,
    PhotoResult,
    PoseResult,
    Timing,
)

__version__ = "0.1.0"

__all__ = [
    "FINGERS",
    "KEYPOINT_NAMES",
    "SKELETON",
    "AnswerError",
    "AsyncHandPose",
    "Box",
    "ConnectionFailedError",
    "FrameResult",
    "Hand",
    "HandPose",
    "HandPoseError",
    "Handedness",
    "ImageInput",
    "ImageSize",
    "Keypoint",
    "Keypoints",
    "MissingExtraError",
    "ModelInfo",
    "ModelNames",
    "Models",
    "PhotoResult",
    "PoseResult",
    "ProblemError",
    "TimedOutError",
    "Timing",
    "TooLargeError",
    "TooManyRequestsError",
    "UnauthorizedError",
    "UnavailableError",
    "UnprocessableError",
    "UnsupportedImageError",
    "__version__",
]
