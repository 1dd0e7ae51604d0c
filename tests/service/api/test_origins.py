import pytest

from service.api.origins import allowed, parse_origins
from service.settings import SettingsError, load


def test_a_list_is_read_with_its_slips() -> None:
    assert parse_origins(" https://Example.org/, http://localhost:3000 ,") == {
        "https://example.org",
        "http://localhost:3000",
    }
    assert parse_origins("") == frozenset()


def test_the_usual_port_is_left_out_as_browsers_do() -> None:
    assert parse_origins(
        "https://a.example:443, http://a.example:80, https://a.example:80, http://[::1]:80"
    ) == {
        "https://a.example",
        "http://a.example",
        "https://a.example:80",
        "http://[::1]",
    }


@pytest.mark.parametrize(
    "text",
    [
        "example.org", "https://", "https://example.org/page", "//example.org", "https://*.example.org",
        "https://me@example.org", "https://example.org#a", "https://:443",
    ],
)  # fmt: skip
def test_what_is_no_origin_stops_the_start_and_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match="HANDPOSE_ALLOWED_ORIGINS"):
        load(["--allowed-origins", text])


@pytest.mark.parametrize(
    ("origin", "host", "welcome"),
    [
        (None, "", True),
        ("http://localhost:8000", "localhost:8000", True),
        ("http://localhost:8001", "localhost:8000", False),
        ("http://localhost", "localhost:8000", False),
        ("http://localhost:8000.evil.example", "localhost:8000", False),
        ("http://localhost:8000@evil.example", "localhost:8000", False),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://[", "localhost:8000", False),
        ("http://a]b", "localhost:8000", False),
        ("null", "", False),
        ("", "", False),
    ],
)
def test_only_our_own_pages_without_a_list(origin: str | None, host: str, welcome: bool) -> None:
    assert allowed(origin, host, frozenset()) is welcome


@pytest.mark.parametrize(
    ("host", "welcome"),
    [
        ("localhost", True),
        ("localhost:8000", True),
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("evil.example:8000", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example:8000", False),
        ("[evil.example]", False),
    ],
)
def test_a_name_that_anybody_may_point_here_is_not_ours(host: str, welcome: bool) -> None:
    origin = f"http://{host}"
    assert allowed(origin, host, frozenset(), unnamed=True) is welcome
    assert allowed(origin, host, frozenset())
    assert allowed(origin, host, frozenset({origin}), unnamed=True)
