"""Limits on connections, on real sockets: uvicorn with a small application."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from service.api.addresses import parse_proxies
from service.api.connections import Connections, protocols
from service.api.problems import Problem

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
PATIENCE = 20


async def _hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def _echo(websocket: WebSocket) -> None:
    await websocket.accept()
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await websocket.send_text(await websocket.receive_text())


@pytest.fixture
def start() -> Iterator[Callable[..., tuple[Connections, int]]]:
    """Starts servers: `start(limit=2)` returns what counts their connections, and their port."""
    running = []

    def run(**limits: Any) -> tuple[Connections, int]:
        connections = Connections(**limits)
        http, websocket = protocols(connections)
        app = Starlette(routes=[Route("/", _hello), WebSocketRoute("/", _echo)])
        config = uvicorn.Config(
            app, http=http, ws=websocket, log_level="critical", lifespan="off", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        listener = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        running.append((server, thread, listener))
        return connections, listener.getsockname()[1]

    yield run
    for server, thread, listener in running:
        server.should_exit = True
        thread.join(PATIENCE)
        listener.close()
        assert not thread.is_alive()


@contextlib.contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        yield connection


def ask(connection: socket.socket) -> bytes:
    connection.sendall(REQUEST)
    return connection.recv(10_000)


def read_all(connection: socket.socket) -> bytes:
    """Until the other side ends it."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(10_000):
            data += chunk
    return data


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_one_too_many_is_told_and_closed(start: Callable[..., Any]) -> None:
    connections, port = start(limit=2)
    with connected(port) as first, connected(port) as second:
        assert b"hello" in ask(first)
        assert b"hello" in ask(second)
        with connected(port) as third:
            third.sendall(REQUEST)
            answer = read_all(third)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"application/problem+json" in answer
        assert b"Retry-After: 1" in answer
        assert answer.endswith(b"}")
        assert b"hello" in ask(first), "the others go on"
    until(lambda: len(connections) == 0)
    with connected(port) as fourth:
        assert b"hello" in ask(fourth)


def test_each_refusal_is_counted_by_its_reason(start: Callable[..., Any]) -> None:
    refused: list[str] = []
    connections, port = start(limit=1, head_seconds=0.2, on_refusal=refused.append)
    with connected(port) as first:
        assert b"hello" in ask(first)
        with connected(port) as second:
            second.sendall(REQUEST)
            read_all(second)
    for sent in (b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 100_000, b"GET /", b"no request\r\n\r\n"):
        until(lambda: len(connections) == 0)
        with connected(port) as other:
            other.sendall(sent)
            read_all(other)
    assert refused == ["too_many_connections", "too_large", "too_slow", "malformed"]


def test_what_is_no_request_hears_so(start: Callable[..., Any]) -> None:
    _, port = start(limit=1)
    with connected(port) as connection:
        connection.sendall(b"no request\r\n\r\n")
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer
    assert answer.endswith(b"}")


def test_one_address_does_not_get_all(start: Callable[..., Any]) -> None:
    connections, port = start(limit=10, per_address=1)
    with connected(port) as first:
        assert b"hello" in ask(first)
        with connected(port) as second:
            assert read_all(second).startswith(b"HTTP/1.1 429 ")
    until(lambda: len(connections) == 0)
    with connected(port) as third:
        assert b"hello" in ask(third)


def test_proxies_stand_for_many(start: Callable[..., Any]) -> None:
    _, port = start(limit=10, per_address=1, exempt=parse_proxies("127.0.0.0/8"))
    with connected(port) as first, connected(port) as second:
        assert b"hello" in ask(first)
        assert b"hello" in ask(second)


def test_a_websocket_keeps_its_one_place_until_it_ends(start: Callable[..., Any]) -> None:
    connections, port = start(limit=1)
    with connect(f"ws://127.0.0.1:{port}/") as stream:
        stream.send("a")
        assert stream.recv(PATIENCE) == "a"
        assert len(connections) == 1
        with pytest.raises(InvalidStatus, match="503"), connect(f"ws://127.0.0.1:{port}/"):
            pytest.fail("there was no place")
    until(lambda: len(connections) == 0)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\n", REQUEST + b"GET / HTTP/1.1\r\nX-Slow: "])
