"""The clients of `soak.py`: those that behave, those that send rubbish, those that leave in the middle.

Each kind is a coroutine that does one thing and returns what came of it: an HTTP status, the close code of a stream, or
a word. `DECK` says how many of each there are in a round and what may come of them; nothing else may.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import httpx
import numpy as np
from mutations import Mutator
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

PHOTOS = Path(__file__).resolve().parent.parent / "tests" / "photos"
ANSWER_SECONDS = 60
_FRAMES = 8  # of a stream
_FRAME_SECONDS = 0.2


class Clients:
    """All kinds of clients of one server. key: may reload its models."""

    def __init__(self, url: str, key: str, seed: int = 1) -> None:
        self.url = url
        self._key = key
        address = urlsplit(url)
        assert address.hostname is not None
        assert address.port is not None
        self._host, self._port = address.hostname, address.port
        self._dice = random.Random(seed)
        self._broken = Mutator(seed)
        photos = [cv2.imread(str(path)) for path in sorted(PHOTOS.glob("*.jpg"))]
        small = [cv2.resize(photo, (640, 480)) for photo in photos]
        self._jpegs = [_encoded(photo, ".jpg") for photo in small]
        self._others = [
            (kind, _encoded(photo, "." + kind)) for photo in small for kind in ("png", "webp", "bmp")
        ]
        self._large = _encoded(cv2.resize(photos[0], (4000, 3000)), ".jpg")
        self._http: httpx.AsyncClient  # from `open` on

    async def open(self) -> None:
        """For a round: its connections are kept open until `close`."""
        self._http = httpx.AsyncClient(base_url=self.url, timeout=ANSWER_SECONDS)

    async def close(self) -> None:
        """Close the connections that were kept open."""
        await self._http.aclose()

    def _jpeg(self) -> bytes:
        return self._dice.choice(self._jpegs)

    async def photo(self) -> str:
        return await self._pose(self._jpeg(), "image/jpeg")

    async def other_type(self) -> str:
        kind, data = self._dice.choice(self._others)
        return await self._pose(data, f"image/{kind}")

    async def large_photo(self) -> str:
        return await self._pose(self._large, "image/jpeg")

    async def drawn(self) -> str:
        return await self._pose(self._jpeg(), "image/jpeg", Accept="image/jpeg")

    async def _pose(self, data: bytes, kind: str, **headers: str) -> str:
        answer = await self._http.post("/v1/pose", content=data, headers={"Content-Type": kind} | headers)
        return str(answer.status_code)

    async def form(self) -> str:
        answer = await self._http.post("/v1/pose", files={"image": ("hand.jpg", self._jpeg())})
        return str(answer.status_code)

    async def batch(self) -> str:
        """Three pictures, one of them broken: that one fails alone."""
        files = [("images", data) for data in (self._jpeg(), next(self._broken), self._jpeg())]
        return str((await self._http.post("/v1/pose/batch", files=files)).status_code)

    async def look(self) -> str:
        paths = ("/", "/metrics", "/healthz", "/readyz", "/v1/models", "/openapi.json", "/app.js")
        return str((await self._http.get(self._dice.choice(paths))).status_code)

    async def reload(self) -> str:
        headers = {"Authorization": f"Bearer {self._key}"}
        return str((await self._http.post("/v1/models/reload", headers=headers)).status_code)

    async def stream(self) -> str:
        """Some frames, an answer to each of them or a newer one, and a proper end."""
        async with connect(self._stream_url(), open_timeout=ANSWER_SECONDS) as stream:
            for _ in range(_FRAMES):
                await stream.send(self._jpeg())
                answer = json.loads(await asyncio.wait_for(stream.recv(), ANSWER_SECONDS))
                if answer["type"] != "result":
                    return str(answer["status"])
                await asyncio.sleep(_FRAME_SECONDS)
            await stream.send(next(self._broken))  # may be a picture nevertheless; the stream goes on
            await asyncio.wait_for(stream.recv(), ANSWER_SECONDS)
            await stream.send(self._jpeg())
            return str(json.loads(await asyncio.wait_for(stream.recv(), ANSWER_SECONDS))["type"])

    async def stream_left(self) -> str:
        """Frames without waiting for answers; then the connection is gone, without a word."""
        async with connect(self._stream_url(), open_timeout=ANSWER_SECONDS) as stream:
            with contextlib.suppress(ConnectionClosed):
                for _ in range(_FRAMES):
                    await stream.send(self._jpeg())
                    await asyncio.sleep(_FRAME_SECONDS / 4)
            stream.transport.abort()
        return "left"

    async def stream_rubbish(self) -> str:
        """Text that is no message, then a frame that is larger than allowed."""
        stream = await connect(self._stream_url(), open_timeout=ANSWER_SECONDS)
        try:
            await stream.send('{"type": "configure", "max_hands": "many"}')
            await asyncio.wait_for(stream.recv(), ANSWER_SECONDS)
            await stream.send(bytes(9 * 2**20))
            await asyncio.wait_for(stream.recv(), ANSWER_SECONDS)
        except ConnectionClosed as closed:
            return str(closed.rcvd.code) if closed.rcvd else "cut"
        finally:
            # websockets aborts a transport of asyncio that has lost its connection and forgotten its loop.
            with contextlib.suppress(AttributeError):
                await stream.close()
        return "open"

    def _stream_url(self) -> str:
        return f"ws://{self._host}:{self._port}/v1/stream?max_hands=2"

    async def broken_image(self) -> str:
        return await self._pose(next(self._broken), "application/octet-stream")

    async def bomb(self) -> str:
        """A few bytes that say they are a picture of 40,000 × 40,000."""
        head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x9c\x40\0\0\x9c\x40\x08\x02\0\0\0" + bytes(4)
        return await self._pose(head + b"\0\0\0\0IEND\xaeB`\x82", "image/png")

    async def bad_form(self) -> str:
        body = self._dice.choice((b"--x\r\n", b"--x\r\nA: " + b"b" * 9000, b"rubbish", b""))
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        return str((await self._http.post("/v1/pose", content=body, headers=headers)).status_code)

    async def bad_parameter(self) -> str:
        query = self._dice.choice(({"max_hands": "99"}, {"min_score": "nan"}, {"mirrored": "perhaps"}))
        answer = await self._http.post("/v1/pose", params=query, content=self._jpeg())
        return str(answer.status_code)

    async def unknown_path(self) -> str:
        path = self._dice.choice(("/admin", "/..%2fetc/passwd", "/v1/" + "a" * 500, "/%00"))
        return str((await self._http.get(path)).status_code)

    async def rubbish(self) -> str:
        """Bytes that are no HTTP."""
        hello = (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", bytes(200))
        return await self._raw(self._dice.choice(hello))

    async def endless_head(self) -> str:
        return await self._raw(b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000)

    async def _raw(self, data: bytes) -> str:
        """Send bytes; the status of what is answered until the server closes the connection."""
        reader, writer = await asyncio.open_connection(self._host, self._port)
        answer = b""
        try:
            writer.write(data)
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await reader.read(4096)
        except ConnectionError:
            return "cut"
        finally:
            writer.transport.abort()
        return answer[9:12].decode("ascii", "replace") if answer.startswith(b"HTTP/1.1 ") else "cut"

    async def sent_and_left(self) -> str:
        return await self._leave(1.0, 0.01)

    async def upload_left(self) -> str:
        return await self._leave(0.5, 0.5)

    async def _leave(self, share: float, seconds: float) -> str:
        """Send that share of a request, wait, and be gone."""
        body = self._jpeg()
        head = f"POST /v1/pose HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
        _, writer = await asyncio.open_connection(self._host, self._port)
        writer.write(head.encode() + body[: int(share * len(body))])
        await writer.drain()
        await asyncio.sleep(seconds)
        writer.transport.abort()
        return "left"

    async def slow_head(self) -> str:
        """A byte now and then."""
        _, writer = await asyncio.open_connection(self._host, self._port)
        for byte in b"GET / HTTP":
            writer.write(bytes([byte]))
            await asyncio.sleep(0.3)
        writer.transport.abort()
        return "left"


@dataclass(frozen=True)
class Kind:
    """So many of these clients in a round, and what may come of each."""

    run: Callable[[Clients], Awaitable[str]]
    count: int
    expected: frozenset[str]


def _kind(run: Callable[[Clients], Awaitable[str]], count: int, *expected: str) -> Kind:
    return Kind(run, count, frozenset(expected))


_BUSY = "503"  # a full queue is an answer, too
_BROKEN = ("200", "413", "415", "422", _BUSY)

RELOAD = _kind(Clients.reload, 1, "200")
DECK = (
    _kind(Clients.photo, 14, "200", _BUSY),
    _kind(Clients.form, 4, "200", _BUSY),
    _kind(Clients.other_type, 4, "200", _BUSY),
    _kind(Clients.large_photo, 1, "200", _BUSY),
    _kind(Clients.drawn, 2, "200", _BUSY),
    _kind(Clients.batch, 2, "200", _BUSY),
    _kind(Clients.look, 4, "200"),
    _kind(Clients.stream, 3, "result", _BUSY),
    _kind(Clients.stream_left, 2, "left"),
    _kind(Clients.stream_rubbish, 1, "1009", _BUSY),
    _kind(Clients.broken_image, 12, *_BROKEN),
    _kind(Clients.bomb, 1, "413", _BUSY),
    _kind(Clients.bad_form, 3, "422", _BUSY),
    _kind(Clients.bad_parameter, 2, "422", _BUSY),
    _kind(Clients.unknown_path, 2, "404"),
    _kind(Clients.rubbish, 3, "400", "cut"),
    _kind(Clients.endless_head, 1, "431", "cut"),
    _kind(Clients.sent_and_left, 3, "left"),
    _kind(Clients.upload_left, 2, "left"),
    _kind(Clients.slow_head, 2, "left"),
    RELOAD,
)


def _encoded(picture: np.ndarray, extension: str) -> bytes:
    return cv2.imencode(extension, picture)[1].tobytes()
