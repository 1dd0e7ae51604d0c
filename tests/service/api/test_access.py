"""Keys, scopes, rates, origins and proxies, by way of the routes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from service.api.keys import create
from service.create_key import add

ROUTES = [("POST", "/v1/pose"), ("POST", "/v1/pose/batch"), ("GET", "/v1/models"), ("GET", "/metrics")]
Make = Callable[..., Any]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_keys_nobody_needs_one(client: Any, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer whatever"}):
        assert client.request(method, path, headers=headers).status_code in (200, 415)


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic bGFiOmxhYg==", "Bearer hp_" + "x" * 43, "bearer \xfc", "hp_x"]
)
def test_with_keys_everybody_does(make_client: Make, keys: Any, method: str, path: str, header: str) -> None:
    client = make_client(**keys.settings)
    response = client.request(method, path, headers={"Authorization": header.encode("latin-1")})
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert response.headers["content-type"] == "application/problem+json"


def test_a_key_does_what_its_scopes_say(make_client: Make, keys: Any, photo: bytes) -> None:
    client = make_client(**keys.settings)
    assert client.pose(photo, headers=keys.lab).status_code == 200
    assert client.post("/v1/pose/batch", files={"images": photo}, headers=keys.lab).status_code == 200
    assert client.get("/v1/models", headers=keys.lab).status_code == 200
    assert client.get("/metrics", headers=keys.metrics).status_code == 200
    for response in (
        client.pose(photo, headers=keys.admin),
        client.get("/metrics", headers=keys.lab),
        client.post("/v1/models/reload", headers=keys.lab),
    ):
        assert response.status_code == 403
        assert "lacks the scope" in response.json()["detail"]
        assert 'error="insufficient_scope"' in response.headers["www-authenticate"]


def test_what_needs_no_key(make_client: Make, keys: Any) -> None:
    client = make_client(**keys.settings)
    for path in ("/healthz", "/readyz", "/", "/docs", "/openapi.json", "/app.js"):
        assert client.get(path).status_code == 200


def test_scopes_can_be_left_open(make_client: Make, keys: Any, photo: bytes) -> None:
    client = make_client(**keys.settings, keyless_scopes="metrics,inference")
    assert client.get("/metrics").status_code == 200
    assert client.pose(photo).status_code == 200
    assert client.post("/v1/models/reload").status_code == 401


def test_reloading_always_needs_a_key(client: Any, make_client: Make) -> None:
    assert client.post("/v1/models/reload").status_code == 403
    _, lab = create("lab", ["inference"])
    keyed = make_client(keys=SecretStr(lab.record()))
    assert keyed.post("/v1/models/reload").status_code == 403


def test_a_key_in_the_address_is_none_and_is_not_repeated(make_client: Make, keys: Any, photo: bytes) -> None:
    client = make_client(**keys.settings)
    assert client.pose(photo, params={"api_key": keys.text}).status_code == 401
    response = client.pose(photo, params={"api_key": keys.text}, headers=keys.lab)
    assert response.status_code == 422
    assert keys.text not in response.text


def test_keys_are_nowhere_in_the_log(
    make_client: Make, keys: Any, photo: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    client = make_client(**keys.settings, access_log=True)
    client.pose(photo, headers=keys.lab)
    client.pose(photo, headers={"Authorization": "Bearer hp_" + "y" * 43})
    assert "unknown key from 127.0.0.1" in caplog.text
    for text in (keys.text, "yyy"):
        assert text not in caplog.text


def test_the_keys_file_is_read_anew_on_reload(
    make_client: Make, photo: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys"
    (first, first_key), (second, second_key) = create("first", ["inference"]), create("second", ["inference"])
    add(path, first_key)
    client = make_client(keys_file=path)
    access = client.app.state.service.access

    def status(key: str) -> int:
        return client.pose(photo, headers={"Authorization": f"Bearer {key}"}).status_code

    assert (status(first), status(second)) == (200, 401)
    path.write_text(second_key.record())
    access.reload_keys()
    assert (status(first), status(second)) == (401, 200)
    path.write_text("")
    access.reload_keys()
    assert "the keys stay as they are" in caplog.text
    assert status(second) == 200


def test_a_rate_for_each_key_and_each_address(make_client: Make, keys: Any, photo: bytes) -> None:
    client = make_client(**keys.settings, rate_limit=0.001, rate_burst=3, max_batch_images=3)
    for _ in range(3):
        assert client.pose(photo, headers=keys.lab).status_code == 200
    response = client.pose(photo, headers=keys.lab)
    assert response.status_code == 429
    assert 990 <= int(response.headers["retry-after"]) <= 1000
    assert "0.001 pictures a second" in response.json()["detail"]
    assert client.pose(photo, headers=keys.other).status_code == 200
    assert client.get("/v1/models", headers=keys.lab).status_code == 200, "it costs nothing"


def test_guessing_keys_is_slowed_down(make_client: Make, keys: Any, photo: bytes) -> None:
    client = make_client(**keys.settings, rate_limit=0.001, rate_burst=3, max_batch_images=3)
    guess = {"Authorization": "Bearer hp_" + "x" * 43}
    statuses = [client.get("/v1/models", headers=guess).status_code for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    assert client.pose(photo, headers=keys.lab).status_code == 200, "who has a key does not suffer for it"


def test_each_picture_of_a_batch_counts(make_client: Make, photo: bytes) -> None:
    client = make_client(rate_limit=0.001, rate_burst=5, max_batch_images=4)

    def batch(count: int) -> Any:
        return client.post("/v1/pose/batch", files=[("images", photo)] * count)

    assert batch(4).status_code == 200
    refused = batch(2)
    assert refused.status_code == 429
    assert 1990 <= int(refused.headers["retry-after"]) <= 2000, "the whole batch will be charged again"
    assert client.pose(photo).status_code == 429, "the batch was charged for one before its number was known"


@pytest.mark.parametrize(
    ("peer", "forwarded", "counted"),
    [
        ("203.0.113.5", "198.51.100.1", "203.0.113.5"),  # no proxy of ours: nobody may say who they are
        ("127.0.0.1", "198.51.100.1", "127.0.0.1"),
        ("10.0.0.2", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.2", "6.6.6.6, 198.51.100.1", "198.51.100.1"),  # the client wrote the first itself
        ("10.0.0.2", "6.6.6.6, 198.51.100.1, 10.0.0.3", "198.51.100.1"),  # two proxies
        ("10.0.0.2", "198.51.100.1:5000", "198.51.100.1"),
        ("10.0.0.2", "2001:db8::1", "2001:db8::/64"),
        ("10.0.0.2", "<script>", "unknown"),
        ("10.0.0.2", "", "10.0.0.2"),
    ],
)
def test_addresses_are_believed_from_trusted_proxies_alone(
    make_client: Make, photo: bytes, peer: str, forwarded: str, counted: str
) -> None:
    client = make_client(peer=peer, trusted_proxies="10.0.0.0/24", rate_limit=0.001, rate_burst=16)
    assert client.pose(photo, headers={"X-Forwarded-For": forwarded}).status_code == 200
    assert list(client.app.state.service.access.rates._buckets) == [counted]


@pytest.mark.parametrize(("trusted", "warnings"), [("", 1), ("10.0.0.0/24", 1), ("127.0.0.0/8", 0)])
def test_a_proxy_that_is_not_believed_is_named_once(
    make_client: Make, caplog: pytest.LogCaptureFixture, trusted: str, warnings: int
) -> None:
    client = make_client(trusted_proxies=trusted)
    assert client.get("/healthz").status_code == 200
    assert caplog.records == []
    for _ in range(2):
        client.get("/healthz", headers={"X-Forwarded-For": "198.51.100.1"})
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == warnings
    assert all("127.0.0.1 is ignored" in text and "HANDPOSE_TRUSTED_PROXIES" in text for text in said)


def test_inventing_addresses_does_not_help(make_client: Make, photo: bytes) -> None:
    client = make_client(rate_limit=0.001, rate_burst=2, max_batch_images=2)
    statuses = [
        client.pose(
            photo, headers={"X-Forwarded-For": f"198.51.100.{i}", "Forwarded": f"for=1.2.3.{i}"}
        ).status_code
        for i in range(4)
    ]
    assert statuses == [200, 200, 429, 429]


def test_foreign_pages_may_send_nothing(make_client: Make, photo: bytes) -> None:
    client = make_client(allowed_origins="https://a.example")
    assert client.pose(photo, headers={"Origin": "http://localhost", "Host": "localhost"}).status_code == 200
    assert client.pose(photo, headers={"Origin": "https://a.example"}).status_code == 200
    for origin in ("https://b.example", "null", "https://a.example.evil.example", "http://[", "http://a]b"):
        response = client.pose(photo, headers={"Origin": origin})
        assert response.status_code == 403
        assert origin in response.json()["detail"]
        assert "access-control-allow-origin" not in response.headers
    assert client.get("/healthz", headers={"Origin": "https://b.example"}).status_code == 200


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({}, 403),
        ({"allowed_origins": "http://test"}, 200),
        ({"trusted_proxies": "127.0.0.1"}, 200),
        ({"host": "192.0.2.1"}, 200),
    ],
)
def test_on_a_service_for_this_machine_alone_a_page_of_a_name_is_foreign(
    make_client: Make, photo: bytes, settings: dict[str, str], status: int
) -> None:
    client = make_client(**settings)
    assert client.pose(photo, headers={"Origin": "http://test"}).status_code == status


def test_with_keys_a_page_of_a_name_may_be_ours(make_client: Make, keys: Any, photo: bytes) -> None:
    client = make_client(**keys.settings)
    assert client.pose(photo, headers={"Origin": "http://test", **keys.lab}).status_code == 200
    client = make_client(**keys.settings, keyless_scopes="inference")
    assert client.pose(photo, headers={"Origin": "http://test"}).status_code == 403


def test_a_limit_on_hands(make_client: Make, photo: bytes) -> None:
    client = make_client(max_hands=2)
    assert client.pose(photo).status_code == 200, "the default is lowered"
    assert client.pose(photo, params={"max_hands": 2}).status_code == 200
    response = client.pose(photo, params={"max_hands": 3})
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {"name": "max_hands", "detail": "max_hands: at most 2 are answered here, not 3."}
    ]
