"""Does it grow? `make soak`, or `python benchmarks/soak.py --minutes 30`.

Starts its own server on a free port and sends it, over loopback, what `soak_load.py` can do: photos of several types
and sizes, forms, batches, streams, broken pictures, rubbish, reloads of the models, clients that go away. They come in
rounds, each with every kind in the same number and another order. After each round all clients have ended, the models
are reloaded once more, which gives back to the system what the allocator keeps, and the server's memory, open files
and threads are noted.

Memory is the resident set in /proc. After the warm-up (a third of the time) a line is fitted to what was noted after
the rounds, by Theil and Sen's method: the median of the slopes between all pairs, which single outliers do not move.
The interval is Sen's (1968), from Kendall's variance. The same is told of samples taken every five seconds under load;
those go up and down with the pictures that happen to be in work, and are not judged.

Passed: memory grows by less than 1 MB (10⁶ bytes) an hour; after the last round there are no more files or threads open
than at the end of the warm-up; every client got what it had to get; the server logged no error and ended with 0.
"""

import argparse
import asyncio
import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from soak_load import DECK, RELOAD, Clients, Kind
from websockets.exceptions import WebSocketException

from service.api.keys import create
from service.inference.cores import available_cores

ROOT = Path(__file__).resolve().parent.parent
SAMPLE_SECONDS = 5.0
MOST_AT_ONCE = 24
QUIET_SECONDS = 15.0  # at most, for the server to close what its clients have closed
ALLOWED = 1.0  # MB an hour


@dataclass(frozen=True)
class Sample:
    """seconds: since the load began. memory: resident set in MB. quiet: no client was there."""

    seconds: float
    memory: float
    files: int
    threads: int
    quiet: bool = False


@dataclass
class Record:
    """What was measured, and what came of the clients of each kind."""

    samples: list[Sample] = field(default_factory=list)
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    unexpected: Counter[str] = field(default_factory=Counter)
    rounds: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30, help="of load (default: 30)")
    parser.add_argument("--rate", type=float, default=2.5, help="clients a second (default: 2.5)")
    parser.add_argument("--samples", type=Path, help="write all samples to this file, tab-separated")
    arguments = parser.parse_args()
    if not Path("/proc/self/status").exists():
        raise SystemExit("memory, files and threads are read from /proc, which only Linux has")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # takes the server along
    record = Record()
    with tempfile.TemporaryFile("w+") as log:
        with server(log) as (process, url, key):
            asyncio.run(load(record, Clients(url, key), process.pid, 60 * arguments.minutes, arguments.rate))
        log.seek(0)
        errors = [line for line in log if re.search(r" (ERROR|CRITICAL) |Traceback", line)]
    if arguments.samples:
        rows = ("\t".join(map(str, vars(sample).values())) for sample in record.samples)
        arguments.samples.write_text("\n".join(("\t".join(vars(record.samples[0])), *rows)) + "\n")
    print(f"{arguments.minutes:g} minutes, {arguments.rate:g} clients a second, {record.rounds} rounds; "
          f"{available_cores()} cores, load average {os.getloadavg()[0]:.1f}\n")  # fmt: skip
    sys.exit(not report(record, errors, process.returncode, 60 * arguments.minutes / 3))


async def load(record: Record, clients: Clients, pid: int, seconds: float, rate: float) -> None:
    """Rounds, one after the other, until the time is over."""
    started = time.monotonic()
    sampling = asyncio.create_task(sample_for_ever(record, pid, started))
    dice = random.Random(1)
    while time.monotonic() - started < seconds:
        deck = [kind for kind in DECK for _ in range(kind.count)]
        dice.shuffle(deck)
        await play(record, clients, deck, rate, dice)
        record.rounds += 1
        await quiet(pid)
        await play(record, clients, [RELOAD], rate, dice)
        await quiet(pid)
        record.samples.append(latest := sample(pid, started, quiet=True))
        if record.rounds % 10 == 0:
            print(f"minute {latest.seconds / 60:.1f}: {latest.memory:.1f} MB, {latest.files} files, "
                  f"{latest.threads} threads", file=sys.stderr)  # fmt: skip
        if sampling.done():
            break
    sampling.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sampling


async def play(
    record: Record, clients: Clients, deck: Sequence[Kind], rate: float, dice: random.Random
) -> None:
    """One round: each client comes when it comes, whatever becomes of those before, but not too many at once."""
    places = asyncio.Semaphore(MOST_AT_ONCE)

    async def one(kind: Kind) -> None:
        async with places:
            try:
                outcome = await kind.run(clients)
            except (OSError, TimeoutError, httpx.HTTPError, WebSocketException) as error:
                outcome = type(error).__name__
        name = kind.run.__name__
        record.outcomes.setdefault(name, Counter())[outcome] += 1
        if outcome not in kind.expected:
            record.unexpected[f"{name}: {outcome}"] += 1

    await clients.open()
    async with asyncio.TaskGroup() as tasks:
        for kind in deck:
            tasks.create_task(one(kind))
            await asyncio.sleep(dice.expovariate(rate))
    await clients.close()


async def sample_for_ever(record: Record, pid: int, started: float) -> None:
    while True:
        record.samples.append(sample(pid, started))
        await asyncio.sleep(SAMPLE_SECONDS)


