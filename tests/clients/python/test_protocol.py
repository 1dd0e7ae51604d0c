"""Where the service is and what is asked of it."""

import httpx
import pytest
from handpose_client.protocol import Endpoint, Options, reason


def endpoint(url: str = "http://localhost:8000", **options: object) -> Endpoint:
    return Endpoint(url, **({"api_key": None, "timeout": 30.0, "retry": 30.0, "ssl_context": None} | options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "stream_url"),
    [
        ("http://localhost:8000", "ws://localhost:8000/v1/stream"),
        ("http://localhost:8000/", "ws://localhost:8000/v1/stream"),
        ("https://example.org/hands", "wss://example.org/hands/v1/stream"),
        ("http://[::1]:80", "ws://[::1]:80/v1/stream"),
        ("HTTP://localhost:8000", "ws://localhost:8000/v1/stream"),
        ("Https://example.org", "wss://example.org/v1/stream"),
        ("http://localhost:8000?", "ws://localhost:8000/v1/stream"),
    ],
)
def test_the_address_of_a_stream(url: str, stream_url: str) -> None:
    assert endpoint(url).stream_url(Options()) == stream_url
    assert (
        endpoint(url).stream_url(Options(max_hands=2, smoothing=False))
        == stream_url + "?max_hands=2&smoothing=false"
    )


@pytest.mark.parametrize(
    "url", ["", "ftp://host", "http://", "/v1/pose", "http://host?a=1", "http://host#a", "ws://host"]
)
def test_a_url_that_leads_nowhere(url: str) -> None:
    with pytest.raises(ValueError, match="the URL of a service"):
        endpoint(url)


@pytest.mark.parametrize("url", ["localhost:8000", "example.org"])
def test_a_forgotten_scheme_is_pointed_out(url: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean http://{url}"):
        endpoint(url)


@pytest.mark.parametrize("host", ["host:port", "host:99999", "a..b", "a\x01b", "h\udcff", "a" * 64])
def test_a_host_or_port_that_cannot_be(host: str) -> None:
    with pytest.raises(ValueError, match="the URL of a service cannot be"):
        endpoint(f"http://{host}")


def test_who_waits_for_less_long_has_less_patience() -> None:
    assert endpoint(timeout=30.0).within(2.0).steps == httpx.Timeout(2.0)
    assert endpoint(timeout=None).within(9.0).steps == httpx.Timeout(9.0, connect=5.0)
    assert endpoint(timeout=0.001).within(2.0).steps == httpx.Timeout(0.001)


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
def test_a_timeout_is_above_0(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout must be above 0"):
        endpoint(timeout=timeout)


@pytest.mark.parametrize("retry", [-1.0, float("nan")])
def test_the_time_for_trying_again_is_not_below_0(retry: float) -> None:
    with pytest.raises(ValueError, match="retry must be at least 0"):
        endpoint(retry=retry)


@pytest.mark.parametrize("key", ["", " ", "line\nbreak", "schlüssel"])
def test_a_key_that_no_header_carries(key: str) -> None:
    with pytest.raises(ValueError, match="API key"):
        endpoint(api_key=key)


def test_the_key_is_not_shown() -> None:
    assert "secret" not in repr(endpoint(api_key="secret"))


def test_only_what_was_asked_for_is_sent() -> None:
    assert Options().query() == {}
    assert Options(max_hands=0, min_score=0.0, mirrored=False).query() == {
        "max_hands": "0",
        "min_score": "0.0",
        "mirrored": "false",
    }


def test_the_reason_is_the_innermost() -> None:
    inner = ConnectionRefusedError(111, "Connection refused")
    group = OSError("All attempts failed")
    group.__cause__ = ExceptionGroup("each", [OSError(1, "no route"), inner])
    outer = RuntimeError("wrapped")
    outer.__cause__ = group
    assert reason(outer) == "Connection refused"
    assert reason(RuntimeError("words")) == "words"
    assert reason(RuntimeError()) == "RuntimeError"
