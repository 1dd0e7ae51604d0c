"""`python -m service`: read the settings, load the models, listen. `python -m service create-key` makes API keys."""

import logging
import os
import socket
import sys

import uvicorn

from service import create_key, logs, memory, safety
from service.api.addresses import parse_proxies
from service.api.connections import Connections, protocols
from service.app import create_app
from service.engines.base import EngineError
from service.models.checkpoint import CheckpointError
from service.reload import load_pipeline, warm_up
from service.server import Server, stoppable
from service.settings import SettingsError, load
from service.tracing import TracingError

_UNSENT_BYTES = 32 * 2**10
_UNREAD_SECONDS = 60  # then a connection whose client takes nothing is cut


def main(arguments: list[str] | None = None) -> int:
    """Run until told to stop. Returns the exit code: 0, 2 for a setting that cannot be used, 1 for another
    failure.
    """
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == [create_key.COMMAND]:
        return create_key.main(words[1:])
    memory.configure()
    try:
        settings = load(words)
        with stoppable():
            pipeline = load_pipeline(settings)
            # Before it listens: models that do not run end the start here. The application does it again in a worker's
            # thread, since some of what is set up lazily belongs to a thread.
            warm_up(pipeline)
            app = create_app(settings, pipeline)
    except (SettingsError, CheckpointError, EngineError, TracingError) as error:
        return _fail(error, 2)
    try:
        listener = listen(settings.host, settings.port)
    except OSError as error:
        why = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        return _fail(f"cannot listen on {settings.host} port {settings.port}: {why}", 1)
    logs.configure(settings.log_level, settings.log_format)
    for warning in safety.warnings(settings):
        logging.getLogger("service").warning(warning)
    http, websocket = protocols(
        Connections(
            settings.max_connections,
            settings.max_connections_per_address,
            parse_proxies(settings.trusted_proxies),
            settings.receive_seconds,
            app.state.service.metrics.reject,
        )
    )
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,  # it would show queries; the app writes its own
        server_header=False,
        proxy_headers=False,  # uvicorn would believe every program on this machine; the app asks the settings
        timeout_graceful_shutdown=settings.grace_seconds,
        http=http,
        ws=websocket,
        ws_max_size=2 * settings.stream_max_bytes,  # the stream says what is wrong at half of this
        ws_per_message_deflate=False,  # images do not deflate; trying cost 3 ms a frame
        ws_ping_interval=20,
        ws_ping_timeout=20,
    )
    with listener:
        server = Server(config, app.state.service)
        server.run(sockets=[listener])
    if app.state.service.workers.condition().thread is not None:
        _leave_at_once(1)
    return 0 if server.started else 1


def _leave_at_once(code: int) -> None:
    """End although a thread still works: the interpreter would wait for it, perhaps for ever."""
    logging.getLogger("service").error("a job did not end within the grace period; it is cut off")
    logging.shutdown()
    os._exit(code)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises OSError when the address is taken, unknown or not allowed."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    listener = socket.create_server(address[:2], family=family, backlog=2048)
    _limit_unread(listener)
    return listener


def _limit_unread(listener: socket.socket) -> None:
    """Keep the system from taking in megabytes of answers that a client does not read: what waits there is
    out of date when it arrives. Connections inherit this from their listener; Linux only.
    """
    if sys.platform == "linux":
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_SECONDS * 1000)


def _fail(message: object, code: int) -> int:
    print(f"handpose: {message}", file=sys.stderr)  # noqa: T201 - logging is not set up yet
    return code


if __name__ == "__main__":
    sys.exit(main())
