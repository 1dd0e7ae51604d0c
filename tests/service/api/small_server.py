"""uvicorn with our protocols and a small application, and raw sockets to talk to it."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from service.api.connections import Connections
from service.api.protocols import protocols

PATIENCE = 20


@contextlib.contextmanager
def serve(
    app: Any, *, ws_max_size: int = 2**24, keep_alive: int = 5, **limits: Any
) -> Iterator[tuple[Connections, int]]:
    """What counts the connections of a server, and its port. limits: of `Connections`."""
    connections = Connections(**limits)
    http, websocket = protocols(connections)
    config = uvicorn.Config(
        app,
        http=http,
        ws=websocket,
        ws_max_size=ws_max_size,
        timeout_keep_alive=keep_alive,
        log_level="critical",
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield connections, listener.getsockname()[1]
        server.should_exit = True
        thread.join(PATIENCE)
    assert not thread.is_alive()


@contextlib.contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        yield connection


def read_all(connection: socket.socket) -> bytes:
    """Until the other side ends it."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(10_000):
            data += chunk
    return data


def read_until(connection: socket.socket, end: bytes) -> bytes:
    data = b""
    while end not in data:
        chunk = connection.recv(10_000)
        assert chunk, data
        data += chunk
    return data


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)
