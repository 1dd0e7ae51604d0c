"""A WebSocket without a socket: an ASGI connection whose client is the test."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
from fastapi import FastAPI


class Socket:
    """One WebSocket connection. `reading` cleared: the client takes nothing, as when its buffers are full."""

    def __init__(
        self,
        app: FastAPI,
        query: str = "",
        headers: dict[str, str] | None = None,
        subprotocols: list[str] | None = None,
        path: str = "/v1/stream",
    ) -> None:
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.reading = asyncio.Event()
        self.reading.set()
        self.accepted: dict[str, Any] | None = None  # the message, once `event` has passed it
        fields = {"host": "hands.example"} | (headers or {})
        scope = {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "ws",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
            "subprotocols": subprotocols or [],
            "state": {},
            "extensions": {"websocket.http.response": {}},
        }
        self._to_app.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(app(scope, self._to_app.get, self._take))  # type: ignore[arg-type]

    async def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send":
            await self.reading.wait()
        self._from_app.put_nowait(message)

    def send(self, data: bytes | str | dict[str, Any]) -> None:
        """A frame, a text message, or an object as JSON."""
        if isinstance(data, bytes):
            self._to_app.put_nowait({"type": "websocket.receive", "bytes": data})
        else:
            text = data if isinstance(data, str) else orjson.dumps(data).decode()
            self._to_app.put_nowait({"type": "websocket.receive", "text": text})

    def leave(self) -> None:
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": 1001})

    async def event(self, seconds: float = 5) -> dict[str, Any]:
        """The next thing the service does, the acceptance left out."""
        async with asyncio.timeout(seconds):
            while (message := await self._from_app.get())["type"] == "websocket.accept":
                self.accepted = message
            return message

    async def read(self) -> dict[str, Any]:
        """The next message."""
        message = await self.event()
        assert message["type"] == "websocket.send", message
        return orjson.loads(message["text"])

    async def refused(self) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Status, headers and problem of the answer in place of a stream."""
        start = await self.event()
        assert start["type"] == "websocket.http.response.start", start
        body = await self.event()
        await asyncio.wait_for(self.task, 5)
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return start["status"], headers, orjson.loads(body["body"])

    async def closed(self) -> tuple[int, str]:
        """Code and reason of the close that comes next."""
        message = await self.event()
        assert message["type"] == "websocket.close", message
        await asyncio.wait_for(self.task, 5)
        return message["code"], message.get("reason", "")

    @property
    def unread(self) -> int:
        return self._from_app.qsize()


@contextlib.asynccontextmanager
async def connected(
    app: FastAPI, query: str = "", *, subprotocols: Sequence[str] = (), **headers: str
) -> AsyncIterator[Socket]:
    """A connection that its client leaves in the end."""
    socket = Socket(app, query, headers, list(subprotocols))
    try:
        yield socket
    finally:
        socket.leave()
        await asyncio.wait_for(socket.task, 5)
