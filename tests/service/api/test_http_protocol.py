"""HTTP and its limits, on real sockets: uvicorn with a small application."""

import contextlib
import logging
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service.api.addresses import parse_proxies
from tests.service.api.http_app import REQUEST, App
from tests.service.api.small_server import connected, read_all, read_until, serve, until

H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"


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


def test_a_proxy_closes_its_connections_itself(start: Callable[..., Any]) -> None:
    _, port = start(limit=10, keep_alive=0)
    with connected(port) as client:
        assert b"hello" in ask(client)
        assert read_all(client) == b""
    _, port = start(limit=10, keep_alive=0, exempt=parse_proxies("127.0.0.1"))
    with connected(port) as proxy:
        assert b"hello" in ask(proxy)
        proxy.settimeout(0.05)
        with pytest.raises(TimeoutError):
            proxy.recv(1)


def test_kept_connections_end_with_their_answer_while_the_service_drains(start: Callable[..., Any]) -> None:
    _, port = start(limit=1, draining=lambda: True)
    with connected(port) as connection:
        connection.sendall(REQUEST)
        head, _, body = read_all(connection).partition(b"\r\n\r\n")
        assert b"connection: close" in head
        assert body == b"hello"


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
