"""How long and how often to try again while a service is away or busy."""

import random
import time

from handpose_client.errors import HandPoseError, ProblemError

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 5.0  # seconds between attempts, besides what the service asks for


class Outage:
    """The time in which something is tried again, from its first failure on."""

    def __init__(self, seconds: float) -> None:
        """seconds: for how long to try again; 0 for not at all."""
        self._seconds = seconds
        self._deadline: float | None = None  # from the first failure
        self._pause = _FIRST_PAUSE

    def pause(self, failure: HandPoseError) -> float:
        """Seconds until the next attempt. Raises the failure when that would come too late.

        Pauses grow, and are never quite the same, so that clients of one service do not come back in step. They
        begin when the service has said to try again (`Retry-After`), if it has.
        """
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + self._seconds
        asked = failure.retry_after if isinstance(failure, ProblemError) else None
        pause = (asked or 0.0) + self._pause * random.uniform(0.5, 1.0)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        if now + pause > self._deadline:
            raise failure
        return pause
