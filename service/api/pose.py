"""`POST /v1/pose`: a photo in, hands out."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response

from service.api import problems
from service.api.access import NO_ACCESS, require
from service.api.analysis import Analysis, analyse
from service.api.answers import LargeAnswer
from service.api.departures import unless_gone
from service.api.metrics import QUEUE_FULL
from service.api.negotiation import negotiate
from service.api.places import NoRoomError
from service.api.problems import Problem, check_once
from service.api.schemas import PoseAnswer, PoseQuery, pose_answer
from service.api.state import Service, ServiceDependency
from service.api.uploads import FIELD, UploadLimits, read_image
from service.inference.pipeline import Pipeline
from service.inference.workers import QueueFullError

router = APIRouter(tags=["pose"])

JSON = "application/json"
OFFERED = (JSON, "image/png", "image/jpeg")  # JSON first: that is what `*/*` gets
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_REQUEST_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [FIELD],
                "properties": {FIELD: {"type": "string", "format": "binary"}},
            }
        },
        **{f"image/{kind}": _BINARY for kind in ("jpeg", "png", "webp", "bmp")},
    },
}
# What any request with pictures may be answered.
PROBLEMS = {
    **NO_ACCESS,
    408: "The body did not arrive in time.",
    413: "Too many bytes, pixels or pictures.",
    415: "Not a supported image type, or a compressed body.",
    422: "The image cannot be decoded, or a parameter is wrong.",
    503: "The queue is full or the models are not warm; Retry-After says when to try again.",
}


@router.post(
    "/v1/pose",
    summary="Find the hands in a picture",
    response_class=Response,
    dependencies=[require("inference", cost=1)],
    responses={
        200: {
            "description": "The hands, best score first; or the picture with the hands drawn.",
            "model": PoseAnswer,
            "content": dict.fromkeys(OFFERED[1:], _BINARY),
        },
        **problems.responses({406: "Accept allows neither JSON nor PNG nor JPEG."} | PROBLEMS),
    },
    openapi_extra={"requestBody": _REQUEST_BODY},
)
async def pose(
    request: Request, query: Annotated[PoseQuery, Query()], service: ServiceDependency
) -> Response:
    """Send the image as the multipart field `image` or as the raw body with its own Content-Type.

    JPEG, PNG, WebP and BMP are read. Coordinates are pixels of the upright image (its EXIF orientation
    applied), from its top-left corner. With `Accept: image/png` or `image/jpeg` the picture comes back with
    the hands drawn on it.
    """
    check_once(request)
    media_type = negotiate(",".join(request.headers.getlist("accept")), OFFERED)
    if media_type is None:
        raise Problem(406, f"The answer can be {', '.join(OFFERED)}.")
    query = allowed_hands(query, service)
    pipeline = service.warm_pipeline()
    settings = service.settings
    with service.uploads.hold() as take:
        limits = UploadLimits(settings.max_bytes, settings.max_bytes, settings.receive_seconds, take)
        data = await read_image(request, limits)
        started = time.perf_counter()
        draw_as = media_type if media_type != JSON else None
        job = partial(analyse, data, service.limits, pipeline, query, draw_as)
        try:
            done = await unless_gone(request, service.workers.run(job))
        except QueueFullError:
            raise queue_full(service) from None
    found = done.result
    elapsed_ms = (time.perf_counter() - started) * 1e3
    timing_ms = timings(found, done.queued_ms, elapsed_ms)
    headers = {"Server-Timing": ", ".join(f"{step};dur={ms:.2f}" for step, ms in timing_ms.items())}
    headers["Vary"] = "Accept"
    began = time.perf_counter()
    body = found.drawn if found.drawn is not None else orjson.dumps(answer(found, timing_ms, pipeline))
    encode_ms = found.timing_ms["draw"] + (time.perf_counter() - began) * 1e3
    service.observe(len(found.hands), started, timing_ms | {"encode": encode_ms})
    if found.drawn is None:
        return Response(body, media_type=media_type, headers=headers)
    held = ExitStack()
    try:
        held.enter_context(service.drawn.hold())(len(body))
    except NoRoomError:
        held.close()
        detail = "Too many drawn pictures are being read already."
        raise Problem(503, detail, headers={"Retry-After": "1"}) from None
    return LargeAnswer(body, media_type, headers, held, settings.receive_seconds)


def allowed_hands(query: PoseQuery, service: Service) -> PoseQuery:
    """The query under the service's limit on hands. Raises Problem 422 where more were asked for."""
    try:
        return query.within(service.settings.max_hands)
    except ValueError as error:
        raise Problem(422, str(error), errors=[{"name": "max_hands", "detail": str(error)}]) from None


def timings(found: Analysis, queued_ms: float, elapsed_ms: float) -> dict[str, float]:
    """The steps of an answer. elapsed_ms: from the body's last byte on, with the time for drawing."""
    steps = found.timing_ms
    return {
        "decode": steps["decode"],
        "queue": queued_ms,
        "detect": steps["detect"],
        "pose": steps["pose"],
        "total": elapsed_ms - steps["draw"],
    }


def answer(found: Analysis, timing_ms: Mapping[str, float], pipeline: Pipeline) -> dict[str, Any]:
    """A `PoseAnswer`."""
    names: dict[str, str] = {model.task: f"{model.name} {model.version}" for model in pipeline.models}
    return pose_answer(found.width, found.height, found.hands, names, timing_ms)


def queue_full(service: Service) -> Problem:
    """The refusal of what there is no room for; it is counted."""
    service.metrics.reject(QUEUE_FULL)
    return Problem(503, "Too many pictures are waiting already.", headers={"Retry-After": "1"})
