"""uvicorn's WebSocket, bounded: in what it collects, in what it writes for who does not read, in how it ends."""

from http import HTTPStatus
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame
from websockets.protocol import State

from service.api.connections import Connections
from service.api.last_words import LINGER_SECONDS, say_last, written
from service.api.metrics import MALFORMED
from service.api.problems import Problem

# Bytes that wait for the reader; one answer and what the system lets through take less.
_MOST_UNREAD = 2**18
_MOST_AFTER_CLOSE = 2**16  # bytes of a message that has begun; a close frame has 131 at most
_MAX_FRAGMENTS = 10_000  # of a message


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """The protocol that waits for slow readers; gives its place back, and bounds what it would collect."""

    places: Connections
    ended = False  # it was told why, and is closed in a moment

    def connection_lost(self, exc: Exception | None) -> None:
        self.places.release(self.transport)
        super().connection_lost(exc)
        self.frames = []
        # The parser, and the errors that it raised, hold themselves and with them what has come of a message.
        self.conn.parser.close()
        self.conn.parser_exc = self.conn.handshake_exc = None
        self.conn.reader.discard()

    def data_received(self, data: bytes) -> None:
        if self.ended:
            return
        super().data_received(data)
        if not self.handshake_initiated:  # the head of the handshake comes whole, and first
            limits = "with at most 128 headers of at most 8 KiB"
            self._refuse_handshake(
                Problem(400, f"The handshake of a stream is a GET without a body, {limits}.")
            )
        self._bound_farewell()
        self._wait_for_reader()

    def handle_connect(self, event: Any) -> None:
        """The handshake. Frames wait until the application has taken it, by `receive`."""
        self.handshake_initiated = True
        answer = self.conn.accept(event)
        if answer.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            headers = {name: answer.headers[name] for name in ("Allow", "Upgrade") if name in answer.headers}
            detail = answer.body.decode().partition("\n")[0]
            self._refuse_handshake(Problem(answer.status_code, detail, headers=headers))
            return
        super().handle_connect(event)
        self.read_paused = True
        self.transport.pause_reading()

    async def receive(self) -> Any:
        message = await super().receive()  # which reads on
        self._wait_for_reader()
        return message

    async def send(self, message: Any) -> None:
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = (
                True  # also by an answer that refuses it, which uvicorn logs as an error
            )
            self._bound_farewell()

    def shutdown(self) -> None:
        """The server stops. Who has closed and does not read the rest is not waited for; uvicorn would answer the close
        a second time, and fail.
        """
        if self.transport.is_closing():
            self.transport.abort()
        else:
            super().shutdown()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.read_paused:
            self.transport.resume_reading()

    def handle_ping(self) -> None:
        if not self.ended:  # by what came together with it
            super().handle_ping()

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
        """Say what is wrong and end."""
        assert self.conn.close_sent is not None
        code, reason = self.conn.close_sent.code, self.conn.close_sent.reason
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self._end(b"".join(self.conn.data_to_send()))

    def _fail(self, code: CloseCode, reason: str) -> None:
        self.frames = []
        if not self.close_sent:
            if self.conn.state is State.OPEN:  # else its close came with the message, and has its answer
                self.conn.send_close(code, reason)
            self.handle_parser_exception()

    def _refuse_handshake(self, problem: Problem) -> None:
        self.places.on_refusal(MALFORMED)
        self._end(written(problem))

    def _bound_farewell(self) -> None:
        """Once a close frame is sent, nothing but the other side's is waited for: not for the rest of a message."""
        if self.close_sent and not self.ended and len(self.conn.reader.buffer) > _MOST_AFTER_CLOSE:
            self._end()

    def _end(self, data: bytes = b"") -> None:
        """Write, and end. What still comes is read and dropped for a moment: closed over it, the connection would be
        reset, and the last words lost.
        """
        self.ended = self.close_sent = True
        self.frames = []
        self.conn.reader.discard()
        say_last(self.transport, data)
        self.transport.resume_reading()
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _wait_for_reader(self) -> None:
        """Who does not read is not listened to once the answers to its pings pile up. Frames alone never come so far:
        their answers wait for the reader, so that the newest frame goes on replacing the one before.
        """
        if not self.transport.is_closing() and self.transport.get_write_buffer_size() > _MOST_UNREAD:
            self.transport.pause_reading()
