"""A service that answers what a test tells it to, on a real socket."""

import asyncio
import contextlib
import itertools
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import uvicorn
from handpose_client import KEYPOINT_NAMES, AsyncHandPose, HandPose
from handpose_client.cli import main
from handpose_client.video import VideoWriter
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

Document = dict[str, Any]
Run = Callable[..., tuple[int, str, str]]


def hand_document(x: float = 10.0, label: str = "right", **more: Any) -> Document:
    """A hand as the service answers it, its box at (x, 20)."""
    return {
        "score": 0.98,
        "handedness": {"label": label, "score": 0.97},
        "box": {"x": x, "y": 20.0, "width": 40.0, "height": 50.0},
        "keypoints": [
            {"name": name, "x": x + 2.0 * i, "y": 20.0 + i, "z": -0.5 * i, "score": 0.9}
            for i, name in enumerate(KEYPOINT_NAMES)
        ],
        **more,
    }


def pose_document(*hands: Document) -> Document:
    """An answer of `POST /v1/pose`."""
    return {
        "image": {"width": 160, "height": 120},
        "hands": list(hands),
        "models": {"detector": "small 1", "pose": "light 2"},
        "timing_ms": {"decode": 1.5, "queue": 0.0, "detect": 5.0, "pose": 4.0, "total": 10.5},
    }


def batch_document(*results: Document) -> Document:
    """An answer of `POST /v1/pose/batch`: results with their places and names."""
    return {"results": [{"index": i, "name": str(i), **result} for i, result in enumerate(results)]}


def found_response(seen: "Seen", *hands: Document) -> Response:
    """The same hands in every picture of a request."""
    pose = pose_document(*hands)
    count = seen.body.count(b'name="images"')
    return JSONResponse(batch_document(*[pose] * count) if count else pose)


def problem_response(status: int, detail: str, **headers: str) -> Response:
    """An RFC 9457 answer."""
    body = {"type": "about:blank", "title": "Some Title", "status": status, "detail": detail}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return JSONResponse(body, status, named, media_type="application/problem+json")


@dataclass
class Seen:
    """A request the service got."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeService:
    """answer: makes the answer to an HTTP request. follow: what happens on `/v1/stream`, from before it is
    accepted.
    """

    url: str = ""
    answer: Callable[[Seen], Response | Awaitable[Response]] = found_response
    follow: Callable[[WebSocket], Awaitable[None]] | None = None
    seen: list[Seen] = field(default_factory=list)
    streams: list[Seen] = field(default_factory=list)

    async def http(self, request: Request) -> Response:
        seen = Seen(
            request.method,
            request.url.path,
            dict(request.query_params),
            dict(request.headers),
            await request.body(),
        )
        self.seen.append(seen)
        answer = self.answer(seen)
        return answer if isinstance(answer, Response) else await answer

    async def websocket(self, websocket: WebSocket) -> None:
        self.streams.append(
            Seen("WS", websocket.url.path, dict(websocket.query_params), dict(websocket.headers), b"")
        )
        assert self.follow is not None
        with contextlib.suppress(WebSocketDisconnect):
            await self.follow(websocket)


@contextlib.contextmanager
def serve(service: FakeService, port: int = 0) -> Iterator[str]:
    """Runs a service in a thread; yields its URL."""
    routes = [
        WebSocketRoute("/{path:path}", service.websocket),
        Route("/{path:path}", service.http, methods=["GET", "POST"]),
    ]
    listener = socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(
        Starlette(routes=routes),
        log_level="critical",
        lifespan="off",
        ws="websockets-sansio",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def _running() -> Iterator[FakeService]:
    service = FakeService()
    with serve(service) as url:
        service.url = url
        yield service


@pytest.fixture
def service(_running: FakeService) -> FakeService:
    """The fake service, as if just started."""
    fresh = FakeService()
    _running.answer, _running.follow = fresh.answer, fresh.follow
    _running.seen, _running.streams = [], []
    return _running


@pytest.fixture
def raw_service() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """Starts a server below HTTP: `raw_service(handler)` calls the handler with each connection, then closes
    it; returns the URL.
    """
    listeners: list[tuple[socket.socket, threading.Thread]] = []

    def start(handler: Callable[[socket.socket], None]) -> str:
        listener = socket.create_server(("127.0.0.1", 0))

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    handler(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        listeners.append((listener, thread))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener, thread in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


@pytest.fixture
def documents() -> SimpleNamespace:
    """Makes what a service answers: `documents.hand(x=…)`, `.pose(hand, …)`, `.batch(result, …)`,
    `.found(request, hand, …)`, `.problem(status, detail)`.
    """
    return SimpleNamespace(
        hand=hand_document,
        pose=pose_document,
        batch=batch_document,
        found=found_response,
        problem=problem_response,
    )


@pytest.fixture
def unused_url() -> str:
    """Nobody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


