"""The command line with videos and cameras: what it prints, writes and returns."""

import itertools
import json
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from handpose_client import video
from handpose_client.video import VideoFile
from starlette.websockets import WebSocket

from tests.clients.python.conftest import Run


@pytest.mark.usefixtures("follows")
def test_a_video_as_json(run: Run, clip: Path) -> None:
    code, out, err = run("stream", clip, "--json")
    assert code == 0
    results = [json.loads(line) for line in out.splitlines()]
    assert [result["frame"] for result in results] == [0, 1, 2, 3, 4]
    assert results[4]["hands"][0]["track_id"] == 1
    assert err.startswith("5 frames in ")
    assert "dropped" not in err


@pytest.mark.usefixtures("follows")
def test_a_video_drawn(run: Run, clip: Path, tmp_path: Path) -> None:
    code, out, _ = run("stream", clip, "--draw", tmp_path / "drawn.avi")
    assert (code, out) == (0, "")
    with VideoFile(tmp_path / "drawn.avi") as drawn, VideoFile(clip) as original:
        assert drawn.fps == pytest.approx(10)
        pairs = list(zip(drawn, original, strict=True))
    assert len(pairs) == 5
    for mine, theirs in pairs:  # the right frames in the right order, with something drawn on the left
        assert np.abs(mine[:, 100:].astype(int) - theirs[:, 100:]).mean() < 6
        assert np.abs(mine[20:70, 10:50].astype(int) - theirs[20:70, 10:50]).mean() > 6


def test_a_drawing_never_takes_the_place_of_the_video(run: Run, service: Any, clip: Path) -> None:
    before = clip.read_bytes()
    code, _, err = run("stream", clip, "--draw", clip.parent / "." / clip.name)
    assert code == 2
    assert f"the video {clip} would be overwritten" in err
    assert clip.read_bytes() == before
    assert not service.streams


def test_the_options_of_a_stream(run: Run, service: Any, follows: None, clip: Path) -> None:
    run("stream", clip, "--no-smoothing", "--max-hands", "1", "--mirrored")
    assert service.streams[0].query == {
        "max_hands": "1",
        "mirrored": "true",
        "smoothing": "false",
        "frame_rate": "10.0",
    }


def test_frames_without_answers_are_in_the_video_all_the_same(
    run: Run, service: Any, documents: SimpleNamespace, clip: Path, tmp_path: Path
) -> None:
    """Frame 1 fails; frames 2 and 4 are lost with their connections."""

    async def follow(websocket: WebSocket) -> None:
        await websocket.accept()
        for number in range(2 if len(service.streams) == 1 else 1):
            await websocket.receive_bytes()
            answer = {"type": "result", "frame": number, **documents.pose(documents.hand(track_id=1))}
            if number == 1:
                answer = {"type": "error", "frame": 1, "status": 422, "title": "Bad", "detail": "cut off"}
            await websocket.send_text(json.dumps(answer))
        await websocket.receive_bytes()
        await websocket.close(1001)

    service.follow = follow
    code, _, err = run("stream", clip, "--draw", tmp_path / "drawn.avi")
    assert code == 1
    assert "hand-pose: frame 1: 422 Bad: cut off\n" in err
    assert err.splitlines()[-1].startswith("5 frames in ")
    assert err.endswith("2 dropped, 1 failed\n")
    with VideoFile(tmp_path / "drawn.avi") as drawn, VideoFile(clip) as original:
        changed = [np.abs(a.astype(int) - b).mean() > 1.5 for a, b in zip(drawn, original, strict=True)]
    assert changed == [True, False, False, True, False]


def test_a_video_that_is_none(run: Run, service: Any, photo: Path) -> None:
    assert run("stream", "none.mp4") == (1, "", "hand-pose: there is no file none.mp4\n")
    text = photo.with_suffix(".mp4")
    text.write_text("no video")
    assert run("stream", text) == (1, "", f"hand-pose: {text} cannot be opened as a video\n")
    assert not service.streams


