import io
import json
import logging
import os
import subprocess
import sys

import pytest

from service.logs import REQUEST_ID, JsonFormatter, TextFormatter


@pytest.fixture
def written(request: pytest.FixtureRequest):
    """A logger, and what it wrote so far."""
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    handler.setFormatter(request.param())
    log = logging.getLogger(f"test.{request.node.name}")
    log.propagate = False
    log.setLevel(logging.DEBUG)
    log.addHandler(handler)
    return log, output.getvalue


@pytest.mark.parametrize("written", [JsonFormatter], indirect=True)
def test_json_has_an_object_a_line_with_the_request_and_the_fields(written) -> None:
    log, text = written
    token = REQUEST_ID.set("id-7")
    log.info("request %d", 3, extra={"fields": {"status": 200, "route": "/v1/pose"}})
    REQUEST_ID.reset(token)
    log.warning("two\nlines")
    first, second = (json.loads(line) for line in text().splitlines())
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "info",
        "logger": log.name,
        "message": "request 3",
        "request_id": "id-7",
        "status": 200,
        "route": "/v1/pose",
    }
    assert second["message"] == "two\nlines"
    assert "request_id" not in second


@pytest.mark.parametrize("written", [JsonFormatter], indirect=True)
def test_json_keeps_a_traceback_in_its_line(written) -> None:
    log, text = written
    try:
        raise KeyError("inside")
    except KeyError:
        log.exception("it failed")
    (line,) = text().splitlines()
    assert "KeyError: 'inside'" in json.loads(line)["exception"]


@pytest.mark.parametrize("written", [JsonFormatter], indirect=True)
def test_json_has_names_of_files_that_are_no_text(written) -> None:
    log, text = written
    log.error("%s is no checkpoint", os.fsdecode(b"/models/\xff"))
    assert json.loads(text())["message"] == os.fsdecode(b"/models/\xff is no checkpoint")


@pytest.mark.parametrize("written", [TextFormatter], indirect=True)
def test_text_cannot_be_made_to_look_like_another_line(written) -> None:
    log, text = written
    log.info("GET /x\r\n2026 ERROR forged\x1b[2J\u2028", extra={"fields": {"path": "/a\nb"}})
    (line,) = text().splitlines()
    assert "\\r\\n2026 ERROR forged\\x1b[2J\\u2028 path=/a\\nb" in line


@pytest.mark.parametrize("written", [TextFormatter], indirect=True)
def test_text_has_the_request_and_tracebacks(written) -> None:
    log, text = written
    token = REQUEST_ID.set("id-7")
    try:
        raise KeyError("inside")
    except KeyError:
        log.exception("it failed")
    REQUEST_ID.reset(token)
    lines = text().splitlines()
    assert f"ERROR {log.name} [id-7]: it failed" in lines[0]
    assert lines[-1] == "KeyError: 'inside'"


@pytest.mark.parametrize("kind", ["json", "text"])
def test_everything_goes_through_the_one_formatter(kind: str) -> None:
    """Uncaught errors, warnings and other libraries too; what libraries tell below a warning stays away."""
    program = f"""
import logging, threading, warnings
from service import logs
logs.configure("debug", {kind!r})
logging.getLogger("uvicorn.error").info("ws '/v1/stream?key=secret' accepted")
logging.getLogger("websockets.server").debug("< BINARY secret")
logging.getLogger("python_multipart.multipart").warning("secret of a damaged form")
logging.getLogger("uvicorn.error").error("from the server")
logging.getLogger("service").debug("ours")
warnings.warn("careful")
def fail(): raise KeyError("thread")
thread = threading.Thread(target=fail); thread.start(); thread.join()
raise ValueError("end")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "secret" not in done.stderr
    if kind == "json":
        found = [json.loads(line) for line in done.stderr.splitlines()]
        assert [line["logger"] for line in found] == [
            "uvicorn.error",
            "service",
            "py.warnings",
            "service",
            "service",
        ]
        assert "KeyError: 'thread'" in found[3]["exception"]
        assert "ValueError: end" in found[4]["exception"]
    else:
        assert done.stderr.count("Traceback") == 2
        assert done.stderr.splitlines()[-1] == "ValueError: end"
