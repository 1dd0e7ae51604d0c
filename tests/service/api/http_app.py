"""The small application that HTTP is tried with."""

import asyncio
import threading
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class App(Starlette):
    """Says what it is told. paths: of the requests it was asked. left: how many clients went away while they waited."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.left = 0
        self.gate = threading.Event()
        routes = [
            Route("/", self._hello),
            Route("/echo", self._echo, methods=["POST"]),
            Route("/refuse", self._refuse, methods=["POST"]),
            Route("/wait", self._wait, methods=["GET", "POST"]),
            Route("/half", _Half),
            Route("/fields", self._fields, methods=["POST"]),
            Route("/n/{number}", self._number),
        ]
        super().__init__(routes=routes)

    async def _hello(self, _: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    async def _echo(self, request: Request) -> PlainTextResponse:
        self.paths.append(request.url.path)
        return PlainTextResponse(b"<" + await request.body() + b">")

    async def _refuse(self, _: Request) -> PlainTextResponse:
        return PlainTextResponse("refused", 403)

    async def _wait(self, request: Request) -> PlainTextResponse:
        """Until the gate is open or the client has left."""
        departure = asyncio.create_task(_departure(request))
        while not self.gate.is_set() and not departure.done():  # noqa: ASYNC110 - another thread opens it
            await asyncio.sleep(0.005)
        self.left += departure.done()
        departure.cancel()
        return PlainTextResponse("waited")

    async def _fields(self, request: Request) -> PlainTextResponse:
        names = sorted(name for name in request.headers if name != "x-forwarded-for")
        believed = ",".join(request.headers.getlist("x-forwarded-for"))
        return PlainTextResponse(f"{' '.join(names)} x-forwarded-for={believed}.")

    async def _number(self, request: Request) -> PlainTextResponse:
        self.paths.append(request.url.path)
        return PlainTextResponse(f"number {request.path_params['number']}.")


class _Half:
    """Half an answer."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self._send = send

    def __await__(self) -> Any:
        return self._answer().__await__()

    async def _answer(self) -> None:
        await self._send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"8")]}
        )
        await self._send({"type": "http.response.body", "body": b"half", "more_body": True})


async def _departure(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
