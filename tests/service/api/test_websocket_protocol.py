"""WebSockets and their limits, on real sockets: uvicorn with a small application."""

import asyncio
import base64
import contextlib
import gc
import logging
import socket
import struct
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.protocol import Protocol, State
from websockets.sync.client import connect

from service.api.websocket_protocol import WebSocketProtocol
from tests.service.api.small_server import PATIENCE, connected, read_all, read_until, serve, until

LARGE = 2**22


async def _echo(websocket: WebSocket) -> None:
    await websocket.accept()
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await websocket.send_text(await websocket.receive_text())


async def _slow(websocket: WebSocket) -> None:
    await asyncio.sleep(0.3)
    await _echo(websocket)


async def _flood(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("a" * LARGE)
    await websocket.receive()


async def _refuse(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close(1008, "no key")


async def _deny(websocket: WebSocket) -> None:
    await websocket.send_denial_response(PlainTextResponse("denied", 401))


APP = Starlette(
    routes=[
        WebSocketRoute("/", _echo),
        WebSocketRoute("/slow", _slow),
        WebSocketRoute("/flood", _flood),
        WebSocketRoute("/refuse", _refuse),
        WebSocketRoute("/deny", _deny),
    ]
)


@pytest.fixture
def start() -> Iterator[Callable[..., Any]]:
    """Starts servers: `start(limit=2)` returns what counts their connections, and their port."""
    with contextlib.ExitStack() as stack:
        yield lambda **limits: stack.enter_context(serve(APP, **limits))


@pytest.fixture
def parsers(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[Protocol]]:
    """What collects the messages of each WebSocket, for as long as anything holds it."""
    found: list[weakref.ref[Protocol]] = []
    plain = WebSocketProtocol.connection_made

    def connection_made(self: WebSocketProtocol, transport: Any) -> None:
        found.append(weakref.ref(self.conn))
        plain(self, transport)

    monkeypatch.setattr(WebSocketProtocol, "connection_made", connection_made)
    return found


def handshake(path: str = "/", headers: bytes = b"", body: bytes = b"") -> bytes:
    key = base64.b64encode(bytes(16))
    return (
        b"GET " + path.encode() + b" HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n" + headers + b"\r\n" + body
    )


def begun(size: int) -> bytes:
    """A binary message of which the last byte is missing."""
    return b"\x82\xff" + struct.pack("!Q", size) + bytes(4) + bytes(size - 1)


def test_a_websocket_keeps_its_one_place_until_it_ends(start: Callable[..., Any]) -> None:
    connections, port = start(limit=1)
    with connect(f"ws://127.0.0.1:{port}/") as stream:
        stream.send("a")
        assert stream.recv(PATIENCE) == "a"
        assert len(connections) == 1
        with pytest.raises(InvalidStatus, match="503"), connect(f"ws://127.0.0.1:{port}/"):
            pytest.fail("there was no place")
    until(lambda: len(connections) == 0)


HANDSHAKES = {
    "a long header": (handshake(headers=b"X-Long: " + b"a" * 8186 + b"\r\n"), b"8 KiB"),
    "many headers": (handshake(headers=b"".join(b"X-%d: a\r\n" % n for n in range(130))), b"128 fields"),
    "a body": (handshake(headers=b"Content-Length: 5\r\n", body=b"12345"), b"without a body"),
    "chunks": (handshake(headers=b"Transfer-Encoding: chunked\r\n", body=b"0\r\n\r\n"), b"without a body"),
    "another version": (handshake().replace(b"Version: 13", b"Version: 8"), b"Sec-WebSocket-Version"),
    "no version": (handshake().replace(b"Version: 13", b"V: 13"), b"Sec-WebSocket-Version"),
    "a bad key": (handshake().replace(b"Key: ", b"Key: ="), b"Sec-WebSocket-Key"),
    "a POST": (handshake().replace(b"GET", b"POST"), b"POST"),
}


@pytest.mark.parametrize("kind", HANDSHAKES)
def test_a_handshake_that_is_not_understood_hears_so(start: Callable[..., Any], kind: str) -> None:
    refused: list[str] = []
    connections, port = start(limit=1, on_refusal=refused.append)
    with connected(port) as connection:
        sent, words = HANDSHAKES[kind]
        connection.sendall(sent)
        answer = read_all(connection)
        status = {"a POST": b"405", "many headers": b"431"}.get(kind, b"400")
        assert answer.startswith(b"HTTP/1.1 %s " % status)
        assert (b"Allow: GET" in answer) == (kind == "a POST")
        assert b"application/problem+json" in answer
        assert words in answer
        until(lambda: len(connections) == 0)
    assert refused == ["too_large" if kind == "many headers" else "malformed"]


def test_a_stream_that_is_denied_is_no_error_of_ours(
    start: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    connections, port = start(limit=1)
    log = logging.getLogger("uvicorn.error")
    log.setLevel(logging.WARNING)
    log.addHandler(caplog.handler)
    with pytest.raises(InvalidStatus, match="401"), connect(f"ws://127.0.0.1:{port}/deny"):
        pytest.fail("it was let in")
    until(lambda: len(connections) == 0)
    log.removeHandler(caplog.handler)
    assert caplog.messages == []


def test_the_server_stops_while_who_has_closed_does_not_read(parsers: list[weakref.ref[Protocol]]) -> None:
    with contextlib.ExitStack() as kept, serve(APP, limit=1) as (_, port):
        connection = kept.enter_context(connected(port))
        connection.sendall(handshake("/flood"))
        read_until(connection, b"\r\n\r\n")
        connection.sendall(b"\x88\x80" + bytes(4))
        until(lambda: (parser := parsers[0]()) is not None and parser.state is State.CLOSING)


def test_after_the_close_no_message_is_collected(
    start: Callable[..., Any], parsers: list[weakref.ref[Protocol]]
) -> None:
    connections, port = start(limit=1)
    with connected(port) as connection:
        connection.sendall(handshake("/refuse"))
        assert read_until(connection, b"no key").startswith(b"HTTP/1.1 101 ")
        connection.sendall(begun(LARGE))
        assert read_all(connection) == b"", "it need not wait for the end of the connection"
        parser = parsers[0]()
        assert parser is None or not parser.reader.buffer
    until(lambda: len(connections) == 0)


def test_a_close_is_answered_with_a_close(start: Callable[..., Any]) -> None:
    connections, port = start(limit=1)
    with connect(f"ws://127.0.0.1:{port}/refuse") as stream:
        started = time.monotonic()
        with contextlib.suppress(ConnectionClosed):
            stream.send(b"x" * 1000)
        stream.close()
        assert stream.close_code == 1008
        assert time.monotonic() < started + 1
    until(lambda: len(connections) == 0)


@pytest.mark.parametrize(
    "sent", [begun(LARGE), begun(LARGE) + b"\0", begun(LARGE) + b"\0\xff"], ids=["part", "whole", "bad"]
)
def test_nothing_is_left_of_a_connection_that_is_closed(
    start: Callable[..., Any], parsers: list[weakref.ref[Protocol]], sent: bytes
) -> None:
    """Not even until the garbage collector comes."""
    connections, port = start(limit=1)
    gc.disable()
    try:
        with connected(port) as connection:
            connection.sendall(handshake())
            read_until(connection, b"\r\n\r\n")
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            read_all(connection)
        until(lambda: len(connections) == 0)
        until(lambda: parsers[0]() is None)
    finally:
        gc.enable()


def test_frames_wait_until_the_application_has_taken_the_stream(start: Callable[..., Any]) -> None:
    """What is wrong with them can be said then."""
    _, port = start(limit=1)
    with connected(port) as connection:
        connection.sendall(handshake("/slow"))
        time.sleep(0.1)
        connection.sendall(b"\x81\x01a")  # not masked
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert struct.pack("!H", 1002) in answer


@pytest.mark.parametrize(
    ("behind", "code"),
    [(b"\x89\x80" + bytes(4), 1007), (b"\x88\x82" + bytes(4) + b"\x03\xe8", 1000)],
    ids=["a ping", "a close"],
)
def test_what_comes_together_with_a_message_that_ends_the_stream_is_no_error_of_ours(
    start: Callable[..., Any], caplog: pytest.LogCaptureFixture, behind: bytes, code: int
) -> None:
    connections, port = start(limit=1)
    with connected(port) as connection:
        connection.sendall(handshake())
        read_until(connection, b"\r\n\r\n")
        connection.sendall(b"\x81\x81" + bytes(4) + b"\xff" + behind)  # text that is no UTF-8
        assert struct.pack("!H", code) in read_all(connection)
    until(lambda: len(connections) == 0)
    assert caplog.messages == []


def test_a_message_over_the_limit_is_refused_by_its_head(start: Callable[..., Any]) -> None:
    _, port = start(limit=1, ws_max_size=1000)
    with connected(port) as connection:
        connection.sendall(handshake())
        read_until(connection, b"\r\n\r\n")
        connection.sendall(begun(1001)[:14])
        assert struct.pack("!H", 1009) in read_all(connection)
