"""The application without a socket, and pictures as files."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pytest
from anyio.from_thread import start_blocking_portal
from fastapi import FastAPI
from numpy.typing import NDArray
from PIL import Image as PillowImage
from pydantic import SecretStr

from service.api.keys import create
from service.app import create_app
from service.inference.pipeline import Pipeline
from service.settings import Settings
from tests.service.api.gate import Gate


class Client:
    """Calls an ASGI application from a test, in its own event loop, with its lifespan around."""

    def __init__(self, app: FastAPI, portal: Any, http: httpx.AsyncClient) -> None:
        self.app = app
        self.portal = portal
        self.http = http

    def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        return self.portal.call(partial(self.http.request, method, url, **options))

    def get(self, url: str, **options: Any) -> httpx.Response:
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Any) -> httpx.Response:
        return self.request("POST", url, **options)

    def pose(self, data: bytes, content_type: str = "image/png", **options: Any) -> httpx.Response:
        """POST /v1/pose with a raw body."""
        headers = {"Content-Type": content_type, **options.pop("headers", {})}
        return self.post("/v1/pose", content=data, headers=headers, **options)


@contextlib.contextmanager
def serve(app: FastAPI, *, lifespan: bool = True, peer: str = "127.0.0.1") -> Iterator[Client]:
    """A client of an application. lifespan: start and stop it, as a server does. peer: where it connects from."""
    with start_blocking_portal() as portal:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(peer, 123))
        http = httpx.AsyncClient(transport=transport, base_url="http://test")
        with contextlib.ExitStack() as stack:
            if lifespan:
                stack.enter_context(portal.wrap_async_context_manager(app.router.lifespan_context(app)))
            yield Client(app, portal, http)
        portal.call(http.aclose)


@pytest.fixture
def make_client(pipeline: Pipeline) -> Iterator[Callable[..., Client]]:
    """Makes clients of an application over the fake engines: `make_client(max_bytes=4096)`."""
    with contextlib.ExitStack() as stack:

        def make(
            *, lifespan: bool = True, engines: Pipeline = pipeline, peer: str = "127.0.0.1", **settings: Any
        ) -> Client:
            app = create_app(Settings(**{"threads": 1, **settings}), engines)
            return stack.enter_context(serve(app, lifespan=lifespan, peer=peer))

        yield make


@pytest.fixture
def client(make_client: Callable[..., Client]) -> Client:
    """A client with the default settings."""
    return make_client()


@dataclass(frozen=True)
class Keys:
    """Keys for a service: `settings` go to `make_client`, each other is the header of a request."""

    settings: dict[str, Any]
    lab: dict[str, str]
    other: dict[str, str]
    metrics: dict[str, str]
    admin: dict[str, str]
    text: str  # of the key `lab`


@pytest.fixture(scope="session")
def keys() -> Keys:
    """`lab` and `other` may infer, `metrics` and `admin` do what they are called."""
    scopes = {"lab": ["inference"], "other": ["inference"], "metrics": ["metrics"], "admin": ["admin"]}
    made = {name: create(name, granted) for name, granted in scopes.items()}
    headers = {name: {"Authorization": f"Bearer {text}"} for name, (text, _) in made.items()}
    records = ",".join(key.record() for _, key in made.values())
    return Keys(settings={"keys": SecretStr(records)}, text=made["lab"][0], **headers)


@pytest.fixture
def encode() -> Callable[..., bytes]:
    """Writes a picture with Pillow: `encode(image, "JPEG", mode="CMYK", quality=95)`."""

    def write(image: NDArray[np.uint8], kind: str = "PNG", mode: str = "", **options: Any) -> bytes:
        picture = PillowImage.fromarray(image)
        buffer = BytesIO()
        (picture.convert(mode) if mode else picture).save(buffer, kind, **options)
        return buffer.getvalue()

    return write


@pytest.fixture
def photo(draw: Callable[..., NDArray[np.uint8]], encode: Callable[..., bytes]) -> bytes:
    """A PNG of 320 × 240 with one right hand at (100, 60), 50 wide and 80 high."""
    return encode(draw(320, 240, (100, 60, 50, 80, (255, 0, 0))))


@pytest.fixture
def play(pipeline: Pipeline) -> Callable[..., None]:
    """Runs a scenario against a service over the fake engines: `play(scenario, max_streams=1)`."""

    def run(
        scenario: Callable[[FastAPI], Awaitable[None]], *, lifespan: bool = True, **settings: Any
    ) -> None:
        async def main() -> None:
            app = create_app(Settings(**{"threads": 1, **settings}), pipeline)
            async with app.router.lifespan_context(app) if lifespan else contextlib.nullcontext():
                await scenario(app)

        asyncio.run(main())

    return run


@pytest.fixture
def gate(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(pipeline, monkeypatch)


@pytest.fixture
def frames(draw: Callable, encode: Callable) -> list[bytes]:
    """A right hand that moves to the right."""
    return [encode(draw(320, 240, (60 + 4 * i, 60, 50, 80, (255, 0, 0)))) for i in range(20)]
