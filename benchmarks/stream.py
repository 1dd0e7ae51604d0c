"""How fast streams are: `python benchmarks/stream.py`.

Starts its own server on a free port and sends VGA frames of a hand that moves over loopback: first one frame at
a time, with the detector's frames beside those that were followed and the same frames as `POST /v1/pose`; then
several clients at once, each at a camera's rate whether it is answered or not. Run it on an idle machine.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

import cv2
import httpx
import numpy as np
from request import PHOTO, ask, in_words, open_connection, server, vga_jpeg
from websockets.asyncio.client import ClientConnection, connect

from service.inference.cores import available_cores

STEPS = ("decode", "queue", "detect", "pose", "total")
SWAY = 60  # frames from one side to the other and back
REACH = 60  # pixels to each side


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=300, help="frames one at a time (default: 300)")
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 4, 20], help="clients at once")
    parser.add_argument("--seconds", type=float, default=20, help="how long for each number of clients")
    parser.add_argument("--fps", type=float, default=30, help="frames a second of each client")
    parser.add_argument("--max-hands", type=int, default=4, help="what streams ask for (default: 4)")
    parser.add_argument("--photo", type=Path, default=PHOTO, help="any photo; it is fitted to 640 × 480")
    parser.add_argument("--url", help="a running server to measure instead of starting one")
    arguments = parser.parse_args()
    frames = moving(vga_jpeg(arguments.photo))
    with contextlib.ExitStack() as stack:
        url = arguments.url or stack.enter_context(server()).url
        http = stack.enter_context(httpx.Client(base_url=url, timeout=60))
        stream = f"{url.replace('http', 'ws', 1)}/v1/stream?max_hands={arguments.max_hands}"
        models = http.get("/v1/models").json()
        print(
            f"640 × 480 JPEGs of {len(frames[0]) / 1024:.0f} KiB, {available_cores()} cores, "
            f"load {os.getloadavg()[0]:.1f}\n" + in_words(models)
        )
        one_at_a_time(stack.enter_context(open_connection(url)), stream, frames, arguments.frames)
        print(f"\n{arguments.fps:g} frames/s from each client for {arguments.seconds:g} s; age: from sending a "
              "frame until its answer; silence: the longest time without an answer\n")  # fmt: skip
        print(f"{'clients':>8}{'answers/s':>12}{'each':>8}{'least':>8}{'dropped':>9}{'detector':>10}"
              f"{'age p50':>10}{'p99':>8}{'most':>8}{'silence':>9}{'memory':>12}{'failed':>8}")  # fmt: skip
        for clients in arguments.clients:
            asyncio.run(at_once(http, stream, frames, clients, arguments.seconds, arguments.fps))


def moving(jpeg: bytes) -> list[bytes]:
    """The picture swaying from side to side, as JPEGs."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    frames = []
    for index in range(SWAY):
        offset = REACH * np.sin(2 * np.pi * index / SWAY)
        matrix = np.array([[1, 0, offset], [0, 1, 0]])
        frame = cv2.warpAffine(picture, matrix, (640, 480), borderMode=cv2.BORDER_REPLICATE)
        frames.append(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
    return frames


def one_at_a_time(http: HTTPConnection, stream: str, frames: list[bytes], count: int) -> None:
    """Print what a client sees that waits for every answer."""
    for frame in frames:
        ask(http, frame)
    posted = [ask(http, frames[i % SWAY]) for i in range(count)]
    streamed = asyncio.run(lockstep(stream, frames, count))
    found = [answer for _, answer in streamed if answer["detector_ran"]]
    print(f"\none frame at a time, {count} frames; milliseconds, p50\n")
    print(f"{'':<26}{'frames':>8}{'seen':>8}" + "".join(f"{step:>9}" for step in STEPS))
    for name, measured in (
        ("POST /v1/pose", posted),
        ("stream", streamed),
        ("  the detector ran", [m for m in streamed if m[1]["detector_ran"]]),
        ("  hands were followed", [m for m in streamed if not m[1]["detector_ran"]]),
    ):
        if measured:
            cells = "".join(f"{np.median([m[1]['timing_ms'][s] for m in measured]):9.1f}" for s in STEPS)
            print(f"{name:<26}{len(measured):>8}{np.median([m[0] for m in measured]):8.1f}{cells}")
    ratio = np.median([ms for ms, _ in streamed]) / np.median([ms for ms, _ in posted])
    ids = {hand["track_id"] for _, answer in streamed for hand in answer["hands"]}
    seconds = sum(ms for ms, _ in streamed) / 1e3
    print(f"\n{count / seconds:.0f} frames/s; stream / POST {ratio:.2f}; detector in {len(found) / count:.0%} of "
          f"frames; {len(ids)} id(s)")  # fmt: skip


async def lockstep(stream: str, frames: list[bytes], count: int) -> list[tuple[float, dict]]:
    """Milliseconds until each answer was read, and the answers."""
    measured = []
    async with connect(stream) as connection:
        for index in range(count):
            started = time.perf_counter()
            await connection.send(frames[index % SWAY])
            answer = json.loads(await connection.recv())
            measured.append(((time.perf_counter() - started) * 1e3, answer))
    return measured


@dataclass
class Client:
    """One of several clients. Times in seconds."""

    sent: list[float] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    detected: int = 0
    failed: int = 0

    async def run(self, stream: str, frames: list[bytes], seconds: float, fps: float) -> None:
        async with connect(stream, max_queue=64) as connection:
            reading = asyncio.create_task(self._read(connection))
            start = time.perf_counter()
            while (now := time.perf_counter()) < start + seconds:
                self.sent.append(now)
                await connection.send(frames[len(self.sent) % SWAY])
                await asyncio.sleep(max(0.0, start + len(self.sent) / fps - time.perf_counter()))
            reading.cancel()

    async def _read(self, connection: ClientConnection) -> None:
        async for text in connection:
            answer = json.loads(text)
            now = time.perf_counter()
            self.arrivals.append(now)
            if answer["type"] == "result":
                self.ages.append(now - self.sent[answer["frame"]])
                self.detected += answer["detector_ran"]
            else:
                self.failed += 1

    @property
    def silence(self) -> float:
        """The longest time without an answer, from the first frame to the last."""
        return float(np.diff([self.sent[0], *self.arrivals, self.sent[-1]]).max())


async def at_once(
    http: httpx.Client, stream: str, frames: list[bytes], count: int, seconds: float, fps: float
) -> None:
    """Print a line for so many clients."""
    clients = [Client() for _ in range(count)]
    async with asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(client.run(stream, frames, seconds, fps))
            await asyncio.sleep(1 / fps / count)  # cameras do not keep step
        await asyncio.sleep(seconds / 4)
        before = await asyncio.to_thread(memory, http)
    grown = memory(http) - before
    answers = [len(client.arrivals) for client in clients]
    ages = np.array([age for client in clients for age in client.ages]) * 1e3
    p50, p99, most = np.percentile(ages, (50, 99, 100))
    print(
        f"{count:>8}{sum(answers) / seconds:12.1f}{np.mean(answers) / seconds:8.1f}{min(answers) / seconds:8.1f}"
        f"{1 - sum(answers) / sum(len(client.sent) for client in clients):9.0%}"
        f"{sum(client.detected for client in clients) / sum(answers):10.0%}{p50:7.0f} ms{p99:8.0f}{most:8.0f}"
        f"{max(client.silence for client in clients) * 1e3:9.0f}{before:6.0f} {grown:+.1f} MB"
        f"{sum(client.failed for client in clients):>6}"
    )


def memory(http: httpx.Client) -> float:
    """The server's resident memory in megabytes."""
    found = re.search(r"^process_resident_memory_bytes (\S+)$", http.get("/metrics").text, re.MULTILINE)
    return float(found[1]) / 1e6 if found else float("nan")


if __name__ == "__main__":
    main()
