"""Heads of HTTP requests, and the fields behind their bodies: what is waited for, how long they may be, what of them is
believed. On real sockets: uvicorn with a small application.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.service.api.http_app import REQUEST, App
from tests.service.api.small_server import PATIENCE, connected, read_all, read_until, serve, until


@pytest.fixture
def start() -> Iterator[Callable[..., Any]]:
    """Starts servers: `start(limit=2)` returns what counts their connections, and their port."""
    with contextlib.ExitStack() as stack:
        yield lambda **limits: stack.enter_context(serve(App(), **limits))


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
        fine.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n" + (b"X-Long: " + b"x" * 7500 + b"\r\n") * 4 + b"\r\n")
        read_until(fine, b"hello")


@pytest.mark.parametrize(
    ("address", "fields"),
    [
        (b"/?" + b"x" * 9000, b""),
        (b"/", b"X-Long: " + b"x" * 9000 + b"\r\n"),
        (b"/", b"X-Many: x\r\n" * 129),
        (b"/", (b"X-Long: " + b"x" * 8000 + b"\r\n") * 9),
    ],
    ids=["its address", "a field", "fields", "all of it"],
)
def test_a_head_that_is_too_long_and_comes_at_once_is_told(
    start: Callable[..., Any], address: bytes, fields: bytes
) -> None:
    connections, port = start(limit=1)
    with connected(port) as whole:
        whole.sendall(b"GET " + address + b" HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n")
        answer = read_all(whole)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    until(lambda: len(connections) == 0)


def test_cookies_and_fields_behind_a_body_are_no_headers(start: Callable[..., Any]) -> None:
    _, port = start(limit=1)
    with connected(port) as connection:
        for _ in range(2):
            connection.sendall(
                b"POST /fields HTTP/1.1\r\nHost: x\r\nCookie: a="
                + b"x" * 20_000
                + b"\r\nX-Forwarded-For: 192.0.2.1\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n"
            )
            assert read_until(connection, b".").endswith(
                b"\r\n\r\nhost transfer-encoding x-forwarded-for=192.0.2.1."
            )
