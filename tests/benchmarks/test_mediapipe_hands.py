import sys
from pathlib import Path

import mediapipe_hands
import numpy as np
import pytest
from mediapipe_hands import VERSION, MediaPipe

# Speaks the worker's protocol: the more a picture's first pixel is, the more hands; counts its answers.
FAKE = """
import json, sys
print(json.dumps({{"version": {version!r}}}), flush=True)
answered = 0
while line := sys.stdin.buffer.readline():
    shape = json.loads(line)
    first = sys.stdin.buffer.read(shape["height"] * shape["width"] * 3)[0]
    answered += 1
    hand = {{"keypoints": [[1.0, answered]] * 21, "handedness": "left", "score": 0.5}}
    print(json.dumps({{"hands": [hand] * first, "milliseconds": 2.5}}), flush=True)
"""


def picture(first: int) -> np.ndarray:
    image = np.zeros((4, 6, 3), np.uint8)
    image[0, 0, 0] = first
    return image


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "worker.py"
    file.write_text(FAKE.format(version=VERSION))
    monkeypatch.setattr(mediapipe_hands, "WORKER", file)
    return file


def test_pictures_go_in_and_hands_come_out(worker: Path) -> None:
    with MediaPipe(Path(sys.executable)) as mediapipe:
        assert [len(mediapipe(picture(count))) for count in (0, 2, 1)] == [0, 2, 1]
        assert mediapipe(picture(1))[0].keypoints.shape == (21, 2)
        assert mediapipe.milliseconds == 2.5


def test_answers_are_kept_for_single_pictures_alone(worker: Path, tmp_path: Path) -> None:
    for tracking, answers in ((False, [1, 1]), (True, [1, 2])):
        with MediaPipe(Path(sys.executable), tracking=tracking, cache=tmp_path / "kept") as mediapipe:
            told = [mediapipe(picture(1))[0].keypoints[0, 1] for _ in range(2)]
        assert told == answers
    worker.unlink()  # nothing is asked for what is kept
    with MediaPipe(Path(sys.executable), cache=tmp_path / "kept") as mediapipe:
        assert len(mediapipe(picture(1))) == 1


def test_another_version_is_refused(worker: Path) -> None:
    worker.write_text(FAKE.format(version="0.9"))
    with MediaPipe(Path(sys.executable)) as mediapipe, pytest.raises(RuntimeError, match=r"0\.9"):
        mediapipe(picture(1))


def test_a_worker_that_ends_is_an_error(worker: Path) -> None:
    worker.write_text("raise SystemExit(3)")
    with MediaPipe(Path(sys.executable)) as mediapipe, pytest.raises(RuntimeError, match="exit code 3"):
        mediapipe(picture(1))
