"""Both clients, against a service that answers what the test wants. `test_aio.py` has what only the
asynchronous one does.
"""

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from handpose_client import (
    AnswerError,
    ConnectionFailedError,
    HandPose,
    ProblemError,
    TimedOutError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
    UnprocessableError,
)
from numpy.typing import NDArray
from starlette.responses import JSONResponse, RedirectResponse, Response


def test_a_photo_goes_out_and_hands_come_back(
    client: Any, service: Any, documents: SimpleNamespace, jpeg: bytes
) -> None:
    service.answer = lambda _: JSONResponse(documents.pose(documents.hand(10), documents.hand(90, "left")))
    result = client.call(service.url, "pose", jpeg)
    assert [hand.handedness.label for hand in result.hands] == ["right", "left"]
    assert result.hands[1].box.corners == (90, 20, 130, 70)
    assert (result.image.width, result.image.height) == (160, 120)
    assert (result.models.detector, result.models.pose) == ("small 1", "light 2")
    assert result.timing_ms.total == 10.5
    (seen,) = service.seen
    assert (seen.method, seen.path, seen.query, seen.body) == ("POST", "/v1/pose", {}, jpeg)
    assert seen.headers["content-type"] == "image/jpeg"
    assert seen.headers["accept"] == "application/json"
    assert seen.headers["user-agent"].startswith("handpose-client")
    assert "authorization" not in seen.headers


def test_options_go_into_the_query(client: Any, service: Any, jpeg: bytes) -> None:
    client.call(service.url, "pose", jpeg, max_hands=2, min_score=0.25, mirrored=True)
    assert service.seen[0].query == {"max_hands": "2", "min_score": "0.25", "mirrored": "true"}


@pytest.mark.parametrize("kind", ["path", "string", "array"])
def test_pictures_in_any_form(
    client: Any, service: Any, jpeg: bytes, picture: NDArray[np.uint8], tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "hand.jpg"
    path.write_bytes(jpeg)
    client.call(service.url, "pose", {"path": path, "string": str(path), "array": picture}[kind])
    assert service.seen[0].headers["content-type"] == "image/jpeg"
    assert service.seen[0].body.startswith(b"\xff\xd8\xff")
    assert kind == "array" or service.seen[0].body == jpeg


@pytest.mark.parametrize("format", ["png", "jpeg"])
def test_drawings(client: Any, service: Any, jpeg: bytes, format: str) -> None:
    service.answer = lambda seen: Response(b"drawn", media_type=seen.headers["accept"])
    assert client.call(service.url, "draw", jpeg, format=format, max_hands=1) == b"drawn"
    assert service.seen[0].headers["accept"] == f"image/{format}"
    assert service.seen[0].query == {"max_hands": "1"}


def test_a_drawing_is_png_or_jpeg(client: Any, service: Any, jpeg: bytes) -> None:
    with pytest.raises(ValueError, match="png or jpeg, not 'gif'"):
        client.call(service.url, "draw", jpeg, format="gif")
    assert not service.seen


def test_a_drawing_that_is_json(client: Any, service: Any, jpeg: bytes) -> None:
    with pytest.raises(AnswerError, match="application/json, not image/png"):
        client.call(service.url, "draw", jpeg)


def test_models(client: Any, service: Any) -> None:
    texts = (
        "name",
        "version",
        "architecture",
        "licence",
        "sha256",
        "engine",
        "device",
        "precision",
        "reason",
    )
    model = dict.fromkeys(texts, "x") | {"input_size": 256}
    service.answer = lambda _: JSONResponse({task: model | {"task": task} for task in ("detector", "pose")})
    models = client.call(service.url, "models")
    assert (models.detector.task, models.pose.task, models.pose.input_size) == ("detector", "pose", 256)
    assert service.seen[0].path == "/v1/models"


def test_the_key_goes_into_its_header(client: Any, service: Any, jpeg: bytes) -> None:
    client.call(service.url, "pose", jpeg, client={"api_key": "secret"})
    assert service.seen[0].headers["authorization"] == "Bearer secret"


def test_a_path_in_the_url_is_kept(client: Any, service: Any, jpeg: bytes) -> None:
    client.call(service.url + "/behind/proxy/", "pose", jpeg)
    assert service.seen[0].path == "/behind/proxy/v1/pose"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, UnauthorizedError),
        (413, TooLargeError),
        (422, UnprocessableError),
        (503, UnavailableError),
        (500, ProblemError),
    ],
)
@pytest.mark.parametrize("method", ["pose", "draw"])
def test_problems_are_raised(
    client: Any, service: Any, documents: SimpleNamespace, jpeg: bytes, method: str, status: int, kind: type
) -> None:
    service.answer = lambda _: documents.problem(status, "What is wrong.", retry_after="2")
    with pytest.raises(kind) as raised:
        client.call(service.url, method, jpeg, client={"retry": 0})
    error = raised.value
    assert (error.status, error.title, error.detail) == (status, "Some Title", "What is wrong.")
    assert error.retry_after == 2.0


