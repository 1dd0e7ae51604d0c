"""WebSockets spoken wrong, or right and far too much: frames written by hand (RFC 6455, section 5.2)."""

import base64
import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.robustness.conftest import read_all

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MOST_BYTES = 32 * 2**20  # far more than what buffers on the way take
PROTOCOL_ERROR, BAD_TEXT, TOO_BIG = 1002, 1007, 1009


def frame(
    opcode: int, data: bytes = b"", *, final: bool = True, masked: bool = True, flags: int = 0
) -> bytes:
    """One frame as a client sends it, with a mask of zeros."""
    size = len(data)
    head = bytes([(0x80 if final else 0) | flags | opcode])
    if size < 126:
        length = bytes([size])
    elif size < 65_536:
        length = b"\x7e" + struct.pack(">H", size)
    else:
        length = b"\x7f" + struct.pack(">Q", size)
    mask = bytes(4) if masked else b""
    return head + bytes([length[0] | (0x80 if masked else 0)]) + length[1:] + mask + data


@contextlib.contextmanager
def stream(target: Any) -> Iterator[socket.socket]:
    """An open stream, its handshake done."""
    key = base64.b64encode(os.urandom(16)).decode()
    with target.connect() as connection:
        connection.sendall(
            f"GET /v1/stream HTTP/1.1\r\nHost: {target.url[7:]}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        assert head.startswith(b"HTTP/1.1 101 ")
        yield connection


def exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data


def receive(connection: socket.socket) -> tuple[int, bytes]:
    """Opcode and data of the next frame that the server sends."""
    first, second = exactly(connection, 2)
    size = second & 0x7F
    if size == 126:
        (size,) = struct.unpack(">H", exactly(connection, 2))
    elif size == 127:
        (size,) = struct.unpack(">Q", exactly(connection, 8))
    return first & 0x0F, exactly(connection, size)


def ending(connection: socket.socket) -> int | None:
    """The close code; None when the connection is just closed."""
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            opcode, data = receive(connection)
            if opcode == CLOSE:
                return int.from_bytes(data[:2], "big")
    return None


def send(connection: socket.socket, data: bytes) -> None:
    """What may be cut off half way by a server that has seen enough."""
    with contextlib.suppress(ConnectionError):
        connection.sendall(data)


def test_a_frame_in_thousands_of_fragments_is_one_frame(target: Any, photo: bytes) -> None:
    pieces = [photo[at : at + 16] for at in range(0, len(photo), 16)]
    assert len(pieces) > 1000
    data = frame(BINARY, pieces[0], final=False)
    data += b"".join(frame(CONTINUATION, piece, final=False) for piece in pieces[1:])
    with stream(target) as connection:
        connection.sendall(data + frame(CONTINUATION))
        opcode, answer = receive(connection)
        assert opcode == TEXT
        assert b'"type":"result"' in answer
        connection.sendall(frame(CLOSE, b"\x03\xe8"))
        assert ending(connection) == 1000


def test_control_frames_may_come_between_fragments(target: Any, photo: bytes) -> None:
    half = len(photo) // 2
    with stream(target) as connection:
        connection.sendall(frame(BINARY, photo[:half], final=False) + frame(PING, b"here"))
        assert receive(connection) == (PONG, b"here")
        connection.sendall(frame(CONTINUATION, photo[half:]))
        assert b'"type":"result"' in receive(connection)[1]


@pytest.mark.parametrize("size", [0, 1, 4096], ids=lambda size: f"{size} bytes")
def test_fragments_without_end_are_ended(target: Any, size: int) -> None:
    """Of nothing, of single bytes, of pages: each of them costs memory, whatever it says."""
    piece = frame(CONTINUATION, bytes(size), final=False)
    with stream(target) as connection:
        send(connection, frame(BINARY, final=False))
        for _ in range(40):
            send(connection, piece * (60_000 // len(piece) + 1))
        assert ending(connection) in (TOO_BIG, None)
        assert read_all(connection) == b""


def test_who_does_not_read_the_answers_to_its_pings_is_not_read_either(target: Any) -> None:
    """What is written for it must not pile up."""
    flood = frame(PING, bytes(125)) * 5000
    with stream(target) as connection:
        connection.settimeout(2)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < MOST_BYTES:
                sent += connection.send(flood)
    assert sent < MOST_BYTES


def test_pongs_that_nobody_asked_for_do_not_matter(target: Any, photo: bytes) -> None:
    with stream(target) as connection:
        connection.sendall(frame(PONG, b"unasked") * 5000 + frame(BINARY, photo))
        assert b'"type":"result"' in receive(connection)[1]


def test_a_flood_of_tiny_messages_is_dropped_to_the_newest(target: Any) -> None:
    with stream(target) as connection:
        send(connection, frame(BINARY, b"x") * 20_000 + frame(CLOSE, b"\x03\xe8"))
        assert ending(connection) == 1000
    assert target.metric("handpose_queue_waiting") == 0


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(BINARY, b"a", masked=False), PROTOCOL_ERROR),
        (frame(BINARY, b"a", flags=0x40), PROTOCOL_ERROR),  # compressed, which was not agreed on
        (frame(3, b"a"), PROTOCOL_ERROR),  # an opcode that does not exist
        (frame(11), PROTOCOL_ERROR),
        (frame(CONTINUATION, b"a"), PROTOCOL_ERROR),  # of nothing
        (frame(BINARY, b"a", final=False) + frame(BINARY, b"a"), PROTOCOL_ERROR),
        (frame(PING, bytes(126)), PROTOCOL_ERROR),
        (frame(PING, b"a", final=False), PROTOCOL_ERROR),
        (frame(CLOSE, b"\x03"), PROTOCOL_ERROR),
        (frame(CLOSE, b"\x03\xed"), PROTOCOL_ERROR),  # 1005 may not be sent
        (frame(TEXT, b"\xff\xfe"), BAD_TEXT),
        (b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff" + bytes(4), TOO_BIG),
        (b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff" + bytes(4), TOO_BIG),
        (frame(BINARY, bytes(1_000_001)), TOO_BIG),
        (b"GET / HTTP/1.1\r\n\r\n", PROTOCOL_ERROR),
    ],
    ids=range(15),
)
def test_what_the_protocol_forbids_ends_the_stream(target: Any, sent: bytes, code: int) -> None:
    with stream(target) as connection:
        send(connection, sent)
        assert ending(connection) == code
        send(connection, frame(CLOSE, code.to_bytes(2, "big")))
        assert read_all(connection) == b""


@pytest.mark.parametrize(
    "header",
    ["Sec-WebSocket-Version: 12", "Sec-WebSocket-Key: short", "Sec-WebSocket-Version: 13", "Upgrade: h2c"],
)
def test_a_handshake_that_is_none_is_refused(target: Any, header: str) -> None:
    request = (
        f"GET /v1/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{header}\r\n\r\n"
    )
    answer = target.send(request.encode())
    assert 400 <= int(answer[9:12]) < 500
