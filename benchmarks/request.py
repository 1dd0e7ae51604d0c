"""How long one whole request takes: `python benchmarks/request.py`.

Starts its own server on a free port, sends one VGA JPEG with one hand over loopback, or all photos of a folder as they
are (`--photo ../shared/data/hands/images/val`), one request at a time over one connection, and prints percentiles of
what the client sees beside the service's own times. Run it on an idle machine.
"""

import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import cv2
import numpy as np

from service.inference.cores import available_cores

ROOT = Path(__file__).resolve().parent.parent
PHOTO = ROOT / "tests" / "photos" / "rendered_101.jpg"
_PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
STEPS = ("decode", "queue", "detect", "pose", "total")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--requests",
        type=int,
        default=300,
        help="how many to measure, and each photo of a folder at least once (default: 300)",
    )
    parser.add_argument("--warm-up", type=int, default=30, help="how many to send before (default: 30)")
    parser.add_argument(
        "--photo", type=Path, default=PHOTO, help="any photo, which is fitted to 640 × 480, or a folder"
    )
    parser.add_argument("--url", help="a running server to measure instead of starting one")
    arguments = parser.parse_args()
    bodies, what = pictures(arguments.photo)
    with contextlib.ExitStack() as stack:
        url = arguments.url or stack.enter_context(server()).url
        client = stack.enter_context(open_connection(url))
        client.request("GET", "/v1/models")
        models = json.load(client.getresponse())
        for body in islice(cycle(bodies), arguments.warm_up):
            ask(client, body)
        count = max(arguments.requests, len(bodies))
        measured = [ask(client, body) for body in islice(cycle(bodies), count)]
    columns = {"whole request": [ms for ms, _ in measured]}
    columns |= {step: [answer["timing_ms"][step] for _, answer in measured] for step in STEPS}
    hands = statistics.mean(len(answer["hands"]) for _, answer in measured)
    print(f"POST /v1/pose, {what}, {hands:.2g} hand(s) on average, {count} requests\n{in_words(models)}\n"
          f"{available_cores()} cores, load {os.getloadavg()[0]:.1f}\n")  # fmt: skip
    print(f"{'milliseconds':<16}{'p50':>8}{'p90':>8}{'p99':>8}")
    for name, values in columns.items():
        cells = "".join(f"{value:8.1f}" for value in np.percentile(values, (50, 90, 99)))
        print(f"{name:<16}{cells}")


def in_words(models: dict) -> str:
    """What `GET /v1/models` answers, in a line."""
    return ", ".join(
        f"{m['name']} {m['version']} ({m['engine']}, {m['precision']}, {m['device']})"
        for m in models.values()
    )


def pictures(path: Path) -> tuple[list[bytes], str]:
    """What to send: a photo as a VGA JPEG, or the files of a folder; and what that is, in words."""
    if not path.is_dir():
        body = vga_jpeg(path)
        return [body], f"640 × 480 JPEG of {len(body) / 1024:.0f} KiB"
    files = [file for file in sorted(path.iterdir()) if file.suffix.lower() in _PICTURES]
    if not files:
        raise SystemExit(f"there is no picture in {path}")
    bodies = [file.read_bytes() for file in files]
    return bodies, f"{len(bodies)} photos of {path}"


def vga_jpeg(path: Path) -> bytes:
    """The photo fitted into 640 × 480 on grey, as a JPEG of quality 90."""
    photo = cv2.imread(str(path))
    if photo is None:
        raise SystemExit(f"{path} cannot be read as a picture")
    scale = min(640 / photo.shape[1], 480 / photo.shape[0])
    small = cv2.resize(
        photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    picture = np.full((480, 640, 3), 127, np.uint8)
    top, left = (480 - small.shape[0]) // 2, (640 - small.shape[1]) // 2
    picture[top : top + small.shape[0], left : left + small.shape[1]] = small
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def open_connection(url: str) -> contextlib.closing[HTTPConnection]:
    """A connection to a server that stays open over its requests."""
    return contextlib.closing(HTTPConnection(urlsplit(url).netloc, timeout=60))


def ask(client: HTTPConnection, body: bytes) -> tuple[float, dict]:
    """One request on an open connection: milliseconds until the answer was read, and the answer.

    The standard library's client, since a richer one would take a millisecond of its own.
    """
    started = time.perf_counter()
    client.request("POST", "/v1/pose", body, {"Content-Type": "image/jpeg"})
    response = client.getresponse()
    answer = response.read()
    elapsed = (time.perf_counter() - started) * 1e3
    if response.status != 200:
        raise SystemExit(f"the server answered {response.status}: {answer[:500].decode(errors='replace')}")
    return elapsed, json.loads(answer)


class Running(NamedTuple):
    """A server that listens: its address, and how many threads decode and infer."""

    url: str
    threads: int


@contextlib.contextmanager
def server(threads: int = 0, cores: str | None = None) -> Iterator[Running]:
    """A server in a process of its own.

    threads: 0 leaves them to the settings. cores: those it may use, as `taskset` has them.
    """
    pinned = ["taskset", "-c", cores] if cores else []
    command = [*pinned, sys.executable, "-m", "service", "--port", "0"]
    command += ["--threads", str(threads)] if threads else []
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        log = ""
        for line in process.stderr:
            log += line
            if found := re.search(r"listening on (http://\S+) with (\d+) threads", line):
                yield Running(found[1], int(found[2]))
                return
        raise SystemExit(f"the server did not start:\n{log}")
    finally:
        process.terminate()
        process.wait(20)
        process.stderr.close()


if __name__ == "__main__":
    main()
