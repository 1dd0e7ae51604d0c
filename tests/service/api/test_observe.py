import logging
import re
from collections.abc import Callable

import pytest

from service.api.observe import request_id_of


@pytest.mark.parametrize("given", ["abc-1", "01HXYZ_7.a:b/c+d==", "x" * 128])
def test_an_id_that_is_safe_to_pass_on_comes_back(client, given: str) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "-begins-with-a-dash", "x" * 129, 'a"b', "a\tb", "a;b", "ä"])
def test_any_other_is_replaced(client, given: str) -> None:
    headers = {"X-Request-ID": given.encode("latin-1")}
    assert re.fullmatch(r"[0-9a-f]{32}", client.get("/healthz", headers=headers).headers["x-request-id"])


def test_without_one_every_request_gets_its_own() -> None:
    assert request_id_of({}) != request_id_of({})


def test_errors_have_it_too(client) -> None:
    for response in (client.get("/nowhere"), client.pose(b"nothing"), client.post("/healthz")):
        assert response.headers["x-request-id"]


def test_the_log_has_a_line_a_request_without_query_key_or_picture(
    make_client: Callable, photo: bytes, keys, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = make_client(access_log=True, **keys.settings)
    headers = {**keys.lab, "X-Request-ID": "id-7"}
    assert client.pose(photo, headers=headers, params={"min_score": "0.375"}).status_code == 200
    (line,) = [record for record in caplog.records if record.name == "service.access"]
    assert line.fields.pop("duration_ms") > 0
    assert line.fields == {
        "method": "POST",
        "route": "/v1/pose",
        "path": "/v1/pose",
        "status": 200,
        "client": "127.0.0.1",
    }
    ours = [record for record in caplog.records if record.name.startswith("service")]
    told = " ".join(f"{record.getMessage()} {record.__dict__}" for record in ours)
    assert keys.text not in told
    assert "0.375" not in told


def test_no_line_unless_asked_for(client, photo: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client.pose(photo)
    assert not [record for record in caplog.records if record.name == "service.access"]


def test_a_fault_is_logged_with_its_request(
    client, photo: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from service.logs import JsonFormatter

    lines = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(JsonFormatter().format(record))

    handler = Handler()
    logging.getLogger("service").addHandler(handler)
    monkeypatch.setattr(client.app.state.service.pipeline, "detector_engine", None)
    try:
        response = client.pose(photo, headers={"X-Request-ID": "id-7"})
    finally:
        logging.getLogger("service").removeHandler(handler)
    assert response.status_code == 500
    assert response.headers["x-request-id"] == "id-7"
    (line,) = lines
    assert '"request_id":"id-7"' in line
    assert "Traceback" in line


def test_requests_in_flight_go_back_to_none(client, photo: bytes) -> None:
    client.pose(photo)
    client.pose(b"nothing")
    client.get("/nowhere")
    assert "handpose_requests_in_flight 1.0" in client.get("/metrics").text  # this one


@pytest.mark.parametrize(
    ("reason", "settings", "ask"),
    [
        ("too_large", {"max_bytes": 1024}, lambda client, photo: client.pose(photo + bytes(2000))),
        ("rate_limited", {"rate_limit": 0.001, "rate_burst": 16}, lambda client, photo: [
            client.pose(photo) for _ in range(17)
        ]),
        ("forbidden", {}, lambda client, photo: client.pose(photo, headers={"Origin": "http://evil.example"})),
    ],
)  # fmt: skip
def test_what_is_turned_away_is_counted_by_reason(
    make_client: Callable, photo: bytes, reason: str, settings: dict, ask: Callable
) -> None:
    client = make_client(**settings)
    assert f'handpose_rejected_total{{reason="{reason}"}} 0.0' in client.get("/metrics").text
    ask(client, photo)
    assert f'handpose_rejected_total{{reason="{reason}"}} 1.0' in client.get("/metrics").text
