"""`python -m service`: read the settings, load the models, listen. `python -m service create-key` makes API keys."""

import argparse
import logging
import os
import socket
import sys
from contextlib import suppress

import uvicorn

from service import create_key, logs, memory, open_files, safety
from service.api.addresses import parse_proxies
from service.api.connections import Connections
from service.api.protocols import protocols
from service.api.state import Service
from service.app import create_app
from service.engines.base import EngineError
from service.models.checkpoint import CheckpointError
from service.reload import load_pipeline, warm_up
from service.server import Server, stoppable
from service.settings import Settings, SettingsError, load
from service.tracing import TracingError

_OVER_LIMIT = 2**12  # bytes; up to here the stream itself says what is wrong, larger frames are not read
_UNSENT_BYTES = 32 * 2**10
_UNREAD_SECONDS = 60  # then a connection whose client takes nothing is cut


def main(arguments: list[str] | None = None) -> int:
    """Run until told to stop. Returns the exit code: 0, 2 for what is set and cannot be used, the address included, 1
    for another failure.
    """
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == [create_key.COMMAND]:
        return create_key.main(words[1:])
    memory.configure()
    with stoppable():
        return _serve(words)


def _serve(words: list[str]) -> int:
    settings: Settings | None = None
    try:
        settings = load(words)
        pipeline = load_pipeline(settings)
        # Before it listens: models that do not run end the start here. The application does it again in the workers'
        # threads, since some of what is set up lazily belongs to a thread.
        warm_up(pipeline)
        app = create_app(settings, pipeline)
    except (SettingsError, CheckpointError, EngineError, TracingError) as error:
        return _fail(f"{_setting_of(error, settings)}{error}", words)
    try:
        listener = listen(settings.host, settings.port)
    except OSError as error:
        why = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        where = f"{settings.host} port {settings.port} (HANDPOSE_HOST, HANDPOSE_PORT)"
        return _fail(f"cannot listen on {where}: {why}", words)
    logs.configure(settings.log_level, settings.log_format)
    for warning in safety.warnings(settings):
        logging.getLogger("service").warning(warning)
    if files := open_files.allow(settings.max_connections):
        told = "HANDPOSE_MAX_CONNECTIONS is %d, but this process may have only %d files open, connections included"
        logging.getLogger("service").warning(told, settings.max_connections, files)
    service: Service = app.state.service
    http, websocket = protocols(
        Connections(
            settings.max_connections,
            settings.max_connections_per_address,
            parse_proxies(settings.trusted_proxies),
            settings.receive_seconds,
            service.metrics.reject,
            lambda: service.draining,
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
        ws_max_size=settings.stream_max_bytes + _OVER_LIMIT,
        ws_per_message_deflate=False,  # images do not deflate; trying cost 3 ms a frame
        ws_ping_interval=20,
        ws_ping_timeout=20,
    )
    with listener:
        server = Server(config, service)
        server.run(sockets=[listener])
    if service.workers.condition().thread is not None:
        _leave_at_once(1)
    return 0 if server.started else 1


def _leave_at_once(code: int) -> None:
    """End although a thread still works: the interpreter would wait for it, perhaps for ever."""
    logging.getLogger("service").error("a job did not end within the grace period; it is cut off")
    logging.shutdown()
    os._exit(code)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; `::` is every address, those of IPv4 too. Raises OSError when the address is taken, unknown or
    not allowed.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, "that is not a valid host name") from None
    family, _, _, _, address = found[0]
    both = address[0] == "::" and socket.has_dualstack_ipv6()
    listener = socket.create_server(address, family=family, backlog=2048, dualstack_ipv6=both)
    _limit_unread(listener)
    return listener


def _limit_unread(listener: socket.socket) -> None:
    """Keep the system from taking in megabytes of answers that a client does not read: what waits there is
    out of date when it arrives. Connections inherit this from their listener; Linux only.
    """
    if sys.platform == "linux":
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_SECONDS * 1000)


def _setting_of(error: Exception, settings: Settings | None) -> str:
    """What names the checkpoint that an error is about: `HANDPOSE_POSE: `; empty where it is about none."""
    if settings is None or not isinstance(error, CheckpointError):
        return ""
    named = {str(settings.detector): "HANDPOSE_DETECTOR: ", str(settings.pose): "HANDPOSE_POSE: "}
    folder = max((path for path in named if str(error).startswith(path)), key=len, default="")
    return named.get(folder, "")


def _fail(message: str, words: list[str]) -> int:
    """Say why there is no start, in one line. Returns the exit code."""
    if _wants_json(words):
        logs.configure("info", "json")
        logging.getLogger("service").critical(message)
    else:
        print(f"handpose: {message}", file=sys.stderr)  # noqa: T201 - logging is not set up yet
    return 2


def _wants_json(words: list[str]) -> bool:
    """Whether the log is to be JSON, also where the settings cannot be read as a whole."""
    flags = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    flags.add_argument("--log-format", default=os.environ.get("HANDPOSE_LOG_FORMAT"))
    with suppress(argparse.ArgumentError):
        return bool(flags.parse_known_args(words)[0].log_format == "json")
    return False


if __name__ == "__main__":
    sys.exit(main())
