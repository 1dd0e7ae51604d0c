"""Answers too large to lie around: sent as fast as they are read, and no slower than they may be."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import ExitStack

from fastapi import Response
from starlette.types import Receive, Scope, Send

log = logging.getLogger("service")

_PIECE = 2**18
_SLOWEST = 2**16  # bytes a second that a client reads at least


class LargeAnswer(Response):
    """A body that is given to the connection piece by piece, so that what a client does not read stays here, where it
    is counted.

    held: closed when the last piece has left, or nobody wants it any more. seconds: how long that may take beside what
    a slow network needs; the connection is cut off then.
    """

    def __init__(
        self, body: bytes, media_type: str, headers: Mapping[str, str], held: ExitStack, seconds: float
    ) -> None:
        super().__init__(body, media_type=media_type, headers=headers)
        self._held = held
        self._seconds = seconds + len(body) / _SLOWEST

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            try:
                async with asyncio.timeout(self._seconds):
                    await self._send(send)
            except TimeoutError:  # to return without an end makes the server close the connection
                log.warning("an answer of %d bytes was not read in time", len(self.body))

    async def _send(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await send(start)
        body = memoryview(self.body)
        for at in range(0, len(body), _PIECE):
            piece = bytes(body[at : at + _PIECE])
            await send({"type": "http.response.body", "body": piece, "more_body": at + _PIECE < len(body)})