@pytest.mark.parametrize("method", ["pose", "draw", "many"])
def test_a_busy_service_is_asked_again(
    client: Any, service: Any, documents: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Every request is refused twice: for want of room, then for its rate."""
    monkeypatch.setattr("handpose_client.outages._FIRST_PAUSE", 0.001)

    def answer(seen: Any) -> Response:
        if len(service.seen) % 3:
            return documents.problem((503, 429)[len(service.seen) % 3 - 1], "Not now.", Retry_After="0")
        wanted = seen.headers["accept"]
        return Response(b"drawn", media_type=wanted) if "png" in wanted else documents.found(seen)

    service.answer = answer
    if method == "many":
        results = client.many(service.url, [b"1", b"2", b"3"], batch_size=1)
        assert [result.error for result in results] == [None] * 3
        assert len(service.seen) == 9
    else:
        assert client.call(service.url, method, b"1")
        assert [seen.body for seen in service.seen] == [b"1"] * 3


def test_a_service_that_is_busy_for_too_long(
    client: Any, service: Any, documents: SimpleNamespace, jpeg: bytes
) -> None:
    """What it asks for is more than there is time for."""
    service.answer = lambda _: documents.problem(503, "Not now.", Retry_After="20")
    with pytest.raises(UnavailableError, match="Not now"):
        client.call(service.url, "pose", jpeg, client={"retry": 20})
    assert len(service.seen) == 1


def test_a_proxys_502(client: Any, service: Any, jpeg: bytes) -> None:
    service.answer = lambda _: Response("<h1>Bad Gateway</h1>", 502, media_type="text/html")
    with pytest.raises(ProblemError, match=r"502 Bad Gateway: .*<h1>Bad Gateway</h1>"):
        client.call(service.url, "pose", jpeg)


def test_something_else_that_answers_200(client: Any, service: Any, jpeg: bytes) -> None:
    service.answer = lambda _: Response("<h1>Welcome</h1>", media_type="text/html")
    with pytest.raises(AnswerError, match=r"is .*/v1/pose a handpose service"):
        client.call(service.url, "pose", jpeg)


@pytest.mark.parametrize("body", [b'{"hands": [', b"[]", b'{"hello": 1}'])
def test_json_that_is_no_answer(client: Any, service: Any, jpeg: bytes, body: bytes) -> None:
    service.answer = lambda _: Response(body, media_type="application/json")
    with pytest.raises(AnswerError):
        client.call(service.url, "pose", jpeg)


def test_redirects_are_not_followed(client: Any, service: Any, jpeg: bytes) -> None:
    """The key would follow them."""
    service.answer = lambda _: RedirectResponse("https://elsewhere.example/", 308)
    with pytest.raises(ProblemError, match=r"the service is at https://elsewhere\.example/"):
        client.call(service.url, "pose", jpeg)
    assert len(service.seen) == 1


def test_nobody_listens(client: Any, unused_url: str, jpeg: bytes) -> None:
    with pytest.raises(ConnectionFailedError, match=f"cannot connect to {unused_url}: Connection refused"):
        client.call(unused_url, "pose", jpeg)


def test_a_host_that_does_not_exist(client: Any, jpeg: bytes) -> None:
    with pytest.raises(ConnectionFailedError, match=r"cannot connect to http://none\.invalid"):
        client.call("http://none.invalid", "pose", jpeg)


def test_the_service_does_not_answer(client: Any, raw_service: Callable[..., str], jpeg: bytes) -> None:
    def silent(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass

    started = time.monotonic()
    with pytest.raises(TimedOutError, match=r"did not answer within 0\.3 s"):
        client.call(raw_service(silent), "pose", jpeg, client={"timeout": 0.3})
    assert 0.2 < time.monotonic() - started < 3


@pytest.mark.parametrize(
    "beginning", [b"", b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"hands"', b"nonsense\r\n\r\n"]
)
def test_the_connection_is_cut(
    client: Any, raw_service: Callable[..., str], jpeg: bytes, beginning: bytes
) -> None:
    def cut(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(beginning)

    url = raw_service(cut)
    with pytest.raises(ConnectionFailedError, match=f"the connection to {url} was cut"):
        client.call(url, "pose", jpeg)


def test_an_answer_that_cannot_be_unpacked(client: Any, service: Any, jpeg: bytes) -> None:
    headers = {"Content-Encoding": "gzip"}
    service.answer = lambda _: Response(b"not gzip", headers=headers, media_type="application/json")
    with pytest.raises(AnswerError, match=f"{service.url} cannot be unpacked"):
        client.call(service.url, "pose", jpeg)


def test_a_connection_that_was_idle_for_long_is_not_used_again(raw_service: Callable[..., str]) -> None:
    """The service may be closing it at that moment: it does after 5 s."""
    requests: list[int] = []

    def serve(connection: socket.socket) -> None:
        requests.append(0)
        while connection.recv(65536):
            requests[-1] += 1
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
            connection.sendall(head + b"{}")

    with HandPose(raw_service(serve)) as client:
        for idle in (0, 0.1, 2.5):
            time.sleep(idle)
            client.ready()
        assert requests == [2, 1]


def test_ready(client: Any, service: Any, documents: SimpleNamespace) -> None:
    service.answer = lambda _: JSONResponse({"status": "ready"})
    assert client.call(service.url, "ready") is True
    assert service.seen[0].path == "/readyz"
    service.answer = lambda _: documents.problem(503, "Not warm.")
    assert client.call(service.url, "ready") is False
    service.answer = lambda _: documents.problem(404, "Nothing there.")
    with pytest.raises(ProblemError):
        client.call(service.url, "ready")


def test_waiting_until_ready(client: Any, service: Any, documents: SimpleNamespace) -> None:
    service.answer = lambda _: (
        JSONResponse({"status": "ready"}) if len(service.seen) > 2 else documents.problem(503, "Not warm.")
    )
    client.call(service.url, "wait_until_ready", timeout=20)
    assert len(service.seen) == 3


def test_waiting_in_vain(client: Any, service: Any, documents: SimpleNamespace, unused_url: str) -> None:
    service.answer = lambda _: documents.problem(503, "Not warm.")
    with pytest.raises(TimedOutError, match=r"not ready within 1 s: 503 Some Title: Not warm\."):
        client.call(service.url, "wait_until_ready", timeout=1.0)
    service.answer = lambda _: Response("<h1>Bad gateway</h1>", 502, media_type="text/html")
    with pytest.raises(TimedOutError, match=r"not ready within 1 s: 502 Bad Gateway: .*Bad gateway"):
        client.call(service.url, "wait_until_ready", timeout=1.0)
    with pytest.raises(TimedOutError, match=r"not ready within 1 s: cannot connect to .*refused"):
        client.call(unused_url, "wait_until_ready", timeout=1.0)


def test_waiting_for_a_service_that_accepts_and_says_nothing(
    client: Any, raw_service: Callable[..., str]
) -> None:
    def silent(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass

    started = time.monotonic()
    with pytest.raises(TimedOutError, match=r"not ready within 0\.6 s: .* did not answer within 0\.\d+ s$"):
        client.call(raw_service(silent), "wait_until_ready", timeout=0.6)
    assert 0.6 <= time.monotonic() - started < 3


def test_waiting_ends_at_once_when_it_is_no_service(
    client: Any, service: Any, documents: SimpleNamespace
) -> None:
    service.answer = lambda _: documents.problem(404, "Nothing there.")
    with pytest.raises(ProblemError, match="404"):
        client.call(service.url, "wait_until_ready", timeout=20)


def test_many_threads_share_a_client(service: Any, documents: SimpleNamespace) -> None:
    """Each gets its own answer: the service puts what it was sent into the box."""
    service.answer = lambda seen: JSONResponse(documents.pose(documents.hand(float(seen.body))))
    with HandPose(service.url) as client, ThreadPoolExecutor(8) as pool:
        results = pool.map(lambda i: client.pose(str(i).encode()), range(100))
        assert [result.hands[0].box.x for result in results] == list(range(100))


def test_a_closed_client_is_closed(service: Any, jpeg: bytes) -> None:
    client = HandPose(service.url)
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.pose(jpeg)


def test_its_words_tell_the_url_and_not_the_key() -> None:
    with HandPose("http://localhost:1", api_key="secret") as client:
        assert repr(client) == "HandPose('http://localhost:1')"
