"""A real server on a real socket with the real weights, started once, and photos with labels."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

REAL_PHOTOS = 40  # of the validation photos, evenly spread


@dataclass(frozen=True)
class LabelledHand:
    """box: x0, y0, x1, y1. keypoints: (21, 3) x, y and whether labelled, or None. handedness: None where unknown."""

    box: NDArray[np.float64]
    keypoints: NDArray[np.float64] | None
    handedness: str | None


@dataclass(frozen=True)
class Photo:
    """An encoded photo and the hands in it."""

    path: Path
    hands: tuple[LabelledHand, ...]


def read_coco(path: Path) -> list[Photo]:
    """The photos of a COCO keypoint file that have labelled hands."""
    data = json.loads(path.read_text(encoding="utf-8"))
    hands: dict[int, list[LabelledHand]] = {}
    for annotation in data["annotations"]:
        x, y, width, height = annotation["bbox"]
        keypoints = None
        if annotation["num_keypoints"]:
            keypoints = np.array(annotation["keypoints"], float).reshape(21, 3)
        hands.setdefault(annotation["image_id"], []).append(
            LabelledHand(np.array([x, y, x + width, y + height]), keypoints, annotation.get("handedness"))
        )
    return [
        Photo(path.parent / image["file_name"], tuple(hands[image["id"]]))
        for image in data["images"]
        if image["id"] in hands
    ]


@pytest.fixture(scope="session")
def shipped_photos(root: Path) -> list[Photo]:
    """The rendered photos that come with the tests."""
    return read_coco(root / "tests" / "photos" / "labels.json")


@pytest.fixture(scope="session")
def photos(shared_data: Path | None, shipped_photos: list[Photo]) -> list[Photo]:
    """Real photos where there are some, otherwise the rendered ones."""
    if shared_data is None:
        return shipped_photos
    validation = read_coco(shared_data / "hands" / "val.json")
    step = len(validation) // REAL_PHOTOS
    return validation[::step][:REAL_PHOTOS] + read_coco(shared_data / "hands" / "freihand_sample.json")


class Server:
    """`python -m service` in a process of its own, on a port of its own choice."""

    def __init__(self, root: Path, *flags: str) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HANDPOSE_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service", "--port", "0", *flags],
            cwd=root,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log: list[str] = []
        self._lines: Queue[str] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = self._wait_for_address()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            self._lines.put(line)

    def _wait_for_address(self) -> str:
        while True:
            try:
                line = self._lines.get(timeout=150)
            except Empty:
                self.stop()
                raise AssertionError(f"the server did not start: {self.log}") from None
            if found := re.search(r"listening on (http://\S+)", line):
                return found[1]

    def stop(self, told: signal.Signals = signal.SIGTERM) -> int:
        """End it as a container runtime or Ctrl+C does, and wait. Returns the exit code."""
        self.process.send_signal(told)
        code = self.process.wait(20)
        self.close()
        return code

    def close(self) -> None:
        """Let go of a process that has ended."""
        self._reader.join(5)
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture(scope="session")
def server(root: Path) -> Iterator[Server]:
    """The server all tests share."""
    running = Server(root, "--max-bytes", "3000000")
    yield running
    running.stop()


@pytest.fixture
def start_server(root: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers for one test: `start_server("--queue-size", "0")`."""
    started: list[Server] = []

    def start(*flags: str) -> Server:
        started.append(Server(root, *flags))
        return started[-1]

    yield start
    for running in started:
        if running.process.poll() is None:
            running.stop()


@pytest.fixture(scope="session")
def http(server: Server) -> Iterator[httpx.Client]:
    """A client with its connections kept open."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client
