"""What happens at several times capacity: `python benchmarks/overload.py`.

Starts its own server on a free port and sends one VGA JPEG with one hand over loopback. First in a closed loop, twice
as many connections as the server has threads and the next request when the answer is there: that is its capacity.
Then open, at `--factor` times that rate, in a Poisson process that does not wait for answers. Both by turns, some
rounds of it. The load comes
from this process, which needs a core, or a good part of one, besides the server's.

Passed: served requests a second are at least 90 % of capacity, and their p99 is at most twice that at capacity.

At last clients that go away: each sends its photo and closes the connection 20 ms later. How many of these photos were
looked at nevertheless is told; those were begun before their client had left.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from request import PHOTO, server, vga_jpeg

from service.inference.cores import available_cores

MOST_CONNECTIONS = 512
MOST_REQUESTS = 100_000
IDLE_SECONDS = 3.0  # the server closes connections that were idle for 5
LEAVE_SECONDS = 0.02
LEAD_SECONDS = 3.0  # of each phase, not counted, for connections to open
BURST = 32  # photos that the queue takes in before it knows that the load lasts; they are not counted either


@dataclass
class Phase:
    """What one way of asking gave. served: seconds of each answer 200; refused: of each 503. photos, cpu_seconds: what
    the server did and needed, the uncounted lead included.
    """

    name: str
    seconds: float = 0.0
    offered: int = 0
    served: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    photos: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Served requests a second."""
        return len(self.served) / self.seconds

    @property
    def cost(self) -> float:
        """Milliseconds of the server's processor time for each photo that it served, refusals included."""
        return self.cpu_seconds / self.photos * 1e3

    @property
    def p99(self) -> float:
        """Of served requests, in milliseconds."""
        return float(np.percentile(self.served, 99)) * 1e3

    def row(self) -> str:
        """A line of the table."""
        cells = [f"{self.offered / self.seconds:9.1f}", f"{self.rate:9.1f}"]
        for times in (self.served, self.refused):
            cells += (
                [f"{q:8.1f}" for q in np.percentile(times, (50, 99)) * 1e3] if times else [f"{'-':>8}"] * 2
            )
        return f"{self.name:<24}{''.join(cells)}{sum(self.others.values()):8d}"


