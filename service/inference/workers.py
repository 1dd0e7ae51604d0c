"""Own threads for decoding and inference, with a bounded queue in front of them.

Both release the interpreter's lock while they work, so a thread a core is right; both take milliseconds to
tens of milliseconds, so neither may run on the event loop, where every other request would wait for it.

The queue takes in a burst and is no place to stay: under a load that lasts, every job that waits longer makes
all later ones wait as long, and serves none more. So only `standing` jobs may always wait; the room above
them is a credit that bursts use up and that comes back while a thread has nothing to do.
"""

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import cv2

T = TypeVar("T")

_CREDIT_SECONDS = 1.0  # with a thread to spare until a whole burst may come again


class QueueFullError(Exception):
    """As many jobs wait as may wait."""


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """A job's result, and for how many milliseconds it waited until a thread was free."""

    result: T
    queued_ms: float


@dataclass(frozen=True, slots=True)
class Condition:
    """How the threads do. oldest_seconds: how long ago the oldest unfinished job was begun or, if it still waits,
    handed in. thread: the identity of the one that runs it, None while it waits. dead: threads that ended by
    themselves.
    """

    oldest_seconds: float = 0.0
    thread: int | None = None
    dead: int = 0


class _Job(Generic[T]):
    """What to run, until it has begun or nobody wants it any more, and since when."""

    __slots__ = ("since", "thread", "work")

    def __init__(self, work: Callable[[], T]) -> None:
        self.work: Callable[[], T] | None = work
        self.since = time.perf_counter()
        self.thread: int | None = None

    def __call__(self) -> Done[T]:
        work, self.work = self.work, None
        assert work is not None
        started = time.perf_counter()
        queued_ms = (started - self.since) * 1e3
        self.thread, self.since = threading.get_ident(), started
        return Done(work(), queued_ms)


class Workers:
    """A fixed number of threads. At most `queue_size` jobs wait beside those that run, for longer than a burst at
    most `standing`.
    """

    def __init__(self, threads: int, queue_size: int, standing: int | None = None) -> None:
        """standing: by default one job for each thread. Raises ValueError unless threads is at least 1 and the sizes
        at least 0.
        """
        standing = threads if standing is None else standing
        if threads < 1 or queue_size < 0 or standing < 0:
            raise ValueError(
                f"threads must be at least 1, queue_size and standing at least 0: {threads}, {queue_size}, {standing}"
            )
        cv2.setNumThreads(1)  # or OpenCV starts a thread for every core of the host inside each of ours
        self.threads = threads
        self.queue_size = queue_size
        self.standing = min(standing, queue_size)
        self.abandoned = 0  # jobs whose caller left before they had begun
        self._burst = float(queue_size - self.standing)
        self._credit = self._burst
        # When a thread ran out of work; None while all work.
        self._calm_since: float | None = time.perf_counter()
        self._started: list[threading.Thread] = []
        self._executor = ThreadPoolExecutor(
            threads,
            thread_name_prefix="hands",
            initializer=lambda: self._started.append(threading.current_thread()),
        )
        self._closed = False
        self._lock = threading.Lock()
        self._pending: set[_Job[Any]] = set()  # handed in and not finished: running and waiting

    @property
    def running(self) -> int:
        """How many jobs run now."""
        return min(len(self._pending), self.threads)

    @property
    def waiting(self) -> int:
        """How many jobs wait for a thread now."""
        return max(0, len(self._pending) - self.threads)

    @property
    def full(self) -> bool:
        """Whether the next job would be refused."""
        ahead = len(self._pending) - self.threads
        return ahead >= self.standing and (ahead >= self.queue_size or self._credit_now() < 1)

    async def run(self, work: Callable[[], T], *, reserved: bool = False) -> Done[T]:
        """Run a job in a thread and wait for it; it sees the caller's context variables.

        reserved: never refuse it; for callers who bound the number of their jobs themselves.
        Raises QueueFullError at once when the queue is full, and whatever the job raises. A cancelled
        caller takes its job out of the queue if it has not started; one that runs goes on to its end and
        keeps its place until then.
        """
        job = _Job(work)
        with self._lock:
            if not reserved and self.full:
                raise QueueFullError(f"{self.waiting} jobs wait already")
            self._admit(job)
        try:
            future = self._executor.submit(contextvars.copy_context().run, job)
        except BaseException:
            self._release(job)
            raise
        future.add_done_callback(lambda future: self._done(job, future))
        return await asyncio.wrap_future(future)

    async def in_every_thread(self, work: Callable[[], object]) -> None:
        """Run a job once in each thread, all at a time, and wait for them; for what a thread sets up lazily.

        Raises what one of them raises.
        """
        together = threading.Barrier(self.threads)  # so that none takes two

        def once() -> None:
            together.wait()
            work()

        await asyncio.gather(*(self.run(once, reserved=True) for _ in range(self.threads)))

    def condition(self) -> Condition:
        """How the threads do now."""
        with self._lock:
            dead = 0 if self._closed else sum(not thread.is_alive() for thread in self._started)
            if not self._pending:
                return Condition(dead=dead)
            oldest = min(self._pending, key=lambda job: job.since)
            return Condition(time.perf_counter() - oldest.since, oldest.thread, dead)

    def close(self, seconds: float | None = None) -> bool:
        """Drop what waits, wait for what runs, end the threads. seconds: wait no longer than that.

        Returns whether all threads have ended.
        """
        self._closed = True
        self._executor.shutdown(wait=False, cancel_futures=True)
        until = None if seconds is None else time.monotonic() + seconds
        for thread in self._started:
            thread.join(None if until is None else max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._started)

    def _credit_now(self) -> float:
        if self._calm_since is None:
            return self._credit
        calm = time.perf_counter() - self._calm_since
        return min(self._burst, self._credit + calm / _CREDIT_SECONDS * self._burst)

    def _admit(self, job: _Job[Any]) -> None:
        if len(self._pending) + 1 >= self.threads:
            self._credit, self._calm_since = self._credit_now(), None
        if len(self._pending) - self.threads >= self.standing:
            self._credit = max(0.0, self._credit - 1)
        self._pending.add(job)

    def _release(self, job: _Job[Any]) -> None:
        with self._lock:
            self._pending.discard(job)
            if self._calm_since is None and len(self._pending) < self.threads:
                self._calm_since = time.perf_counter()

    def _done(self, job: _Job[Any], future: Future[Any]) -> None:
        self._release(job)
        if future.cancelled():
            self.abandoned += 1
            job.work = None  # and the picture with it: the executor forgets the job only when its turn comes
