"""`POST /v1/pose/batch`: several photos in, the hands of each out.

Every picture is a job of its own, so that a batch uses all threads and a bad picture fails alone. A batch is let in
as a whole or not at all: it is refused while the queue is full, and while batches with as many pictures as can run and
wait are under way. Then it has one picture for each thread in the queue, never more.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response

from service.api import problems
from service.api.access import require
from service.api.analysis import Analysis, analyse
from service.api.departures import unless_gone
from service.api.metrics import BATCH
from service.api.places import NoRoomError
from service.api.pose import JSON, PROBLEMS, allowed_hands, answer, queue_full, timings
from service.api.problems import Problem, check_once
from service.api.schemas import BatchAnswer, PoseQuery
from service.api.state import Service, ServiceDependency
from service.api.uploads import BATCH_FIELD, Part, UploadLimits, read_images
from service.inference.pipeline import Pipeline
from service.inference.workers import Done

router = APIRouter(tags=["pose"])
log = logging.getLogger("service")

_REQUEST_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [BATCH_FIELD],
                "properties": {
                    BATCH_FIELD: {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string", "format": "binary"},
                    }
                },
            }
        }
    },
}
_EXAMPLE = {
    "results": [
        {
            "index": 0,
            "name": "desk.jpg",
            "image": {"width": 640, "height": 480},
            "hands": [],
            "models": {"detector": "default-detector 1", "pose": "default-pose 1"},
            "timing_ms": {"decode": 1.1, "queue": 0.0, "detect": 5.2, "pose": 0.0, "total": 6.3},
        },
        {
            "index": 1,
            "name": "notes.txt",
            "error": {
                "type": "about:blank",
                "title": "Unsupported Media Type",
                "status": 415,
                "detail": "JPEG, PNG, WebP and BMP are read; this is text.",
            },
        },
    ]
}


@dataclass(frozen=True, slots=True)
class _Batch:
    """What the pictures of a batch have in common. started: seconds of `time.perf_counter`."""

    service: Service
    pipeline: Pipeline
    query: PoseQuery
    started: float
    turns: asyncio.Semaphore

    async def answer(self, parts: Sequence[Part]) -> list[dict[str, Any]]:
        """The results, in order."""
        async with asyncio.TaskGroup() as tasks:
            made = [tasks.create_task(self._item(index, part)) for index, part in enumerate(parts)]
        return [task.result() for task in made]

    async def _item(self, index: int, part: Part) -> dict[str, Any]:
        head = {"index": index, "name": part.name}
        try:
            done, waited_ms = await self._look(part)
        except Problem as problem:
            error = problems.document(problem.status, problem.detail, problem.errors)
        except Exception:
            log.exception("picture %d of a batch failed", index)
            self.service.metrics.faults.labels(BATCH).inc()
            error = problems.document(500, "The service failed on this picture; its log says why.")
        else:
            elapsed_ms = (time.perf_counter() - self.started) * 1e3
            timing_ms = timings(done.result, waited_ms, elapsed_ms)
            self.service.observe(len(done.result.hands), self.started, timing_ms)
            return head | answer(done.result, timing_ms, self.pipeline)
        return head | {"error": error}

    async def _look(self, part: Part) -> tuple[Done[Analysis], float]:
        """Also the milliseconds that it waited. Raises Problem."""
        most = self.service.settings.max_bytes
        if part.oversized:
            raise Problem(413, f"The picture is larger than {most / 2**20:g} MiB ({most} bytes).")
        data, part.data = bytes(part.data), bytearray()
        job = partial(analyse, data, self.service.limits, self.pipeline, self.query)
        async with self.turns:
            waited_ms = (time.perf_counter() - self.started) * 1e3
            done = await self.service.workers.run(job, reserved=True)  # the turns are its bound
            return done, waited_ms + done.queued_ms


@router.post(
    "/v1/pose/batch",
    summary="Find the hands in several pictures",
    response_class=Response,
    responses={
        200: {
            "description": "One result for each picture, in order: its hands, or why there are none.",
            "model": BatchAnswer,
            "content": {JSON: {"example": _EXAMPLE}},
        },
        **problems.responses(PROBLEMS),
    },
    openapi_extra={"requestBody": _REQUEST_BODY},
)
async def batch(
    request: Request,
    query: Annotated[PoseQuery, Query()],
    service: ServiceDependency,
    caller: Annotated[str, require("inference", cost=1)],
) -> Response:
    """Send each picture as a multipart field `images`; the parameters are for all of them.

    A picture that cannot be used has an `error` in place of its hands, and the others are answered. Each counts for
    the rate, and when there is no room for all of them none is taken. The service works on as many at once as it has
    threads, so that a batch delays nobody for long.
    """
    check_once(request)
    query = allowed_hands(query, service)
    pipeline = service.warm_pipeline()
    settings = service.settings
    most = min(settings.max_batch_images, service.batched.limit)
    with service.uploads.hold() as take, service.batched.hold() as take_places:
        limits = UploadLimits(
            settings.max_batch_bytes,
            settings.max_bytes,
            settings.receive_seconds,
            take,
            images=most,
        )
        parts = await read_images(request, limits)
        service.access.charge(caller, len(parts) - 1, paid=1)  # at the door
        try:
            take_places(len(parts))
        except NoRoomError:
            raise queue_full(service) from None
        if service.workers.full:
            raise queue_full(service)
        service.metrics.batch_pictures.observe(len(parts))
        # No more at once than there are threads: what is alone uses them all, and what comes meanwhile need not
        # wait for a whole batch.
        turns = asyncio.Semaphore(service.workers.threads)
        made = _Batch(service, pipeline, query, time.perf_counter(), turns)
        results = await unless_gone(request, made.answer(parts))
    return Response(orjson.dumps({"results": results}), media_type=JSON)
