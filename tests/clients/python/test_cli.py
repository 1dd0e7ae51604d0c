"""The command line: what it prints, writes and returns."""

import io
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from handpose_client import __version__, video
from handpose_client.cli import main
from handpose_client.video import VideoFile, VideoWriter
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(service: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line against the fake service: exit code, standard output, standard error."""
    monkeypatch.setenv("HAND_POSE_URL", service.url)

    def execute(*words: str | Path) -> tuple[int, str, str]:
        try:
            code = main([str(word) for word in words])
        except SystemExit as end:  # argparse
            code = end.code if isinstance(end.code, int) else 1
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return code, printed.out, printed.err

    return execute


@pytest.fixture
def photo(tmp_path: Path, jpeg: bytes) -> Path:
    path = tmp_path / "hand.jpg"
    path.write_bytes(jpeg)
    return path


@pytest.fixture
def answers(service: Any, documents: SimpleNamespace) -> None:
    """The service finds a hand in every photo, and draws."""

    def answer(seen: Any) -> Response:
        if seen.headers["accept"] != "application/json":
            return Response(b"drawn as " + seen.headers["accept"].encode(), media_type=seen.headers["accept"])
        return JSONResponse(documents.pose(documents.hand()))

    service.answer = answer


@pytest.fixture
def follows(service: Any, documents: SimpleNamespace) -> None:
    """The service answers every frame of a stream with a hand."""

    async def follow(websocket: WebSocket) -> None:
        await websocket.accept()
        for number in itertools.count():
            await websocket.receive_bytes()
            answer = {
                "type": "result",
                "frame": number,
                "dropped": 0,
                **documents.pose(documents.hand(track_id=1)),
            }
            await websocket.send_text(json.dumps(answer))

    service.follow = follow


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Five grey frames, each brighter than the one before."""
    path = tmp_path / "clip.avi"
    with VideoWriter(path, fps=10) as writer:
        for i in range(5):
            writer.write(np.full((120, 160, 3), 40 * i, np.uint8))
    return path


@pytest.mark.usefixtures("answers")
def test_a_photo_in_words(run: Run, photo: Path) -> None:
    code, out, err = run(photo)
    assert (code, err) == (0, "")
    assert out == f"{photo}: 160 × 120, 1 hand, 10.5 ms\n  right 0.98  box 10,20 40 × 50  index_tip 26,28\n"


def test_no_hands(run: Run, photo: Path) -> None:
    assert run(photo) == (0, f"{photo}: 160 × 120, no hands, 10.5 ms\n", "")


@pytest.mark.usefixtures("answers")
def test_photos_as_json(run: Run, photo: Path, documents: SimpleNamespace) -> None:
    code, out, err = run("--json", photo, photo)
    assert (code, err) == (0, "")
    assert [json.loads(line) for line in out.splitlines()] == [
        {"file": str(photo), **documents.pose(documents.hand())}
    ] * 2


def test_options_reach_the_service(run: Run, service: Any, photo: Path) -> None:
    run(photo, "--max-hands", "2", "--min-score", "0.25", "--mirrored", "--api-key", "secret")
    assert service.seen[0].query == {"max_hands": "2", "min_score": "0.25", "mirrored": "true"}
    assert service.seen[0].headers["authorization"] == "Bearer secret"


def test_the_key_from_the_environment(
    run: Run, service: Any, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAND_POSE_API_KEY", "secret")
    run(photo)
    assert service.seen[0].headers["authorization"] == "Bearer secret"


def test_standard_input(run: Run, service: Any, jpeg: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(jpeg)))
    assert run("-")[0] == 0
    assert service.seen[0].body == jpeg


@pytest.mark.usefixtures("answers")
@pytest.mark.parametrize(
    ("name", "kind"), [("out.png", "png"), ("OUT.JPG", "jpeg"), ("new/out.jpeg", "jpeg")]
)
def test_a_drawing(run: Run, photo: Path, tmp_path: Path, name: str, kind: str) -> None:
    assert run(photo, "--draw", tmp_path / name)[0] == 0
    assert (tmp_path / name).read_text() == f"drawn as image/{kind}"


@pytest.mark.usefixtures("answers")
def test_many_drawings_go_into_a_folder(run: Run, photo: Path, tmp_path: Path, jpeg: bytes) -> None:
    other = tmp_path / "other.webp"
    other.write_bytes(jpeg)
    assert run(photo, other, "--draw", tmp_path / "drawn")[0] == 0
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["hand.png", "other.png"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["a.jpg", "b.jpg", "--draw", "out.png"], "2 photos need a folder"),
        (["a.jpg", "--draw", "out.gif"], "a drawing is .png, .jpg, .jpeg, not out.gif"),
        (["a/x.jpg", "b/x.jpg", "--draw", "drawn"], "two photos would be drawn to drawn/x.png"),
        ([], "photo"),
        (["a.jpg", "--max-hands", "17"], "'17' is not a number from 1 to 16"),
        (["a.jpg", "--max-hands", "1.5"], "'1.5' is not a number from 1 to 16"),
        (["a.jpg", "--min-score", "nan"], "'nan' is not a number from 0 to 1"),
        (["a.jpg", "--json=yes"], "--json"),
        (["a.jpg", "--url", "localhost:8000"], "did you mean http://localhost:8000?"),
        (["stream"], "source"),
        (["stream", "0", "--reconnect", "-1"], "'-1' is not a number"),
    ],
)
def test_wrong_arguments(run: Run, service: Any, words: list[str], complaint: str) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert complaint in err
    assert not service.seen


