"""`AsyncHandPose`: the service, called from asyncio."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from types import TracebackType
from typing import Self, TypeVar

import httpx

from handpose_client.batches import BATCH_SIZE, batches, halves
from handpose_client.errors import ProblemError, TooLargeError, UnavailableError
from handpose_client.images import ImageInput, to_bytes
from handpose_client.outages import Outage
from handpose_client.protocol import (
    BUSY,
    DEFAULT_RETRY,
    DEFAULT_TIMEOUT,
    DEFAULT_URL,
    Call,
    DrawingFormat,
    Endpoint,
    Options,
    Wait,
    batch_call,
    draw_call,
    models_call,
    pose_call,
    ready_call,
)
from handpose_client.results import FrameResult, Models, PhotoResult, PoseResult
from handpose_client.streaming import StreamSettings, stream

T = TypeVar("T")
F = TypeVar("F", bound=ImageInput)


class AsyncHandPose:
    """As `HandPose`, for asyncio: takes, answers and raises the same.

    One object serves any number of tasks of one event loop. Files are read and arrays encoded in threads,
    never on the loop.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        retry: float = DEFAULT_RETRY,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """As `HandPose`."""
        self._endpoint = Endpoint(url, api_key=api_key, timeout=timeout, retry=retry, ssl_context=ssl_context)
        self._http = httpx.AsyncClient(**self._endpoint.http_options)

    async def pose(
        self,
        image: ImageInput,
        *,
        max_hands: int | None = None,
        min_score: float | None = None,
        mirrored: bool | None = None,
    ) -> PoseResult:
        """As `HandPose.pose`."""
        data = await asyncio.to_thread(to_bytes, image)
        return await self._run(pose_call(data, Options(max_hands, min_score, mirrored)))

    def pose_many(
        self,
        images: Iterable[F],
        *,
        max_hands: int | None = None,
        min_score: float | None = None,
        mirrored: bool | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> AsyncGenerator[PhotoResult[F], None]:
        """As `HandPose.pose_many`; the iterable is iterated in a thread."""
        options = Options(max_hands, min_score, mirrored)
        groups = batches(images, batch_size)

        async def results() -> AsyncGenerator[PhotoResult[F], None]:
            while (group := await asyncio.to_thread(next, groups, None)) is not None:
                for result in group.results(await self._ask_batch(group.data, options)):
                    yield result

        return results()

    async def draw(
        self,
        image: ImageInput,
        *,
        format: DrawingFormat = "png",
        max_hands: int | None = None,
        min_score: float | None = None,
        mirrored: bool | None = None,
    ) -> bytes:
        """As `HandPose.draw`."""
        data = await asyncio.to_thread(to_bytes, image)
        return await self._run(draw_call(data, format, Options(max_hands, min_score, mirrored)))

    async def models(self) -> Models:
        """As `HandPose.models`."""
        return await self._run(models_call())

    async def ready(self) -> bool:
        """As `HandPose.ready`."""
        try:
            await self._send(ready_call(), self._endpoint)
        except UnavailableError:
            return False
        return True

    async def wait_until_ready(self, timeout: float = 60.0) -> None:  # noqa: ASYNC109 - as the twin has it
        """As `HandPose.wait_until_ready`."""
        wait = Wait(self._endpoint, timeout)
        while True:
            with wait.attempt() as endpoint:
                await self._send(ready_call(), endpoint)
            if wait.ready:
                return
            await asyncio.sleep(wait.pause())

    def stream(
        self,
        frames: AsyncIterable[F] | Iterable[F],
        *,
        max_hands: int | None = None,
        min_score: float | None = None,
        mirrored: bool | None = None,
        smoothing: bool | None = None,
        frame_rate: float | None = None,
        max_in_flight: int = 2,
        reconnect: float = 0.0,
    ) -> AsyncGenerator[FrameResult[F], None]:
        """As `HandPose.stream`; an ordinary iterable of frames is iterated in a thread.

        Leave a loop early inside `async with contextlib.aclosing(client.stream(…)) as results`: Python closes
        an abandoned asynchronous generator only later.
        """
        settings = StreamSettings(
            self._endpoint,
            Options(max_hands, min_score, mirrored, smoothing, frame_rate),
            max_in_flight=max_in_flight,
            reconnect=reconnect,
        )
        return stream(settings, frames)

    async def aclose(self) -> None:
        """Close the connections. The object cannot be used any more."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"AsyncHandPose({self._endpoint!r})"

    async def _ask_batch(self, data: list[bytes], options: Options) -> list[PoseResult | ProblemError]:
        try:
            return await self._run(batch_call(data, options))
        except TooLargeError as error:
            if len(data) == 1:
                return [error]
        first, second = halves(data)
        return await self._ask_batch(first, options) + await self._ask_batch(second, options)

    async def _run(self, call: Call[T]) -> T:
        outage = Outage(self._endpoint.retry)
        while True:
            try:
                return await self._send(call, self._endpoint)
            except ProblemError as error:
                if error.status not in BUSY:
                    raise
                pause = outage.pause(error)
            await asyncio.sleep(pause)

    async def _send(self, call: Call[T], endpoint: Endpoint) -> T:
        with endpoint.failures():
            response = await self._http.request(**call.request(), timeout=endpoint.steps)
        return call.read(response)
