"""What all streams share: how many there may be, whose turn it is, and the end of them all."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.api.metrics import HANDS

_SECONDS = (0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5)
_CLOSE_SECONDS = 3.0  # how long open streams may take to say goodbye


class TooManyStreamsError(Exception):
    """As many streams are open as may be."""


class Streams:
    """The open streams of a service."""

    def __init__(self, limit: int, threads: int, registry: CollectorRegistry) -> None:
        """limit: most streams open at once. threads: how many frames may be worked on at once."""
        self.limit = limit
        self.open = 0
        # First come, first served: every stream that has a frame gets its turn before any gets a second one.
        # The frame is picked when the turn comes, not before, so that it is the newest.
        self.turns = asyncio.Semaphore(threads)
        self.closing = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        gauge = Gauge("handpose_streams", "Streams open now.", registry=registry)
        gauge.set_function(lambda: self.open)
        self._frames = Counter(
            "handpose_stream_frames",
            "Frames of streams: answered, dropped for a newer one, failed, or abandoned when their stream ended.",
            ("outcome",),
            registry=registry,
        )
        for outcome in ("answered", "dropped", "failed", "abandoned"):
            self._frames.labels(outcome)
        self._received = Counter(
            "handpose_stream_frames_received", "Frames that streams were sent.", registry=registry
        )
        self._hands = Histogram(
            "handpose_stream_hands",
            "Hands followed in a stream's frame.",
            buckets=HANDS,
            registry=registry,
        )
        self._detector = Counter(
            "handpose_stream_detector_runs", "Frames of streams that needed the detector.", registry=registry
        )
        self._stages = Histogram(
            "handpose_stream_stage_seconds",
            "Time in each stage of a stream's frame; total from its arrival until its hands are known.",
            ("stage",),
            buckets=_SECONDS,
            registry=registry,
        )

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Hold a place. Raises TooManyStreamsError when there is none."""
        if self.open >= self.limit:
            raise TooManyStreamsError(f"{self.limit} streams are open already")
        self.open += 1
        self._empty.clear()
        try:
            yield
        finally:
            self.open -= 1
            if not self.open:
                self._empty.set()

    async def close(self) -> None:
        """Ask every stream to end, and wait until they have, a few seconds at most."""
        self.closing.set()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._empty.wait()
        except TimeoutError:
            return

    def received(self) -> None:
        """Count a frame that arrived."""
        self._received.inc()

    def answered(self, hands: int, timing_ms: Mapping[str, float], detector_ran: bool) -> None:
        """Count a frame that was analysed."""
        self._frames.labels("answered").inc()
        self._hands.observe(hands)
        if detector_ran:
            self._detector.inc()
        for stage, ms in timing_ms.items():
            if stage != "detect" or detector_ran:
                self._stages.labels(stage).observe(ms / 1e3)

    def dropped(self) -> None:
        """Count a frame that gave way to a newer one."""
        self._frames.labels("dropped").inc()

    def failed(self) -> None:
        """Count a frame that got an error."""
        self._frames.labels("failed").inc()

    def abandoned(self, count: int) -> None:
        """Count frames that waited or were worked on when their stream ended."""
        self._frames.labels("abandoned").inc(count)
