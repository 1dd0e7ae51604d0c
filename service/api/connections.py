"""How many connections there may be, and for how long and at what length each may say what it wants: uvicorn's
protocols with limits.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

from service.api.addresses import Network, client_of, within
from service.api.metrics import MALFORMED, TOO_LARGE, TOO_MANY_CONNECTIONS, TOO_SLOW
from service.api.places import NoPlaceError, Places
from service.api.problems import MEDIA_TYPE, Problem, respond, title

# Of a request's head, of the fields behind its body, of whatever else the parser would collect without end.
_MAX_HEAD_BYTES = 64 * 2**10
# Bytes that wait for the reader of a WebSocket; one answer and what the system lets through take less.
_MOST_UNREAD = 2**18
_MAX_FRAGMENTS = 10_000  # of a WebSocket message
_LINGER_SECONDS = 1.0  # for one that is turned away to speak, and again to hear the answer
_MAX_TURNED_AWAY = 100  # at once; further ones are cut off


@dataclass(slots=True)
class Connections:
    """The open connections of a server.

    limit: how many there may be. per_address: from one address, 0 for any number; `exempt` networks have no such
    limit (proxies stand for many clients). head_seconds: until the head of a request must be whole. on_refusal: hears
    the reason, one of `service.api.metrics`, for each that no application is asked about.
    """

    limit: int
    per_address: int = 0
    exempt: tuple[Network, ...] = ()
    head_seconds: float = 60.0
    on_refusal: Callable[[str], None] = lambda _: None
    _open: dict[asyncio.BaseTransport, str] = field(default_factory=dict)
    _turned_away: set[asyncio.BaseTransport] = field(default_factory=set)
    _places: Places = field(init=False)

    def __post_init__(self) -> None:
        self._places = Places(self.per_address)

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, transport: asyncio.BaseTransport) -> None:
        """Count a connection until `release`; one that is counted already stays so. Raises Problem 503 or 429."""
        if transport in self._open:
            return
        if len(self._open) >= self.limit:
            raise Problem(503, f"{self.limit} connections are open already.", headers={"Retry-After": "1"})
        peer = transport.get_extra_info("peername")
        host = peer[0] if isinstance(peer, tuple) else ""
        holder = "" if within(host, self.exempt) else client_of(host)
        if holder:
            try:
                self._places.take(holder)
            except NoPlaceError:
                detail = f"{holder} has {self.per_address} connections open already."
                raise Problem(429, detail, headers={"Retry-After": "1"}) from None
        self._open[transport] = holder

    def turn_away(self, transport: asyncio.BaseTransport) -> bool:
        """Whether one that was not admitted may stay for as long as it takes to tell it so."""
        if len(self._turned_away) >= _MAX_TURNED_AWAY:
            return False
        self._turned_away.add(transport)
        return True

    def release(self, transport: asyncio.BaseTransport) -> None:
        """It is closed."""
        self._turned_away.discard(transport)
        if holder := self._open.pop(transport, ""):
            self._places.give_back(holder)


def protocols(connections: Connections) -> tuple[type[asyncio.Protocol], type[asyncio.Protocol]]:
    """The classes that speak HTTP and WebSocket, for `uvicorn.Config(http=…, ws=…)`."""

    class Http(HttpToolsProtocol):
        """Turns away what is too many, and gives up what does not get to the point."""

        refusal: Problem | None = None  # the answer to whatever comes
        ended = False
        timer: asyncio.TimerHandle | None = None
        whole = True  # nothing is missing of the request that came last
        progress = False  # of the data that came last
        fruitless = 0  # bytes since there was any

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            try:
                connections.admit(transport)
            except Problem as problem:
                connections.on_refusal(TOO_MANY_CONNECTIONS)
                # Said when something has come: some clients do not hear what is said before that.
                self.refusal = problem
                if connections.turn_away(transport):
                    self._start_timer(_LINGER_SECONDS)
                else:
                    transport.abort()
            else:
                self._start_timer(connections.head_seconds)

        def data_received(self, data: bytes) -> None:
            if self.ended:
                return
            if self.refusal is not None:
                self._end(self.refusal)
                return
            self.progress = False
            super().data_received(data)
            self.fruitless = 0 if self.progress else self.fruitless + len(data)
            if self.fruitless > _MAX_HEAD_BYTES:
                self._refuse(
                    TOO_LARGE, Problem(431, f"The head of a request may have {_MAX_HEAD_BYTES} bytes.")
                )

        def send_400_response(self, msg: str) -> None:
            self.progress = True  # nothing more will be parsed
            self._refuse(MALFORMED, Problem(400, "This is no request of HTTP/1.1."))

        def on_message_begin(self) -> None:
            if self.timer is None:
                self._start_timer(connections.head_seconds)
            self.whole = False
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._stop_timer()
            self.progress = True
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            self.progress = True
            super().on_body(body)

        def on_message_complete(self) -> None:
            self.progress = self.whole = True
            self._stop_timer()
            super().on_message_complete()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if (
                not self.whole and self.timer is None
            ):  # a body that is read and dropped may not drip for ever either
                self.timer = self.loop.call_later(connections.head_seconds, self.transport.close)

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            connections.release(
                self.transport
            )  # not called for a WebSocket: the connection is that one's by then
            super().connection_lost(exc)

        def _start_timer(self, seconds: float) -> None:
            self._stop_timer()
            self.timer = self.loop.call_later(seconds, self._too_slow)

        def _stop_timer(self) -> None:
            if self.timer is not None:
                self.timer.cancel()
                self.timer = None

        def _too_slow(self) -> None:
            seconds = connections.head_seconds
            slow = Problem(408, f"The head of the request was not whole within {seconds:g} seconds.")
            if self.ended:
                self.transport.close()
            elif self.refusal is not None:  # counted when it came
                self._end(self.refusal)
            else:
                self._refuse(TOO_SLOW, slow)

        def _refuse(self, reason: str, problem: Problem) -> None:
            connections.on_refusal(reason)
            self._end(problem)

        def _end(self, problem: Problem) -> None:
            """Answer and end. What still comes is read and dropped for a moment: closed over it, the connection would
            be reset, and the answer lost.
            """
            self.ended = True
            if self.cycle is not None and not self.cycle.response_complete:
                self.transport.close()  # into the middle of another answer nothing can be said
                return
            _say_last(self.transport, _raw(problem))
            self._start_timer(_LINGER_SECONDS)

    class WebSocket(WebSocketsSansIOProtocol):
        """The protocol that waits for slow readers; gives its place back, and bounds what it would collect."""

        failed = False  # it was told why, and is closed in a moment

        def connection_lost(self, exc: Exception | None) -> None:
            connections.release(self.transport)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self.failed:
                return
            super().data_received(data)
            self._wait_for_reader()

        async def receive(self) -> Any:
            message = await super().receive()  # which reads on
            self._wait_for_reader()
            return message

        def resume_writing(self) -> None:
            super().resume_writing()
            if not self.read_paused:
                self.transport.resume_reading()

        def _wait_for_reader(self) -> None:
            """Who does not read is not listened to once the answers to its pings pile up. Frames alone never come so
            far: their answers wait for the reader, so that the newest frame goes on replacing the one before.
            """
            if not self.transport.is_closing() and self.transport.get_write_buffer_size() > _MOST_UNREAD:
                self.transport.pause_reading()

        def handle_cont(self, event: Frame) -> None:
            if self.close_sent:
                return
            if len(self.frames) >= _MAX_FRAGMENTS:  # each takes fifty bytes, even if it is empty
                self._fail(CloseCode.MESSAGE_TOO_BIG, f"A message may have {_MAX_FRAGMENTS} fragments.")
                return
            super().handle_cont(event)

        def send_receive_event_to_app(self) -> None:
            if self.curr_msg_data_type == "text":
                try:
                    b"".join(self.frames).decode()
                except UnicodeDecodeError:  # uvicorn would log it as a failure of ours
                    self._fail(CloseCode.INVALID_DATA, "Text is UTF-8.")
                    return
            super().send_receive_event_to_app()

        def handle_parser_exception(self) -> None:
            """Say what is wrong and end, as `Http` does: what still comes is read and dropped for a moment."""
            assert self.conn.close_sent is not None
            self.failed = self.close_sent = True
            code, reason = self.conn.close_sent.code, self.conn.close_sent.reason
            self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
            _say_last(self.transport, b"".join(self.conn.data_to_send()))
            self.transport.resume_reading()
            self.close_timer = self.loop.call_later(_LINGER_SECONDS, self.transport.close)

        def _fail(self, code: CloseCode, reason: str) -> None:
            self.frames = []
            if not self.close_sent:
                self.conn.send_close(code, reason)
                self.handle_parser_exception()

    return Http, WebSocket


def _say_last(transport: asyncio.Transport, data: bytes) -> None:
    """Write, and say that nothing more will come; what the other side still says can be read."""
    transport.write(data)
    if transport.can_write_eof():
        transport.write_eof()


def _raw(problem: Problem) -> bytes:
    """An answer as it goes over the wire, for where no application is asked."""
    response = respond(problem)
    head = [f"HTTP/1.1 {problem.status} {title(problem.status)}", f"content-type: {MEDIA_TYPE}"]
    head += [f"{name}: {value}" for name, value in problem.headers.items()]
    head += [f"content-length: {len(response.body)}", "connection: close"]
    return "\r\n".join([*head, "", ""]).encode("ascii") + bytes(response.body)
