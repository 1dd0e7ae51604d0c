"""`WS /v1/stream`: frames in, hands out, the newest frame first and no other.

Each connection holds one frame that waits. A newer one takes its place, so that answers are about now and
memory does not grow, whatever the client does: one that sends faster than frames can be analysed loses frames,
one that does not read its answers gets no more frames analysed.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import orjson
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from service.api import stream_messages as messages
from service.api.access import SUBPROTOCOL
from service.api.images import decode
from service.api.metrics import REASONS, STREAM, TOO_MANY_STREAMS
from service.api.parameters import explain
from service.api.places import NoPlaceError
from service.api.problems import Problem, check_once, respond
from service.api.state import CurrentPipeline, Service
from service.api.stream_messages import StreamQuery
from service.api.streams import TooManyStreamsError
from service.inference.tracking import Tracker, TrackingOptions

router = APIRouter()
log = logging.getLogger("service")

_MAX_TEXT = 4096  # characters of a text message
_CLOSE_SECONDS = 1.0

# RFC 6455, section 7.4.1, and the IANA registry beside it.
NORMAL, GOING_AWAY, POLICY, TOO_BIG, INTERNAL, TRY_LATER = 1000, 1001, 1008, 1009, 1011, 1013


@dataclass(frozen=True, slots=True)
class _Frame:
    """A binary message. index: counted from 0. arrived: seconds of `time.perf_counter`. moment: when it was taken, in
    seconds of its own clock. options: in force then.
    """

    index: int
    data: bytes
    arrived: float
    moment: float
    options: TrackingOptions


@dataclass(frozen=True, slots=True)
class _Analysis:
    """What a worker thread made of a frame; the message is ready to be sent."""

    index: int
    message: str
    hands: int
    arrived: float
    timing_ms: dict[str, float]
    detector_ran: bool


class _EndError(Exception):
    """The stream ends with this close code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@router.websocket("/v1/stream")
async def stream(websocket: WebSocket) -> None:
    """Each binary message is one encoded image; each answer is one text message (`stream_messages`)."""
    service: Service = websocket.app.state.service
    try:
        caller = service.access.admit(websocket, "inference", cost=1)
    except Problem as problem:
        await _turn_away(websocket, service, problem)
        return
    await _accept(websocket)
    try:
        query = _query(websocket, service.settings.max_hands)
        with _place(service, caller):
            service.warm_pipeline()
            await _Connection(websocket, service, query).run()
    except Problem as problem:
        await _refuse(websocket, problem)
    except WebSocketDisconnect:
        return


@router.get("/v1/stream", include_in_schema=False)
async def no_handshake() -> None:
    """What comes as plain HTTP, mostly through a proxy that has dropped the wish for a WebSocket."""
    detail = "This is a WebSocket, and no handshake was sent. A proxy in front must pass on Upgrade and Connection."
    raise Problem(426, detail, headers={"Upgrade": "websocket", "Connection": "Upgrade"})


async def _accept(websocket: WebSocket) -> None:
    """The key that may come as a second subprotocol is never said back."""
    offered = websocket.scope.get("subprotocols", ())
    await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)


async def _turn_away(websocket: WebSocket, service: Service, problem: Problem) -> None:
    """Browsers tell pages nothing of an answer that refuses a stream. So our own pages get their stream and the
    reason in it; programs, and pages of foreign origins, get the answer.
    """
    if "origin" in websocket.headers and service.access.welcomes(websocket):
        if problem.status in REASONS:  # of an answer over HTTP `Observe` sees it
            service.metrics.reject(REASONS[problem.status])
        await _accept(websocket)
        await _refuse(websocket, problem)
    else:
        await websocket.send_denial_response(respond(problem))


async def _refuse(websocket: WebSocket, problem: Problem) -> None:
    code = TRY_LATER if problem.status in (429, 503) else POLICY
    with suppress(WebSocketDisconnect):
        await websocket.send_text(messages.error(None, problem.status, problem.detail))
        await websocket.close(code, _reason(problem.detail))


