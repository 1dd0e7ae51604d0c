"""The messages of a stream: their shapes, for the tests and for clients, and the functions that make them.

As in `schemas`, messages are made as plain dictionaries and written by orjson; the tests hold the two
together.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from service.api.problems import title
from service.api.schemas import HandAnswer, ImageSize, PoseQuery, Timing, pose_answer
from service.inference.tracking import TrackedHand, TrackingOptions


class StreamQuery(PoseQuery):
    """What can be asked for in the query, and in a `configure` message at any time after."""

    smoothing: bool = Field(default=True, description="Smooth keypoints and boxes over time.")
    frame_rate: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        allow_inf_nan=False,
        description="Frames per second of a recording: time is counted by its frames rather than by when they arrive.",
    )

    def options(self) -> TrackingOptions:
        """The same, as the core has it."""
        return TrackingOptions(self.max_hands, self.min_score, self.mirrored, self.smoothing)


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TrackedHandAnswer(HandAnswer):
    """One hand, and its number: the same in every frame as long as it is followed."""

    track_id: int = Field(ge=1)


class ResultMessage(_Message):
    """The hands of one frame, best score first.

    frame: which of the client's binary messages this is, counted from 0. dropped: how many of this connection's
    frames were passed over so far because a newer one came. detector_ran: false when the hands were followed
    from the frame before.
    """

    type: Literal["result"]
    frame: int = Field(ge=0)
    dropped: int = Field(ge=0)
    detector_ran: bool
    image: ImageSize
    hands: list[TrackedHandAnswer]
    timing_ms: Timing


class ErrorMessage(_Message):
    """What was wrong with a frame, or with a text message or the query when `frame` is null."""

    type: Literal["error"]
    frame: int | None
    status: int
    title: str
    detail: str


class ConfiguredMessage(_Message):
    """The options in force from the next frame on."""

    type: Literal["configured"]
    max_hands: int
    min_score: float
    mirrored: bool
    smoothing: bool
    frame_rate: float | None


def result(
    frame: int,
    dropped: int,
    detector_ran: bool,
    width: int,
    height: int,
    hands: Sequence[TrackedHand],
    timing_ms: Mapping[str, float],
) -> str:
    """A `ResultMessage`."""
    answer = pose_answer(width, height, [tracked.hand for tracked in hands], {}, timing_ms)
    for tracked, hand in zip(hands, answer["hands"], strict=True):
        hand["track_id"] = tracked.track_id
    return _text(
        {
            "type": "result",
            "frame": frame,
            "dropped": dropped,
            "detector_ran": detector_ran,
            "image": answer["image"],
            "hands": answer["hands"],
            "timing_ms": answer["timing_ms"],
        }
    )


def error(frame: int | None, status: int, detail: str) -> str:
    """An `ErrorMessage`."""
    return _text(
        {"type": "error", "frame": frame, "status": status, "title": title(status), "detail": detail}
    )


def configured(query: StreamQuery) -> str:
    """A `ConfiguredMessage`."""
    return _text({"type": "configured", **query.model_dump()})


def _text(message: dict[str, Any]) -> str:
    return orjson.dumps(message).decode()
