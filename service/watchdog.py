"""Notices when the service only looks alive: a job that never ends, a dead thread, a loop that does not turn, models
that always fail.
"""

import asyncio
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable

from service.inference.workers import Workers

log = logging.getLogger("service")

EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h
_MOST_FAILURES = 5  # inferences in a row; what no memory was left for fails less often
_LOOKS_A_LIMIT = 8
_MAX_INTERVAL = 1.0  # seconds


class Watchdog:
    """A thread that looks at the workers, the models and the event loop, whatever these do."""

    def __init__(
        self,
        workers: Workers,
        limit: float,
        *,
        failures: Callable[[], int] = lambda: 0,
        exit_when_stuck: bool = False,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        """limit: seconds that a job, or a turn of the loop, may take. failures: how many inferences have failed
        in a row. exit_when_stuck: end the process then, so that its supervisor starts it anew; `end` does it.
        """
        self._workers = workers
        self._limit = limit
        self._failures = failures
        self._exit_when_stuck = exit_when_stuck
        self._end = end
        self._interval = min(_MAX_INTERVAL, limit / _LOOKS_A_LIMIT)
        self._beat = time.monotonic()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread: int | None = None

    def start(self) -> None:
        """Begin to look; call it in the loop that is to be watched."""
        self._loop, self._loop_thread = asyncio.get_running_loop(), threading.get_ident()
        self._turned()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def problem(self) -> str | None:
        """What is wrong with the threads or the models, None when nothing is; whoever can ask on the loop knows that
        that turns.
        """
        found = self._look_at_work()
        return found[0] if found else None

    def _look(self) -> tuple[str, int | None] | None:
        """What is wrong, and the identity of the thread that is stuck where one is."""
        silent = time.monotonic() - self._beat
        if silent > self._limit:
            return f"The event loop has been blocked for {silent:.0f} seconds.", self._loop_thread
        return self._look_at_work()

    def _look_at_work(self) -> tuple[str, int | None] | None:
        condition = self._workers.condition()
        if condition.dead:
            return f"{condition.dead} of {self._workers.threads} threads have died.", None
        if condition.oldest_seconds > self._limit:
            what = "run" if condition.thread is not None else "waited"
            return f"A job has {what} for {condition.oldest_seconds:.0f} seconds.", condition.thread
        if (failures := self._failures()) >= _MOST_FAILURES:
            return f"The models have failed {failures} times in a row.", None
        return None

    def _watch(self) -> None:
        assert self._loop is not None
        known = False
        while not self._stop.wait(self._interval):
            try:
                self._loop.call_soon_threadsafe(self._turned)
            except RuntimeError:  # it is closed: there is nothing left to watch
                return
            found = self._look()
            if found and not known:
                log.error("stuck: %s", found[0], extra={"stack": _stack(found[1])})
            elif found and self._exit_when_stuck:
                # At the second look: a process that was asleep itself finds everything late at the first.
                log.critical("stuck: %s The process ends with %d.", found[0], EXIT_CODE)
                logging.shutdown()
                self._end(EXIT_CODE)
                return
            elif known and not found:
                log.warning("no longer stuck")
            known = found is not None

    def _turned(self) -> None:
        self._beat = time.monotonic()


def _stack(thread: int | None) -> str:
    """Where a thread is now, empty when there is none."""
    frame = sys._current_frames().get(thread) if thread is not None else None
    return "".join(traceback.format_stack(frame)).rstrip() if frame is not None else ""
