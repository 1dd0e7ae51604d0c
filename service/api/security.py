"""What stands around every route: headers that keep a browser from doing with our answers what they are not for,
which foreign pages may read them (CORS), and whose word on the client's address is taken.
"""

import logging
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from service.api.addresses import parse_proxies
from service.api.origins import parse_origins
from service.api.problems import Problem, respond
from service.settings import Settings

# The page loads its own files and nothing else; photos are shown from memory (blob:).
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # for browsers older than frame-ancestors
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), display-capture=()",
    "Cross-Origin-Resource-Policy": "same-origin",  # what CORS allows is not concerned
    "Cache-Control": "no-store",  # answers are about somebody's photo; the page's files say otherwise
}
_PREFLIGHT_SECONDS = 600
log = logging.getLogger("service")


def protect(app: FastAPI, settings: Settings) -> None:
    """Add the middleware; the last added is the outermost."""
    if settings.allowed_origins:
        app.add_middleware(
            _Cors,
            allow_origins=sorted(parse_origins(settings.allowed_origins)),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID", "traceparent", "tracestate"],
            expose_headers=["Retry-After", "Server-Timing", "X-Request-ID"],
            allow_credentials=False,  # keys come in a header that the page sets itself: no cookies, no passwords
            max_age=_PREFLIGHT_SECONDS,
        )
    app.add_middleware(SecurityHeaders)
    app.add_middleware(
        _ProxyHeaders, trusted_hosts=[str(one) for one in parse_proxies(settings.trusted_proxies)]
    )


class _ProxyHeaders(ProxyHeadersMiddleware):
    """Says once when a proxy is not believed: all of its clients then count as one."""

    _told = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if not self._told and scope["type"] != "lifespan" and "x-forwarded-for" in Headers(scope=scope):
            peer = scope["client"][0] if scope.get("client") else ""
            if peer not in self.trusted_hosts:
                self._told = True
                told = "X-Forwarded-For from %s is ignored; if it is your proxy, add it to HANDPOSE_TRUSTED_PROXIES"
                log.warning(told, peer)
        await super().__call__(scope, receive, send)


class _Cors(CORSMiddleware):
    """Its one error is a problem document, too."""

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        origin = request_headers["origin"][:100]
        detail = f"Pages of {origin} may not send this request."
        return respond(Problem(403, detail, headers={"Vary": "Origin"}))


class SecurityHeaders:
    """ASGI middleware: adds `HEADERS` to every answer that does not set them itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, add)
