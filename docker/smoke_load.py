"""Requests that are under way while a service is told to stop: which were answered, which were not."""

import http.client
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Sent:
    """One request. at: when its last byte was written, on the monotonic clock. status: None for no answer, or not a
    whole one. error: what happened instead.
    """

    at: float
    answered_at: float
    status: int | None
    error: str = ""


class Load:
    """Clients that send one photo after another over connections that they keep, until these end.

    Besides them, uploads: requests of which half a body has been sent, and the rest only when `finish_uploads` says so.
    """

    def __init__(self, port: int, photo: bytes, clients: int, uploads: int) -> None:
        self.sent: list[Sent] = []
        self.uploads: list[Sent] = []
        self._port = port
        self._photo = photo
        self._end = threading.Event()
        self._finish = threading.Event()
        self._half_way = threading.Semaphore(0)
        self._count = uploads
        self._threads = [threading.Thread(target=self._client) for _ in range(clients)]
        self._threads += [threading.Thread(target=self._upload) for _ in range(uploads)]

    def start(self) -> None:
        """Returns when every upload is half-way and some photos were answered."""
        for thread in self._threads:
            thread.start()
        for _ in range(self._count):
            if not self._half_way.acquire(timeout=TIMEOUT_S):
                raise TimeoutError("an upload did not begin")
        until = time.monotonic() + TIMEOUT_S
        while len(self.sent) < 10 and time.monotonic() < until:
            time.sleep(0.02)

    def finish_uploads(self) -> None:
        """Send the other halves."""
        self._finish.set()

    def join(self) -> None:
        """Stop sending, and wait for what is under way."""
        self._end.set()
        self._finish.set()
        for thread in self._threads:
            thread.join(TIMEOUT_S)

    def _client(self) -> None:
        connection = self._connection()
        while not self._end.is_set():
            at = time.monotonic()
            try:
                connection.request("POST", "/v1/pose", self._photo, {"Content-Type": "image/jpeg"})
                at = time.monotonic()
                done = _answer(connection, at)
            except (OSError, http.client.HTTPException) as error:
                done = Sent(at, time.monotonic(), None, _name(error))
            self.sent.append(done)
            if done.status is None:
                break
        connection.close()

    def _upload(self) -> None:
        connection = self._connection()
        half = len(self._photo) // 2
        connection.putrequest("POST", "/v1/pose")
        connection.putheader("Content-Type", "image/jpeg")
        connection.putheader("Content-Length", str(len(self._photo)))
        connection.endheaders(self._photo[:half])
        self._half_way.release()
        self._finish.wait(TIMEOUT_S)
        at = time.monotonic()
        try:
            connection.send(self._photo[half:])
            done = _answer(connection, at)
        except (OSError, http.client.HTTPException) as error:
            done = Sent(at, time.monotonic(), None, _name(error))
        self.uploads.append(done)
        connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)


def in_flight(sent: Sequence[Sent], moment: float) -> list[Sent]:
    """Those that had been sent before a moment and not been answered by then."""
    return [one for one in sent if one.at < moment < one.answered_at]


def _answer(connection: http.client.HTTPConnection, at: float) -> Sent:
    response = connection.getresponse()
    response.read()  # raises IncompleteRead for half an answer
    return Sent(at, time.monotonic(), response.status)


def _name(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
