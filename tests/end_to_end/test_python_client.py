"""The Python client against the real service. Its own tests, against a fake one, are in `tests/clients/python`."""

import asyncio
import contextlib
import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from handpose_client import (
    AsyncHandPose,
    HandPose,
    TooLargeError,
    UnavailableError,
    UnprocessableError,
    UnsupportedImageError,
)
from handpose_client.cli import main
from handpose_client.video import VideoFile, VideoWriter
from numpy.typing import NDArray


@pytest.fixture
def client(server: Any) -> Iterator[HandPose]:
    with HandPose(server.url) as client:
        yield client


@pytest.fixture
def photo(shipped_photos: list) -> Path:
    """A photo in which the service finds a hand."""
    return shipped_photos[0].path


@pytest.fixture
def array(photo: Path) -> NDArray[np.uint8]:
    """The same as (H, W, 3) RGB."""
    return cv2.cvtColor(cv2.imread(str(photo)), cv2.COLOR_BGR2RGB)


@pytest.fixture
def moving(array: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """40 frames of the photo moving to the right and down, a pixel a frame."""
    return [np.roll(array, (i, i), axis=(0, 1)) for i in range(40)]


def test_a_result_is_the_services_answer(client: HandPose, http: httpx.Client, photo: Path) -> None:
    answer = http.post("/v1/pose", files={"image": photo.read_bytes()}).json()
    result = client.pose(photo)
    assert result.hands
    mine = result.to_dict()
    for document in (answer, mine):
        assert document.pop("timing_ms").keys() == {"decode", "queue", "detect", "pose", "total"}
    assert mine == answer


def test_an_array_gives_what_its_file_gives(client: HandPose, photo: Path, array: NDArray[np.uint8]) -> None:
    (of_file, *_), (of_array, *_) = client.pose(photo).hands, client.pose(array).hands
    assert of_array.handedness.label == of_file.handedness.label
    assert np.abs(np.subtract(of_array.keypoints.xy, of_file.keypoints.xy)).mean() < 2


def test_options(client: HandPose, photo: Path) -> None:
    plain, mirrored = client.pose(photo, max_hands=1), client.pose(photo, max_hands=1, mirrored=True)
    assert {plain.hands[0].handedness.label, mirrored.hands[0].handedness.label} == {"left", "right"}
    assert client.pose(photo, min_score=1.0).hands == ()
    with pytest.raises(UnprocessableError) as raised:
        client.pose(photo, max_hands=99)
    assert raised.value.errors[0]["name"] == "max_hands"


def test_a_drawing(client: HandPose, photo: Path, array: NDArray[np.uint8]) -> None:
    for format in ("png", "jpeg"):
        drawn = cv2.imdecode(np.frombuffer(client.draw(photo, format=format), np.uint8), cv2.IMREAD_COLOR)
        assert drawn.shape == array.shape
        assert np.abs(cv2.cvtColor(drawn, cv2.COLOR_BGR2RGB).astype(int) - array).max() > 100


def test_what_runs(client: HandPose) -> None:
    client.wait_until_ready(10)
    assert client.ready()
    models = client.models()
    assert (models.detector.task, models.pose.task) == ("detector", "pose")
    assert models.pose.device == "cpu"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", UnprocessableError),
        (b"hello", UnsupportedImageError),
        (b"\xff\xd8\xff" + bytes(100), UnprocessableError),
        (b"\xff\xd8\xff" + bytes(8_000_000), TooLargeError),
    ],
)
def test_pictures_that_are_refused(client: HandPose, data: bytes, kind: type) -> None:
    with pytest.raises(kind) as raised:
        client.pose(data)
    assert raised.value.detail
    assert client.ready()


def test_asyncio(server: Any, client: HandPose, shipped_photos: list) -> None:
    async def run() -> list[Any]:
        async with AsyncHandPose(server.url) as twin:
            return await asyncio.gather(*(twin.pose(photo.path) for photo in shipped_photos))

    assert [result.hands for result in asyncio.run(run())] == [
        client.pose(p.path).hands for p in shipped_photos
    ]


