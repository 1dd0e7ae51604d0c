"""Sequences as files."""

import re

import cv2
import numpy as np
import pytest

from training.datasets.synthetic import Backgrounds
from training.datasets.synthetic.sequence import HandSequence
from training.datasets.synthetic.video import write_camera_file, write_video

FRAMES, WIDTH, HEIGHT = 4, 96, 64


def sequence(fps: float = 30.0) -> HandSequence:
    return HandSequence(
        1, Backgrounds([]), hands=1, frames=FRAMES, width=WIDTH, height=HEIGHT, fps=fps, script=("drift",)
    )


def pictures() -> list[np.ndarray]:
    return [frame.picture.image for frame in sequence()]


def alike(decoded: np.ndarray, picture: np.ndarray, most: float) -> bool:
    """Whether a decoded BGR picture is this RGB one, but for compression."""
    return float(np.abs(decoded[:, :, ::-1].astype(int) - picture).mean()) < most


def test_an_mjpeg_camera_is_one_jpeg_after_the_other_and_back_again(tmp_path):
    write_camera_file(sequence(), tmp_path / "camera.mjpeg")
    data = (tmp_path / "camera.mjpeg").read_bytes()
    starts = [match.start() for match in re.finditer(b"\xff\xd8\xff\xe0", data)]
    parts = [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]
    assert len(parts) == 2 * FRAMES - 2
    assert all(part.endswith(b"\xff\xd9") for part in parts)
    assert parts[FRAMES:] == [parts[2], parts[1]]
    for part, picture in zip(parts, pictures(), strict=False):
        assert alike(cv2.imdecode(np.frombuffer(part, np.uint8), cv2.IMREAD_COLOR), picture, 8)


def test_camera_files_that_chromium_would_not_play_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.mjpeg"):
        write_camera_file(sequence(), tmp_path / "camera.mp4")
    with pytest.raises(ValueError, match="30 frames a second"):
        write_camera_file(sequence(fps=15.0), tmp_path / "camera.mjpeg")
    with pytest.raises(OSError, match="missing"):
        write_camera_file(sequence(), tmp_path / "missing" / "camera.mjpeg")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["video.mp4", "video.gif"])
def test_videos_can_be_read_again(tmp_path, name):
    flat = [
        np.full((48, 64, 3), colour, np.uint8) for colour in ((200, 40, 40), (40, 200, 40), (40, 40, 200))
    ]
    write_video(flat, tmp_path / name, 10.0)
    video = cv2.VideoCapture(str(tmp_path / name))
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(10, abs=0.1)
    decoded = []
    while (read := video.read())[0]:
        decoded.append(read[1])
    assert len(decoded) == 3
    for frame, picture in zip(decoded, flat, strict=True):
        colour = frame[:, :, ::-1].mean(axis=(0, 1))  # a GIF mixes it from dots
        np.testing.assert_allclose(colour, picture.mean(axis=(0, 1)), atol=12)


@pytest.mark.parametrize("name", ["video.mp4", "video.gif"])
def test_videos_that_cannot_be_written_are_an_error(tmp_path, name):
    picture = np.zeros((48, 64, 3), np.uint8)
    with pytest.raises(OSError, match="cannot write"):
        write_video([picture], tmp_path / "missing" / name, 10.0)
    with pytest.raises(ValueError, match="no pictures"):
        write_video([], tmp_path / name, 10.0)
    with pytest.raises(ValueError, match=r"\.mp4 or \.gif"):
        write_video([picture], tmp_path / "video.png", 10.0)
