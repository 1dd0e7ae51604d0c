"""An asynchronous generator as an ordinary one, so that streaming is written once.

The event loop runs in a thread of its own: frames go out while the caller looks at a result, and it works
where the calling thread has a loop already (a notebook).
"""

import asyncio
import atexit
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


def iterate(make: Callable[[], AsyncGenerator[T, None]]) -> Generator[T, None, None]:
    """What the asynchronous generator yields and raises. make: called in the loop's thread, at the first
    `next`.
    """
    with _LoopThread() as loop:
        results = loop.run(_call(make))
        try:
            while True:
                try:
                    result = loop.run(_next(results))
                except StopAsyncIteration:
                    return
                yield result
        finally:
            if loop.running:  # otherwise the interpreter ends, and the loop took the generator with it
                loop.run(results.aclose())


async def _call(make: Callable[[], T]) -> T:
    return make()


async def _next(results: AsyncGenerator[T, None]) -> T:
    return await anext(results)


class _LoopThread:
    """An event loop in a thread, within a `with` block or until the interpreter ends."""

    def __init__(self) -> None:
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="handpose-stream", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._one_at_a_time: asyncio.Lock

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        atexit.register(self._stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        atexit.unregister(self._stop)
        self._stop()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it in the loop and wait. Interrupted (Ctrl-C), it is cancelled; the next one waits until it
        is.
        """
        future = asyncio.run_coroutine_threadsafe(self._in_turn(coroutine), self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def _in_turn(self, coroutine: Coroutine[Any, Any, T]) -> T:
        async with self._one_at_a_time:
            return await coroutine

    def _serve(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._one_at_a_time = asyncio.Lock()
            self._started.set()
            self._loop.run_forever()

    def _stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
