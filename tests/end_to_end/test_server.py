"""What only a real server shows: sockets, processes, many requests at once."""

import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import httpx
import pytest

from service.api.schemas import ModelsAnswer


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_says_in_one_line_where_it_listens_and_what_runs(server) -> None:
    (line,) = [line for line in server.log if "listening" in line]
    for word in ("detector", "pose", "onnxruntime", "cpu", "threads"):
        assert word in line


def test_it_is_ready_and_tells_what_runs(http: httpx.Client) -> None:
    assert http.get("/readyz").status_code == 200
    models = ModelsAnswer.model_validate(http.get("/v1/models").json())
    assert (models.detector.task, models.pose.task) == ("detector", "pose")
    assert models.detector.device == models.pose.device == "cpu"


def test_requests_at_once_get_the_answers_they_get_alone(http: httpx.Client, shipped_photos: list) -> None:
    data = [photo.path.read_bytes() for photo in shipped_photos]

    def hands(image: bytes) -> list:
        for _ in range(100):
            answer = http.post("/v1/pose", files={"image": image})
            if answer.status_code != 503:  # a machine that is busy otherwise turns some away
                return answer.json()["hands"]
            time.sleep(0.1)
        raise AssertionError("turned away a hundred times")

    alone = [hands(image) for image in data]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(hands, data * 6))
    assert together == alone * 6


def test_the_event_loop_stays_free_while_inference_runs(http: httpx.Client, shipped_photos: list) -> None:
    image = shipped_photos[0].path.read_bytes()
    with ThreadPoolExecutor(4) as pool:
        busy = [pool.submit(http.post, "/v1/pose", files={"image": image}) for _ in range(16)]
        delays = []
        while not all(job.done() for job in busy):
            started = time.perf_counter()
            assert http.get("/healthz").status_code == 200
            delays.append(time.perf_counter() - started)
    statuses = {job.result().status_code for job in busy}
    assert 200 in statuses
    assert statuses <= {200, 503}  # a machine that is busy otherwise turns some away
    timings = [job.result().json()["timing_ms"] for job in busy if job.result().status_code == 200]
    work = [(timing["decode"] + timing["detect"] + timing["pose"]) / 1e3 for timing in timings]
    assert median(delays) < median(
        work
    )  # on a loop that did the work, each would wait for one photo at least


@pytest.mark.parametrize("as_form", [True, False])
def test_a_body_over_the_limit_gets_its_answer(http: httpx.Client, as_form: bool) -> None:
    """The client is still sending when the answer comes; it must be able to read it, and go on afterwards."""
    large = b"\xff\xd8\xff" + bytes(8_000_000)
    if as_form:
        response = http.post("/v1/pose", files={"image": large})
    else:
        response = http.post("/v1/pose", content=large, headers={"Content-Type": "image/jpeg"})
    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"
    assert http.get("/healthz").status_code == 200


def test_a_client_that_leaves_in_the_middle_harms_nobody(server, http: httpx.Client) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /v1/pose HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 5000\r\n\r\n\x89PNG"
        )
    assert http.get("/healthz").status_code == 200
    assert not any("Traceback" in line for line in server.log)


def test_broken_http_is_refused(server, http: httpx.Client) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.settimeout(10)
        connection.sendall(b"this is not http\r\n\r\n")
        assert b"400" in connection.recv(1000)
    assert http.get("/healthz").status_code == 200


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_it_finishes_what_it_has_begun_when_told_to_stop(
    start_server: Callable, shipped_photos: list, told: signal.Signals
) -> None:
    running = start_server()
    image = shipped_photos[0].path.read_bytes()
    host, port = running.url.removeprefix("http://").split(":")
    head = f"POST /v1/pose HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
    with (
        httpx.Client(base_url=running.url, timeout=60) as client,
        socket.create_connection((host, int(port)), timeout=60) as last,
    ):
        assert client.post("/v1/pose", files={"image": image}).status_code == 200
        last.sendall(head.encode() + image[: len(image) // 2])
        # The request for the metrics is one of the two.
        wait_until(lambda: "handpose_requests_in_flight 2.0" in client.get("/metrics").text)
        running.process.send_signal(told)
        wait_until(lambda: any("stopping" in line for line in running.log))
        last.sendall(image[len(image) // 2 :])
        answer = last.makefile("rb").read()  # to the end of the connection
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert running.process.wait(20) == 0
    running.close()
    assert not any("Traceback" in line for line in running.log), running.log
