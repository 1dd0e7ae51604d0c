"""When a stream's detector runs.

Counted in frames, not in seconds, wherever that is possible: on a busy machine the frames of a stream come far
apart, and a detector that then ran on each of them would make it busier still. But a frame counts for more where fewer
than six come in a second: a hand that comes before a slow camera is not to wait for six of its frames.
"""

import math
from collections.abc import Collection

from service.inference.tracks import Track

# A doubtful hand, or one that may come back: the detector is asked at most every so many frames.
_DOUBT_FRAMES = 3
_VERIFY = 5  # no room for another hand: it runs this many times more seldom
_RECOVERY_SECONDS = 0.5  # after a loss the detector runs on every frame for this long
_SEARCH_INTERVAL = 0.09  # nothing to follow: it runs this often, which is every third frame at 30 a second
# After a longer pause hands may be anywhere. Not shorter: streams on a busy machine are slow already, and a
# followed hand that is gone is looked for in the same frame anyhow.
_GAP_SECONDS = 2.0
_SLOWEST = 6.0  # frames a second


class Schedule:
    """Remembers when the detector ran."""

    def __init__(self, detect_every: int) -> None:
        """detect_every: while there is room for another hand the detector runs on one of so many frames.

        Raises ValueError when it is below 1.
        """
        if detect_every < 1:
            raise ValueError(f"detect_every must be at least 1, not {detect_every}")
        self._detect_every = detect_every
        self._now = self._last_detection = -math.inf
        self._gap = 0.0
        self._frames = 0.0  # since the detector ran

    def next_frame(self, timestamp: float) -> None:
        """A frame begins. timestamp: seconds."""
        self._gap = timestamp - self._now
        self._now = timestamp
        self._frames += max(1.0, _SLOWEST * self._gap)

    def ran(self) -> None:
        """The detector has run on this frame."""
        self._last_detection, self._frames = self._now, 0.0

    def due(self, tracks: Collection[Track], room: bool) -> bool:
        """Whether the detector has to look at this frame. room: for another hand."""
        followed = [track for track in tracks if not track.lost]
        lost = [track for track in tracks if track.lost]
        if self._gap > _GAP_SECONDS:
            return True
        if room and any(self._now - track.lost_at < _RECOVERY_SECONDS for track in lost):
            return True
        if not followed:
            return self._now - self._last_detection >= _SEARCH_INTERVAL
        interval = self._detect_every if room else _VERIFY * self._detect_every
        if any(track.doubtful for track in followed) or (room and lost):
            interval = min(interval, _DOUBT_FRAMES)
        return self._frames >= interval
