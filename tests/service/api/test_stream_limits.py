"""Which streams are refused, which are ended, and how streams and photos share the threads."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from fastapi import FastAPI

from service.api.stream_messages import ErrorMessage
from service.inference.pipeline import Pipeline
from service.inference.workers import QueueFullError
from tests.service.api.asgi_socket import Socket, connected
from tests.service.api.gate import Gate

Until = Callable[[Callable[[], object]], Awaitable[None]]


def test_one_stream_too_many_is_told_to_come_back(play: Callable, frames: list[bytes]) -> None:
    async def scenario(app: FastAPI) -> None:
        async with connected(app) as first, connected(app) as second:
            for socket in (first, second):
                socket.send(frames[0])
                await socket.read()
            third = Socket(app)
            assert ErrorMessage.model_validate(await third.read()).status == 503
            assert await third.closed() == (1013, "The service is busy: 2 streams are open already.")
        async with connected(app) as again:
            again.send(frames[0])
            assert (await again.read())["frame"] == 0

    play(scenario, max_streams=2)


def test_before_the_models_are_warm_it_says_so(play: Callable) -> None:
    async def scenario(app: FastAPI) -> None:
        socket = Socket(app)
        assert (await socket.read())["status"] == 503
        assert (await socket.closed())[0] == 1013

    play(scenario, lifespan=False)


def test_a_message_over_the_limit_ends_the_stream(play: Callable) -> None:
    async def scenario(app: FastAPI) -> None:
        socket = Socket(app)
        socket.send(bytes(5000))
        assert await socket.closed() == (1009, "A message may have at most 4096 bytes; this one has 5000.")

    play(scenario, stream_max_bytes=4096)


def test_who_sends_nothing_is_let_go(play: Callable, frames: list[bytes]) -> None:
    async def scenario(app: FastAPI) -> None:
        socket = Socket(app)
        for _ in range(4):
            socket.send(frames[0])
            await socket.read()
            await asyncio.sleep(0.3)  # four of them are longer than the limit
        assert await socket.closed() == (1000, "No message for 1 seconds.")
        assert app.state.service.streams.open == 0

    play(scenario, stream_idle_seconds=1)


def test_who_reads_nothing_for_long_is_let_go(play: Callable, frames: list[bytes]) -> None:
    async def scenario(app: FastAPI) -> None:
        socket = Socket(app)
        socket.reading.clear()
        async with asyncio.timeout(20):
            while not socket.task.done():
                socket.send(frames[0])
                await asyncio.sleep(0.05)
        code, reason = await socket.closed()
        assert code == 1008
        assert "not read" in reason

    play(scenario, stream_idle_seconds=1)


def test_streams_end_with_the_service(play: Callable, frames: list[bytes]) -> None:
    async def scenario(app: FastAPI) -> None:
        busy, idle = Socket(app), Socket(app)
        busy.send(frames[0])
        await busy.read()
        await app.state.service.streams.close()
        for socket in (busy, idle):
            assert await socket.closed() == (1001, "The service is stopping.")
        assert app.state.service.streams.open == 0

    play(scenario)


def test_a_client_that_leaves_in_the_middle_of_a_frame_frees_its_place(
    play: Callable, gate: Gate, frames: list[bytes]
) -> None:
    async def scenario(app: FastAPI) -> None:
        async with connected(app) as socket:
            gate.shut()
            socket.send(frames[0])
            await gate.until_entered()
            socket.send(frames[1])
        assert app.state.service.streams.open == 0
        counted = app.state.service.metrics.text().decode()
        assert 'handpose_stream_frames_total{outcome="abandoned"} 2.0' in counted
        gate.open()
        async with connected(app) as socket:
            socket.send(frames[0])
            assert (await socket.read())["frame"] == 0

    play(scenario)


def test_a_fault_of_ours_is_told_logged_and_ends_the_stream(
    play: Callable,
    pipeline: Pipeline,
    frames: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the engine is gone")

    async def scenario(app: FastAPI) -> None:
        monkeypatch.setattr(pipeline, "detect", broken)
        socket = Socket(app)
        socket.send(frames[0])
        message = ErrorMessage.model_validate(await socket.read())
        assert (message.frame, message.status) == (0, 500)
        assert "gone" not in message.detail
        assert (await socket.closed())[0] == 1011
        assert "the engine is gone" in caplog.text
        metrics = app.state.service.metrics.text().decode()
        assert 'handpose_faults_total{route="/v1/stream"} 1.0' in metrics

    play(scenario)


def test_streams_take_turns(play: Callable, frames: list[bytes], until: Until) -> None:
    """One thread, four streams that always have a frame waiting: each gets its share."""

    async def scenario(app: FastAPI) -> None:
        sockets = [Socket(app) for _ in range(4)]
        answered = [0] * 4

        async def flood(socket: Socket) -> None:
            while True:
                socket.send(frames[0])
                await asyncio.sleep(0.0005)

        floods = [asyncio.create_task(flood(socket)) for socket in sockets]
        await until(lambda: min(socket.unread for socket in sockets) >= 50)
        for task in floods:
            task.cancel()
        for index, socket in enumerate(sockets):
            answered[index] = socket.unread
            socket.leave()
        await asyncio.gather(*(socket.task for socket in sockets))
        assert min(answered) >= 50
        assert max(answered) - min(answered) <= 3

    play(scenario)


def test_a_full_queue_of_requests_delays_a_stream_and_no_more(play: Callable, frames: list[bytes]) -> None:
    async def scenario(app: FastAPI) -> None:
        workers, done = app.state.service.workers, threading.Event()
        request = asyncio.create_task(workers.run(lambda: done.wait(5)))
        await asyncio.sleep(0.01)
        assert workers.full
        async with connected(app) as socket:
            for frame in frames:
                socket.send(frame)
            await asyncio.sleep(0.1)
            assert socket.unread <= 1  # the acceptance
            done.set()
            assert (await socket.read())["frame"] == 19  # the newest by now
        await request

    play(scenario, queue_size=0)


def test_photos_cannot_starve_a_stream(play: Callable, gate: Gate, frames: list[bytes], until: Until) -> None:
    """It gets its turn in the order of coming, although the queue never has room for a photo."""

    async def scenario(app: FastAPI) -> None:
        workers, gates = app.state.service.workers, [threading.Event() for _ in range(3)]
        first = asyncio.create_task(workers.run(partial(gates[0].wait, 10)))
        async with connected(app) as socket:
            socket.send(frames[0])
            await until(lambda: workers.waiting == 1)
            with pytest.raises(QueueFullError):
                await workers.run(partial(gates[1].wait, 10))
            gates[0].set()
            assert (await socket.read())["frame"] == 0
        await first

    play(scenario, queue_size=0)