def test_a_head_that_does_not_come_is_not_waited_for(start: Callable[..., Any], sent: bytes) -> None:
    connections, port = start(limit=10, head_seconds=0.2)
    with connected(port) as slow:
        slow.sendall(sent)
        answer = read_all(slow)
    assert b"HTTP/1.1 408 " in answer
    assert answer.count(b"hello") == (1 if REQUEST in sent else 0)
    until(lambda: len(connections) == 0)


def test_a_head_that_drips_wins_no_time(start: Callable[..., Any]) -> None:
    _, port = start(limit=10, head_seconds=0.5)
    with connected(port) as slow:
        started = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            slow.sendall(b"GET / HTTP/1.1\r\n")
            while time.monotonic() < started + PATIENCE:
                slow.sendall(b"X-Drip: 1\r\n")
                time.sleep(0.01)
        assert time.monotonic() < started + PATIENCE


HEADS = {
    "one header": (b"GET / HTTP/1.1\r\nX-Long: ", b"x" * 1000),
    "many headers": (b"GET / HTTP/1.1\r\n", b"X-Many: x\r\n" * 100),
    "the address": (b"GET /", b"x" * 1000),
    "fields behind the body": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
        b"X-Many: x\r\n" * 100,
    ),
    "a chunk's extension": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;x=",
        b"x" * 1000,
    ),
}


@pytest.mark.parametrize("kind", HEADS)
def test_what_never_ends_is_ended(start: Callable[..., Any], kind: str) -> None:
    connections, port = start(limit=10)
    beginning, more = HEADS[kind]
    deadline = time.monotonic() + PATIENCE
    with connected(port) as endless:
        endless.sendall(beginning)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() < deadline:
                endless.sendall(more)
    assert time.monotonic() < deadline
    until(lambda: len(connections) == 0)


def test_a_head_that_is_too_long_is_told(start: Callable[..., Any]) -> None:
    _, port = start(limit=10)
    with connected(port) as long:
        long.sendall(b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 1_000_000)
        assert read_all(long).startswith(b"HTTP/1.1 431 ")
    with connected(port) as fine:
        fine.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 30_000 + b"\r\n\r\n")
        assert b"hello" in fine.recv(10_000)


def test_who_is_turned_away_may_stay_for_a_moment_unless_there_are_too_many() -> None:
    connections = Connections(limit=1)
    transports = [Transport(("192.0.2.1", port)) for port in range(101)]
    assert [connections.turn_away(t) for t in transports].count(True) == 100  # type: ignore[arg-type]
    connections.release(transports[0])  # type: ignore[arg-type]
    assert connections.turn_away(transports[-1])  # type: ignore[arg-type]
    assert len(connections) == 0


class Transport:
    """As much of one as is looked at."""

    def __init__(self, peer: Any) -> None:
        self._peer = peer

    def get_extra_info(self, name: str) -> Any:
        return {"peername": self._peer}[name]


def test_places_are_counted_once_and_given_back_once() -> None:
    connections = Connections(limit=3, per_address=2)
    first, second, third = (Transport(("192.0.2.1", port)) for port in (1, 2, 3))
    local = Transport("")  # a Unix socket has no address
    for transport in (first, first, second):
        connections.admit(transport)  # type: ignore[arg-type]
    assert len(connections) == 2
    with pytest.raises(Problem) as caught:
        connections.admit(third)  # type: ignore[arg-type]
    assert caught.value.status == 429
    connections.release(third)  # type: ignore[arg-type]
    assert len(connections) == 2
    connections.admit(local)  # type: ignore[arg-type]
    with pytest.raises(Problem) as caught:
        connections.admit(Transport(("192.0.2.2", 1)))  # type: ignore[arg-type]
    assert caught.value.status == 503
    for transport in (first, first, second, local):
        connections.release(transport)  # type: ignore[arg-type]
    assert len(connections) == 0
