"""What the service found, as values that do not change.

Every coordinate is in pixels of the upright picture (its EXIF orientation applied), x to the right and y down
from its top-left corner. Scores are in [0, 1].
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, Literal, SupportsIndex, TypeVar, overload

from handpose_client.errors import ProblemError
from handpose_client.keypoints import KEYPOINT_NAMES

F = TypeVar("F")  # what a frame of a stream is
_INDEX = {name: index for index, name in enumerate(KEYPOINT_NAMES)}


@dataclass(frozen=True, slots=True)
class ImageSize:
    """Pixels of the upright picture."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Box:
    """Tight around the visible hand, wrist included, forearm not."""

    x: float
    y: float
    width: float
    height: float

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        return self.x, self.y, self.x + self.width, self.y + self.height


@dataclass(frozen=True, slots=True)
class Handedness:
    """The anatomical hand, as seen in an unmirrored picture (see the option `mirrored`)."""

    label: Literal["left", "right"]
    score: float


@dataclass(frozen=True, slots=True)
class Keypoint:
    """A joint or a fingertip; outside the picture where the picture cuts the hand off.

    score: the probability that it is within a tenth of the hand's size of where it truly is.
    z: depth relative to the wrist in the same pixels, positive away from the camera; None where the service's pose
    model does not know it.
    """

    name: str
    x: float
    y: float
    score: float
    z: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """As the service answered it."""
        document = asdict(self)
        if self.z is None:
            del document["z"]
        return document


class Keypoints(tuple[Keypoint, ...]):
    """The 21 keypoints of a hand: a tuple that also takes names, `keypoints["index_tip"]`."""

    __slots__ = ()

    def __new__(cls, keypoints: Iterable[Keypoint]) -> "Keypoints":
        """Raises ValueError unless they are the 21 of `KEYPOINT_NAMES`, in that order."""
        made = super().__new__(cls, keypoints)
        if tuple(keypoint.name for keypoint in made) != KEYPOINT_NAMES:
            raise ValueError(f"a hand has the {len(KEYPOINT_NAMES)} keypoints {', '.join(KEYPOINT_NAMES)}")
        return made

    @overload
    def __getitem__(self, key: SupportsIndex | str, /) -> Keypoint: ...
    @overload
    def __getitem__(self, key: slice, /) -> tuple[Keypoint, ...]: ...
    def __getitem__(self, key: SupportsIndex | str | slice, /) -> Keypoint | tuple[Keypoint, ...]:
        """By index, name or slice. Raises KeyError for a name that is none, IndexError for an index."""
        if isinstance(key, str):
            if key not in _INDEX:
                raise KeyError(f"{key}; the keypoints are {', '.join(_INDEX)}")
            return super().__getitem__(_INDEX[key])
        return super().__getitem__(key)

    def __getnewargs__(self) -> tuple[tuple[Keypoint, ...]]:
        return (tuple(self),)

    @property
    def xy(self) -> tuple[tuple[float, float], ...]:
        """21 pairs; `np.array(hand.keypoints.xy)` is (21, 2)."""
        return tuple((keypoint.x, keypoint.y) for keypoint in self)

    @property
    def xyz(self) -> tuple[tuple[float, float, float], ...] | None:
        """21 triples; None where the service's pose model knows no depth."""
        return tuple((k.x, k.y, k.z) for k in self if k.z is not None) or None


