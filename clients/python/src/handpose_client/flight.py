"""Which frames of a stream are sent and not answered, and which answer belongs to which: the bookkeeping of
`/v1/stream`, without any I/O.

The service counts the binary messages of a connection from 0 and answers with that number. It always works
on the newest frame it has, so an answer also says that the frames sent before and not answered were skipped.
"""

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from handpose_client import parsing
from handpose_client.errors import AnswerError
from handpose_client.results import FrameAnswer, FrameResult

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class _Sent(Generic[F]):
    """frame: its index in the whole stream. at: seconds of a monotonic clock."""

    frame: int
    picture: F
    at: float


class Flight(Generic[F]):
    """The frames under way."""

    def __init__(self, limit: int) -> None:
        """limit: at most this many at a time."""
        self._limit = limit
        self._sent: dict[int, _Sent[F]] = {}  # by number on this connection, in order
        self._number = 0  # of the next frame on this connection
        self._frame = 0  # of the next frame in the stream
        self._dropped = 0
        self._tracks = 0  # the largest number a hand has had in the stream
        self._tracks_before = 0  # this connection, on which the service counts hands from 1 again

    @property
    def room(self) -> bool:
        """Whether another frame may be sent."""
        return len(self._sent) < self._limit

    @property
    def empty(self) -> bool:
        """Whether every frame was answered or dropped."""
        return not self._sent

    def age(self, now: float) -> float:
        """Seconds since the oldest frame under way was sent; 0 when there is none."""
        return now - next(iter(self._sent.values())).at if self._sent else 0.0

    def add(self, picture: F, now: float) -> None:
        """A frame is being sent."""
        self._sent[self._number] = _Sent(self._frame, picture, now)
        self._number += 1
        self._frame += 1

    def lost(self) -> None:
        """The connection is gone and what was under way with it; the next one counts from 0."""
        self._dropped += len(self._sent)
        self._sent.clear()
        self._number = 0
        self._tracks_before = self._tracks

    def receive(self, text: str | bytes, now: float) -> FrameResult[F] | None:
        """What a message of the service means: a result, or None when it is about nothing under way: an
        answer that a newer one overtook, or a kind of message that is not known.

        Raises AnswerError for a message that breaks the contract, and ProblemError for an error that belongs
        to no frame.
        """
        node = parsing.document(text)
        kind = node.text("type")
        if kind not in ("result", "error"):
            return None
        problem = parsing.problem(node) if kind == "error" else None
        if problem is not None and not node.has("frame"):
            raise problem
        number = node.integer("frame")
        if not 0 <= number < self._number:
            raise AnswerError(f"an answer to frame {number}, of {self._number} sent")
        if number not in self._sent:
            return None
        for older in [n for n in self._sent if n < number]:
            del self._sent[older]
            self._dropped += 1
        sent = self._sent.pop(number)
        return FrameResult(
            frame=sent.frame,
            picture=sent.picture,
            dropped=self._dropped,
            round_trip_ms=(now - sent.at) * 1e3,
            error=problem,
            _answer=self._renumbered(parsing.frame_answer(node)) if problem is None else None,
        )

    def _renumbered(self, answer: FrameAnswer) -> FrameAnswer:
        """Hands of this connection have other numbers than those of the connections before."""
        hands = tuple(
            hand if hand.track_id is None else replace(hand, track_id=hand.track_id + self._tracks_before)
            for hand in answer.hands
        )
        self._tracks = max([self._tracks, *(hand.track_id or 0 for hand in hands)])
        return replace(answer, hands=hands)