def test_a_drawing_that_is_no_video(run: Run, service: Any, clip: Path) -> None:
    code, _, err = run("stream", clip, "--draw", "out.gif")
    assert code == 2
    assert err.startswith("hand-pose: --draw: a video is .mp4")
    assert not service.streams


class FakeCamera:
    """Gives a frame every 20 ms, for ever; a `VideoFile` in no other way."""

    fps = 50.0

    def __init__(self, index: int) -> None:
        self.index = index
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[Any]:
        while not self.closed.wait(0.02):
            yield np.full((120, 160, 3), 90, np.uint8)

    def __enter__(self) -> "FakeCamera":
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()


def test_a_camera_until_ctrl_c(
    run: Run, service: Any, message: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its ordinary end: exit code 0, and the video is as long as it took."""
    monkeypatch.setattr(video, "Camera", FakeCamera)
    ours = threading.get_ident()

    async def follow(websocket: WebSocket) -> None:
        await websocket.accept()
        for number in itertools.count():
            await websocket.receive_bytes()
            await websocket.send_text(message(number))
            if number == 19:
                signal.pthread_kill(ours, signal.SIGINT)

    service.follow = follow
    started = time.monotonic()
    code, _, err = run("stream", "0", "--draw", tmp_path / "drawn.avi")
    assert code == 0
    assert time.monotonic() - started < 20
    frames, seconds = re.findall(r"^(\d+) frames in ([\d.]+) s", err, re.MULTILINE)[0]
    assert int(frames) > 3
    with VideoFile(tmp_path / "drawn.avi") as drawn:
        assert len(list(drawn)) == pytest.approx(50 * float(seconds), abs=10)


@pytest.mark.parametrize(
    ("words", "opened"),
    [
        (["1"], ("Camera", 1)),
        (["rtsp://camera/1"], ("Camera", "rtsp://camera/1")),
        (["UDP://@:5000"], ("Camera", "UDP://@:5000")),
        (["http://camera/mjpeg", "--live"], ("Camera", "http://camera/mjpeg")),
        (["/dev/video0", "--live"], ("Camera", "/dev/video0")),
        (["http://host/video.mp4"], ("VideoFile", "http://host/video.mp4")),
        (["rtsp"], ("VideoFile", "rtsp")),
    ],
)
def test_what_is_live_and_what_is_a_recording(
    run: Run,
    service: Any,
    follows: None,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    opened: tuple[str, Any],
) -> None:
    """A recording goes by its own time, what is live by the clock."""
    seen: list[tuple[str, Any]] = []

    class Source:
        fps, frame_count = 50.0, 2

        def __init__(self, source: Any) -> None:
            seen.append((type(self).__name__, source))

        def __iter__(self) -> Iterator[Any]:
            yield from [np.full((120, 160, 3), 90, np.uint8)] * 2

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    for name in ("Camera", "VideoFile"):
        monkeypatch.setattr(video, name, type(name, (Source,), {}))
    assert run("stream", *words)[0] == 0
    assert seen == [opened]
    assert ("frame_rate" in service.streams[0].query) == (opened[0] == "VideoFile")


@pytest.mark.usefixtures("follows")
def test_ctrl_c_in_a_video_is_an_interruption(run: Run, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: Any) -> Iterator[Any]:
        yield np.zeros((120, 160, 3), np.uint8)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # type: ignore[arg-type]
        time.sleep(0.2)
        yield np.zeros((120, 160, 3), np.uint8)

    monkeypatch.setattr(VideoFile, "__iter__", interrupt)
    assert run("stream", clip)[0] == 130


def test_without_opencv(run: Run, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.delitem(sys.modules, "handpose_client.video")
    code, _, err = run("stream", clip)
    assert code == 1
    assert err == 'hand-pose: video needs OpenCV: pip install "handpose-client[video]"\n'
