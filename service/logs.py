"""What goes to standard error: one line an event, as text or as JSON, ours and the server's alike.

Nothing of a picture, a key or a query is ever logged: lines are made of what is named here, and libraries,
whose debug output shows what they carry, are heard from their warnings on.
"""

import contextvars
import json
import logging
import re
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal

REQUEST_ID: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")
LogFormat = Literal["text", "json"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_log = logging.getLogger("service")


def configure(level: str, kind: LogFormat) -> None:
    """Log to standard error from now on, uncaught errors and warnings too.

    level: of the service's own lines: debug, info, warning or error.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if kind == "json" else TextFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    _log.setLevel(level.upper())
    # The server's lines on starting and stopping say less than ours, and those on streams show their query.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # damaged forms are told to who sent them
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO service [request id]: message key=value`, a traceback on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        request = f" [{found}]" if (found := _request_id(record)) else ""
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        line = _escape(
            f"{_time(record)} {record.levelname} {record.name}{request}: {record.getMessage()}{fields}"
        )
        return "\n".join(part for part in (line, _stack(record)) if part)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, request_id, the event's fields, exception."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request := _request_id(record):
            line["request_id"] = request
        line |= _fields(record)
        if stack := _stack(record):
            line["exception"] = stack
        # orjson fails on names of files that are not UTF-8.
        return json.dumps(line, default=str, ensure_ascii=False, separators=(",", ":"))


def _time(record: logging.LogRecord) -> str:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{moment}.{record.msecs:03.0f}Z"


def _request_id(record: logging.LogRecord) -> str:
    return getattr(record, "request_id", "") or REQUEST_ID.get()


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    """What the call gave as `extra={"fields": {…}}`."""
    fields = getattr(record, "fields", {})
    assert isinstance(fields, Mapping)
    return fields


def _stack(record: logging.LogRecord) -> str:
    """Of the exception, or of the thread that the call gave as `extra={"stack": …}`; else empty."""
    if not record.exc_info:
        return str(getattr(record, "stack", ""))
    return "".join(traceback.format_exception(*record.exc_info)).rstrip()


def _escape(line: str) -> str:
    """The line with control characters written out: nobody's path or header can begin a line of its own."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), line)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        _log.critical("an error that nobody caught ends the process", exc_info=(kind, error, trace))


def _uncaught_in_thread(details: threading.ExceptHookArgs) -> None:
    if details.exc_value is not None:
        name = details.thread.name if details.thread else "?"
        exc_info = details.exc_type, details.exc_value, details.exc_traceback
        _log.critical("an error that nobody caught ended the thread %s", name, exc_info=exc_info)