@dataclass(frozen=True, slots=True)
class Hand:
    """One hand. track_id: the same number for the same hand throughout a stream; None for a photo."""

    score: float
    handedness: Handedness
    box: Box
    keypoints: Keypoints
    track_id: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """As the service answered it, but for the `track_id` after a reconnection."""
        document = {
            "score": self.score,
            "handedness": asdict(self.handedness),
            "box": asdict(self.box),
            "keypoints": [keypoint.to_dict() for keypoint in self.keypoints],
        }
        return document if self.track_id is None else {"track_id": self.track_id, **document}


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds the service took; 0 for a step that did not run. `total` is without the network."""

    decode: float = 0.0
    queue: float = 0.0
    detect: float = 0.0
    pose: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelNames:
    """The checkpoints that answered, as `name version`."""

    detector: str
    pose: str


@dataclass(frozen=True, slots=True)
class PoseResult:
    """The hands of a photo, best score first."""

    image: ImageSize
    hands: tuple[Hand, ...]
    models: ModelNames
    timing_ms: Timing

    def to_dict(self) -> dict[str, Any]:
        """As the service answered it: for `json.dumps`."""
        return {
            "image": asdict(self.image),
            "hands": [hand.to_dict() for hand in self.hands],
            "models": asdict(self.models),
            "timing_ms": asdict(self.timing_ms),
        }


@dataclass(frozen=True, slots=True)
class FrameAnswer:
    """What the service found in a frame of a stream.

    detector_ran: whether it looked at the whole frame, or only followed the hands it knew; None where the
        service does not say.
    """

    image: ImageSize
    hands: tuple[Hand, ...]
    timing_ms: Timing
    detector_ran: bool | None = None


A = TypeVar("A", PoseResult, FrameAnswer)


class _Outcome(Generic[A]):
    """What became of a picture: an answer or an error."""

    __slots__ = ()
    error: ProblemError | None
    _answer: A | None

    @property
    def answer(self) -> A:
        """Everything the service found. Raises ProblemError when the picture failed."""
        if self._answer is None:
            raise self.error or ValueError("a result needs an answer or an error")
        return self._answer

    @property
    def hands(self) -> tuple[Hand, ...]:
        """Best score first. Raises ProblemError when the picture failed."""
        return self.answer.hands


@dataclass(frozen=True, slots=True)
class PhotoResult(_Outcome[PoseResult], Generic[F]):
    """What became of one of many photos.

    index: which of those that were given, from 0. picture: the photo itself, as it was given.
    error: why the service could not use it, or None.

    `answer` and `hands` raise that error where there is one: a photo that failed does not look like one without
    hands.
    """

    index: int
    picture: F = field(repr=False)
    error: ProblemError | None
    _answer: PoseResult | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class FrameResult(_Outcome[FrameAnswer], Generic[F]):
    """What became of a frame of a stream.

    frame: its index in what was streamed, from 0. picture: the frame itself, as it was given.
    dropped: how many frames before it got no answer, from the stream's beginning: replaced by a newer one at
        the service, or under way when a connection was lost.
    round_trip_ms: from the moment it was sent until its answer was there.
    error: why the service could not use this frame, or None; the stream goes on in either case.

    `answer`, `hands`, `image` and `timing_ms` raise that error where there is one: a frame that failed does not look
    like a frame without hands.
    """

    frame: int
    picture: F = field(repr=False)
    dropped: int
    round_trip_ms: float
    error: ProblemError | None
    _answer: FrameAnswer | None = field(repr=False)

    @property
    def image(self) -> ImageSize:
        """The upright frame. Raises ProblemError when the frame failed."""
        return self.answer.image

    @property
    def timing_ms(self) -> Timing:
        """Raises ProblemError when the frame failed."""
        return self.answer.timing_ms

    def to_dict(self) -> dict[str, Any]:
        """For `json.dumps`; with `error` in place of what was found when the frame failed."""
        head = {"frame": self.frame, "dropped": self.dropped, "round_trip_ms": round(self.round_trip_ms, 3)}
        if self.error is not None:
            return {**head, "error": self.error.to_dict()}
        return {
            **head,
            "detector_ran": self.answer.detector_ran,
            "image": asdict(self.image),
            "hands": [hand.to_dict() for hand in self.hands],
            "timing_ms": asdict(self.timing_ms),
        }


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One network as the service really runs it; reason: why on this engine and this device."""

    task: str
    name: str
    version: str
    architecture: str
    licence: str
    sha256: str
    input_size: int
    engine: str
    device: str
    precision: str
    reason: str


@dataclass(frozen=True, slots=True)
class Models:
    """What the service runs."""

    detector: ModelInfo
    pose: ModelInfo
