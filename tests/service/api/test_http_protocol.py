"""HTTP and its limits, on real sockets: uvicorn with a small application."""

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from service.api.addresses import parse_proxies
from tests.service.api.small_server import PATIENCE, connected, read_all, read_until, serve, until

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"


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


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def start(app: App, caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., Any]]:
    """Starts servers: `start(limit=2)` returns what counts their connections, and their port."""
    log = logging.getLogger("uvicorn.error")
    with contextlib.ExitStack() as stack:

        def begin(**limits: Any) -> Any:
            found = stack.enter_context(serve(app, **limits))
            log.setLevel(logging.ERROR)  # for `complaints`
            log.addHandler(caplog.handler)
            return found

        yield begin
    log.removeHandler(caplog.handler)


@pytest.fixture
def complaints(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The errors that the server has logged so far."""
    return lambda: [repr(record.exc_info and record.exc_info[1]) for record in caplog.records]


def ask(connection: socket.socket) -> bytes:
    connection.sendall(REQUEST)
    return read_until(connection, b"hello")


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


@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"])
@pytest.mark.parametrize("path", ["/echo", "/wait"])
def test_a_body_that_is_none_hears_so_and_its_request_ends(
    start: Callable[..., Any], app: App, complaints: Callable[[], list[str]], path: str, expect: bytes
) -> None:
    connections, port = start(limit=1)
    with connected(port) as connection:
        head = b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n%s\r\n" % (
            path.encode(),
            expect,
        )
        if expect:  # of one who does not wait for it
            connection.sendall(head + b"no number\r\n")
        else:
            connection.sendall(head)
            time.sleep(0.1)
            connection.sendall(b"no number\r\n")
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    until(lambda: len(connections) == 0)
    if path == "/wait":
        until(lambda: app.left == 1)
    assert [line for line in complaints() if "ClientDisconnect" not in line] == []


def test_an_answer_that_is_given_up_is_cut_off_and_no_error_of_the_server(
    start: Callable[..., Any], complaints: Callable[[], list[str]]
) -> None:
    connections, port = start(limit=1)
    with connected(port) as connection:
        connection.sendall(REQUEST.replace(b"/ ", b"/half ", 1))
        assert read_all(connection).endswith(b"\r\n\r\nhalf")
    until(lambda: len(connections) == 0)
    assert complaints() == []


@pytest.mark.parametrize("path", ["/", "/refuse"])
def test_what_comes_behind_an_answer_keeps_no_connection(start: Callable[..., Any], path: str) -> None:
    connections, port = start(limit=1)
    with connected(port) as connection:
        if path == "/":
            connection.sendall(REQUEST)
            read_until(connection, b"hello")
            connection.sendall(b"\r\n")
        else:
            connection.sendall(b"POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
            read_until(connection, b"refused")
            connection.sendall(b"12345")
        assert read_all(connection) == b""
    until(lambda: len(connections) == 0)


def test_no_stream_begins_while_a_request_is_answered(
    start: Callable[..., Any], app: App, complaints: Callable[[], list[str]]
) -> None:
    """The answer would be written among the stream's messages, or to nobody, which counted as a fault of ours."""
    connections, port = start(limit=1)
    with connected(port) as connection:
        connection.sendall(
            b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\nGET /stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert read_all(connection) == b""
    until(lambda: len(connections) == 0)
    until(lambda: app.left == 1)
    assert complaints() == []


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


def post(path: str, body: bytes = b"", headers: bytes = b"", version: bytes = b"1.1") -> bytes:
    head = b"POST %s HTTP/%s\r\nHost: x\r\nContent-Length: %d\r\n" % (path.encode(), version, len(body))
    return head + headers + b"\r\n" + body


@pytest.mark.parametrize("apart", [False, True], ids=["at once", "body later"])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_wish_for_http_2_costs_no_body(
    start: Callable[..., Any], app: App, framing: str, apart: bool
) -> None:
    _, port = start(limit=1)
    sent = post("/echo", b"a photo", H2C)
    if framing == "chunks":
        sent = sent.replace(b"Content-Length: 7", b"Transfer-Encoding: chunked")
        sent = sent.replace(b"a photo", b"7\r\na photo\r\n0\r\n\r\n")
    at = sent.index(b"\r\n\r\n") + 4
    with connected(port) as connection:
        if apart:
            connection.sendall(sent[:at])
            time.sleep(0.05)
            sent = sent[at:]
        connection.sendall(sent)
        assert read_until(connection, b">").endswith(b"<a photo>")
        assert b"hello" in ask(connection), "the connection goes on"
    assert app.paths == ["/echo"]


def test_no_request_is_hidden_in_a_body_behind_a_wish_for_http_2(start: Callable[..., Any], app: App) -> None:
    _, port = start(limit=1)
    hidden = b"GET /n/1 HTTP/1.1\r\nHost: x\r\n\r\n"
    with connected(port) as connection:
        connection.sendall(post("/echo", hidden, H2C) * 2)
        answers = read_until(connection, b">")
        if answers.count(hidden) < 2:
            answers += read_until(connection, b">")
    assert answers.count(b"<" + hidden + b">") == 2
    assert app.paths == ["/echo", "/echo"]


def test_a_tunnel_is_refused(start: Callable[..., Any]) -> None:
    _, port = start(limit=1)
    for headers in (b"", H2C):
        with connected(port) as connection:
            connection.sendall(b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n")
            assert read_all(connection).startswith(b"HTTP/1.1 400 ")


def test_of_many_requests_at_once_the_first_are_answered(start: Callable[..., Any], app: App) -> None:
    _, port = start(limit=1)
    with connected(port) as connection:
        connection.sendall(b"".join(b"GET /n/%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(5000)))
        answers = read_all(connection)
    assert answers.count(b"connection: close") == 1
    assert answers.endswith(b"number 16.")
    assert app.paths == [f"/n/{n}" for n in range(17)]


def test_those_that_wait_are_answered_however_long_it_takes(start: Callable[..., Any], app: App) -> None:
    _, port = start(limit=1, head_seconds=0.2)
    with connected(port) as connection:
        connection.sendall(REQUEST + b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n" + REQUEST * 100)
        time.sleep(0.5)
        app.gate.set()
        answers = read_all(connection)
    assert answers.count(b"hello") == 16
    assert b"waited" in answers


def test_what_waits_behind_a_request_is_not_begun_when_its_client_leaves(
    start: Callable[..., Any], app: App
) -> None:
    connections, port = start(limit=1)
    with connected(port) as connection:
        connection.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\nGET /n/1 HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.05)
    until(lambda: app.left == 1)
    until(lambda: len(connections) == 0)
    assert app.paths == []


EXPECTING = b"Expect: 100-continue\r\n"


@pytest.mark.parametrize("path", ["/refuse", "/nothing"])
def test_who_waits_for_leave_to_send_and_is_refused_connects_anew(
    start: Callable[..., Any], path: str
) -> None:
    """Its next request would come where the body is expected that was not sent."""
    _, port = start(limit=1)
    with connected(port) as connection:
        connection.sendall(post(path, b"x" * 100, EXPECTING).removesuffix(b"x" * 100))
        answer = read_all(connection)
    assert answer.count(b"HTTP/1.1") == 1
    assert b"\r\nconnection: close\r\n" in answer


def test_who_was_given_leave_to_send_goes_on(start: Callable[..., Any]) -> None:
    _, port = start(limit=1)
    with connected(port) as connection:
        connection.sendall(post("/echo", b"body", EXPECTING).removesuffix(b"body"))
        assert read_until(connection, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"body")
        assert b"connection: close" not in read_until(connection, b"<body>")
        assert b"hello" in ask(connection)


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_who_sends_all_before_it_reads_hears_a_refusal(start: Callable[..., Any], version: bytes) -> None:
    connections, port = start(limit=1)
    with connected(port) as connection:
        connection.sendall(post("/refuse", bytes(30_000_000), b"Connection: close\r\n", version))
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert answer.endswith(b"refused")
    until(lambda: len(connections) == 0)


def test_a_refusal_is_not_heard_for_ever(start: Callable[..., Any]) -> None:
    connections, port = start(limit=1, head_seconds=0.2)
    with connected(port) as connection:
        connection.sendall(post("/refuse", bytes(1000), b"Connection: close\r\n")[:-500])
        assert read_all(connection).endswith(b"refused")
        until(lambda: len(connections) == 0)


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_who_leaves_is_noticed(start: Callable[..., Any], app: App, version: bytes) -> None:
    _, port = start(limit=1)
    with connected(port) as connection:
        connection.sendall(b"GET /wait HTTP/" + version + b"\r\nHost: x\r\n\r\n")
        time.sleep(0.05)
    until(lambda: app.left == 1)