@contextmanager
def _place(service: Service, caller: str) -> Iterator[None]:
    """Hold a place among the caller's streams and among all. Raises Problem where there is none."""
    try:
        with service.access.streams.hold(caller), service.streams.admit():
            yield
    except NoPlaceError:
        service.metrics.reject(TOO_MANY_STREAMS)
        most = service.settings.max_streams_per_client
        raise Problem(429, f"{caller} has {most} streams open already.") from None
    except TooManyStreamsError as error:
        service.metrics.reject(TOO_MANY_STREAMS)
        raise Problem(503, f"The service is busy: {error}.") from None


class _Connection:
    """One open stream: a task that takes messages in, and a task that works on the newest frame."""

    def __init__(self, websocket: WebSocket, service: Service, query: StreamQuery) -> None:
        self._websocket = websocket
        self._service = service
        self._query = query
        self._tracker = Tracker(
            CurrentPipeline(service), query.options(), detect_every=service.settings.detect_every
        )
        self._trace = service.tracing.parent(websocket.headers) if service.tracing else None
        self._frames = self._dropped = self._told = 0  # frames that came, that gave way, that got a message
        self._arrived = self._moment = time.perf_counter()  # of the frame that came last
        self._waiting: _Frame | None = None
        self._current: int | None = None
        self._exchange = threading.Lock()  # frames are put by the event loop and picked by a worker thread
        self._arrival = asyncio.Event()

    async def run(self) -> None:
        """Until one side ends it."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._receive())
                tasks.create_task(self._answer())
                tasks.create_task(self._stop_with_the_service())
        except* WebSocketDisconnect:
            pass  # the client ended it
        except* _EndError as ends:
            end = ends.exceptions[0]
            assert isinstance(end, _EndError)
            await self._close(end)
        finally:
            self._service.streams.abandoned(self._frames - self._dropped - self._told)

    async def _receive(self) -> None:
        idle = self._service.settings.stream_idle_seconds
        while True:
            try:
                async with asyncio.timeout(idle):
                    message = await self._websocket.receive()
            except TimeoutError:
                raise _EndError(NORMAL, f"No message for {idle:g} seconds.") from None
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message["code"])
            text = message.get("text")
            if text is None:
                self._take(message["bytes"])
            else:
                await self._configure(text)

    def _take(self, data: bytes) -> None:
        limit = self._service.settings.stream_max_bytes
        if len(data) > limit:
            raise _EndError(TOO_BIG, f"A message may have at most {limit} bytes; this one has {len(data)}.")
        self._service.streams.received()
        arrived, rate = time.perf_counter(), self._query.frame_rate
        self._moment += arrived - self._arrived if rate is None else 1 / rate
        self._arrived = arrived
        with self._exchange:
            if self._waiting is not None:
                self._dropped += 1
                self._service.streams.dropped()
            self._waiting = _Frame(self._frames, data, arrived, self._moment, self._query.options())
        self._frames += 1
        self._arrival.set()

    async def _configure(self, text: str) -> None:
        try:
            most = self._service.settings.max_hands
            self._query = _configure(self._query, text).within(most)
        except ValueError as error:
            await self._send(messages.error(None, 422, str(error)))
        else:
            await self._send(messages.configured(self._query))

    async def _answer(self) -> None:
        while True:
            await self._arrival.wait()
            message, end = await self._take_turn()
            self._told += 1
            await self._send(message)
            if end is not None:
                raise end

    async def _take_turn(self) -> tuple[str, _EndError | None]:
        """Work on the frame that is the newest when this stream's turn comes.

        Returns the message for it, and how the stream ends when it cannot go on.
        """
        service = self._service
        async with service.streams.turns:
            try:
                # Streams have as many turns as there are threads, so these jobs need no other bound; behind what
                # requests have put into the queue each comes in its turn.
                found = (await service.workers.run(self._analyse, reserved=True)).result
            except Problem as problem:
                service.streams.failed()
                return messages.error(self._current, problem.status, problem.detail), None
            except Exception:
                log.exception("frame %s of a stream failed", self._current)
                service.streams.failed()
                service.metrics.faults.labels(STREAM).inc()
                detail = "The service failed on this frame; its log says why."
                return messages.error(self._current, 500, detail), _EndError(INTERNAL, detail)
            finally:
                if self._waiting is None:
                    self._arrival.clear()
            service.streams.answered(found.hands, found.timing_ms, found.detector_ran)
            if service.tracing is not None:
                service.tracing.frame(self._trace, found.index, found.arrived, found.timing_ms)
            return found.message, None

    def _pick(self) -> tuple[_Frame, int]:
        """The newest frame, and how many were dropped so far."""
        with self._exchange:
            frame, self._waiting = self._waiting, None
            assert frame is not None
            self._current = frame.index
            return frame, self._dropped

    def _analyse(self) -> _Analysis:
        """Decode the frame that is the newest now, follow the hands, write the answer; runs in a worker thread."""
        frame, dropped = self._pick()
        started = time.perf_counter()
        picture = decode(frame.data, self._service.limits)
        decoded = time.perf_counter()
        self._tracker.options = frame.options
        found = self._tracker.update(picture.image, frame.moment)
        hands = [replace(tracked, hand=picture.whole(tracked.hand)) for tracked in found.hands]
        timing_ms = {
            "decode": (decoded - started) * 1e3,
            "queue": (started - frame.arrived) * 1e3,
            "detect": found.detect_ms,
            "pose": found.pose_ms,
            "total": (time.perf_counter() - frame.arrived) * 1e3,
        }
        ran = found.detector_ran
        written = time.perf_counter()
        message = messages.result(frame.index, dropped, ran, picture.width, picture.height, hands, timing_ms)
        timing_ms = timing_ms | {"encode": (time.perf_counter() - written) * 1e3}
        return _Analysis(frame.index, message, len(hands), frame.arrived, timing_ms, ran)

    async def _send(self, message: str) -> None:
        """Waits while the client does not read, so that nothing piles up."""
        patience = self._service.settings.stream_idle_seconds
        try:
            async with asyncio.timeout(patience):
                await self._websocket.send_text(message)
        except TimeoutError:
            raise _EndError(POLICY, f"Answers were not read for {patience:g} seconds.") from None
        except RuntimeError as error:  # the server has closed it meanwhile: a broken message, no pong
            raise WebSocketDisconnect(1006) from error

    async def _stop_with_the_service(self) -> None:
        await self._service.streams.closing.wait()
        raise _EndError(GOING_AWAY, "The service is stopping.")

    async def _close(self, end: _EndError) -> None:
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):  # a client that reads nothing will not read this
                await self._websocket.close(end.code, _reason(end.reason))
        except (TimeoutError, RuntimeError, WebSocketDisconnect):
            return  # it is closed already, or will be when this returns


def _query(websocket: WebSocket, max_hands: int) -> StreamQuery:
    """The options in the address. Raises Problem 422 that says what is wrong with them."""
    check_once(websocket)
    try:
        return StreamQuery.model_validate(dict(websocket.query_params)).within(max_hands)
    except ValidationError as error:
        raise Problem(422, _explain(error)) from None
    except ValueError as error:
        raise Problem(422, str(error)) from None


def _configure(query: StreamQuery, text: str) -> StreamQuery:
    """The options after a `configure` message. Raises ValueError that says what is wrong with it."""
    if len(text) > _MAX_TEXT:
        raise ValueError(f"A text message may have {_MAX_TEXT} characters; images are binary messages.")
    try:
        message: Any = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"A text message is a JSON object; this is not JSON: {error}.") from None
    if not isinstance(message, dict) or message.pop("type", None) != "configure":
        raise ValueError('The only text message there is looks like {"type": "configure", "max_hands": 2}.')
    try:
        return StreamQuery.model_validate(query.model_dump() | message, strict=True)
    except ValidationError as error:
        raise ValueError(_explain(error)) from None


def _explain(error: ValidationError) -> str:
    return " ".join(explain(item, StreamQuery)["detail"] for item in error.errors())


def _reason(text: str) -> str:
    """What fits into a close frame: 123 bytes of UTF-8."""
    return text.encode()[:123].decode("utf-8", "ignore")