@pytest.mark.parametrize("words", [["--help"], ["stream", "--help"]])
def test_help(run: Run, words: list[str]) -> None:
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    for part in ("usage: hand-pose", "--url", "exit codes", "HAND_POSE_URL"):
        assert part in out


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"hand-pose {__version__}\n", "")


@pytest.mark.usefixtures("answers")
def test_a_photo_that_is_not_there_does_not_stop_the_others(run: Run, photo: Path) -> None:
    code, out, err = run("none.jpg", photo.parent, photo)
    assert code == 1
    assert out.startswith(f"{photo}: ")
    assert (
        err == f"hand-pose: none.jpg: No such file or directory\nhand-pose: {photo.parent}: Is a directory\n"
    )


@pytest.mark.parametrize("status", [413, 415, 422])
def test_a_photo_that_is_refused_does_not_stop_the_others(
    run: Run, service: Any, photo: Path, documents: SimpleNamespace, status: int
) -> None:
    service.answer = lambda _: (
        documents.problem(status, "Not this.") if len(service.seen) == 1 else JSONResponse(documents.pose())
    )
    code, out, err = run(photo, photo)
    assert code == 1
    assert out.count("\n") == 1
    assert err == f"hand-pose: {photo}: {status} Some Title: Not this.\n"


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_a_service_that_does_not_serve_stops_at_once(
    run: Run, service: Any, photo: Path, documents: SimpleNamespace, status: int
) -> None:
    service.answer = lambda _: documents.problem(status, "Go away.")
    assert run(photo, photo) == (3, "", f"hand-pose: {status} Some Title: Go away.\n")
    assert len(service.seen) == 1


def test_a_service_that_is_not_there(run: Run, unused_url: str, photo: Path, clip: Path) -> None:
    complaint = f"hand-pose: cannot connect to {unused_url}: Connection refused\n"
    assert run(photo, "--url", unused_url) == (3, "", complaint)
    code, _, err = run("stream", clip, "--url", unused_url)
    assert code == 3
    assert complaint in err


def test_waiting_for_the_service(run: Run, service: Any, photo: Path, unused_url: str) -> None:
    assert run(photo, "--wait", "5")[0] == 0
    assert [seen.path for seen in service.seen] == ["/readyz", "/v1/pose"]
    code, _, err = run(photo, "--wait", "0.2", "--url", unused_url)
    assert code == 3
    assert "not ready within 0.2 s" in err


@pytest.mark.usefixtures("answers")
def test_a_drawing_that_cannot_be_written(run: Run, photo: Path) -> None:
    code, _, err = run(photo, "--draw", photo / "below" / "a-file.png")
    assert code == 1
    assert err.startswith(f"hand-pose: {photo}")


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


def test_the_options_of_a_stream(run: Run, service: Any, follows: None, clip: Path) -> None:
    run("stream", clip, "--no-smoothing", "--max-hands", "1", "--mirrored")
    assert service.streams[0].query == {"max_hands": "1", "mirrored": "true", "smoothing": "false"}


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


@pytest.mark.usefixtures("answers")
def test_it_is_installed_and_runs_as_a_module(service: Any, photo: Path) -> None:
    environment = os.environ | {"HAND_POSE_URL": service.url, "PYTHONIOENCODING": "utf-8"}
    script = Path(sys.executable).with_name("hand-pose")
    for command in ([str(script)], [sys.executable, "-m", "handpose_client"]):
        done = subprocess.run(
            [*command, str(photo)],
            env=environment,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=True,
        )
        assert "1 hand" in done.stdout


@pytest.mark.usefixtures("answers")
def test_a_reader_that_has_enough(service: Any, photo: Path) -> None:
    """`hand-pose … | head -1` ends without a word on a broken pipe."""
    environment = os.environ | {"HAND_POSE_URL": service.url, "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "handpose_client", *[str(photo)] * 3]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(60) == 1
        assert process.stderr.read() == b""
