"""uvicorn with a life cycle: what it says when it listens, what each signal does, how it ends.

SIGTERM and SIGINT: `/readyz` says no, a drain time passes, nothing new is accepted, streams end with 1001, requests end
by themselves within the grace period. A second one ends the process at once. SIGHUP reloads the models; it stops the
server where it comes because the terminal was closed.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType

import uvicorn
from uvicorn.server import HANDLED_SIGNALS

from service.api.state import Service
from service.engines.base import EngineError
from service.models.checkpoint import CheckpointError
from service.reload import ReloadRunningError

log = logging.getLogger("service")

_Handler = Callable[[int, FrameType | None], None]

_STOP_SIGNALS = [signal.Signals(told) for told in HANDLED_SIGNALS]
_RELOAD_SIGNAL: signal.Signals | None = getattr(signal, "SIGHUP", None)  # not on Windows


@contextmanager
def _handling(handlers: Mapping[signal.Signals, _Handler]) -> Iterator[bool]:
    """Signals are handled so, and at the end as before. Tells whether: only the main thread may."""
    if threading.current_thread() is not threading.main_thread():
        yield False
        return
    before = {told: signal.signal(told, handler) for told, handler in handlers.items()}
    try:
        yield True
    finally:
        for told, handler in before.items():
            signal.signal(told, handler)


@contextmanager
def stoppable() -> Iterator[None]:
    """While the server does not listen to signals itself, SIGTERM and SIGINT end the process with 0. To the first
    process of a container the system would not even pass them on without a handler. SIGHUP, which would end it, waits
    for the server.
    """
    with _handling(dict.fromkeys(_STOP_SIGNALS, lambda *_: sys.exit(0))) as ours:
        if ours and _RELOAD_SIGNAL is not None:
            signal.pthread_sigmask(signal.SIG_BLOCK, {_RELOAD_SIGNAL})
        yield


class Server(uvicorn.Server):
    """Serves one application with its `Service`."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._stop_at: float | None = None
        self._draining = False
        self._on_terminal = os.isatty(0)
        self._reload_asked = False
        self._reload: asyncio.Task[None] | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ours instead of uvicorn's, which raises each signal anew at the end: told to stop, we end with 0."""
        handlers: dict[signal.Signals, _Handler] = dict.fromkeys(_STOP_SIGNALS, self.handle_exit)
        if _RELOAD_SIGNAL is not None:
            handlers[_RELOAD_SIGNAL] = self._handle_hangup
        with _handling(handlers) as ours:
            if ours and _RELOAD_SIGNAL is not None:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {_RELOAD_SIGNAL})  # one that waits comes now
            yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; the second time at once."""
        if self._stop_at is not None:
            os.write(2, b"stopped by a second signal\n")  # the log's lock may be held where the signal came
            os._exit(128 + sig)
        self._service.draining = True
        self._stop_at = time.monotonic() + self._service.settings.drain_seconds

    def _handle_hangup(self, sig: int, frame: FrameType | None) -> None:
        """Reload; stop where the terminal is gone, or nobody would know of the process that has the port."""
        if self._on_terminal and not os.isatty(0):
            self.handle_exit(sig, frame)
        else:
            self._reload_asked = True

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: do what signals asked for."""
        if self._stop_at is not None:
            self._drain(self._stop_at)
        # One that comes while a reload runs is for files that may have changed since: it waits for its turn.
        if self._reload_asked and not self._reloading():
            self._reload_asked = False
            self._reload = asyncio.create_task(self._try_to_reload())
        return await super().on_tick(counter)

    def _drain(self, stop_at: float) -> None:
        """Say so at first, and stop when it is time."""
        if not self._draining and (seconds := self._service.settings.drain_seconds):
            log.info("stopping in %g seconds: still serving, but no longer ready", seconds)
        self._draining = True
        if time.monotonic() >= stop_at:
            self.should_exit = True

    def _reloading(self) -> bool:
        """Whether a reload runs, on a signal or over HTTP."""
        return self._service.reloader.running or (self._reload is not None and not self._reload.done())

    async def _try_to_reload(self) -> None:
        try:
            await self._service.reload()
        except ReloadRunningError:  # over HTTP, begun this very moment
            self._reload_asked = True
        except (CheckpointError, EngineError):
            return  # it is in the log, and the old models stay in use
        except Exception:
            log.exception("reload failed, the old models stay in use")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, listen, and say so in one line."""
        await super().startup(sockets)
        if self.started and sockets:
            self._announce(sockets[0])

    def _announce(self, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        found = self._service.pipeline.models if self._service.pipeline else ()
        models = ", ".join(f"{m.task} {m.name} {m.version} ({m.runs_on})" for m in found)
        shown = f"[{host}]" if ":" in host else host
        threads = self._service.workers.threads
        log.info("listening on http://%s:%d with %d threads: %s", shown, port, threads, models)
        if len({m.reason for m in found}) == 1:
            log.info(found[0].reason)
        else:
            for m in found:
                log.info("%s: %s", m.task, m.reason)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nothing new, end the streams before uvicorn cuts their connections, wait for the rest."""
        log.info("stopping: up to %d seconds for running requests", self._service.settings.grace_seconds)
        for server in self.servers:
            server.close()
        if self._reload is not None:
            self._reload.cancel()
            with suppress(asyncio.CancelledError):
                await self._reload
        await self._service.streams.close()
        await super().shutdown(sockets)
        log.info("stopped")
