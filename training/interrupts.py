"""SIGTERM and SIGINT as a wish that is heard when there is time for it."""

import signal
from types import FrameType, TracebackType
from typing import Any, Self


class StopRequest:
    """While the block runs, SIGTERM and SIGINT do nothing but set `made`. For the main thread alone."""

    def __init__(self) -> None:
        self.made = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._previous = {n: signal.signal(n, self._hear) for n in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.made = True
