"""How many photos a second are answered with 1, 8, 32 clients at once: `python benchmarks/concurrency.py`.

Starts its own server on a free port and sends one VGA JPEG with one hand over loopback, each client its next when it
has its answer. The server takes its settings from the environment: `HANDPOSE_ENGINE=torch HANDPOSE_DEVICE=cuda
HANDPOSE_PRECISION=float16 python benchmarks/concurrency.py` measures a GPU. The load comes from this process, which
needs a core besides the server's. A queue that holds all clients is set, so that none is refused.
"""

import argparse
import asyncio
import contextlib
import json
import os
import urllib.request
from pathlib import Path

import numpy as np
from overload import Connections, Phase, accounted, closed_loop
from request import PHOTO, in_words, server, vga_jpeg

from service.inference.cores import available_cores

CLIENTS = (1, 8, 32)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS, help="at once (default: 1 8 32)")
    parser.add_argument("--seconds", type=float, default=10, help="that count of each number (default: 10)")
    parser.add_argument("--photo", type=Path, default=PHOTO, help="any photo; it is fitted to 640 × 480")
    parser.add_argument("--threads", type=int, default=0, help="of the server; 0: as the settings have it")
    parser.add_argument("--url", help="a running server to measure instead of starting one")
    arguments = parser.parse_args()
    body = vga_jpeg(arguments.photo)
    for name in ("HANDPOSE_QUEUE_SIZE", "HANDPOSE_STANDING_QUEUE"):
        os.environ.setdefault(name, str(max(arguments.clients)))  # of the server
    with contextlib.ExitStack() as stack:
        url = arguments.url or stack.enter_context(server(arguments.threads)).url
        with urllib.request.urlopen(url + "/v1/models") as page:
            models = json.load(page)
        phases = [asyncio.run(measure(url, body, n, arguments.seconds)) for n in arguments.clients]
    print(f"POST /v1/pose, 640 × 480 JPEG of {len(body) / 1024:.0f} KiB\n{in_words(models)}\n"
          f"{available_cores()} cores, load {os.getloadavg()[0]:.1f}\n")  # fmt: skip
    print(
        f"{'clients':>8}{'photos a second':>18}{'p50 ms':>9}{'p99 ms':>9}{'server CPU, ms a photo':>25}{'failed':>8}"
    )
    for count, phase in zip(arguments.clients, phases, strict=True):
        if not phase.served:
            raise SystemExit(f"no photo was answered with {count} clients: {dict(phase.others)}")
        p50, p99 = np.percentile(phase.served, (50, 99)) * 1e3
        failed = len(phase.refused) + sum(phase.others.values())
        print(f"{count:8d}{phase.rate:18.1f}{p50:9.1f}{p99:9.1f}{phase.cost:25.1f}{failed:8d}")


async def measure(url: str, body: bytes, clients: int, seconds: float) -> Phase:
    """So many clients at once for so long, after a lead that does not count."""
    asking, phase = Connections(url, body), Phase(f"{clients} clients")
    with accounted(url, phase):
        await closed_loop(asking, phase, clients, seconds)
    asking.close()
    return phase


if __name__ == "__main__":
    main()
