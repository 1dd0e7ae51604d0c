"""Sequences as files: for people to look at, and as the camera of a browser under test."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from training.datasets.synthetic.sequence import HandSequence

Image = NDArray[np.uint8]

CAMERA_SUFFIXES = (".mjpeg", ".y4m")
MJPEG_FPS = 30.0  # Chromium plays every MJPEG file at this rate, since the format has no field for it
JPEG_QUALITY = 92


def write_camera_file(sequence: HandSequence, path: Path, *, there_and_back: bool = True) -> None:
    """Write a sequence as a file that Chromium takes for a camera.

        chromium --use-fake-device-for-media-stream --use-fake-ui-for-media-stream \\
            --use-file-for-fake-video-capture=hands.mjpeg

    path: `.mjpeg` (JPEG pictures one after the other) or `.y4m` (uncompressed: 0.5 MB a VGA frame, but exact and at
    any rate of frames). Chromium plays the file over and over; there_and_back appends the sequence backwards, so that
    no hand jumps where it starts again. Raises ValueError for another suffix and for an MJPEG file that is not at 30
    frames a second, OSError when the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in CAMERA_SUFFIXES:
        raise ValueError(f"a camera file ends in {' or '.join(CAMERA_SUFFIXES)}, not {path.name}")
    if suffix == ".mjpeg" and sequence.fps != MJPEG_FPS:
        raise ValueError(f"an MJPEG file is played at {MJPEG_FPS:g} frames a second, not at {sequence.fps:g}")
    encode = _jpeg if suffix == ".mjpeg" else _y4m_frame
    frames = (encode(frame.picture.image) for frame in sequence)
    with path.open("wb") as file:
        if suffix == ".y4m":
            file.write(_y4m_header(sequence))
        kept = _written(file, frames)
        if there_and_back:
            file.writelines(reversed(kept[1:-1]))


def _written(file: BinaryIO, frames: Iterator[bytes]) -> list[bytes]:
    kept = []
    for encoded in frames:
        file.write(encoded)
        kept.append(encoded)
    return kept


def _jpeg(image: Image) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    return cv2.imencode(".jpg", np.ascontiguousarray(image[:, :, ::-1]), options)[1].tobytes()


def _y4m_header(sequence: HandSequence) -> bytes:
    """The stream header of YUV4MPEG2. Chromium knows the colour space "420" by this name alone."""
    rate = f"F{round(sequence.fps * 1000)}:1000"
    return f"YUV4MPEG2 W{sequence.width} H{sequence.height} {rate} Ip A1:1 C420\n".encode()


def _y4m_frame(image: Image) -> bytes:
    """(H, W, 3) uint8 RGB, both even, as a frame of planar YUV 4:2:0 (BT.601, limited range)."""
    return b"FRAME\n" + cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420).tobytes()


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
