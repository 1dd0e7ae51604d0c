"""Everything at once: reloads, bad input, clients that leave, and requests that must not notice; and sudden death."""

import signal
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from service.api.keys import create
from tests.end_to_end.robustness.conftest import PATIENCE, Target, wait_until

RELOADS = 3


class Clients:
    """Threads that do one thing each, over and over, until told to stop."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Counter[str]] = {}
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, name: str, act: Callable[[], object]) -> None:
        """What `act` returns, or the name of what it raises, is counted."""
        counted = self.outcomes.setdefault(name, Counter())

        def run() -> None:
            while not self._stop.is_set():
                try:
                    counted[str(act())] += 1
                except (httpx.TransportError, ConnectionClosed, OSError) as error:
                    counted[type(error).__name__] += 1
                    time.sleep(0.02)

        self._threads.append(threading.Thread(target=run))
        self._threads[-1].start()

    def wait_for(self, name: str, outcome: str, times: int) -> None:
        """Until that has happened so often more."""
        wanted = self.outcomes[name][outcome] + times
        wait_until(lambda: self.outcomes[name][outcome] >= wanted)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.fixture
def clients() -> Iterator[Clients]:
    some = Clients()
    yield some
    some.stop()


def ask(http: httpx.Client, image: bytes) -> Callable[[], object]:
    return lambda: http.post("/v1/pose", files={"image": image}).status_code


def leave(address: Callable[[], tuple[str, int]], image: bytes) -> Callable[[], object]:
    """Send half a request and reset the connection."""

    def act() -> str:
        with socket.create_connection(address(), timeout=PATIENCE) as connection:
            connection.sendall(
                b"POST /v1/pose HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 99999\r\n\r\n"
            )
            connection.sendall(image[:5000])
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return "left"

    return act


@pytest.mark.timeout(600)
def test_reloads_from_all_sides_disturb_nobody(
    start_server: Callable[..., Any], clients: Clients, photo: bytes
) -> None:
    text, key = create("ops", ["admin"])
    running = start_server(
        "--keys", key.record(), "--keyless-scopes", "inference,metrics", "--standing-queue", "32"
    )
    target = Target(running)
    with (
        httpx.Client(base_url=running.url, timeout=PATIENCE) as http,
        connect(running.url.replace("http", "ws") + "/v1/stream") as stream,
    ):

        def track() -> str:
            stream.send(photo)
            return "result" if '"type":"result"' in str(stream.recv(PATIENCE)) else "error"

        admin = {"Authorization": f"Bearer {text}"}

        def reload() -> int:
            status = http.post("/v1/models/reload", headers=admin).status_code
            if status == 409:
                time.sleep(0.02)  # another one runs, and needs the processor
            return status

        clients.start("photo", ask(http, photo))
        clients.start("stream", track)
        clients.start("broken", ask(http, photo[:2000]))
        clients.start("left", leave(lambda: target.address, photo))
        for _ in range(2):
            clients.start("reload", reload)
        for _ in range(RELOADS):
            running.process.send_signal(signal.SIGHUP)
            clients.wait_for("reload", "200", 1)
        clients.wait_for("photo", "200", 3)
        clients.stop()
    assert set(clients.outcomes["photo"]) == {"200"}
    assert set(clients.outcomes["stream"]) == {"result"}
    assert set(clients.outcomes["broken"]) == {"422"}
    assert set(clients.outcomes["left"]) == {"left"}
    assert set(clients.outcomes["reload"]) <= {"200", "409"}
    target.answers(photo)
    assert target.metric('handpose_reloads_total{outcome="failed"}') == 0
    target.http.close()


def test_killed_under_load_it_comes_back_on_its_port_and_so_do_its_clients(
    start_server: Callable[..., Any], clients: Clients, photo: bytes
) -> None:
    """kill -9 in the middle of photos, a stream and half an upload; sockets of the dead do not keep the port."""
    running = start_server()
    target = Target(running)
    with (
        httpx.Client(base_url=running.url, timeout=PATIENCE) as http,
        connect(running.url.replace("http", "ws") + "/v1/stream") as stream,
        target.connect() as half,
    ):
        half.sendall(b"POST /v1/pose HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nhalf")
        for _ in range(3):
            clients.start("photo", ask(http, photo))
        clients.start("left", leave(lambda: target.address, photo))
        stream.send(photo)
        assert '"type":"result"' in str(stream.recv(PATIENCE))
        clients.wait_for("photo", "200", 3)
        running.process.kill()
        assert running.process.wait(PATIENCE) == -signal.SIGKILL
        running.close()
        with pytest.raises(ConnectionClosed):
            stream.recv(PATIENCE)
        target.http.close()
        again = start_server("--port", str(target.address[1]))
        assert again.url == running.url
        clients.wait_for("photo", "200", 6)
        clients.stop()
    statuses = {outcome for outcome in clients.outcomes["photo"] if outcome.isdigit()}
    assert statuses <= {"200", "503"}  # refused connections, cut ones, and 503 until it was warm
    fresh = Target(again)
    fresh.answers(photo)
    fresh.http.close()
