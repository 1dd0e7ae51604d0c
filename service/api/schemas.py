"""The shapes of requests and answers, for OpenAPI and the tests, and the function that makes an answer.

Answers are made as plain dictionaries and written by orjson: passing them through these models would cost
more than the network's share of a request. The tests hold the two together.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from service.inference.hands import Hand
from service.models.keypoints import KEYPOINT_NAMES

Probability = Annotated[float, Field(ge=0, le=1)]
Milliseconds = Annotated[float, Field(ge=0)]


class PoseQuery(BaseModel):
    """What can be asked for in the query. Unknown parameters are refused, so that a misspelt one does not
    go unseen.
    """

    model_config = ConfigDict(extra="forbid")

    max_hands: int = Field(
        default=4, ge=1, le=16, description="At most this many hands: those that the detector is surest of."
    )
    min_score: float = Field(
        default=0.5, ge=0, le=1, allow_inf_nan=False, description="Hands scored below this are left out."
    )
    mirrored: bool = Field(
        default=False,
        description="The picture was mirrored (a selfie view): swap left and right in the answer.",
    )

    def within(self, most: int) -> Self:
        """The query of a service that answers with at most so many hands: what was not asked for is lowered.

        Raises ValueError where more were asked for.
        """
        if self.max_hands <= most:
            return self
        if "max_hands" in self.model_fields_set:
            raise ValueError(f"max_hands: at most {most} are answered here, not {self.max_hands}.")
        return self.model_copy(update={"max_hands": most})


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ImageSize(_Answer):
    """The upright picture, after its EXIF orientation was applied."""

    width: int = Field(ge=1, description="Pixels.")
    height: int = Field(ge=1, description="Pixels.")


class Handedness(_Answer):
    """The anatomical hand as seen in an unmirrored picture. Of a picture's only two hands, what is seen of the one
    counts for the other.
    """

    label: Literal["left", "right"]
    score: Probability = Field(description="The probability of the label.")


class BoxAnswer(_Answer):
    """Tight around the visible hand, wrist included, forearm not; pixels from the picture's top-left
    corner.
    """

    x: float
    y: float
    width: float = Field(gt=0)
    height: float = Field(gt=0)


class KeypointAnswer(_Answer):
    """One of 21; pixels from the picture's top-left corner, outside it where the hand is cut off."""

    name: str
    x: float
    y: float
    z: float | None = Field(
        default=None,
        description="Depth relative to the wrist, positive away from the camera, in the same pixels as x and y "
        "at the hand's distance. Left out by a pose model that does not know it.",
    )
    score: Probability = Field(
        description="The probability that it is within a tenth of the hand's size of where it truly is."
    )


class HandAnswer(_Answer):
    """One hand."""

    score: Probability = Field(description="The probability that it is a hand.")
    handedness: Handedness
    box: BoxAnswer
    keypoints: list[KeypointAnswer] = Field(min_length=21, max_length=21)


class ModelNames(_Answer):
    """The checkpoints that answered, as `name version`; `GET /v1/models` tells more."""

    detector: str
    pose: str


class Timing(_Answer):
    """Milliseconds. `total` runs from the last byte of the request until the hands are known."""

    decode: Milliseconds
    queue: Milliseconds
    detect: Milliseconds
    pose: Milliseconds
    total: Milliseconds


class PoseAnswer(_Answer):
    """The hands of a picture, best score first."""

    image: ImageSize
    hands: list[HandAnswer]
    models: ModelNames
    timing_ms: Timing


class ProblemError(_Answer):
    """One wrong parameter."""

    name: str
    detail: str


class ProblemAnswer(_Answer):
    """An error, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[ProblemError] = []


class BatchItem(PoseAnswer):
    """A picture of a batch that could be looked at."""

    index: int = Field(ge=0, description="Which of the pictures sent, counted from 0.")
    name: str | None = Field(description="The file's name, where it was sent.")


class BatchFailure(_Answer):
    """A picture of a batch that could not be looked at. `error` is what `POST /v1/pose` would have answered."""

    index: int = Field(ge=0, description="Which of the pictures sent, counted from 0.")
    name: str | None = Field(description="The file's name, where it was sent.")
    error: ProblemAnswer


class BatchAnswer(_Answer):
    """One result for each picture, in the order they were sent."""

    results: list[BatchItem | BatchFailure]


class ModelAnswer(_Answer):
    """One network as it was really loaded."""

    task: Literal["detector", "pose"]
    name: str
    version: str
    architecture: str
    licence: str
    sha256: str
    input_size: int
    engine: str
    device: str
    precision: str
    reason: str = Field(description="Why this engine, this device and this precision.")


class ModelsAnswer(_Answer):
    """What runs."""

    detector: ModelAnswer
    pose: ModelAnswer


class StatusAnswer(_Answer):
    """A word on how the service is."""

    status: Literal["ok", "ready"]


def pose_answer(
    width: int,
    height: int,
    hands: Sequence[Hand],
    models: Mapping[str, str],
    timing_ms: Mapping[str, float],
) -> dict[str, Any]:
    """A `PoseAnswer` as a dictionary: pixels to hundredths, scores to ten-thousandths, times to
    microseconds.
    """
    return {
        "image": {"width": width, "height": height},
        "hands": [_hand(hand) for hand in hands],
        "models": models,
        "timing_ms": {step: round(ms, 3) for step, ms in timing_ms.items()},
    }


def _hand(hand: Hand) -> dict[str, Any]:
    box = hand.box
    return {
        "score": round(hand.score, 4),
        "handedness": {"label": hand.handedness, "score": round(hand.handedness_score, 4)},
        "box": {
            "x": round(box.x, 2),
            "y": round(box.y, 2),
            "width": round(box.width, 2),
            "height": round(box.height, 2),
        },
        "keypoints": _keypoints(hand),
    }


def _keypoints(hand: Hand) -> list[dict[str, Any]]:
    keypoints: list[dict[str, Any]] = [
        {"name": name, "x": round(x, 2), "y": round(y, 2), "score": round(score, 4)}
        for name, (x, y), score in zip(
            KEYPOINT_NAMES, hand.keypoints.tolist(), hand.keypoint_scores.tolist(), strict=True
        )
    ]
    if hand.depth is not None:
        for keypoint, z in zip(keypoints, hand.depth.tolist(), strict=True):
            keypoint["z"] = round(z, 2)
    return keypoints
