import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.requests import ClientDisconnect

from service.api.departures import unless_gone
from service.app import create_app
from service.inference.pipeline import Pipeline
from service.settings import Settings


def request(messages: asyncio.Queue[dict[str, Any]]) -> Request:
    return Request({"type": "http", "headers": []}, messages.get)


def test_work_ends_when_the_client_leaves() -> None:
    async def scenario() -> None:
        messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        ended = []

        async def work() -> None:
            try:
                await asyncio.sleep(10)
            finally:
                ended.append(True)

        messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        messages.put_nowait({"type": "http.disconnect"})
        with pytest.raises(ClientDisconnect):
            await unless_gone(request(messages), work())
        await asyncio.sleep(0)
        assert ended == [True]

    asyncio.run(scenario())


def test_results_and_errors_come_through_and_nothing_is_left_behind() -> None:
    async def scenario() -> None:
        messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        async def fail() -> None:
            raise KeyError("inside")

        assert await unless_gone(request(messages), asyncio.sleep(0, "done")) == "done"
        with pytest.raises(KeyError, match="inside"):
            await unless_gone(request(messages), fail())
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())


def test_what_clients_left_in_the_queue_is_never_begun(
    pipeline: Pipeline, photo: bytes, until: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = []
    plain = pipeline.run
    monkeypatch.setattr(pipeline, "run", lambda *a, **k: (looked_at.append(1), plain(*a, **k))[1])

    async def client(app: FastAPI, leave: asyncio.Event) -> int:
        """One that sends its picture and, when told to, hangs up."""
        body = [{"type": "http.request", "body": photo, "more_body": False}]
        status = []

        async def receive() -> dict[str, Any]:
            if body:
                return body.pop()
            await leave.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/v1/pose",
            "raw_path": b"/v1/pose",
            "root_path": "",
            "query_string": b"",
            "headers": [(b"host", b"test"), (b"content-type", b"image/png")],
            "client": ("127.0.0.1", 1),
        }
        await app(scope, receive, send)
        return status[0]

    async def scenario() -> None:
        app = create_app(Settings(threads=1), pipeline)
        async with app.router.lifespan_context(app):
            workers, gate = app.state.service.workers, threading.Event()
            busy = asyncio.create_task(workers.run(partial(gate.wait, 10)))
            leave, stay = asyncio.Event(), asyncio.Event()
            leaving = [asyncio.create_task(client(app, leave)) for _ in range(20)]
            staying = asyncio.create_task(client(app, stay))
            await until(lambda: workers.waiting == 21)
            leave.set()
            assert await asyncio.gather(*leaving) == [499] * 20
            assert workers.waiting == 1  # their places are free at once
            gate.set()
            assert await staying == 200
            await busy
            assert looked_at == [1]
            assert workers.abandoned == 20

    asyncio.run(scenario())
