"""`HandPose`: the service, called from ordinary code."""

import ssl
import time
from collections.abc import Generator, Iterable
from types import TracebackType
from typing import Self, TypeVar

import httpx

from handpose_client.batches import BATCH_SIZE, batches, halves
from handpose_client.bridge import iterate
from handpose_client.errors import ProblemError, TooLargeError, UnavailableError
from handpose_client.images import ImageInput, to_bytes
from handpose_client.outages import Outage
from handpose_client.protocol import (
    BUSY,
    DEFAULT_RETRY,
    DEFAULT_TIMEOUT,
    DEFAULT_URL,
    Call,
    DrawingFormat,
    Endpoint,
    Options,
    Wait,
    batch_call,
    draw_call,
    models_call,
    pose_call,
    ready_call,
)
from handpose_client.results import FrameResult, Models, PhotoResult, PoseResult
from handpose_client.streaming import StreamSettings, stream

T = TypeVar("T")
F = TypeVar("F", bound=ImageInput)


class HandPose:
    """Finds hands in pictures with the service at a URL.

    One object serves any number of threads at once; its connections are kept open until `close` or the end
    of a `with` block. A stream has a connection of its own and belongs to the thread that iterates it.

    Every method that asks the service raises

    - `ProblemError` when it refuses or fails, with the status, title and detail it gave,
    - `ConnectionFailedError` when it cannot be reached or the connection is cut,
    - `TimedOutError` when it does not answer in time,
    - `AnswerError` when what answers is no handpose service.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        retry: float = DEFAULT_RETRY,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Nothing is sent yet.

        url: where the service is; a path in it is kept (`https://example.org/hands`).
        api_key: sent as `Authorization: Bearer …`.
        timeout: seconds to wait for each step of an answer, None for ever; a connection is waited for 5 at
            most.
        retry: for how many seconds to try a request again while the service is busy (429 or 503), not before the
            time that it names in `Retry-After`; 0 raises at once. Streams have `reconnect` instead.
        ssl_context: for https, in place of the default trust in public authorities.

        Raises ValueError for a value that cannot be used.
        """
        self._endpoint = Endpoint(url, api_key=api_key, timeout=timeout, retry=retry, ssl_context=ssl_context)
        self._http = httpx.Client(**self._endpoint.http_options)

    def pose(
        self,
        image: ImageInput,
        *,
        max_hands: int | None = None,
        min_score: float | None = None,
        mirrored: bool | None = None,
    ) -> PoseResult:
        """The hands in a picture, best score first.

        image: a path, the bytes of an image file (JPEG, PNG, WebP, BMP), an (H, W, 3) uint8 RGB or (H, W)
            uint8 grey array, or a Pillow image. Arrays need the extra `video`.
        max_hands: at most this many hands, 1 to 16; the service's default is 4.
        min_score: hands scored below are left out, 0 to 1; the service's default is 0.5.
        mirrored: the picture is a mirror image (a selfie view): swap left and right.

        Raises, besides what the class says, OSError, TypeError and ValueError for a picture that cannot be
        sent.
        """
        return self._run(pose_call(to_bytes(image), Options(max_hands, min_score, mirrored)))

    def pose_many(
        self,
        images: Iterable[F],
        *,
        max_hands: int | None = None,
        min_score: float | None = None,
        mirrored: bool | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> Generator[PhotoResult[F], None, None]:
        """What became of each of many pictures, in their order: the service works on a batch of them at once.

        images: what `pose` takes, read as their turn comes. batch_size: pictures sent together; a batch that the
            service finds too large is sent in halves.

        A picture that the service cannot use has an `error` and does not end the others. Raises what `pose` does
        for pictures that cannot be sent, and for a service that refuses the batch as a whole.
        """
        options = Options(max_hands, min_score, mirrored)
        groups = batches(images, batch_size)
        return (result for group in groups for result in group.results(self._ask_batch(group.data, options)))

    def draw(
        self,
        image: ImageInput,
        *,
        format: DrawingFormat = "png",
        max_hands: int | None = None,
        min_score: float | None = None,
        mirrored: bool | None = None,
    ) -> bytes:
        """The picture with its hands drawn on it by the service, as the bytes of a PNG or JPEG file.

        Takes and raises what `pose` does.
        """
        return self._run(draw_call(to_bytes(image), format, Options(max_hands, min_score, mirrored)))

    def models(self) -> Models:
        """What the service really runs: checkpoints, hashes, licences, engine, device, precision."""
        return self._run(models_call())

    def ready(self) -> bool:
        """Whether the service can answer now; False while its models warm up."""
        try:
            self._send(ready_call(), self._endpoint)
        except UnavailableError:
            return False
        return True

    def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Return as soon as the service is ready; until then it need not even listen.

        Raises TimedOutError after `timeout` seconds, with the reason.
        """
        wait = Wait(self._endpoint, timeout)
        while True:
            with wait.attempt() as endpoint:
                self._send(ready_call(), endpoint)
            if wait.ready:
                return
            time.sleep(wait.pause())

    def stream(
        self,
        frames: Iterable[F],
        *,
        max_hands: int | None = None,
        min_score: float | None = None,
        mirrored: bool | None = None,
        smoothing: bool | None = None,
        frame_rate: float | None = None,
        max_in_flight: int = 2,
        reconnect: float = 0.0,
    ) -> Generator[FrameResult[F], None, None]:
        """Send frames, yield what became of them, in their order, as it comes.

        frames: pictures as `pose` takes them; iterated in a thread of its own. A frame is asked for only
            when there is room for it, so a source that gives its newest frame
            (`handpose_client.video.Camera`) never falls behind.
        smoothing: steady the keypoints over time; the service's default is to do so.
        frame_rate: frames per second of a recording, so that what is found in it does not depend on how fast it
            is sent and answered. Without it time is when frames arrive, as a camera's do.
        max_in_flight: frames sent and not answered. With 2 the service always has one to go on with, but
            works on the newest alone: when it falls behind, a frame replaces the one before it. With 1
            every frame is answered, which is what a recording wants.
        reconnect: for how many seconds to try again when the connection is lost; 0 raises at once. Frames
            under way at that moment are counted as dropped.

        A frame the service cannot use does not end the stream: its result has an `error`, and reading its
        `hands` raises that. Ends when the frames do and all answers are there; raises what the class says,
        and whatever `frames` raises. Leaving the loop early closes the connection; `contextlib.closing`
        makes sure of the moment.
        """
        settings = StreamSettings(
            self._endpoint,
            Options(max_hands, min_score, mirrored, smoothing, frame_rate),
            max_in_flight=max_in_flight,
            reconnect=reconnect,
        )
        return iterate(lambda: stream(settings, frames))

    def close(self) -> None:
        """Close the connections. The object cannot be used any more."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"HandPose({self._endpoint!r})"

    def _ask_batch(self, data: list[bytes], options: Options) -> list[PoseResult | ProblemError]:
        try:
            return self._run(batch_call(data, options))
        except TooLargeError as error:
            if len(data) == 1:
                return [error]
        first, second = halves(data)
        return self._ask_batch(first, options) + self._ask_batch(second, options)

    def _run(self, call: Call[T]) -> T:
        outage = Outage(self._endpoint.retry)
        while True:
            try:
                return self._send(call, self._endpoint)
            except ProblemError as error:
                if error.status not in BUSY:
                    raise
                pause = outage.pause(error)
            time.sleep(pause)

    def _send(self, call: Call[T], endpoint: Endpoint) -> T:
        with endpoint.failures():
            response = self._http.request(**call.request(), timeout=endpoint.steps)
        return call.read(response)
