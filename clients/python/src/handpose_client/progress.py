"""A line on a terminal that says how far a stream is."""

import time
from collections import deque
from typing import TextIO

_WIDTH = 24  # characters of the bar
_PERIOD = 0.1  # seconds between two drawings
_WINDOW = 30  # frames the rate is taken over


class Progress:
    """Draws on a terminal; on anything else it keeps quiet until the end."""

    def __init__(self, out: TextIO, total: int | None) -> None:
        """total: how many frames there will be, None when nobody knows."""
        self._out = out
        self._total = total
        self._live = out.isatty()
        self._started = time.monotonic()
        self._times: deque[float] = deque(maxlen=_WINDOW)
        self._drawn = float("-inf")
        self._length = 0
        self.frames = 0  # behind us, answered or not
        self.answered = 0
        self.failed = 0

    def update(self, frames: int, hands: int, *, failed: bool = False) -> None:
        """An answer came. frames: behind us, answered or not. hands: in this one."""
        now = time.monotonic()
        self._times.append(now)
        self.frames = frames
        self.answered += 1
        self.failed += failed
        if self._live and now - self._drawn >= _PERIOD:
            self._drawn = now
            self._write(self._line(hands))

    def clear(self) -> None:
        """Make room for another line on the terminal."""
        if self._length:
            self._out.write("\r" + " " * self._length + "\r")
            self._out.flush()
            self._length = 0

    def finish(self) -> None:
        """The last line: what it came to."""
        self.clear()
        seconds = max(time.monotonic() - self._started, 1e-9)
        line = f"{self.frames} frames in {seconds:.1f} s, {self.answered / seconds:.1f} answers a second"
        for count, what in ((self.frames - self.answered, "dropped"), (self.failed, "failed")):
            line += f", {count} {what}" if count else ""
        self._out.write(line + "\n")
        self._out.flush()

    def _line(self, hands: int) -> str:
        rate = self._rate()
        parts = [f"{rate:.1f} fps", f"{hands} hand{'' if hands == 1 else 's'}"]
        if dropped := self.frames - self.answered:
            parts.append(f"{dropped} dropped")
        if self._total is None:
            return "  ".join([f"frame {self.frames}", *parts])
        share = min(self.frames / self._total, 1.0)
        bar = "█" * round(_WIDTH * share) + "░" * (_WIDTH - round(_WIDTH * share))
        if rate > 0:
            parts.append(f"{max(0, self._total - self.frames) / rate:.0f} s left")
        return "  ".join([bar, f"{self.frames}/{self._total}", *parts])

    def _rate(self) -> float:
        if len(self._times) < 2:
            return 0.0
        return (len(self._times) - 1) / max(self._times[-1] - self._times[0], 1e-9)

    def _write(self, line: str) -> None:
        self._out.write("\r" + line.ljust(self._length))
        self._out.flush()
        self._length = len(line)