def test_a_stream_follows_a_hand(client: HandPose, moving: list[NDArray[np.uint8]]) -> None:
    results = list(client.stream(moving, max_hands=1, max_in_flight=1))
    assert [result.frame for result in results] == list(range(len(moving)))
    assert results[-1].dropped == 0
    tracks = [hand.track_id for result in results for hand in result.hands]
    assert len(tracks) >= 0.9 * len(moving)
    assert len(set(tracks)) == 1
    first, last = results[5].hands[0], results[-1].hands[0]
    moved = np.subtract(last.keypoints.xy, first.keypoints.xy).mean(axis=0)
    assert moved == pytest.approx((34, 34), abs=6)
    assert sum(not result.answer.detector_ran for result in results) > len(results) / 2


def test_two_frames_under_way(client: HandPose, moving: list[NDArray[np.uint8]]) -> None:
    """The service skips a frame when it has a newer one; every frame is accounted for."""
    results = list(client.stream(moving))
    assert results[-1].frame == len(moving) - 1
    assert results[-1].dropped == len(moving) - len(results)
    assert len(results) > len(moving) / 2


def test_a_bad_frame_does_not_end_a_stream(client: HandPose, photo: Path) -> None:
    results = list(client.stream([photo, b"no picture", photo.read_bytes()[:500], photo], max_in_flight=1))
    assert [type(result.error) for result in results] == [
        type(None),
        UnsupportedImageError,
        UnprocessableError,
        type(None),
    ]
    assert results[3].hands


def test_wrong_options_of_a_stream(client: HandPose, photo: Path) -> None:
    with pytest.raises(UnprocessableError, match="max_hands"):
        list(client.stream([photo], max_hands=99))


def test_a_stream_of_asyncio(server: Any, photo: Path) -> None:
    async def run() -> int:
        async with AsyncHandPose(server.url) as client:
            return len([result async for result in client.stream([photo] * 5, max_in_flight=1)])

    assert asyncio.run(run()) == 5


def test_a_frame_that_is_too_large_for_a_stream(start_server: Callable[..., Any], photo: Path) -> None:
    server = start_server("--stream-max-bytes", "100000")
    with HandPose(server.url) as client, pytest.raises(TooLargeError):
        list(client.stream([photo, bytes(200_000), photo], reconnect=5))


def test_too_many_streams(start_server: Callable[..., Any], photo: Path) -> None:
    server = start_server("--max-streams", "1")
    with HandPose(server.url) as client, contextlib.closing(client.stream(itertools.repeat(photo))) as first:
        next(first)
        with pytest.raises(UnavailableError):
            list(client.stream([photo]))
        next(first)


def test_a_stream_outlives_a_restart(start_server: Callable[..., Any], photo: Path) -> None:
    server = start_server()
    port = server.url.rsplit(":", 1)[1]
    with HandPose(server.url) as client:
        frames = itertools.repeat(photo)
        with contextlib.closing(client.stream(frames, max_in_flight=1, reconnect=60)) as results:
            next(results)
            server.stop()
            start_server("--port", port)
            after = [next(results) for _ in range(3)]  # the first may still be of the old server
    assert after[-1].dropped <= 1
    assert after[-1].hands


def test_the_command_line(
    server: Any,
    moving: list[NDArray[np.uint8]],
    photo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = ["--url", server.url]
    assert main([str(photo), "--json", "--draw", str(tmp_path / "drawn.png"), *url]) == 0
    assert json.loads(capsys.readouterr().out)["hands"]
    assert cv2.imread(str(tmp_path / "drawn.png")) is not None
    with VideoWriter(tmp_path / "video.mp4", fps=10) as video:
        for frame in moving:
            video.write(frame)
    assert main(["stream", str(tmp_path / "video.mp4"), "--draw", str(tmp_path / "drawn.mp4"), *url]) == 0
    assert capsys.readouterr().err.startswith(f"{len(moving)} frames in ")
    with VideoFile(tmp_path / "drawn.mp4") as drawn:
        assert len(list(drawn)) == len(moving)


def test_the_examples_of_its_readme(
    root: Path,
    server: Any,
    photo: Path,
    array: NDArray[np.uint8],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hand.jpg").write_bytes(photo.read_bytes())
    with VideoWriter("video.mp4", fps=10) as video:
        for _ in range(3):
            video.write(array)
    readme = (root / "clients" / "python" / "README.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert examples
    for example in examples:
        program = example.replace("HandPose()", f'HandPose("{server.url}")')
        program = program.replace("http://localhost:8000", server.url)
        exec(compile(program, "README.md", "exec"), {"__name__": "__main__"})
