"""Streams over real sockets, with the weights that ship."""

import contextlib
import json
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from service.api.stream_messages import ResultMessage

FRAMES = 60


def address(url: str, query: str = "") -> str:
    return url.replace("http://", "ws://") + "/v1/stream?" + query


@pytest.fixture
def open_stream(server: Any) -> Iterator[Callable[..., ClientConnection]]:
    """Opens streams that are closed after the test: `open_stream("max_hands=1")`."""
    with contextlib.ExitStack() as opened:

        def make(query: str = "", **options: Any) -> ClientConnection:
            return opened.enter_context(connect(address(server.url, query), **options))

        yield make


def ask(connection: ClientConnection, frame: bytes) -> ResultMessage:
    connection.send(frame)
    return ResultMessage.model_validate_json(connection.recv(timeout=30))


def moving(photo: Any, pixels: float) -> Iterator[tuple[bytes, NDArray[np.float64]]]:
    """Frames in which the whole photo moves to and fro by `pixels` a frame; with each, by how much it has moved."""
    picture = cv2.imread(str(photo.path))
    steps = np.concatenate([np.arange(10), np.arange(10, -10, -1), np.arange(-10, 0)])
    for index in range(FRAMES):
        offset = np.array([steps[index % len(steps)] * pixels, 0.0])
        matrix = np.array([[1, 0, offset[0]], [0, 1, 0]])
        size = (picture.shape[1], picture.shape[0])
        shifted = cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REFLECT_101)
        yield cv2.imencode(".jpg", shifted, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes(), offset


def metric(http: httpx.Client, name: str) -> float:
    return metrics(http, name)[0]


def metrics(http: httpx.Client, *names: str) -> list[float]:
    """Several of them at one look."""
    text = http.get("/metrics").text
    found = [re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE) for name in names]
    assert all(found), names
    return [float(one[1]) for one in found]


def test_the_first_frame_is_answered_as_a_photo_is(
    http: httpx.Client, open_stream: Callable, shipped_photos: list
) -> None:
    for photo in shipped_photos:
        data = photo.path.read_bytes()
        answer = http.post("/v1/pose", files={"image": data}).json()
        connection = open_stream()
        connection.send(data)
        result = json.loads(connection.recv(timeout=30))
        assert result["image"] == answer["image"]
        assert len(result["hands"]) == len(answer["hands"])
        for streamed, asked in zip(result["hands"], answer["hands"], strict=True):
            assert streamed["keypoints"] == asked["keypoints"]
            assert streamed["score"] == asked["score"]


def test_a_hand_that_moves_is_followed(open_stream: Callable, shipped_photos: list) -> None:
    """Keypoints move as the picture does, one id all along, and few frames need the detector."""
    photo = next(photo for photo in shipped_photos if len(photo.hands) == 1)
    size = (photo.hands[0].box[2:] - photo.hands[0].box[:2]).max()
    connection = open_stream("smoothing=false")
    first, errors, ids, detected = None, [], set(), 0
    for frame, offset in moving(photo, size / 30):
        result = ask(connection, frame)
        detected += result.detector_ran
        assert len(result.hands) == 1
        points = np.array([(k.x, k.y) for k in result.hands[0].keypoints])
        first = points if first is None else first
        errors.append(np.linalg.norm(points - first - offset, axis=1).mean() / size)
        ids.add(result.hands[0].track_id)
    assert ids == {1}
    assert np.median(errors) < 0.1
    assert max(errors) < 0.3
    assert detected <= 0.25 * FRAMES


def test_with_all_hands_found_the_detector_rests(open_stream: Callable, shipped_photos: list) -> None:
    photo = next(photo for photo in shipped_photos if len(photo.hands) == 1)
    connection = open_stream("max_hands=1")
    results = [ask(connection, photo.path.read_bytes()) for _ in range(20)]
    assert [result.detector_ran for result in results] == [True] + [False] * 19
    assert {result.hands[0].track_id for result in results} == {1}


