"""`/v1/stream`, for asyncio: one task sends frames while the generator receives what became of them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from handpose_client.errors import (
    ConnectionFailedError,
    HandPoseError,
    TimedOutError,
    TooManyRequestsError,
    UnavailableError,
    problem,
    problem_from_answer,
)
from handpose_client.flight import Flight
from handpose_client.frames import Frames, frames_of
from handpose_client.images import ImageInput
from handpose_client.outages import Outage
from handpose_client.protocol import Endpoint, Options, reason
from handpose_client.results import FrameResult

F = TypeVar("F", bound=ImageInput)

_CLOSE_TIMEOUT = 1.0  # seconds for the closing handshake
_MAX_ANSWER = 4 * 2**20  # bytes of one message of the service
# Closed for what we sent (RFC 6455, section 7.4.1): the same again would be closed again.
_FINAL_CODES = frozenset({1002, 1003, 1007, 1008, 1010})
_TOO_BIG = 1009
# What may be over soon.
_PASSING = (ConnectionFailedError, TimedOutError, UnavailableError, TooManyRequestsError)


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How to stream. Raises ValueError for what cannot be."""

    endpoint: Endpoint
    options: Options
    max_in_flight: int
    reconnect: float

    def __post_init__(self) -> None:
        if self.max_in_flight < 1:
            raise ValueError(f"max_in_flight must be at least 1, not {self.max_in_flight}")
        if not self.reconnect >= 0:
            raise ValueError(f"reconnect must be at least 0 seconds, not {self.reconnect}")


def stream(
    settings: StreamSettings, frames: AsyncIterable[F] | Iterable[F]
) -> AsyncGenerator[FrameResult[F], None]:
    """What became of each frame. Raises TypeError at once when `frames` is a single picture."""
    return _Stream(settings, frames_of(frames)).results()


