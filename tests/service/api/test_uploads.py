"""The body of a request, by way of the route that reads it."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

BOUNDARY = "xyz"


def form(*parts: tuple[str, bytes], end: bool = True) -> dict:
    """A request with a hand-made multipart form."""
    body = b""
    for name, data in parts:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="a.jpg"\r\n\r\n'
        body += head.encode() + data + b"\r\n"
    if end:
        body += f"--{BOUNDARY}--\r\n".encode()
    return {"content": body, "headers": {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}}


def test_a_form_and_a_raw_body_give_the_same_hands(client, photo: bytes) -> None:
    raw = client.pose(photo)
    sent = client.post("/v1/pose", files={"image": ("whatever.txt", photo, "text/plain")})
    assert raw.status_code == sent.status_code == 200
    assert raw.json()["hands"] == sent.json()["hands"]
    assert len(raw.json()["hands"]) == 1


@pytest.mark.parametrize(
    "content_type", ["image/jpeg", "image/whatever", "application/octet-stream", "IMAGE/PNG"]
)
def test_the_bytes_decide_and_not_the_declared_type(client, photo: bytes, content_type: str) -> None:
    assert len(client.pose(photo, content_type).json()["hands"]) == 1


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/json", "application/x-www-form-urlencoded"]
)
def test_other_types_are_refused_with_a_hint(client, photo: bytes, content_type: str) -> None:
    response = client.pose(photo, content_type)
    assert response.status_code == 415
    assert "curl -F image=@hand.jpg" in response.json()["detail"]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (form(), "no field image"),
        (form(("picture", b"x")), "'picture'"),
        (form(("image", b"x"), ("image", b"y")), "more than one field image"),
        (form(("image", b"x"), ("max_hands", b"2")), "'max_hands'"),
        (form(("image", b"x"), end=False), "cut off"),
        ({"content": b"", "headers": form()["headers"]}, "cut off"),
        ({"content": b"no form at all", "headers": form()["headers"]}, "does not begin with the boundary"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, "no boundary"),
        (
            {"content": b"x", "headers": {"Content-Type": f"multipart/form-data; boundary={'x' * 300}"}},
            "damaged",
        ),
    ],
)
def test_a_form_that_is_not_one_image_is_refused_by_name(client, request_: dict, words: str) -> None:
    response = client.post("/v1/pose", **request_)
    assert response.status_code == 422
    assert words in response.json()["detail"]


def test_a_compressed_body_is_refused_as_one(client) -> None:
    for more in ({"Content-Type": "image/png"}, form()["headers"]):
        for codings in ("gzip", "br", "identity, gzip", "x" * 200):
            response = client.post("/v1/pose", content=b"x", headers={**more, "Content-Encoding": codings})
            assert response.status_code == 415
            assert f"(Content-Encoding: {codings[:100]}) are not read" in response.json()["detail"]
            assert response.headers["accept-encoding"] == "identity"
    several = [("Content-Type", "image/png"), ("Content-Encoding", "identity"), ("Content-Encoding", "gzip")]
    assert client.post("/v1/pose", content=b"x", headers=several).status_code == 415


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
def test_a_body_may_be_said_to_be_as_it_is(client, photo: bytes, coding: str) -> None:
    headers = {"Content-Type": "image/png", "Content-Encoding": coding}
    assert client.post("/v1/pose", content=photo, headers=headers).status_code == 200


def test_an_empty_image_is_named(client) -> None:
    for response in (client.post("/v1/pose", **form(("image", b""))), client.pose(b"")):
        assert response.status_code == 422
        assert "empty" in response.json()["detail"]


def test_a_body_over_the_limit_is_refused_before_it_is_read(make_client: Callable) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(100):
            read += 1
            yield bytes(1000)

    client = make_client(max_bytes=10_000)
    declared = {"Content-Type": "image/png", "Content-Length": "100000"}
    response = client.post("/v1/pose", content=body(), headers=declared)
    assert response.status_code == 413
    assert "10000 bytes" in response.json()["detail"]
    assert read == 0


@pytest.mark.parametrize("content_type", ["image/png", f"multipart/form-data; boundary={BOUNDARY}"])
def test_a_body_of_unknown_length_is_refused_once_it_is_over_the_limit(
    make_client: Callable, content_type: str
) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        yield f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"\r\n\r\n'.encode()
        for _ in range(100):
            read += 1
            yield bytes(1000)

    response = make_client(max_bytes=10_000).post(
        "/v1/pose", content=body(), headers={"Content-Type": content_type}
    )
    assert response.status_code == 413
    assert read <= 11


def test_a_body_of_the_limit_is_taken(make_client: Callable, photo: bytes) -> None:
    size = max(len(photo), 1024)
    padded = photo + bytes(size - len(photo))
    assert make_client(max_bytes=size).pose(padded).status_code == 200
    assert make_client(max_bytes=size).pose(padded + b"\0").status_code == 413


def test_a_form_that_arrives_byte_by_byte(client, photo: bytes) -> None:
    whole = form(("image", photo))

    async def drip() -> AsyncIterator[bytes]:
        for i in range(0, len(whole["content"]), 7):
            yield whole["content"][i : i + 7]

    response = client.post("/v1/pose", content=drip(), headers=whole["headers"])
    assert len(response.json()["hands"]) == 1


def test_a_body_that_does_not_come_is_not_waited_for(make_client: Callable) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(60)

    client = make_client(receive_seconds=0.05)
    response = client.post("/v1/pose", content=body(), headers={"Content-Type": "image/png"})
    assert response.status_code == 408
    assert response.headers["connection"] == "close"
    assert client.app.state.service.uploads.used == 0


def test_bodies_share_a_bounded_memory(make_client: Callable, photo: bytes) -> None:
    client = make_client(max_bytes=4096, max_batch_bytes=4096, upload_memory=4096)
    memory = client.app.state.service.uploads
    with memory.hold() as take:
        take(4096 - len(photo) + 1)
        response = client.pose(photo)
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert memory.used == 4096 - len(photo) + 1
    assert 'handpose_rejected_total{reason="no_memory"} 1.0' in client.get("/metrics").text
    assert client.pose(photo).status_code == 200
    assert memory.used == 0


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"X-Long: " + b"x" * 100_000, "header size"),
        (b"\r\n".join(b"X-%d: x" % i for i in range(1000)), "header"),
    ],
)
def test_headers_of_a_part_are_bounded(client, header: bytes, words: str) -> None:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"\r\n'.encode()
    response = client.post("/v1/pose", content=head + header + b"\r\n\r\nx", headers=form()["headers"])
    assert response.status_code == 422
    assert words in response.json()["detail"]
