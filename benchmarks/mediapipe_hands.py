"""MediaPipe Hands beside ours: an environment of its own, a worker process in it, and its answers kept on disk."""

import json
import subprocess
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

VERSION = "0.10.21"
WORKER = Path(__file__).with_name("mediapipe_worker.py")


def environment(folder: Path) -> Path:
    """The interpreter of a virtual environment in `folder` with MediaPipe in it, made when it is missing.

    Raises CalledProcessError when MediaPipe cannot be installed.
    """
    python = folder / "bin" / "python"
    if not (folder / ".complete").exists():
        print(f"installing mediapipe {VERSION} into {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", f"mediapipe=={VERSION}"], check=True)
        (folder / ".complete").touch()
    return python


@dataclass(frozen=True, eq=False)
class Answer:
    """What MediaPipe says of one hand. keypoints: (21, 2) float32 pixels of the picture. handedness: of an unmirrored
    picture. score: of the handedness, the only one that MediaPipe tells."""

    keypoints: NDArray[np.float32]
    handedness: str
    score: float


class MediaPipe:
    """A worker process; a context manager. `milliseconds` is what the last picture took inside of MediaPipe.

    python: an interpreter that can import mediapipe. tracking: pictures are frames of a video. cache: a folder in which
    answers are kept by the picture's bytes; not for `tracking`, where an answer depends on the frames before.
    Raises RuntimeError when the worker ends early or is not version 0.10.21.
    """

    def __init__(
        self, python: Path, max_hands: int = 4, tracking: bool = False, cache: Path | None = None
    ) -> None:
        self.milliseconds = float("nan")
        self._cache = None if tracking or cache is None else cache / f"mediapipe-{VERSION}-{max_hands}"
        if self._cache is not None:
            self._cache.mkdir(parents=True, exist_ok=True)
        command = [str(python), str(WORKER), "--max-hands", str(max_hands)]
        self._command = [*command, "--tracking"] if tracking else command
        self._worker: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker.communicate()

    def __call__(self, image: NDArray[np.uint8]) -> list[Answer]:
        """The hands of a picture (H, W, 3) uint8 RGB."""
        kept = None
        if self._cache is not None:
            key = sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes()).hexdigest()[:32]
            kept = self._cache / f"{key}.json"
            if kept.exists():
                return _answers(json.loads(kept.read_text()))
        reply = self._ask(image)
        if kept is not None:
            kept.write_text(json.dumps(reply))
        return _answers(reply)

    def _ask(self, image: NDArray[np.uint8]) -> dict[str, Any]:
        if self._worker is None:
            self._worker = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            if (found := self._read()["version"]) != VERSION:
                raise RuntimeError(f"mediapipe {found} is installed there, {VERSION} is what we compare with")
        assert self._worker.stdin is not None
        height, width = image.shape[:2]
        header = json.dumps({"height": height, "width": width}) + "\n"
        self._worker.stdin.write(header.encode() + np.ascontiguousarray(image).tobytes())
        self._worker.stdin.flush()
        reply = self._read()
        self.milliseconds = reply["milliseconds"]
        return reply

    def _read(self) -> dict[str, Any]:
        assert self._worker is not None
        assert self._worker.stdout is not None
        line = self._worker.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(self._command)} ended with exit code {self._worker.wait()}")
        reply: dict[str, Any] = json.loads(line)
        return reply


def _answers(reply: dict[str, Any]) -> list[Answer]:
    return [
        Answer(np.array(hand["keypoints"], np.float32), hand["handedness"], hand["score"])
        for hand in reply["hands"]
    ]