class Connections:
    """Connections that stay open, as many as are needed at once."""

    def __init__(self, url: str, body: bytes) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname, address.port
        head = f"POST /v1/pose HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: image/jpeg\r\n"
        self._request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, float]] = []

    async def ask(self) -> int:
        """One request; the status of its answer."""
        reader, writer = await self._connection()
        writer.write(self._request)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        assert length is not None
        await reader.readexactly(int(length[1]))
        self._idle.append((reader, writer, time.monotonic()))
        return int(head.split(b" ", 2)[1])

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The one that was used last, unless the server may be about to close it; else a new one."""
        while self._idle:
            reader, writer, since = self._idle.pop()
            if time.monotonic() - since < IDLE_SECONDS and not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._host, self._port)

    def close(self) -> None:
        """Close what is idle."""
        for _, writer, _ in self._idle:
            writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--factor", type=float, default=4, help="times capacity (default: 4)")
    parser.add_argument("--seconds", type=float, default=20, help="that count of each phase (default: 20)")
    parser.add_argument("--rounds", type=int, default=3, help="of both phases (default: 3)")
    parser.add_argument("--photo", type=Path, default=PHOTO, help="any photo; it is fitted to 640 × 480")
    parser.add_argument("--threads", type=int, default=0, help="of the server; 0: as the settings have it")
    parser.add_argument(
        "--departures", type=int, default=100, help="clients that leave, at most 400 (default: 100)"
    )
    parser.add_argument(
        "--busy",
        action="store_true",
        help="judge goodput by the server's processor time: beside other work its share of a core changes",
    )
    parser.add_argument("--server-cores", help="cores of the server, as taskset takes them: 0,1")
    arguments = parser.parse_args()
    body = vga_jpeg(arguments.photo)
    with server(arguments.threads, arguments.server_cores) as (url, threads):
        at_capacity, overloaded = asyncio.run(
            measure(url, body, 2 * threads, arguments.factor, arguments.seconds, arguments.rounds)
        )
        gone = asyncio.run(departures(url, body, arguments.departures))
        engine = json.load(urllib.request.urlopen(url + "/v1/models"))["pose"]["engine"]
    print(f"POST /v1/pose, 640 × 480 JPEG of {len(body) / 1024:.0f} KiB, {threads} threads, {engine}")
    cores = f"{available_cores()} for the load, {arguments.server_cores or 'the same'} for the server"
    print(f"cores: {cores}; load average {os.getloadavg()[0]:.1f}; "
          f"{arguments.rounds} rounds of {arguments.seconds:g} s each\n")  # fmt: skip
    sys.exit(not report(at_capacity, overloaded, gone, arguments.busy))


def report(at_capacity: Phase, overloaded: Phase, gone: "Gone", busy: bool) -> bool:
    """Print the figures. Returns whether they are good enough."""
    print(f"{'':<24}{'a second':>18}{'served, ms':>16}{'refused, ms':>16}")
    columns = "".join(f"{name:>8}" for name in ("p50", "p99", "p50", "p99", "other"))
    print(f"{'':<24}{'offered':>9}{'served':>9}{columns}")
    print(at_capacity.row())
    print(overloaded.row())
    for status, count in overloaded.others.items():
        print(f"  {count} × {status}")
    print(f"\n{gone.sent} clients sent a photo and left after {LEAVE_SECONDS * 1e3:.0f} ms: {gone.begun} photos were "
          f"begun, {gone.dropped} dropped from the queue, {gone.refused} refused")  # fmt: skip
    by_clock, by_processor = overloaded.rate / at_capacity.rate, at_capacity.cost / overloaded.cost
    slower = overloaded.p99 / at_capacity.p99
    passed = (by_processor if busy else by_clock) >= 0.9 and slower <= 2 and not overloaded.others
    print(f"\nserver's processor time for each photo served: {at_capacity.cost:.1f} ms at capacity, "
          f"{overloaded.cost:.1f} ms overloaded")  # fmt: skip
    print(f"goodput in % of capacity: {by_clock:.0%} by the clock, {by_processor:.0%} by processor time "
          f"(at least 90 % {'by the latter' if busy else 'by the clock'})\n"
          f"p99 of served requests: {slower:.2f} times that at capacity (at most 2)\n"
          f"{'passed' if passed else 'FAILED'}")  # fmt: skip
    return passed


async def measure(
    url: str, body: bytes, connections: int, factor: float, seconds: float, rounds: int
) -> tuple[Phase, Phase]:
    """At capacity, and at so many times that rate; by turns, so that both see the machine as it is."""
    asking = Connections(url, body)
    capacity, overload = Phase("capacity, closed loop"), Phase(f"{factor:g} × capacity, open")
    for _ in range(rounds):
        with accounted(url, capacity):
            await closed_loop(asking, capacity, connections, seconds)
        with accounted(url, overload):
            await open_loop(asking, overload, factor * capacity.rate, factor, seconds)
    asking.close()
    return capacity, overload


@contextlib.contextmanager
def accounted(url: str, phase: Phase) -> Iterator[None]:
    """Count what the server does meanwhile."""
    photos, cpu = metric(url, "handpose_hands_count"), metric(url, "process_cpu_seconds_total")
    yield
    phase.photos += metric(url, "handpose_hands_count") - photos
    phase.cpu_seconds += metric(url, "process_cpu_seconds_total") - cpu


async def closed_loop(asking: Connections, phase: Phase, connections: int, seconds: float) -> None:
    """Each connection asks again when it has its answer."""
    begin = time.perf_counter() + LEAD_SECONDS
    end = begin + seconds
    phase.seconds += seconds

    async def client() -> None:
        while time.perf_counter() < end:
            await ask(asking, phase, begin, end)

    await asyncio.gather(*(client() for _ in range(connections)))


async def open_loop(asking: Connections, phase: Phase, rate: float, factor: float, seconds: float) -> None:
    """So many requests a second come, whatever becomes of them: `factor` times what can be served."""
    begin = time.perf_counter() + LEAD_SECONDS + BURST * factor / rate
    end = begin + seconds
    phase.seconds += seconds
    dice = random.Random(1)
    running: set[asyncio.Task[None]] = set()
    due, sent = time.perf_counter(), 0
    while (now := time.perf_counter()) < end and sent < MOST_REQUESTS:
        if now < due:
            await asyncio.sleep(due - now)
            continue
        due += dice.expovariate(rate)
        sent += 1
        if len(running) >= MOST_CONNECTIONS:
            phase.others["not sent: too many open"] += 1
            continue
        task = asyncio.create_task(ask(asking, phase, begin, end))
        running.add(task)
        task.add_done_callback(running.discard)
        await asyncio.sleep(0)
    await asyncio.gather(*running)


@dataclass(frozen=True)
class Gone:
    """What became of the photos of clients that left."""

    sent: int
    begun: int
    dropped: int
    refused: int


async def departures(url: str, body: bytes, clients: int) -> Gone:
    """So many clients at once that send a photo and leave."""
    clients = min(clients, 400)
    counted = (
        "handpose_hands_count",
        "handpose_jobs_abandoned_total",
        'handpose_rejected_total{reason="queue_full"}',
    )
    before = [metric(url, name) for name in counted]
    address = urlsplit(url)
    head = f"POST /v1/pose HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: image/jpeg\r\n"

    async def client() -> None:
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        await asyncio.sleep(LEAVE_SECONDS)
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    while metric(url, "handpose_jobs_running") + metric(url, "handpose_queue_waiting"):  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    after = [metric(url, name) for name in counted]
    return Gone(clients, *(int(b - a) for a, b in zip(before, after, strict=True)))


def metric(url: str, name: str) -> float:
    """A figure of /metrics."""
    with urllib.request.urlopen(url + "/metrics") as page:
        for line in page.read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.rpartition(" ")[2])
    raise SystemExit(f"/metrics has no {name}")


async def ask(asking: Connections, phase: Phase, begin: float, end: float) -> None:
    """One request; it counts when its answer comes between `begin` and `end`."""
    started = time.perf_counter()
    try:
        outcome = str(await asking.ask())
    except (OSError, asyncio.IncompleteReadError) as error:
        outcome = type(error).__name__
    answered = time.perf_counter()
    if not begin <= answered < end:
        return
    elapsed = answered - started
    phase.offered += 1
    if outcome == "200":
        phase.served.append(elapsed)
    elif outcome == "503":
        phase.refused.append(elapsed)
    else:
        phase.others[outcome] += 1


if __name__ == "__main__":
    main()