def test_frames_are_dropped_rather_than_queued(open_stream: Callable, shipped_photos: list) -> None:
    connection = open_stream()
    frame = shipped_photos[0].path.read_bytes()
    for _ in range(100):
        connection.send(frame)
    last = ResultMessage.model_validate_json(connection.recv(timeout=30))
    while last.frame < 99:
        last = ResultMessage.model_validate_json(connection.recv(timeout=30))
    assert last.dropped > 50
    assert last.timing_ms.total < 5000


def test_messages_are_not_compressed_and_pings_are_answered(open_stream: Callable) -> None:
    connection = open_stream()
    assert connection.request.headers["Sec-WebSocket-Extensions"]  # this client offers it
    assert "Sec-WebSocket-Extensions" not in connection.response.headers
    assert connection.ping().wait(10)


def test_a_page_from_elsewhere_may_not_connect(server: Any, open_stream: Callable) -> None:
    assert open_stream(origin=server.url).ping().wait(10)
    with pytest.raises(Exception, match="403"):
        open_stream(origin="https://evil.example")


@pytest.mark.parametrize("megabytes", [1.5, 2.5, 6.5])
def test_a_message_over_the_limit_ends_the_stream(start_server: Callable, megabytes: float) -> None:
    """Once above the limit, and once so far above that it is refused before it has arrived."""
    running = start_server("--stream-max-bytes", "1000000")
    with connect(address(running.url)) as connection:
        with contextlib.suppress(ConnectionClosed):  # it may be refused while it is still being sent
            connection.send(bytes(int(megabytes * 1e6)))
        with pytest.raises(ConnectionClosed) as caught:
            connection.recv(timeout=10)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009
    assert not any("Traceback" in line for line in running.log)


def test_a_client_that_sends_2000_frames_and_reads_nothing_costs_nothing(
    http: httpx.Client, server: Any, shipped_photos: list
) -> None:
    """Memory stays where it was, frames stop being analysed, and others are served as before."""
    outcomes = [
        f'handpose_stream_frames_total{{outcome="{one}"}}' for one in ("answered", "dropped", "failed")
    ]
    answered, received = outcomes[0], "handpose_stream_frames_received_total"

    def waiting_and_running() -> tuple[float, float]:
        """How many frames of all streams had no outcome yet, and how many jobs run."""
        came, running, *gone = metrics(http, received, "handpose_jobs_running", *outcomes)
        return came - sum(gone), running

    frame = shipped_photos[0].path.read_bytes()
    host, port = server.url.removeprefix("http://").split(":")
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect((host, int(port)))
    with connect(address(server.url), sock=narrow, max_queue=1, ping_interval=None) as connection:
        for _ in range(20):
            ask(connection, frame)
        left = waiting_and_running()[0]  # by streams that ended before
        memory = metric(http, "process_resident_memory_bytes")
        for _ in range(1000):
            connection.send(frame)
            time.sleep(0.003)
        looks = 0
        while looks < 2:  # what lies in buffers on the way is bounded too, so this ends
            connection.send(frame)
            time.sleep(0.1)
            blocked = waiting_and_running() == (left + 1, 0)  # a frame waits, and nobody works on it
            looks = looks + 1 if blocked else 0
        now = metric(http, answered)
        for _ in range(1000):
            connection.send(frame)
        assert metric(http, answered) == now
        assert metric(http, "process_resident_memory_bytes") - memory < 10e6
        assert http.post("/v1/pose", files={"image": frame}).status_code == 200
        with connect(address(server.url)) as other:
            assert ask(other, frame).hands


def test_open_streams_are_told_when_the_service_stops(start_server: Callable, shipped_photos: list) -> None:
    running = start_server()
    with connect(address(running.url)) as connection:
        ask(connection, shipped_photos[0].path.read_bytes())
        code = running.stop()
        with pytest.raises(ConnectionClosed) as caught:
            connection.recv(timeout=10)
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1001, "The service is stopping.")
    assert code in (0, -signal.SIGTERM)
    assert not any("Traceback" in line for line in running.log), running.log