class Sync:
    """Calls the ordinary client."""

    @staticmethod
    def many(url: str, pictures: Any, **options: Any) -> list[Any]:
        client_options = options.pop("client", {})
        with HandPose(url, **client_options) as client:
            return list(client.pose_many(pictures, **options))

    @staticmethod
    def call(url: str, method: str, *arguments: Any, **options: Any) -> Any:
        client_options = options.pop("client", {})
        with HandPose(url, **client_options) as client:
            return getattr(client, method)(*arguments, **options)

    @staticmethod
    def stream(url: str, frames: Any, **options: Any) -> list[Any]:
        client_options = options.pop("client", {})
        with HandPose(url, **client_options) as client:
            return list(client.stream(frames, **options))


class Async:
    """Calls the asynchronous client, in an event loop of its own."""

    @staticmethod
    def many(url: str, pictures: Any, **options: Any) -> list[Any]:
        client_options = options.pop("client", {})

        async def run() -> list[Any]:
            async with AsyncHandPose(url, **client_options) as client:
                return [result async for result in client.pose_many(pictures, **options)]

        return asyncio.run(run())

    @staticmethod
    def call(url: str, method: str, *arguments: Any, **options: Any) -> Any:
        client_options = options.pop("client", {})

        async def run() -> Any:
            async with AsyncHandPose(url, **client_options) as client:
                return await getattr(client, method)(*arguments, **options)

        return asyncio.run(run())

    @staticmethod
    def stream(url: str, frames: Any, **options: Any) -> list[Any]:
        client_options = options.pop("client", {})

        async def run() -> list[Any]:
            async with AsyncHandPose(url, **client_options) as client:
                return [result async for result in client.stream(_asynchronous(frames), **options)]

        return asyncio.run(run())


async def _asynchronous(frames: Any) -> AsyncIterator[Any]:
    for frame in frames:
        yield frame


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def client(request: pytest.FixtureRequest) -> Any:
    """Both clients: `client.call(url, "pose", image, client={"timeout": 1})`, `client.stream(url, frames)`,
    `client.many(url, pictures)`.
    """
    return request.param


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    """(120, 160, 3) RGB: red above, blue below."""
    image = np.zeros((120, 160, 3), np.uint8)
    image[:60, :, 0] = 255
    image[60:, :, 2] = 255
    return image


@pytest.fixture
def jpeg(picture: NDArray[np.uint8]) -> bytes:
    """The picture as a JPEG file."""
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()


@pytest.fixture
def no_threads_stay() -> Iterator[None]:
    """Whatever happens, a stream takes its threads with it."""
    yield
    deadline = time.monotonic() + 5
    while left := [t for t in threading.enumerate() if t.name in ("handpose-stream", "handpose-frames")]:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


@pytest.fixture
def message(documents: SimpleNamespace) -> Callable[..., str]:
    """`message(3)` answers frame 3 with a hand at x = 3; more members by name."""

    def make(frame: int | None, **more: Any) -> str:
        document = {"type": "result", "frame": frame, "dropped": 0, **documents.pose()}
        document["hands"] = [documents.hand(float(frame or 0), track_id=1)]
        return json.dumps(document | more)

    return make


@pytest.fixture
def echo(message: Callable[..., str]) -> Callable[[WebSocket], Awaitable[None]]:
    """Answers each frame."""

    async def follow(websocket: WebSocket) -> None:
        await websocket.accept()
        for number in itertools.count():
            await websocket.receive_bytes()
            await websocket.send_text(message(number))

    return follow


@pytest.fixture
def run(service: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line against the fake service: exit code, standard output, standard error."""
    monkeypatch.setenv("HAND_POSE_URL", service.url)

    def execute(*words: str | Path) -> tuple[int, str, str]:
        try:
            code = main([str(word) for word in words])
        except SystemExit as end:  # argparse
            code = end.code if isinstance(end.code, int) else 1
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return code, printed.out, printed.err

    return execute


@pytest.fixture
def photo(tmp_path: Path, jpeg: bytes) -> Path:
    path = tmp_path / "hand.jpg"
    path.write_bytes(jpeg)
    return path


@pytest.fixture
def follows(service: Any, documents: SimpleNamespace) -> None:
    """The service answers every frame of a stream with a hand."""

    async def follow(websocket: WebSocket) -> None:
        await websocket.accept()
        for number in itertools.count():
            await websocket.receive_bytes()
            answer = {
                "type": "result",
                "frame": number,
                "dropped": 0,
                **documents.pose(documents.hand(track_id=1)),
            }
            await websocket.send_text(json.dumps(answer))

    service.follow = follow


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Five grey frames, each brighter than the one before."""
    path = tmp_path / "clip.avi"
    with VideoWriter(path, fps=10) as writer:
        for i in range(5):
            writer.write(np.full((120, 160, 3), 40 * i, np.uint8))
    return path
