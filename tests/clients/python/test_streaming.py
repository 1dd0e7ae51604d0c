"""Streams, against a service that answers what the test wants."""

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from handpose_client import (
    AnswerError,
    AsyncHandPose,
    HandPose,
    ProblemError,
    TimedOutError,
    UnavailableError,
)
from starlette.websockets import WebSocket

Follow = Callable[[WebSocket], Awaitable[None]]
pytestmark = pytest.mark.usefixtures("no_threads_stay")


def frames(count: int) -> list[bytes]:
    return [f"frame {i}".encode() for i in range(count)]


def test_every_frame_gets_its_result(client: Any, service: Any, echo: Follow) -> None:
    service.follow = echo
    results = client.stream(service.url, frames(20))
    assert [result.frame for result in results] == list(range(20))
    assert [result.picture for result in results] == frames(20)
    assert [result.hands[0].box.x for result in results] == list(range(20))
    assert {(result.dropped, result.error) for result in results} == {(0, None)}
    assert all(result.round_trip_ms > 0 for result in results)
    assert len(service.streams) == 1


def test_options_and_key_go_along(client: Any, service: Any, echo: Follow) -> None:
    service.follow = echo
    options = {"max_hands": 1, "min_score": 0.25, "mirrored": True, "smoothing": False, "frame_rate": 25}
    client.stream(service.url, frames(1), client={"api_key": "secret"}, **options)
    (seen,) = service.streams
    assert seen.path == "/v1/stream"
    assert seen.query == {
        "max_hands": "1",
        "min_score": "0.25",
        "mirrored": "true",
        "smoothing": "false",
        "frame_rate": "25",
    }
    assert seen.headers["authorization"] == "Bearer secret"
    assert "sec-websocket-extensions" not in seen.headers  # no compression


def test_no_frames_no_results(client: Any, service: Any, echo: Follow) -> None:
    service.follow = echo
    assert client.stream(service.url, []) == []


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_so_many_frames_are_under_way_and_no_more(
    client: Any, service: Any, message: Callable[..., str], limit: int
) -> None:
    waiting: list[int] = []

    async def follow(websocket: WebSocket) -> None:
        await websocket.accept()
        got = answered = 0
        while answered < 12:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    while True:
                        await websocket.receive_bytes()
                        got += 1
            waiting.append(got - answered)
            while answered < got:
                await websocket.send_text(message(answered))
                answered += 1
        await websocket.receive()

    service.follow = follow
    assert len(client.stream(service.url, frames(12), max_in_flight=limit)) == 12
    assert max(waiting) == limit


def test_frames_go_out_while_the_caller_is_busy_but_no_further_than_two(service: Any, echo: Follow) -> None:
    service.follow = echo
    asked: list[int] = []

    def source() -> Iterator[bytes]:
        for i in range(100):
            asked.append(i)
            yield b"frame"

    with HandPose(service.url) as client, contextlib.closing(client.stream(source())) as results:
        next(results)
        time.sleep(0.3)
        assert 2 <= len(asked) <= 4  # answered, two under way, perhaps one at hand


def test_a_source_that_waits_holds_no_result_back(service: Any, echo: Follow) -> None:
    """A camera gives a frame now and then; the answer to the last one is there long before."""
    service.follow = echo
    release = threading.Event()

    def source() -> Iterator[bytes]:
        yield b"first"
        release.wait(20)
        yield b"second"

    with HandPose(service.url) as client:
        results = client.stream(source())
        assert next(results).picture == b"first"
        release.set()
        assert [result.picture for result in results] == [b"second"]


def test_frames_the_service_skipped_count_as_dropped(
    client: Any, service: Any, message: Callable[..., str]
) -> None:
    async def follow(websocket: WebSocket) -> None:
        await websocket.accept()
        for number in range(9):
            await websocket.receive_bytes()
            if number % 3 == 2:
                await websocket.send_text(message(number))
        await websocket.receive()

    service.follow = follow
    results = client.stream(service.url, frames(9), max_in_flight=3)
    assert [(result.frame, result.dropped) for result in results] == [(2, 2), (5, 4), (8, 6)]
    assert results[1].picture == b"frame 5"


def test_answers_out_of_order_never_go_back(client: Any, service: Any, message: Callable[..., str]) -> None:
    async def follow(websocket: WebSocket) -> None:
        await websocket.accept()
        for _ in range(4):
            await websocket.receive_bytes()
        for number in (1, 0, 3, 2):
            await websocket.send_text(message(number))
        await websocket.receive()

    service.follow = follow
    results = client.stream(service.url, frames(4), max_in_flight=4)
    assert [result.frame for result in results] == [1, 3]


def test_a_frame_that_failed_does_not_end_the_stream(
    client: Any, service: Any, message: Callable[..., str]
) -> None:
    async def follow(websocket: WebSocket) -> None:
        await websocket.accept()
        for number in range(3):
            await websocket.receive_bytes()
            bad = {"type": "error", "status": 422, "title": "Unprocessable Content", "detail": "cut off"}
            await websocket.send_text(message(number, **(bad if number == 1 else {})))
        await websocket.receive()

    service.follow = follow
    results = client.stream(service.url, frames(3))
    assert [bool(result.error) for result in results] == [False, True, False]
    with pytest.raises(ProblemError, match="422 Unprocessable Content: cut off"):
        _ = results[1].hands