class _Stream(Generic[F]):
    """One stream, over as many connections as it takes."""

    def __init__(self, settings: StreamSettings, frames: Frames[F]) -> None:
        self._settings = settings
        self._frames = frames
        self._flight: Flight[F] = Flight(settings.max_in_flight)
        self._connection: ClientConnection | None = None
        self._receiving: asyncio.Task[str | bytes] | None = None
        self._changed = asyncio.Event()  # there may be room, or a connection
        self._outage = Outage(0.0)  # what does not even begin is not tried again

    async def results(self) -> AsyncGenerator[FrameResult[F], None]:
        """Sends and receives until the frames end and every one under way is answered."""
        sending: asyncio.Task[None] | None = None
        try:
            self._connection = await self._connect()
            sending = asyncio.create_task(self._send())
            while not (sending.done() and self._flight.empty):
                try:
                    message = await self._receive(sending)
                    result = message and self._flight.receive(message, time.monotonic())
                except _PASSING as failure:
                    await self._reconnect(failure, sending)
                    continue
                if result:
                    self._outage = Outage(self._settings.reconnect)  # over with an answer
                    self._changed.set()
                    yield result
            sending.result()  # raises what the source of frames raised
        finally:
            self._frames.close()
            await _cancel(sending)
            await self._disconnect()

    async def _send(self) -> None:
        """Until the frames end. Asks for a frame only when there is room for one."""
        while True:
            await self._until_room()
            frame = await self._frames.next()
            if frame is None:
                return
            connection = await self._until_room()
            picture, data = frame
            self._flight.add(picture, time.monotonic())
            with contextlib.suppress(ConnectionClosed):  # `_receive` sees it, and the frame counts as dropped
                await connection.send(data)

    async def _until_room(self) -> ClientConnection:
        """Wait until a frame may be sent; returns where to."""
        while self._connection is None or not self._flight.room:
            self._changed.clear()
            await self._changed.wait()
        return self._connection

    async def _receive(self, sending: "asyncio.Task[None]") -> str | bytes | None:
        """The next message; None when there may be nothing more to wait for.

        Raises ConnectionFailedError when the connection ends, TooLargeError when it does because of a frame's
        size, TimedOutError when the oldest frame under way waits for too long.
        """
        assert self._connection is not None
        timeout = self._settings.endpoint.timeout
        if self._receiving is None:
            self._receiving = asyncio.create_task(self._connection.recv())
        waiting_for: set[asyncio.Task[Any]] = {self._receiving}
        if not sending.done():
            waiting_for.add(sending)
        left = None if timeout is None else max(0.0, timeout - self._flight.age(time.monotonic()))
        await asyncio.wait(waiting_for, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if not self._receiving.done():
            if timeout is not None and self._flight.age(time.monotonic()) >= timeout:
                raise TimedOutError(
                    f"{self._settings.endpoint.url} did not answer a frame within {timeout:g} s"
                )
            return None
        receiving, self._receiving = self._receiving, None
        try:
            return receiving.result()
        except ConnectionClosed as error:
            raise self._closed(error) from error

    async def _reconnect(self, failure: HandPoseError, sending: "asyncio.Task[None]") -> None:
        """Connect again, or raise why not. Returns without a connection when that is allowed and there is
        nothing left to send.
        """
        await self._disconnect()
        self._flight.lost()
        if isinstance(failure, ConnectionFailedError) and failure.code in _FINAL_CODES:
            raise failure
        while self._connection is None:
            pause = self._outage.pause(failure)
            if sending.done():
                return
            await asyncio.sleep(pause)
            try:
                self._connection = await self._connect()
            except _PASSING as error:
                failure = error
        self._changed.set()

    async def _connect(self) -> ClientConnection:
        """Raises ConnectionFailedError, TimedOutError, or ProblemError when the service refuses."""
        endpoint = self._settings.endpoint
        url = endpoint.stream_url(self._settings.options)
        tls: dict[str, Any] = {}
        if endpoint.ssl_context is not None and url.startswith("wss"):
            tls["ssl"] = endpoint.ssl_context
        try:
            return await _Connect(
                url,
                additional_headers=endpoint.headers,
                user_agent_header=None,
                compression=None,  # JPEG does not deflate
                open_timeout=endpoint.timeout,
                close_timeout=_CLOSE_TIMEOUT,
                max_size=_MAX_ANSWER,
                **tls,
            )
        except InvalidStatus as error:
            answer = error.response
            raise problem_from_answer(
                answer.status_code, answer.headers, bytes(answer.body or b"")
            ) from error
        except InvalidHandshake as error:
            raise ConnectionFailedError(f"{endpoint.url} speaks no WebSocket: {error}") from error
        except TimeoutError as error:
            raise TimedOutError(f"{endpoint.url} did not open a stream in time") from error
        except OSError as error:
            raise ConnectionFailedError(f"cannot connect to {endpoint.url}: {reason(error)}") from error

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        receiving, self._receiving = self._receiving, None
        await _cancel(receiving)
        if connection is not None:
            closing = asyncio.create_task(connection.close())
            done, _ = await asyncio.wait({closing}, timeout=_CLOSE_TIMEOUT)
            if not done:  # the other side does not even read
                connection.transport.abort()
            await closing

    def _closed(self, error: ConnectionClosed) -> HandPoseError:
        url = self._settings.endpoint.url
        if error.rcvd is None:
            return ConnectionFailedError(f"the connection to {url} was cut")
        if error.rcvd.code == _TOO_BIG:
            return problem(413, detail=error.rcvd.reason)
        why = f"{error.rcvd.code} {error.rcvd.reason}".strip()
        return ConnectionFailedError(f"{url} closed the stream: {why}", code=error.rcvd.code)


class _Connect(connect):
    """Follows no redirect: it would take the key to wherever an answer points."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


async def _cancel(task: "asyncio.Task[Any] | None") -> None:
    """Stop a task and wait until it has; what it raises no longer matters."""
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
