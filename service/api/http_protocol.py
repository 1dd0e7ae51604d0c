"""uvicorn's HTTP/1.1, bounded: in what it waits for, in what waits for it, in how it ends."""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.api.connections import Connections
from service.api.last_words import LINGER_SECONDS, say_last, written
from service.api.metrics import MALFORMED, TOO_LARGE, TOO_MANY_CONNECTIONS, TOO_SLOW
from service.api.problems import Problem

# Of a request's head, of the fields behind its body, of whatever else the parser would collect without end.
_MAX_HEAD_BYTES = 64 * 2**10
_MAX_LINE_BYTES = 8 * 2**10  # of a head; to take apart what is longer would keep all others waiting
_MAX_FIELDS = 128  # of a head, as many as a stream's handshake may have
_MAX_WAITING = 16  # requests, while one before them on the same connection is answered
# Closed while a proxy sends on it, a kept connection loses the request, and its client hears 502. So proxies close
# theirs first: most do after a minute or two, Google's after ten.
_PROXY_IDLE_SECONDS = 620


class _EnoughError(Exception):
    """Stops the parser."""


class HttpProtocol(HttpToolsProtocol):
    """Turns away what is too many, and gives up what does not get to the point."""

    places: Connections
    refusal: Problem | None = None  # the answer to whatever comes
    ended = False  # what still comes is dropped
    timer: asyncio.TimerHandle | None = None
    running: RequestResponseCycle | None = None  # answered now, or last; `cycle` came last
    in_head = True  # of the request that came last
    whole = True  # nothing is missing of the request that came last
    progress = False  # of the data that came last
    fruitless = 0  # bytes since there was any

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        try:
            self.places.admit(transport)
        except Problem as problem:
            self.places.on_refusal(TOO_MANY_CONNECTIONS)
            # Said when something has come: some clients do not hear what is said before that.
            self.refusal = problem
            if self.places.turn_away(transport):
                self._start_timer(LINGER_SECONDS)
            else:
                transport.abort()
        else:
            if self.places.exempts(transport):
                self.timeout_keep_alive = _PROXY_IDLE_SECONDS
            self._start_timer(self.places.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Not called for a WebSocket: the connection is that one's by then."""
        self._stop_timer()
        self.places.release(self.transport)
        self.pipeline.clear()
        if self.running is not None:
            self.cycle = self.running  # which hears of it
            self.cycle.transport = self.transport  # the other one holds this protocol
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.ended:
            return
        if self.refusal is not None:
            self._end(self.refusal)
            return
        self.progress = False
        self._unset_keepalive_if_required()
        self._parse(data)
        self.fruitless = 0 if self.progress else self.fruitless + len(data)
        if self.fruitless > _MAX_HEAD_BYTES:
            self._refuse_head()
        self._wait_for_next()

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= _MAX_WAITING:
            self.ended = self.progress = True
            self.cycle.keep_alive = False
            raise _EnoughError
        if self.timer is None:
            self._start_timer(self.places.head_seconds)
        self.whole, self.in_head = False, True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Drop what is not to be believed or read.

        Fields behind a body: the parser adds them to the head, which a proxy may have checked, and not these. Cookies:
        nobody asks for them, and Pythons before 3.11.10 take seconds to take some apart.
        """
        if self.in_head and name.lower() != b"cookie":
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._stop_timer()
        self.progress, self.in_head = True, False
        lines = [len(self.url), *(len(name) + len(value) for name, value in self.headers)]
        if len(lines) > 1 + _MAX_FIELDS or max(lines) > _MAX_LINE_BYTES or sum(lines) > _MAX_HEAD_BYTES:
            self._refuse_head()
            raise _EnoughError
        if not self._upgrade_ignored():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self.progress = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.progress = True
        if not self._upgrade_ignored():
            self.whole = True
            self._stop_timer()
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.ended:
            self._unset_keepalive_if_required()
        dropping = self.cycle.response_complete and (self.ended or not self.whole)
        if dropping and self.timer is None:  # what is read and dropped may not drip for ever either
            self._start_timer(self.places.head_seconds, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        self.progress = True  # nothing more will be parsed
        self._refuse(MALFORMED, Problem(400, "This is not valid HTTP/1.1."))

    def finish(self) -> None:
        """Close behind an answer. While more comes from the client, that is read and dropped: closed over it, the
        connection would be reset, and the answer lost.
        """
        answered = self.cycle is self.running and self.cycle.response_complete
        if answered and (self.ended or not self.whole):
            self.ended = True
            say_last(self.transport)
        else:
            self.transport.close()

    def _parse(self, data: bytes) -> None:
        """Hand data to the parser, and to another parser what it leaves over."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade() and self._answering():
                self.send_400_response("")  # the answer would get among the stream's messages
            elif self._should_upgrade():
                self.handle_websocket_upgrade()
            else:
                self._go_on_without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            if not self.ended:
                self.send_400_response("")

    def _wait_for_next(self) -> None:
        """As long as between any two requests. uvicorn waits for ever once anything has come behind an answer: the rest
        of a body that was not wanted, an empty line.
        """
        idle = self.whole and self.timer is None and self.timeout_keep_alive_task is None
        if idle and not self._answering() and self.transport.get_protocol() is self:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _upgrade_ignored(self) -> bool:
        """Whether the request would rather have another protocol, and none that we speak: RFC 9110, section 7.8, lets
        us go on as if it had not said so. The parser does not, it takes the body for that protocol.
        """
        return self.parser.should_upgrade() and not self._should_upgrade()

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """Begin anew with the head of the request as it would be without that wish, and with what came behind it."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":  # is an upgrade by itself
            self.send_400_response("")
            return
        head = [method + b" " + self.url + b" HTTP/" + version]
        head += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        self._parse(b"\r\n".join([*head, b"", rest]))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        async def run(scope: Any, receive: Any, send: Any) -> None:
            async def answer(message: Any) -> None:
                # A body that was not asked for will not come, where the next request would.
                if cycle.waiting_for_100_continue or self.places.draining():
                    cycle.keep_alive = False
                await send(message)

            await app(scope, receive, answer)
            given_up = cycle.response_started and not cycle.response_complete
            if given_up:  # which uvicorn would call an error
                cycle.disconnected = True
                self.transport.close()

        self.running = cycle
        cycle.transport = _Finishing(self)
        super()._start_asgi_task(cycle, run)

    def _start_timer(self, seconds: float, then: Any = None) -> None:
        self._stop_timer()
        self.timer = self.loop.call_later(seconds, then or self._too_slow)

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _too_slow(self) -> None:
        seconds = self.places.head_seconds
        slow = Problem(408, f"The head of the request was not complete within {seconds:g} seconds.")
        if self.ended:
            self.transport.close()
        elif self.refusal is not None:  # counted when it came
            self._end(self.refusal)
        else:
            self._refuse(TOO_SLOW, slow)

    def _refuse_head(self) -> None:
        lines = f"{_MAX_FIELDS} fields; the URL and each field may have {_MAX_LINE_BYTES} bytes"
        self._refuse(
            TOO_LARGE, Problem(431, f"The head of a request may have {_MAX_HEAD_BYTES} bytes and {lines}.")
        )

    def _refuse(self, reason: str, problem: Problem) -> None:
        self.places.on_refusal(reason)
        self._end(problem)

    def _end(self, problem: Problem) -> None:
        """Answer and end; what still comes is read and dropped for a moment."""
        self.ended = True
        if self._answering():
            in_body = not self.whole and not self.in_head
            if not in_body or self.cycle is not self.running or self.cycle.response_started:
                self.transport.close()  # into the middle of another answer nothing can be said
                return
            self.cycle.disconnected = True  # its body will never be whole
            self.cycle.waiting_for_100_continue = False
            self.cycle.message_event.set()
        say_last(self.transport, written(problem))
        self._start_timer(LINGER_SECONDS)


class _Finishing(asyncio.Transport):
    """A connection as one request has it: closed behind its answer, it is closed by `HttpProtocol.finish`."""

    def __init__(self, protocol: HttpProtocol) -> None:
        super().__init__()
        self._protocol = protocol

    def write(self, data: Any) -> None:
        self._protocol.transport.write(data)

    def is_closing(self) -> bool:
        return self._protocol.transport.is_closing()

    def close(self) -> None:
        self._protocol.finish()