def test_an_error_of_the_whole_stream_is_raised(
    client: Any, service: Any, message: Callable[..., str]
) -> None:
    async def follow(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_bytes()
        await websocket.send_text(message(None, type="error", status=429, title="Slow", detail="down"))
        await websocket.receive()

    service.follow = follow
    with pytest.raises(ProblemError, match="429 Slow: down"):
        client.stream(service.url, frames(3))


@pytest.mark.parametrize("reconnect", [0, 60])
def test_a_stream_refused_after_its_last_frame_left(
    client: Any, service: Any, message: Callable[..., str], reconnect: float
) -> None:
    """The service read every frame and answered none: that is no stream without results."""

    async def follow(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_bytes()
        await asyncio.sleep(0.1)  # until the client knows that there is no other frame
        await websocket.send_text(message(None, type="error", status=503, title="Busy", detail="full"))
        await websocket.close(1013)

    service.follow = follow
    with pytest.raises(UnavailableError, match="full"):
        client.stream(service.url, frames(1), reconnect=reconnect)


@pytest.mark.parametrize(
    "text", ["hello", '{"type": "result", "frame": 7}', '{"type": "result", "frame": 0}']
)
def test_answers_that_break_the_contract(client: Any, service: Any, text: str) -> None:
    async def follow(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_bytes()
        await websocket.send_text(text)
        await websocket.receive()

    service.follow = follow
    with pytest.raises(AnswerError):
        client.stream(service.url, frames(3))


def test_what_the_source_raises_comes_after_the_results_under_way(
    client: Any, service: Any, echo: Follow
) -> None:
    service.follow = echo

    def source() -> Iterator[bytes]:
        yield b"first"
        raise ZeroDivisionError("in the source")

    with pytest.raises(ZeroDivisionError, match="in the source"):
        client.stream(service.url, source())


def test_a_service_that_stops_answering(client: Any, service: Any, message: Callable[..., str]) -> None:
    async def follow(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_bytes()
        await websocket.send_text(message(0))
        while True:
            await websocket.receive_bytes()

    service.follow = follow
    with pytest.raises(TimedOutError, match="did not answer a frame within 2 s"):
        client.stream(service.url, frames(5), client={"timeout": 2})


def test_a_service_that_stops_reading(client: Any, service: Any) -> None:
    """The frame does not fit into the buffers of the connection, so that even sending blocks."""

    async def follow(websocket: WebSocket) -> None:
        await websocket.accept()
        await asyncio.sleep(60)

    service.follow = follow
    started = time.monotonic()
    with pytest.raises(TimedOutError):
        client.stream(service.url, [bytes(12_000_000)] * 3, client={"timeout": 0.3})
    assert time.monotonic() - started < 30


def test_a_slow_source_is_no_slow_service(client: Any, service: Any, echo: Follow) -> None:
    service.follow = echo

    def source() -> Iterator[bytes]:
        for frame in frames(2):
            time.sleep(1.5)
            yield frame

    assert len(client.stream(service.url, source(), client={"timeout": 1})) == 2


@pytest.mark.parametrize("options", [{"max_in_flight": 0}, {"reconnect": -1}, {"reconnect": float("nan")}])
def test_wrong_options_are_refused_at_once(options: dict[str, Any]) -> None:
    with HandPose() as client, pytest.raises(ValueError, match="must be at least"):
        client.stream([], **options)


def test_one_picture_is_no_stream(client: Any) -> None:
    with HandPose() as one, pytest.raises(TypeError, match="iterable of pictures"):
        next(one.stream("video.mp4"))


def test_leaving_early_closes_the_connection(service: Any, message: Callable[..., str]) -> None:
    closed = threading.Event()

    async def follow(websocket: WebSocket) -> None:
        await websocket.accept()
        for number in itertools.count():
            event = await websocket.receive()
            if event["type"] == "websocket.disconnect":
                assert event["code"] == 1000
                closed.set()
                return
            if number <= 3:  # an answer to a client that is gone already would fail
                await websocket.send_text(message(number))

    service.follow = follow
    with HandPose(service.url) as client:
        for result in client.stream(itertools.repeat(b"frame")):
            if result.frame == 3:
                break
        assert closed.wait(5)


def test_leaving_an_asynchronous_stream_early(service: Any, echo: Follow) -> None:
    service.follow = echo

    async def run() -> int:
        async with AsyncHandPose(service.url) as client:
            async with contextlib.aclosing(client.stream(itertools.repeat(b"frame"))) as results:
                async for result in results:
                    if result.frame == 3:
                        break
            return len(asyncio.all_tasks())

    assert asyncio.run(run()) == 1


def test_two_streams_of_one_client(service: Any, echo: Follow) -> None:
    service.follow = echo
    with HandPose(service.url) as client:
        pairs = list(zip(client.stream(frames(5)), client.stream(frames(5)), strict=True))
    assert len(pairs) == 5
    assert len(service.streams) == 2
