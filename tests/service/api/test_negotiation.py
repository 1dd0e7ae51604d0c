import pytest

from service.api.negotiation import negotiate

OFFERED = ("application/json", "image/png", "image/jpeg")


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "application/json"),
        ("  ", "application/json"),
        ("*/*", "application/json"),
        ("image/png", "image/png"),
        ("image/jpeg, image/png", "image/png"),
        ("image/jpeg;q=1.0, image/png;q=0.9", "image/jpeg"),
        ("IMAGE/JPEG", "image/jpeg"),
        ("image/*", "image/png"),
        ("image/*;q=0.5, image/jpeg", "image/jpeg"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "application/json"),
        ("application/json;q=0, */*", "image/png"),
        ("image/avif,image/webp,*/*", "application/json"),
        ("image/png;q=nonsense, image/jpeg;q=0.1", "image/jpeg"),
        ("text/html", None),
        ("image/png;q=0", None),
        (",;,", None),
    ],
)
def test_negotiate(accept: str, expected: str | None) -> None:
    assert negotiate(accept, OFFERED) == expected
