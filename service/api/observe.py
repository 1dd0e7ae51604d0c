"""Every request and stream from outside: its id, its count, its line in the log, its trace."""

import logging
import re
import time
import uuid
from contextlib import nullcontext

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.metrics import REASONS, Metrics
from service.logs import REQUEST_ID
from service.tracing import Tracing

HEADER = "X-Request-ID"
# What can be written into a header, a log and a search field as it is.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}")
_STARTS = {"http.response.start", "websocket.accept", "websocket.http.response.start"}
_SWITCHING_PROTOCOLS = 101
log = logging.getLogger("service.access")


class Observe:
    """ASGI middleware, the outermost. Requests are counted by their route's pattern, never by their path: anyone can
    make up paths, and each would be kept for ever.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, *, access_log: bool, tracing: Tracing | None = None
    ) -> None:
        """access_log: write a line for each. tracing: None while it is off."""
        self._app = app
        self._metrics = metrics
        self._access_log = access_log
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        http = scope["type"] == "http"
        status = 500 if http else 0  # of an error that leaves the app: the layer above answers with this
        headers = Headers(scope=scope)
        request_id = request_id_of(headers)
        token = REQUEST_ID.set(request_id)

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] in _STARTS:
                status = message.get("status", _SWITCHING_PROTOCOLS)
                message.setdefault("headers", [])
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        span = self._tracing.request(scope, headers) if self._tracing and http else nullcontext()
        if http:
            self._metrics.in_flight.inc()
        try:
            with span:
                try:
                    await self._app(scope, receive, watch)
                finally:
                    if self._tracing and http:
                        self._tracing.answered(route_of(scope), status)
        finally:
            seconds = time.perf_counter() - started
            if http:
                self._metrics.in_flight.dec()
                self._metrics.requests.labels(route_of(scope), str(status)).inc()
                self._metrics.seconds.labels(route_of(scope)).observe(seconds)
            if status in REASONS:
                self._metrics.reject(REASONS[status])
            if self._access_log:
                self._write(scope, status, seconds)
            REQUEST_ID.reset(token)

    def _write(self, scope: Scope, status: int, seconds: float) -> None:
        client = scope.get("client")
        fields = {
            "method": scope.get("method", "WEBSOCKET"),
            "route": route_of(scope),
            "path": scope["path"][:200],  # without its query
            "status": status,
            "duration_ms": round(seconds * 1e3, 2),
            "client": client[0] if client else "",
        }
        log.info("request", extra={"fields": fields})


def request_id_of(headers: Headers) -> str:
    """The id that a client or proxy gave, if it is safe to pass on; else a new one."""
    given = headers.get(HEADER, "")
    return given if _ID.fullmatch(given) else uuid.uuid4().hex


def route_of(scope: Scope) -> str:
    """The pattern of the route that answers, `unknown` for none."""
    return str(getattr(scope.get("route"), "path", "unknown"))