async def quiet(pid: int) -> None:
    """Until the number of open files has stayed the same for two seconds."""
    deadline = time.monotonic() + QUIET_SECONDS
    before, same = -1, 0
    while same < 4 and time.monotonic() < deadline:
        files = open_files(pid)
        before, same = files, same + 1 if files == before else 0
        await asyncio.sleep(0.5)


def sample(pid: int, started: float, *, quiet: bool = False) -> Sample:
    """The server now. Raises FileNotFoundError when it is gone."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = dict(re.findall(r"^(VmRSS|Threads):\s+(\d+)", status, re.MULTILINE))
    memory = int(found["VmRSS"]) * 1024 / 1e6
    return Sample(round(time.monotonic() - started, 1), memory, open_files(pid), int(found["Threads"]), quiet)


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def slope(samples: Sequence[Sample]) -> tuple[float, float, float]:
    """MB an hour by Theil and Sen's method, and its 95 % interval."""
    times = np.array([s.seconds for s in samples]) / 3600
    memory = np.array([s.memory for s in samples])
    i, j = np.triu_indices(len(samples), 1)
    slopes = np.sort((memory[j] - memory[i]) / (times[j] - times[i]))
    n = len(samples)
    half = 1.96 * np.sqrt(n * (n - 1) * (2 * n + 5) / 18) / 2
    low, high = np.clip([len(slopes) / 2 - half, len(slopes) / 2 + half], 0, len(slopes) - 1).astype(int)
    return float(np.median(slopes)), float(slopes[low]), float(slopes[high])


def report(record: Record, errors: Sequence[str], code: int | None, warm_up: float) -> bool:
    """Print the tables. warm_up: seconds that do not count. Returns whether it passed."""
    print(f"{'clients':<16}{'number':>8}  what came of them")
    for name, outcomes in sorted(record.outcomes.items()):
        told = ", ".join(f"{outcome} × {count}" for outcome, count in outcomes.most_common())
        print(f"{name:<16}{outcomes.total():8d}  {told}")
    loaded = [s for s in record.samples if s.seconds >= warm_up and not s.quiet]
    calm = [s for s in record.samples if s.seconds >= warm_up and s.quiet]
    if len(loaded) < 10 or len(calm) < 3:
        print("\ntoo short to judge: less than ten samples or three rounds after the warm-up\nFAILED")
        return False
    print(f"\n{'minute':>6}{'MB under load':>15}{'MB after rounds':>17}{'files':>7}{'threads':>9}")
    for begin in np.linspace(0, record.samples[-1].seconds, 11)[:-1]:
        end = begin + record.samples[-1].seconds / 10
        part = [s for s in record.samples if begin <= s.seconds <= end]
        still = [s for s in part if s.quiet]
        busy = [s.memory for s in part if not s.quiet]
        if still and busy:
            print(f"{begin / 60:6.1f}{np.median(busy):15.1f}{np.median([s.memory for s in still]):17.1f}"
                  f"{still[-1].files:7d}{still[-1].threads:9d}")  # fmt: skip
    grown, low, high = slope(calm)
    under_load = slope(loaded)
    files, threads = calm[-1].files - calm[0].files, calm[-1].threads - calm[0].threads
    passed = grown < ALLOWED and files <= 0 and threads <= 0
    passed = passed and not record.unexpected and not errors and code == 0
    print(f"\nmemory: {grown:+.2f} MB an hour (95 %: {low:+.2f} to {high:+.2f}) over the last "
          f"{(calm[-1].seconds - calm[0].seconds) / 60:.0f} minutes, {len(calm)} rounds (less than {ALLOWED:g})\n"
          "        under load, {:+.2f} ({:+.2f} to {:+.2f})".format(*under_load) + f", {len(loaded)} samples\n"
          f"open files: {files:+d}, threads: {threads:+d} (no more)\n"
          f"the server logged {len(errors)} errors and ended with {code}")  # fmt: skip
    for what, count in record.unexpected.items():
        print(f"not expected: {what}, {count} times")
    for line in errors[:10]:
        print(f"logged: {line.rstrip()}")
    print("passed" if passed else "FAILED")
    return passed


@contextlib.contextmanager
def server(log: object) -> Iterator[tuple[subprocess.Popen[bytes], str, str]]:
    """A server in a process of its own; gives it, its address, and a key that may reload."""
    text, key = create("soak", ["admin"])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HANDPOSE_")}
    environment |= {"HANDPOSE_KEYS": key.record(), "HANDPOSE_KEYLESS_SCOPES": "inference,metrics"}
    command = [sys.executable, "-m", "service", "--port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log)  # type: ignore[call-overload]
    try:
        yield process, address(process, log), text
    finally:
        process.terminate()
        process.wait(60)


def address(process: subprocess.Popen[bytes], log: object) -> str:
    """Where the server listens, from its log. Ends the program when it does not start."""
    descriptor = log.fileno()  # type: ignore[attr-defined]
    while True:
        text = os.pread(descriptor, 1 << 20, 0).decode()
        if found := re.search(r"listening on (http://\S+)", text):
            return found[1]
        if process.poll() is not None:
            raise SystemExit(f"the server did not start:\n{text}")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
