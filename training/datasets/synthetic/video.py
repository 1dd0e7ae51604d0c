"""Sequences as files: for people to look at, and as the camera of a browser under test."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.datasets.synthetic.sequence import HandSequence

Image = NDArray[np.uint8]

CAMERA_FPS = 30.0  # Chromium plays every MJPEG file at this rate, since the format has no field for it
JPEG_QUALITY = 92


def write_camera_file(sequence: HandSequence, path: Path) -> None:
    """Write a sequence, and then the same backwards, as a file that Chromium takes for a camera.

        chromium --use-fake-device-for-media-stream --use-fake-ui-for-media-stream \\
            --use-file-for-fake-video-capture=hands.mjpeg

    Chromium plays the file over and over; backwards, so that no hand jumps where it starts again. Raises ValueError for
    another suffix than `.mjpeg` and for a sequence that is not at 30 frames a second, OSError when the file cannot be
    written.
    """
    if path.suffix.lower() != ".mjpeg":
        raise ValueError(f"a camera file ends in .mjpeg, not {path.name}")
    if sequence.fps != CAMERA_FPS:
        raise ValueError(
            f"a camera file is played at {CAMERA_FPS:g} frames a second, not at {sequence.fps:g}"
        )
    with path.open("wb") as file:
        frames = [_jpeg(frame.picture.image) for frame in sequence]
        file.writelines([*frames, *frames[-2:0:-1]])


def _jpeg(image: Image) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    return cv2.imencode(".jpg", np.ascontiguousarray(image[:, :, ::-1]), options)[1].tobytes()


def write_video(pictures: Iterable[Image], path: Path, fps: float) -> None:
    """Write pictures, all (H, W, 3) uint8 RGB of one even size, as `.mp4` (MPEG-4) or `.gif`.

    Raises ValueError for another suffix, OSError when the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix == ".gif":
        _write_gif(pictures, path, fps)
        return
    if suffix != ".mp4":
        raise ValueError(f"a video ends in .mp4 or .gif, not {path.name}")
    writer = None
    for picture in pictures:
        if writer is None:
            size = (picture.shape[1], picture.shape[0])
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
            if not writer.isOpened():
                raise OSError(f"cannot write {path}")
        writer.write(np.ascontiguousarray(picture[:, :, ::-1]))
    if writer is None:
        raise ValueError("no pictures for a video")
    writer.release()


def _write_gif(pictures: Iterable[Image], path: Path, fps: float) -> None:
    animation = cv2.Animation()
    animation.frames = [np.ascontiguousarray(picture[:, :, ::-1]) for picture in pictures]
    animation.durations = [max(round(1000 / fps), 20)] * len(animation.frames)
    if not animation.frames:
        raise ValueError("no pictures for a video")
    if not cv2.imwriteanimation(str(path), animation):
        raise OSError(f"cannot write {path}")
