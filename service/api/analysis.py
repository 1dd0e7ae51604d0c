"""One picture from bytes to hands: what a worker thread does for `POST /v1/pose`, alone or in a batch."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from service.api.images import Limits, alone, decode, encode
from service.api.schemas import PoseQuery
from service.inference.drawing import draw_hands
from service.inference.hands import Hand
from service.inference.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was found in a picture. width, height: of the upright picture in pixels. drawn: the encoded picture with
    its hands, where one was asked for.
    """

    hands: list[Hand]
    width: int
    height: int
    timing_ms: Mapping[str, float]
    drawn: bytes | None = None


def analyse(
    data: bytes, limits: Limits, pipeline: Pipeline, query: PoseQuery, draw_as: str | None = None
) -> Analysis:
    """Decode, find the hands and draw them if asked to (draw_as: the media type).

    timing_ms has decode, detect, pose and draw. Raises Problem, as `images.decode` does.
    """
    started = time.perf_counter()
    picture = decode(data, limits, whole=draw_as is not None)
    decoded = time.perf_counter()
    result = pipeline.run(
        picture.image, max_hands=query.max_hands, min_score=query.min_score, mirrored=query.mirrored
    )
    hands = [picture.whole(hand) for hand in result.hands]
    ready = time.perf_counter()
    drawn = None
    if draw_as is not None:
        with alone(picture.width * picture.height):
            drawn = encode(draw_hands(picture.image, hands), draw_as)
    timing_ms = {
        "decode": (decoded - started) * 1e3,
        "detect": result.detect_ms,
        "pose": result.pose_ms,
        "draw": (time.perf_counter() - ready) * 1e3,
    }
    return Analysis(hands, picture.width, picture.height, timing_ms, drawn)
