"""Video files come back frame by frame; a camera gives what it sees now."""

import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from handpose_client.video import Camera, VideoError, VideoFile, VideoWriter
from numpy.typing import NDArray


def flat(colour: tuple[int, int, int], width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    return np.full((height, width, 3), colour, np.uint8)


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv", ".MOV"])
def test_what_is_written_is_read(tmp_path: Path, suffix: str) -> None:
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    path = tmp_path / f"video{suffix}"
    with VideoWriter(path, fps=25) as writer:
        for colour in colours:
            writer.write(flat(colour))
    with VideoFile(path) as video:
        assert video.fps == pytest.approx(25)
        assert video.frame_count == 3
        frames = list(video)
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 3
    for frame, colour in zip(frames, colours, strict=True):
        assert np.abs(frame.astype(int) - colour).mean() < 12  # RGB stays RGB


def test_a_frame_of_another_size_is_fitted(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "video.avi", fps=25) as writer:
        writer.write(flat((0, 0, 0)))
        writer.write(flat((200, 200, 200), 128, 96))
    with VideoFile(tmp_path / "video.avi") as video:
        frames = list(video)
    assert frames[1].shape == (48, 64, 3)
    assert frames[1].mean() > 150


def test_a_video_of_no_known_kind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a video is \.mp4, .*, not video\.gif"):
        VideoWriter(tmp_path / "video.gif", fps=25)


def test_a_video_that_cannot_be_written(tmp_path: Path) -> None:
    with (
        VideoWriter(tmp_path / "nowhere" / "video.avi", 25) as writer,
        pytest.raises(VideoError, match="written"),
    ):
        writer.write(flat((0, 0, 0)))


def test_a_video_without_frames_is_no_file(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "video.mp4", fps=25):
        pass
    assert not (tmp_path / "video.mp4").exists()


def test_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    """OpenCV would end the process."""
    name = tmp_path / "v\udcff.avi"
    name.write_bytes(b"")
    with pytest.raises(VideoError, match="takes no name that is not UTF-8"):
        VideoFile(name)
    with pytest.raises(VideoError, match="takes no name that is not UTF-8"):
        VideoWriter(name, 10)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.mp4"):
        VideoFile(tmp_path / "none.mp4")


def test_a_file_that_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("no video")
    with pytest.raises(VideoError, match="cannot be opened as a video"):
        VideoFile(path)


def test_closing_ends_the_frames(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "video.avi", fps=25) as writer:
        for _ in range(5):
            writer.write(flat((0, 0, 0)))
    video = VideoFile(tmp_path / "video.avi")
    frames = iter(video)
    next(frames)
    video.close()
    assert list(frames) == []


URL = "rtsp://camera/1"


class FakeCapture:
    """A camera whose frames come when the test says so; frame i is of brightness i."""

    def __init__(self, source: int | str) -> None:
        self.source = source
        self.released = threading.Event()
        self.count = 0
        self.may_read = threading.Semaphore(0)
        self.unplugged = False
        self.read_once = threading.Condition()

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return self.source in (0, URL)

    def get(self, _: int) -> float:
        return 0.0

    def read(self) -> tuple[bool, Any]:
        if not self.may_read.acquire(timeout=0.05) and not self.unplugged:
            return True, np.full(
                (2, 2, 3), self.count, np.uint8
            )  # the same again, as if the light did not change
        if self.unplugged:
            return False, None
        self.count += 1
        return True, np.full((2, 2, 3), self.count, np.uint8)

    def release(self) -> None:
        self.released.set()


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch) -> list[FakeCapture]:
    made: list[FakeCapture] = []

    def make(source: int | str) -> FakeCapture:
        made.append(FakeCapture(source))
        return made[-1]

    monkeypatch.setattr(cv2, "VideoCapture", make)
    return made


def test_a_camera_gives_the_newest_frame(capture: list[FakeCapture]) -> None:
    with Camera(0) as camera:
        assert camera.fps == 30
        capture[0].may_read.release(5)
        assert next(frame for frame in camera if frame.max() == 5).shape == (2, 2, 3)
        capture[0].may_read.release(3)
        seen = [next(camera).max() for _ in range(10)]
        assert seen == sorted(seen)
        assert seen[-1] == 8
    assert capture[0].released.is_set()
    assert list(camera) == []


def test_a_camera_that_is_pulled_out_ends(capture: list[FakeCapture]) -> None:
    with Camera(0) as camera:
        capture[0].unplugged = True
        assert len(list(camera)) < 10


def test_closing_a_camera_wakes_who_waits_for_a_frame(capture: list[FakeCapture]) -> None:
    camera = Camera(0)
    ended = threading.Event()

    def drain() -> None:
        for _ in camera:
            pass
        ended.set()

    thread = threading.Thread(target=drain)
    thread.start()
    camera.close()
    assert ended.wait(5)
    thread.join()


def test_a_camera_that_hangs_is_let_go_when_it_can_be(
    capture: list[FakeCapture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handpose_client.video._LAST_READ", 0.01)
    reading, go_on = threading.Event(), threading.Event()

    def hang(self: FakeCapture) -> tuple[bool, Any]:
        reading.set()
        go_on.wait(60)
        return True, np.zeros((2, 2, 3), np.uint8)

    monkeypatch.setattr(FakeCapture, "read", hang)
    with Camera(0) as camera:
        assert reading.wait(5)
    assert not capture[0].released.is_set(), "that must not cut into a read"
    go_on.set()
    assert capture[0].released.wait(5)
    assert list(camera) == []


def test_a_camera_with_a_url(capture: list[FakeCapture]) -> None:
    with Camera(URL) as camera:
        assert next(camera).shape == (2, 2, 3)
    assert capture[0].source == URL


def test_no_camera(capture: list[FakeCapture]) -> None:
    with pytest.raises(VideoError, match="camera 3 cannot be opened"):
        Camera(3)
    with pytest.raises(VideoError, match="rtsp://nobody cannot be opened"):
        Camera("rtsp://nobody")
