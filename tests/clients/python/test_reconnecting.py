"""How connections fail and are made again, against a service that does what the test wants."""

import itertools
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from handpose_client import (
    ConnectionFailedError,
    ProblemError,
    TimedOutError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
    UnprocessableError,
)
from starlette.responses import Response
from starlette.websockets import WebSocket

Follow = Callable[[WebSocket], Awaitable[None]]
pytestmark = pytest.mark.usefixtures("no_threads_stay")


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting again begins with shorter pauses."""
    monkeypatch.setattr("handpose_client.outages._FIRST_PAUSE", 0.02)


def frames(count: int) -> list[bytes]:
    return [f"frame {i}".encode() for i in range(count)]


def test_nobody_listens(client: Any, unused_url: str) -> None:
    with pytest.raises(ConnectionFailedError, match=f"cannot connect to {unused_url}: Connection refused"):
        client.stream(unused_url, frames(3), reconnect=60)


@pytest.mark.parametrize(
    ("status", "kind"), [(401, UnauthorizedError), (503, UnavailableError), (404, ProblemError)]
)
def test_the_service_refuses(
    client: Any, service: Any, documents: SimpleNamespace, status: int, kind: type
) -> None:
    async def follow(websocket: WebSocket) -> None:
        await websocket.send_denial_response(documents.problem(status, "Not you."))

    service.follow = follow
    with pytest.raises(kind, match="Not you"):
        client.stream(service.url, frames(3))


def test_redirects_are_not_followed(client: Any, service: Any) -> None:
    async def follow(websocket: WebSocket) -> None:
        await websocket.send_denial_response(
            Response(status_code=307, headers={"Location": service.url + "/x"})
        )

    service.follow = follow
    with pytest.raises(ProblemError, match="the service is at"):
        client.stream(service.url, frames(3), client={"api_key": "secret"})
    assert len(service.streams) == 1


def test_something_that_speaks_no_websocket(client: Any, raw_service: Callable[..., str]) -> None:
    with pytest.raises(ConnectionFailedError, match="speaks no WebSocket"):
        client.stream(raw_service(lambda connection: connection.sendall(b"220 mail\r\n")), frames(1))


def test_a_service_that_does_not_open(client: Any, raw_service: Callable[..., str]) -> None:
    def silent(connection: Any) -> None:
        while connection.recv(65536):
            pass

    with pytest.raises(TimedOutError, match="did not open a stream in time"):
        client.stream(raw_service(silent), frames(1), client={"timeout": 0.3})


def closes_after(count: int, message: Callable[..., str], code: int, reason: str = "") -> Follow:
    """Answers so many frames, then closes instead of answering the next one."""

    async def follow(websocket: WebSocket) -> None:
        await websocket.accept()
        for number in range(count):
            await websocket.receive_bytes()
            await websocket.send_text(message(number))
        await websocket.receive_bytes()
        await websocket.close(code, reason)

    return follow


@pytest.mark.parametrize("code", [1000, 1001, 1011, 4000])
def test_the_service_closes_the_stream(
    client: Any, service: Any, message: Callable[..., str], code: int
) -> None:
    service.follow = closes_after(2, message, code, "enough")
    with pytest.raises(ConnectionFailedError, match=f"closed the stream: {code} enough") as raised:
        client.stream(service.url, frames(5))
    assert raised.value.code == code


def test_the_connection_is_cut(client: Any, service: Any, message: Callable[..., str]) -> None:
    async def follow(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_bytes()
        raise ConnectionAbortedError("the server crashes")

    service.follow = follow
    with pytest.raises(ConnectionFailedError):
        client.stream(service.url, frames(5))


def test_a_frame_too_large_for_the_service(client: Any, service: Any, message: Callable[..., str]) -> None:
    service.follow = closes_after(1, message, 1009, "A message may have 9 bytes.")
    with pytest.raises(TooLargeError, match="A message may have 9 bytes"):
        client.stream(service.url, frames(5), reconnect=20)
    assert len(service.streams) == 1


def refuses(status: int, message: Callable[..., str]) -> Follow:
    """Accepts, says why it will not do, and closes: the way to tell browsers."""

    async def follow(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(message(None, type="error", status=status, title="No", detail="No room."))
        await websocket.close(1013, "No room.")

    return follow


@pytest.mark.parametrize(("status", "kind"), [(422, UnprocessableError), (503, UnavailableError)])
def test_a_stream_that_is_refused_after_it_opened(
    client: Any, service: Any, message: Callable[..., str], status: int, kind: type
) -> None:
    service.follow = refuses(status, message)
    with pytest.raises(kind, match="No room"):
        client.stream(service.url, frames(5), reconnect=20)
    assert len(service.streams) == 1


def test_a_lost_connection_is_made_again(client: Any, service: Any, message: Callable[..., str]) -> None:
    """Frames under way are lost, numbers go on, and every later frame is answered."""
    service.follow = closes_after(2, message, 1001)
    results = client.stream(service.url, frames(11), max_in_flight=1, reconnect=20)
    assert [result.frame for result in results] == [0, 1, 3, 4, 6, 7, 9, 10]
    assert [result.picture for result in results] == [
        f"frame {i}".encode() for i in (0, 1, 3, 4, 6, 7, 9, 10)
    ]
    assert [result.dropped for result in results] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len(service.streams) == 4


def test_connecting_again_is_tried_while_the_service_is_full(
    client: Any, service: Any, message: Callable[..., str], documents: SimpleNamespace
) -> None:
    answer = closes_after(1, message, 1012)

    async def follow(websocket: WebSocket) -> None:
        if len(service.streams) in (2, 3):
            await websocket.send_denial_response(documents.problem(503, "Full."))
        else:
            await answer(websocket)

    service.follow = follow
    assert len(client.stream(service.url, frames(3), max_in_flight=1, reconnect=20)) == 2
    assert len(service.streams) == 4


def test_room_for_the_next_connection_is_waited_for_but_not_for_ever(
    client: Any, service: Any, message: Callable[..., str]
) -> None:
    """An answer in between begins the wait anew."""
    full, answer = refuses(503, message), closes_after(1, message, 1001)

    async def follow(websocket: WebSocket) -> None:
        await (full if len(service.streams) in (2, 3) or len(service.streams) > 4 else answer)(websocket)

    service.follow = follow
    with pytest.raises(UnavailableError, match="No room"):
        client.stream(service.url, itertools.repeat(b"frame"), reconnect=1.0)
    assert 6 <= len(service.streams) < 20


def test_connecting_again_in_vain(
    client: Any, service: Any, message: Callable[..., str], documents: SimpleNamespace
) -> None:
    answer = closes_after(1, message, 1001)

    async def follow(websocket: WebSocket) -> None:
        if len(service.streams) > 1:
            await websocket.send_denial_response(documents.problem(503, "Still full."))
        else:
            await answer(websocket)

    service.follow = follow
    with pytest.raises(UnavailableError, match="Still full"):
        client.stream(service.url, itertools.repeat(b"frame"), reconnect=0.5)


@pytest.mark.parametrize("code", [1002, 1008])
def test_what_would_be_closed_again_is_not_tried_again(
    client: Any, service: Any, message: Callable[..., str], code: int
) -> None:
    service.follow = closes_after(1, message, code)
    with pytest.raises(ConnectionFailedError):
        client.stream(service.url, frames(5), reconnect=20)
    assert len(service.streams) == 1
