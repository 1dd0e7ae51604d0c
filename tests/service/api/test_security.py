"""Headers and CORS."""

from collections.abc import Callable
from typing import Any

import pytest

from service.api.security import HEADERS

PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/app.js", "/openapi.json", "/healthz", "/metrics", "/nowhere"]
)
def test_every_answer_has_them(client: Any, path: str) -> None:
    headers = client.get(path).headers
    for name, value in HEADERS.items():
        if name != "Cache-Control":
            assert headers[name] == value, name
    assert headers["cache-control"] == ("no-cache" if path in ("/", "/docs", "/app.js") else "no-store")


def test_answers_about_photos_are_not_kept(client: Any, photo: bytes) -> None:
    assert client.pose(photo).headers["cache-control"] == "no-store"


def test_without_origins_there_is_no_cors(client: Any, photo: bytes) -> None:
    response = client.request("OPTIONS", "/v1/pose", headers={"Origin": "https://a.example", **PREFLIGHT})
    assert response.status_code == 405
    assert "access-control-allow-origin" not in client.pose(photo).headers


def test_pages_that_are_listed_may_ask_and_read(
    make_client: Callable[..., Any], keys: Any, photo: bytes
) -> None:
    client = make_client(**keys.settings, allowed_origins="https://a.example, http://localhost:3000")
    origin = {"Origin": "https://a.example"}
    preflight = client.request("OPTIONS", "/v1/pose", headers=origin | PREFLIGHT)
    assert preflight.status_code == 200, "a preflight brings no key"
    assert preflight.headers["access-control-allow-origin"] == "https://a.example"
    assert "Authorization" in preflight.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in preflight.headers
    for response in (client.pose(photo, headers=origin | keys.lab), client.pose(photo, headers=origin)):
        assert response.headers["access-control-allow-origin"] == "https://a.example"
        assert "Origin" in response.headers["vary"]
        assert "Retry-After" in response.headers["access-control-expose-headers"]


def test_pages_that_are_not_may_not(make_client: Callable[..., Any]) -> None:
    client = make_client(allowed_origins="https://a.example")
    response = client.request("OPTIONS", "/v1/pose", headers={"Origin": "https://b.example", **PREFLIGHT})
    assert response.status_code == 403
    assert response.headers["content-type"] == "application/problem+json"
    assert "access-control-allow-origin" not in response.headers


def test_all_pages(make_client: Callable[..., Any], keys: Any, photo: bytes) -> None:
    client = make_client(**keys.settings, allowed_origins="*")
    response = client.pose(photo, headers={"Origin": "https://any.example", **keys.lab})
    assert response.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in response.headers
