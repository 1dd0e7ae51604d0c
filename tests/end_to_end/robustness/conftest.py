"""A server for those who mean it no good, and raw sockets to talk to it."""

import contextlib
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.conftest import Server

PATIENCE = 60  # seconds for what should take none, on a busy machine


class Target:
    """A running server and what it has used up."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.url: str = server.url
        host, port = server.url.removeprefix("http://").split(":")
        self.address = (host, int(port))
        self.http = httpx.Client(base_url=self.url, timeout=PATIENCE)

    def connect(self) -> socket.socket:
        """A connection; its reads and writes fail after `PATIENCE`."""
        return socket.create_connection(self.address, timeout=PATIENCE)

    def send(self, data: bytes, *, end: bool = True) -> bytes:
        """Send bytes on a new connection; all that comes back until the server closes it. end: say that no more
        will come, so that it need not wait.
        """
        with self.connect() as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(data)
                if end:
                    connection.shutdown(socket.SHUT_WR)
            return read_all(connection)

    def metric(self, name: str) -> float:
        """A figure of /metrics."""
        text = self.http.get("/metrics").text
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        assert found, name
        return float(found[1])

    def answers(self, photo: bytes) -> None:
        """It still does its work, and nothing went wrong inside."""
        response = self.http.post("/v1/pose", files={"image": photo})
        assert response.status_code == 200
        assert len(response.json()["hands"]) == 1
        assert self.http.get("/healthz").status_code == 200
        assert self.server.process.poll() is None
        assert not any("Traceback" in line or " ERROR " in line for line in self.server.log), self.server.log


def read_all(connection: socket.socket) -> bytes:
    """Until the other side ends it."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while chunk := connection.recv(65_536):
            data += chunk
    return data


def wait_until(true: Callable[[], object]) -> None:
    """What has to happen soon, happens within `PATIENCE`."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="session")
def photo(root: Path) -> bytes:
    """A JPEG with one hand."""
    return (root / "tests" / "photos" / "rendered_101.jpg").read_bytes()


@pytest.fixture(scope="session")
def shared_target(root: Path) -> Iterator[Target]:
    running = Server(
        root, "--receive-seconds", "2", "--stream-max-bytes", "1000000", "--max-bytes", "3000000"
    )
    target = Target(running)
    yield target
    target.http.close()
    assert running.stop() == 0


@pytest.fixture
def target(shared_target: Target, photo: bytes) -> Iterator[Target]:
    """One server for all attacks: after each of them it must answer, and have no more files open than before."""
    before = shared_target.metric("process_open_fds")
    yield shared_target
    shared_target.answers(photo)
    wait_until(lambda: shared_target.metric("process_open_fds") <= before)
    wait_until(lambda: shared_target.metric("handpose_streams") == 0)
