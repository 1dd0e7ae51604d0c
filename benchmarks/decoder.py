"""`service.api.images.decode` in a process of its own, so that a crash of the C decoders below it is seen and survived.

    with Decoder(pixels=1_000_000) as decoder:
        outcome = decoder.decode(data)  # "200", "422", "CRASH: SIGSEGV", …

Run as a program it is that process: pictures come in on standard input, outcomes go out on standard output.
"""

import contextlib
import os
import re
import selectors
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ANSWER_SECONDS = 60.0  # for one picture: more is a hang, also on a busy machine


class Decoder:
    """A process that decodes pictures, one by one. A crash or a hang ends it; the next picture gets a new process."""

    def __init__(self, pixels: int = 50_000_000) -> None:
        """pixels: of `service.api.images.Limits`."""
        self.seconds = 0.0  # of processor time, for the last picture
        self._pixels = pixels
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def decode(self, data: bytes) -> str:
        """What came of these bytes: `200`, the status of the `Problem`, or, in words, what must not happen: `CRASH`,
        `HANG`, `ERROR` (another exception), `WRONG` (a result that breaks decode's promises).
        """
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(struct.pack("<I", len(data)) + data)
            process.stdin.flush()
        with selectors.DefaultSelector() as ready:
            ready.register(process.stdout, selectors.EVENT_READ)
            if not ready.select(ANSWER_SECONDS):
                self.close()
                return "HANG"
        answer = process.stdout.readline().decode().strip()
        if answer:
            outcome, _, seconds = answer.rpartition("\t")
            self.seconds = float(seconds)
            return outcome
        code = process.wait(10)
        self.close()
        return f"CRASH: {signal.Signals(-code).name}" if code < 0 else f"CRASH: exit code {code}"

    def memory(self) -> float:
        """Its resident set in MB. Linux only."""
        return self._status("VmRSS")

    def peak(self) -> float:
        """The largest that it has been since the process began or `forget_peak`, in MB. Linux only."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        """Let `peak` begin anew, at `memory`."""
        Path(f"/proc/{self._running().pid}/clear_refs").write_text("5")

    def _status(self, name: str) -> float:
        status = Path(f"/proc/{self._running().pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024 / 1e6

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            environment = os.environ | {"PYTHONPATH": str(ROOT)}
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(self._pixels)],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # libpng writes there what is wrong with a file
            )
            assert self._process.stdout is not None
            self._process.stdout.readline()
        return self._process

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def serve(pixels: int) -> None:
    """Read pictures, each behind its length, until there are no more; write a line about each."""
    import cv2
    import numpy as np

    from service.api.images import Limits, decode
    from service.api.problems import Problem

    largest = 0
    really_decode = cv2.imdecode

    def watched(*arguments: Any) -> Any:
        nonlocal largest
        image = really_decode(*arguments)
        if image is not None:
            largest = max(largest, image.shape[0] * image.shape[1])
        return image

    cv2.imdecode = watched  # sees also what is decoded and then refused
    limits = Limits(pixels=pixels)

    def outcome(data: bytes) -> str:
        nonlocal largest
        largest = 0
        try:
            found = decode(data, limits)
        except Problem as problem:
            status = (
                str(problem.status) if problem.status < 500 else f"WRONG: {problem.status} {problem.detail}"
            )
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            return f"ERROR: {type(error).__name__}: {error}".replace("\n", " ")
        else:
            image, factor = found.image, found.factor
            size = (-(-found.height // factor), -(-found.width // factor), 3)
            fits = image.shape == size and image.dtype == np.uint8 and image.flags.c_contiguous
            status = "200" if fits else f"WRONG: {image.shape} {image.dtype} for {size}"
        return (
            status if largest <= pixels else f"WRONG: {largest} pixels decoded, at most {pixels} are allowed"
        )

    source, sink = sys.stdin.buffer, sys.stdout
    print("ready", file=sink, flush=True)
    while head := source.read(4):
        data = source.read(*struct.unpack("<I", head))
        started = time.process_time()
        found = outcome(data)
        print(found, time.process_time() - started, sep="\t", file=sink, flush=True)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
