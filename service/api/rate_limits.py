"""How fast one client may ask: a token bucket each, in bounded memory.

A bucket holds `burst` tokens and gains `rate` of them a second; a picture costs one. A bucket that is full again is
worth nothing to remember, so what is kept is only who has asked within the last `burst / rate` seconds.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_MAX_CLIENTS = 10_000
_STRANGERS = "strangers"  # share one bucket when there is no room for one each


class TooFastError(Exception):
    """More than the rate allows. seconds: after which the same would be let in; None when it never will."""

    def __init__(self, seconds: float | None) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float  # when `tokens` was right


class RateLimiter:
    """Belongs to one event loop; no call waits."""

    def __init__(
        self,
        rate: float,
        burst: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        max_clients: int = _MAX_CLIENTS,
    ) -> None:
        """rate: tokens a second, 0 for no limit at all. burst: tokens that can be saved up."""
        self.rate = rate
        self.burst = burst
        self._clock = clock
        self._max_clients = max_clients
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()  # the one used longest ago comes first

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, client: str, tokens: int = 1) -> None:
        """Raises TooFastError, and takes nothing, when the client has not saved up so many tokens."""
        if not self.rate:
            return
        if tokens > self.burst:
            raise TooFastError(None)
        now = self._clock()
        bucket = self._bucket(client, now)
        bucket.tokens = min(self.burst, bucket.tokens + (now - bucket.filled) * self.rate)
        bucket.filled = now
        if bucket.tokens < tokens:
            raise TooFastError((tokens - bucket.tokens) / self.rate)
        bucket.tokens -= tokens

    def _bucket(self, client: str, now: float) -> _Bucket:
        if client not in self._buckets:
            self._forget(now)
            # Dropping a bucket that is not full again would be a gift to whoever has many addresses.
            if len(self._buckets) >= self._max_clients:
                client = _STRANGERS
        if client not in self._buckets:
            self._buckets[client] = _Bucket(self.burst, now)
        self._buckets.move_to_end(client)
        return self._buckets[client]

    def _forget(self, now: float) -> None:
        """Drop what must be full by now; each bucket is dropped once, so this is cheap."""
        while self._buckets:
            client, bucket = next(iter(self._buckets.items()))
            if (now - bucket.filled) * self.rate < self.burst:
                return
            del self._buckets[client]
