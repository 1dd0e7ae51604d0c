"""Connections that come to nothing: slow, half open, in another language, or never ending."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.robustness.conftest import read_all, wait_until

MANY = 100
HEAD = b"POST /v1/pose HTTP/1.1\r\nHost: x\r\n"
FORM = HEAD + b"Content-Type: multipart/form-data; boundary=B\r\n"


@pytest.mark.parametrize(
    "beginning",
    [
        b"GET / HTTP/1.1\r\nX-Slow: ",
        FORM + b"Content-Length: 100000\r\n\r\n--B\r\n",
        FORM + b"Transfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["head", "body", "chunks"],
)
def test_many_who_send_a_byte_now_and_then_keep_nobody_else_waiting(
    target: Any, photo: bytes, beginning: bytes
) -> None:
    """Slow loris: their time runs out however much they drip."""
    drip = b"1\r\na\r\n" if b"chunked" in beginning else b"a"
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(target.connect()) for _ in range(MANY)]
        for connection in slow:
            connection.sendall(beginning)
        target.answers(photo)
        ended: list[socket.socket] = []
        deadline = time.monotonic() + 60
        while len(ended) < MANY and time.monotonic() < deadline:
            for connection in slow:
                if connection in ended:
                    continue
                try:
                    connection.sendall(drip)
                except ConnectionError:
                    ended.append(connection)
            time.sleep(0.1)
        assert len(ended) == MANY


def test_connections_that_say_nothing_are_let_go(target: Any) -> None:
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(target.connect()) for _ in range(MANY)]
        assert all(read_all(one).startswith(b"HTTP/1.1 408 ") for one in silent)


@pytest.mark.parametrize("sent", [b"", b"GET /he", HEAD + b"Content-Length: 9\r\n\r\n", FORM[:-2]])
def test_half_open_connections_are_closed(target: Any, sent: bytes) -> None:
    """The client has ended its half; nothing more can come."""
    with contextlib.ExitStack() as stack:
        half = [stack.enter_context(target.connect()) for _ in range(20)]
        for connection in half:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        for connection in half:
            read_all(connection)


def test_connections_that_are_reset_leave_nothing(target: Any, photo: bytes) -> None:
    """In the head, in the body, and while the answer is made."""
    whole = HEAD + f"Content-Type: image/jpeg\r\nContent-Length: {len(photo)}\r\n\r\n".encode() + photo
    for share in (0.0001, 0.5, 1.0):
        for _ in range(10):
            connection = target.connect()
            connection.sendall(whole[: max(20, int(share * len(whole)))])
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
    wait_until(lambda: target.metric("handpose_requests_in_flight") == 1)


@pytest.mark.parametrize(
    "greeting",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
        b"\x16\x03\x01\x00\xc4\x01\x00\x00\xc0\x03\x03" + bytes(192),
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x05\x01\x00",  # SOCKS
        b"*1\r\n$4\r\nPING\r\n",  # Redis
        b"EHLO there\r\n",
        bytes(range(256)) * 40,
        b"\r\n" * 5000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET\r\n\r\n",
        b"CONNECT evil:443 HTTP/1.1\r\nHost: evil\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n folded: no\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    ],
    ids=lambda greeting: repr(greeting[:24]),
)
def test_what_is_no_http_is_refused(target: Any, greeting: bytes) -> None:
    answer = target.send(greeting)
    assert answer == b"" or 400 <= int(answer[9:12]) < 500


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ],
    ids=lambda framing: repr(framing[:48]),
)
def test_no_request_is_hidden_in_anothers_body(target: Any, framing: bytes) -> None:
    """Request smuggling: where the length is in doubt, what follows is never taken for a request of its own."""
    answer = target.send(HEAD + framing + b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"sha256" not in answer
    assert answer.count(b"HTTP/1.1 ") <= 1


def endless(piece: bytes, size: int = 1 << 22) -> Iterator[bytes]:
    """So much of it that no limit can be missed."""
    block = piece * (65_536 // len(piece))
    for _ in range(size // len(block)):
        yield block


@pytest.mark.parametrize(
    ("beginning", "piece"),
    [
        (b"GET / HTTP/1.1\r\nX-", b"a"),
        (b"GET / HTTP/1.1\r\n", b"A: b\r\n"),
        (b"GET /", b"a"),
        (FORM + b"Transfer-Encoding: chunked\r\n\r\n10000\r\n", b"a"),  # in place of the boundary
        (FORM + b"Content-Length: 2900000\r\n\r\n--B\r\nContent-Disposition: ", b"a"),
        (FORM + b"Content-Length: 2900000\r\n\r\n--B\r\n", b"A: b\r\n"),
        (FORM + b"Content-Length: 2900000\r\n\r\n--B\r\n", b"A"),
        (
            FORM.replace(b"/pose", b"/pose/batch") + b"Content-Length: 2900000\r\n\r\n",
            b'--B\r\nContent-Disposition: form-data; name="images"\r\n\r\n\r\n',
        ),
        (HEAD + b"Content-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n", b"8\r\naaaaaaaa\r\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n"),
    ],
    ids=lambda value: repr(value[-32:]),
)
def test_what_never_ends_is_ended_with_a_reason(target: Any, beginning: bytes, piece: bytes) -> None:
    """Heads, headers of parts, parts, chunks, trailers without end."""
    with target.connect() as connection:
        answer = bytearray()
        reader = threading.Thread(target=lambda: answer.extend(read_all(connection)))
        reader.start()
        with contextlib.suppress(ConnectionError):
            connection.sendall(beginning)
            for block in endless(piece):
                connection.sendall(block)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        reader.join(60)
        assert not reader.is_alive()
    assert bytes(answer[9:12]) in (b"400", b"404", b"408", b"413", b"415", b"422", b"431", b"")


def test_an_upgrade_to_http_2_is_not_taken(target: Any) -> None:
    headers = {
        "Connection": "Upgrade, HTTP2-Settings",
        "Upgrade": "h2c",
        "HTTP2-Settings": "AAMAAABkAAQAAP__",
    }
    assert target.http.get("/healthz", headers=headers).status_code == 200
