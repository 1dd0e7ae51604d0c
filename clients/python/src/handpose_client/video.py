"""Video files and cameras as frames to stream, and video files to write. Needs the extra `video`.

Frames are (H, W, 3) uint8 RGB arrays.
"""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from handpose_client.errors import MissingExtraError

try:
    import cv2
except ImportError as error:
    raise MissingExtraError("video") from error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_USUAL_FPS, _MOST_FPS = 30.0, 1000.0  # for sources that do not say, or say what cannot be
_LAST_READ = 2.0  # seconds to wait for a camera's last frame before it is left to its thread
_CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".avi": "MJPG", ".mkv": "mp4v"}


class VideoError(OSError):
    """A video that cannot be opened, read or written."""


class _Source:
    """What files and cameras share: the device and its end."""

    def __init__(self, capture: Any, name: str) -> None:
        self._capture = capture
        self._lock = threading.Lock()  # a stream reads in a thread of its own; `close` must not cut in
        if not capture.isOpened():
            raise VideoError(f"{name} cannot be opened as a video")
        fps = capture.get(cv2.CAP_PROP_FPS)
        self.fps: float = fps if 0 < fps <= _MOST_FPS else _USUAL_FPS

    def _read(self) -> "NDArray[np.uint8] | None":
        with self._lock:
            done, frame = self._capture.read()
        return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if done else None

    def close(self) -> None:
        """Let the file or camera go; iteration ends."""
        with self._lock:
            self._capture.release()

    def __iter__(self) -> "Iterator[NDArray[np.uint8]]":
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class VideoFile(_Source):
    """Every frame of a file, once.

    fps: frames per second. frame_count: how many there are, or None where the file does not say.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """path: a file, or a URL that OpenCV reads. Raises FileNotFoundError for a file that is not there,
        VideoError for one that is no video or whose name is not UTF-8.
        """
        name = _name(path)
        if "://" not in name and not Path(name).exists():
            raise FileNotFoundError(f"there is no file {name}")
        super().__init__(cv2.VideoCapture(name), name)
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.frame_count: int | None = count if count > 0 else None

    def __iter__(self) -> "Iterator[NDArray[np.uint8]]":
        while (frame := self._read()) is not None:
            yield frame


class Camera(_Source):
    """The newest frame of a camera or another live source, each at most once, until `close`.

    A thread reads the camera all the time and keeps one frame: whoever asks less often than the camera
    delivers gets what it sees now, not what a driver has queued.
    """

    def __init__(self, source: int | str = 0) -> None:
        """source: which camera, from 0, or the URL of one (`rtsp://…`). Raises VideoError when there is none."""
        name = _name(source) if isinstance(source, str) else f"camera {source}"
        super().__init__(cv2.VideoCapture(source), name)
        self._newest: NDArray[np.uint8] | None = None
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._watch, name="handpose-camera", daemon=True)
        self._thread.start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> "NDArray[np.uint8]":
        """Waits for a frame that was not given before."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._ended)
            if self._ended or self._newest is None:
                raise StopIteration
            frame, self._newest = self._newest, None
            return frame

    def close(self) -> None:
        """End the iteration and let the camera go; one that gives nothing any more is let go when its read ends."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join(_LAST_READ)

    def _watch(self) -> None:
        while not self._ended:
            frame = self._read()
            with self._changed:
                self._newest = frame
                self._ended = self._ended or frame is None
                self._changed.notify_all()
        super().close()


class VideoWriter:
    """Writes frames to a file, whose size is that of the first one."""

    def __init__(self, path: str | os.PathLike[str], fps: float) -> None:
        """path: .mp4, .m4v, .mov and .mkv are written as MPEG-4, .avi as Motion JPEG.

        Raises ValueError for another suffix, VideoError for a name that is not UTF-8. The file is made at the
        first frame.
        """
        self._path = Path(_name(path))
        if self._path.suffix.lower() not in _CODECS:
            raise ValueError(f"a video is {', '.join(_CODECS)}, not {self._path.name}")
        self._fps = fps
        self._writer: Any = None

    def write(self, frame: "NDArray[np.uint8]") -> None:
        """Append a frame. Raises VideoError when the file cannot be written."""
        height, width = frame.shape[:2]
        pixels = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        if self._writer is None:
            code = cv2.VideoWriter.fourcc(*_CODECS[self._path.suffix.lower()])
            self._writer = cv2.VideoWriter(str(self._path), code, self._fps, (width, height))
            if not self._writer.isOpened():
                raise VideoError(f"{self._path} cannot be written")
            self._size = width, height
        if (width, height) != self._size:
            pixels = cv2.resize(pixels, self._size, interpolation=cv2.INTER_AREA)
        self._writer.write(pixels)

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _name(path: str | os.PathLike[str]) -> str:
    """A file's name. Raises VideoError for one that is not UTF-8: OpenCV would end the process."""
    name = os.fspath(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise VideoError(f"{name}: OpenCV takes no name that is not UTF-8") from None
    return name
