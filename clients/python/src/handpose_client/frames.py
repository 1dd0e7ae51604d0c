"""Where the frames of a stream come from: one interface over ordinary and asynchronous iterables."""

import asyncio
import os
import threading
from collections.abc import AsyncIterable, Iterable
from queue import SimpleQueue
from typing import Generic, Protocol, TypeAlias, TypeVar

from handpose_client.images import ImageInput, to_bytes

F = TypeVar("F", bound=ImageInput)
F_co = TypeVar("F_co", covariant=True)


class Frames(Protocol[F_co]):
    """A source of frames."""

    async def next(self) -> tuple[F_co, bytes] | None:
        """The next frame as it was given and as an image file; None at the end. Raises what the source
        raises, and what `to_bytes` does.
        """
        ...

    def close(self) -> None:
        """No more frames are wanted."""
        ...


def frames_of(frames: AsyncIterable[F] | Iterable[F]) -> Frames[F]:
    """The source for an iterable. Raises TypeError for a path or bytes: those are one picture."""
    if isinstance(frames, str | bytes | bytearray | memoryview | os.PathLike):
        raise TypeError(
            "a stream takes an iterable of pictures, not one; for a video file: handpose_client.video.VideoFile"
        )
    if isinstance(frames, AsyncIterable):
        return _AsyncFrames(frames)
    return _ThreadFrames(frames)


class _AsyncFrames(Generic[F]):
    """Encodes in a thread, so that the event loop stays free."""

    def __init__(self, frames: AsyncIterable[F]) -> None:
        self._frames = aiter(frames)

    async def next(self) -> tuple[F, bytes] | None:
        try:
            frame = await anext(self._frames)
        except StopAsyncIteration:
            return None
        return frame, frame if isinstance(frame, bytes) else await asyncio.to_thread(to_bytes, frame)

    def close(self) -> None:
        pass


_Wanted: TypeAlias = "asyncio.Future[tuple[F, bytes] | None]"


class _ThreadFrames(Generic[F]):
    """Iterates and encodes in a thread of its own.

    A daemon, not one of an executor: a source may block for as long as it likes (a camera that gives nothing)
    and must keep neither the stream from closing nor the program from ending.
    """

    def __init__(self, frames: Iterable[F]) -> None:
        self._frames = iter(frames)
        self._requests: SimpleQueue[_Wanted[F] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="handpose-frames", daemon=True)

    async def next(self) -> tuple[F, bytes] | None:
        if self._thread.ident is None:
            self._thread.start()
        wanted: _Wanted[F] = asyncio.get_running_loop().create_future()
        self._requests.put(wanted)
        return await wanted

    def close(self) -> None:
        self._requests.put(None)

    def _serve(self) -> None:
        while (wanted := self._requests.get()) is not None:
            result: tuple[F, bytes] | None = None
            failure: BaseException | None = None
            try:
                frame = next(self._frames)
                result = frame, to_bytes(frame)
            except StopIteration:
                pass  # the end: None
            except BaseException as error:  # noqa: BLE001 - raised again where the frame is awaited
                failure = error
            try:
                wanted.get_loop().call_soon_threadsafe(_settle, wanted, result, failure)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return


def _settle(wanted: "_Wanted[F]", result: tuple[F, bytes] | None, failure: BaseException | None) -> None:
    if wanted.done():  # cancelled: the stream was left
        return
    if failure is None:
        wanted.set_result(result)
    else:
        wanted.set_exception(failure)
