"""Broken pictures against the decoders: `make fuzz`, or `python benchmarks/fuzz_images.py --inputs 100000`.

Real JPEG, PNG, WebP, BMP, GIF and TIFF files with random changes (`mutations.py`) go through
`service.api.images.decode`, one after the other in one process, which is watched from outside (`decoder.py`).

Passed: no crash, no hang, no exception but `Problem`, nothing decoded beyond the limit of pixels; no picture that takes
more than 100 MB of memory (a million pixels are allowed, 8 MB of them at the most in any format); and memory that does
not grow: the last quarter's median is at most 8 MB above that of the second quarter.

What must not happen is written to `--save`, one file for each, named by its number; `--seed` makes the same inputs
again.
"""

import argparse
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from decoder import Decoder
from mutations import Mutator

PIXELS = 1_000_000
GROWTH = 8.0  # MB; blocks of half a megabyte come and go
PEAK = 100.0  # MB
_SAMPLES = 200

_TYPES = (
    (b"\xff\xd8\xff", "JPEG"), (b"\x89PNG", "PNG"), (b"RIFF", "WebP"), (b"BM", "BMP"), (b"GIF8", "GIF"),
    (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"),
)  # fmt: skip


@dataclass
class Findings:
    """outcomes: by what the bytes begin like. bad: number, outcome and bytes of what must not happen. memory: MB,
    evenly over the inputs. peak: MB above the first of these. slowest: seconds of processor time for one picture.
    """

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    bad: list[tuple[int, str, bytes]] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    peak: float = 0.0
    slowest: float = 0.0

    @property
    def inputs(self) -> int:
        """How many were decoded."""
        return sum(outcomes.total() for outcomes in self.outcomes.values())

    @property
    def growth(self) -> float:
        """MB between the median of the second quarter and that of the last."""
        quarters = np.array_split(self.memory, 4)
        return float(np.median(quarters[3]) - np.median(quarters[1]))

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return not self.bad and self.growth <= GROWTH and self.peak <= PEAK


def fuzz(inputs: Iterable[bytes], count: int, seconds: float = float("inf")) -> Findings:
    """Decode so many inputs, or as many as fit into the time."""
    findings = Findings()
    started = time.monotonic()
    with Decoder(PIXELS) as decoder:
        for number, data in zip(range(count), inputs, strict=False):
            if time.monotonic() - started > seconds:
                break
            outcome = decoder.decode(data)
            findings.slowest = max(findings.slowest, decoder.seconds)
            findings.outcomes.setdefault(kind(data), Counter())[outcome] += 1
            if number % max(1, count // _SAMPLES) == 0:
                findings.memory.append(decoder.memory())
            peak = decoder.peak() - findings.memory[0]
            if peak > max(PEAK, findings.peak):
                outcome = f"{peak:.0f} MB, then {outcome}"
            findings.peak = max(findings.peak, peak)
            if not re.fullmatch(r"200|413|415|422", outcome):
                findings.bad.append((number, outcome, data))
    return findings


def kind(data: bytes) -> str:
    """What the bytes begin like."""
    return next((name for signature, name in _TYPES if data.startswith(signature)), "other")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=100_000, help="how many (default: 100000)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no longer than this")
    parser.add_argument("--seed", type=int, default=1, help="the same inputs from the same seed (default: 1)")
    parser.add_argument("--save", type=Path, default=Path("fuzz-findings"), help="folder for what was found")
    arguments = parser.parse_args()
    if not Path("/proc/self/status").exists():
        raise SystemExit("memory is read from /proc, which only Linux has")
    started = time.monotonic()
    findings = fuzz(Mutator(arguments.seed), arguments.inputs, arguments.seconds)
    elapsed = time.monotonic() - started
    for number, _, data in findings.bad:
        arguments.save.mkdir(exist_ok=True)
        (arguments.save / str(number)).write_bytes(data)
    print(f"{findings.inputs} inputs from seed {arguments.seed} in {elapsed:.0f} s, "
          f"load average {os.getloadavg()[0]:.1f}\n")  # fmt: skip
    report(findings)
    sys.exit(not findings.passed)


def report(findings: Findings) -> None:
    """Print the tables."""
    statuses = sorted(set().union(*findings.outcomes.values()))
    print(f"{'begins like':<12}{'inputs':>8}" + "".join(f"{status[:12]:>13}" for status in statuses))
    for name, outcomes in sorted(findings.outcomes.items()):
        print(f"{name:<12}{outcomes.total():8d}" + "".join(f"{outcomes[s]:13d}" for s in statuses))
    for number, outcome, data in findings.bad[:20]:
        print(f"input {number}, {len(data)} bytes of {kind(data)}: {outcome}")
    tenths = " ".join(f"{np.median(part):.1f}" for part in np.array_split(findings.memory, 10) if len(part))
    print(f"\nmust not happen: {len(findings.bad)}\n"
          f"memory, MB, medians of tenths: {tenths}\n"
          f"{findings.growth:+.1f} MB from the second quarter to the last (at most {GROWTH:g}), "
          f"{findings.peak:.0f} MB more for one picture (at most {PEAK:g})\n"
          f"slowest picture: {findings.slowest * 1e3:.0f} ms of processor time\n"
          f"{'passed' if findings.passed else 'FAILED'}")  # fmt: skip


if __name__ == "__main__":
    main()
