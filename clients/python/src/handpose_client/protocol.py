"""What is said to the service, apart from how it gets there: `HandPose` and `AsyncHandPose` send these calls,
each with its own kind of I/O.
"""

import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import urlencode, urlsplit

import httpx

from handpose_client import parsing
from handpose_client.errors import (
    AnswerError,
    ConnectionFailedError,
    ProblemError,
    TimedOutError,
    UnavailableError,
    problem_from_answer,
)
from handpose_client.images import media_type
from handpose_client.results import Models, PoseResult

T = TypeVar("T")

DEFAULT_URL = "http://localhost:8000"
DEFAULT_TIMEOUT = 30.0
DEFAULT_RETRY = 30.0
BUSY = (429, 503)  # the statuses of a service that may have time later
USER_AGENT = "handpose-client"
DrawingFormat = Literal["png", "jpeg"]
_CONNECT_TIMEOUT = 5.0  # a service that is there accepts at once
_POLL_SECONDS = 0.25  # between two looks at a service that starts; the last look may take as long
# The service closes a connection that was idle for 5 s: one that is used again sooner is not just being closed.
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=2.0)
_SCHEMES = {"http": "ws", "https": "wss"}


@dataclass(frozen=True, slots=True)
class Options:
    """What may be asked for; None leaves it to the service, whose defaults are in brackets.

    max_hands: at most this many hands, the best first, 1 to 16 (4). min_score: hands scored below are left
    out (0.5). mirrored: the picture is a mirror image, so swap left and right (false). smoothing: of
    streams, steady the keypoints over time (true). frame_rate: of a recording, its frames per second, up to 1000
    (none: time is when frames arrive).
    """

    max_hands: int | None = None
    min_score: float | None = None
    mirrored: bool | None = None
    smoothing: bool | None = None
    frame_rate: float | None = None

    def query(self) -> dict[str, str]:
        """As query parameters."""
        return {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in asdict(self).items()
            if value is not None
        }


class Endpoint:
    """Where the service is and how to speak to it."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None,
        timeout: float | None,
        retry: float,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        """Raises ValueError for a URL that is none, a timeout that is not above 0, a time for trying again below 0,
        or a key no header can carry.
        """
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES or not parts.hostname:
            hint = "" if "://" in url else f"; did you mean http://{url}?"
            raise ValueError(f"the URL of a service begins with http:// or https://, not {url!r}{hint}")
        if parts.query or parts.fragment:
            raise ValueError(f"the URL of a service has no query and no fragment: {url!r}")
        _check_address(url)
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout must be above 0 seconds, not {timeout}")
        if not retry >= 0:
            raise ValueError(f"retry must be at least 0 seconds, not {retry}")
        if api_key is not None and not (api_key.isascii() and api_key.isprintable() and api_key.strip()):
            raise ValueError("an API key is printable ASCII and not empty")
        self.url = parts.geturl().rstrip("/")  # its scheme in small letters
        self.timeout = timeout
        self.retry = retry
        # Without TLS none is set up: that alone takes a tenth of a second.
        self.ssl_context = ssl_context if parts.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.headers = {"User-Agent": USER_AGENT}
        if api_key is not None:
            self.headers["Authorization"] = f"Bearer {api_key}"
        self._stream_base = _SCHEMES[parts.scheme] + self.url.removeprefix(parts.scheme)

    def __repr__(self) -> str:
        return repr(self.url)  # never the key

    @property
    def http_options(self) -> dict[str, Any]:
        """For `httpx.Client` and `httpx.AsyncClient`."""
        return {
            "base_url": self.url,
            "headers": self.headers,
            "limits": _LIMITS,
            "verify": self.ssl_context or True,
        }

    @property
    def steps(self) -> httpx.Timeout:
        """How long each step of an answer may take."""
        connect = _CONNECT_TIMEOUT if self.timeout is None else min(self.timeout, _CONNECT_TIMEOUT)
        return httpx.Timeout(self.timeout, connect=connect)

    def within(self, seconds: float) -> "Endpoint":
        """The same, for those who wait for so long at most."""
        hasty = copy(self)
        seconds = round(seconds, 2)  # as it is said in messages
        hasty.timeout = seconds if self.timeout is None else min(self.timeout, seconds)
        return hasty

    def stream_url(self, options: Options) -> str:
        """The address of the WebSocket."""
        query = urlencode(options.query())
        return f"{self._stream_base}/v1/stream" + (f"?{query}" if query else "")

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Turns httpx's errors into ours."""
        try:
            yield
        except httpx.ConnectTimeout as error:
            raise TimedOutError(f"{self.url} did not accept a connection in time") from error
        except httpx.TimeoutException as error:
            raise TimedOutError(f"{self.url} did not answer within {self.timeout:g} s") from error
        except httpx.ConnectError as error:
            raise ConnectionFailedError(f"cannot connect to {self.url}: {reason(error)}") from error
        except httpx.TransportError as error:
            raise ConnectionFailedError(f"the connection to {self.url} was cut: {reason(error)}") from error
        except httpx.DecodingError as error:
            raise AnswerError(f"the answer of {self.url} cannot be unpacked: {reason(error)}") from error


def _check_address(url: str) -> None:
    """Raises ValueError for a host or port that cannot be."""
    try:
        parts = urlsplit(url)
        (parts.hostname or "").encode("idna")
        httpx.URL(url).copy_with(port=parts.port)
    except (ValueError, httpx.InvalidURL) as error:
        raise ValueError(f"the URL of a service cannot be {url!r}: {error}") from None


def reason(error: BaseException) -> str:
    """Why a connection failed, in the system's words: those of httpx often say no more than that it did."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, BaseExceptionGroup):  # one for each address of the host
            cause = cause.exceptions[-1]
        elif isinstance(cause, ssl.SSLError | socket.gaierror) and cause.strerror:
            return cause.strerror  # these have numbers of their own
        elif isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno)
        else:  # "from None" hides a cause from tracebacks, not from us
            cause = cause.__cause__ or (cause.__context__ if cause.__suppress_context__ else None)
    return str(error) or type(error).__name__


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, and how to read its answer. read: raises what `_checked` raises."""

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    params: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[tuple[str, tuple[str, bytes, str]]] = ()

    def request(self) -> dict[str, Any]:
        """For `httpx.Client.request` and its asynchronous twin."""
        return {
            "method": self.method,
            "url": self.path,
            "params": self.params,
            "content": self.content,
            "headers": self.headers,
            "files": self.files or None,
        }


def pose_call(data: bytes, options: Options) -> Call[PoseResult]:
    """Find the hands. data: an image file."""
    headers = {"Content-Type": media_type(data), "Accept": "application/json"}
    return Call("POST", "/v1/pose", _read_pose, options.query(), data, headers)


def batch_call(pictures: Sequence[bytes], options: Options) -> Call[list[PoseResult | ProblemError]]:
    """Find the hands in each of several image files."""

    def read(response: httpx.Response) -> list[PoseResult | ProblemError]:
        results = parsing.batch(_json(response))
        if len(results) != len(pictures):
            raise AnswerError(f"there are {len(results)} results for {len(pictures)} pictures")
        return results

    files = [("images", (str(index), data, media_type(data))) for index, data in enumerate(pictures)]
    headers = {"Accept": "application/json"}
    return Call("POST", "/v1/pose/batch", read, options.query(), headers=headers, files=files)


def draw_call(data: bytes, format: DrawingFormat, options: Options) -> Call[bytes]:
    """The picture with the hands drawn on it. Raises ValueError for another format than png and jpeg."""
    if format not in ("png", "jpeg"):
        raise ValueError(f"a drawing is png or jpeg, not {format!r}")
    wanted = f"image/{format}"
    headers = {"Content-Type": media_type(data), "Accept": wanted}

    def read(response: httpx.Response) -> bytes:
        _checked(response, wanted)
        return response.content

    return Call("POST", "/v1/pose", read, options.query(), data, headers)


def models_call() -> Call[Models]:
    """What runs."""
    return Call("GET", "/v1/models", lambda response: parsing.models(_json(response)))


def ready_call() -> Call[None]:
    """Raises UnavailableError, with the reason, while it cannot answer."""
    return Call("GET", "/readyz", lambda response: _checked(response, "application/json"))


def _read_pose(response: httpx.Response) -> PoseResult:
    return parsing.pose_result(_json(response))


def _json(response: httpx.Response) -> parsing.Node:
    _checked(response, "application/json")
    return parsing.document(response.content)


def _checked(response: httpx.Response, wanted: str) -> None:
    """Raises ProblemError unless the answer is a success, AnswerError unless it is of the wanted type."""
    if response.status_code != 200:
        raise problem_from_answer(response.status_code, response.headers, response.content)
    content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != wanted:
        raise AnswerError(
            f"the answer is {content_type or 'without a type'}, not {wanted}: is {response.url} a handpose service?"
        )


class Wait:
    """Looking again and again whether a service is ready, until it is too late."""

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        """timeout: seconds from now."""
        self._endpoint = endpoint
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        self._reason = ""
        self.ready = False  # at the last look

    @contextmanager
    def attempt(self) -> Iterator[Endpoint]:
        """One look, at an endpoint that waits no longer than there is time; a service that cannot be reached, or
        says that it cannot answer, is not ready yet.
        """
        try:
            yield self._endpoint.within(max(self._left(), _POLL_SECONDS))
        except (ConnectionFailedError, TimedOutError, UnavailableError) as error:
            self._reason = str(error)
        else:
            self.ready = True

    def pause(self) -> float:
        """Seconds until the next look. Raises TimedOutError when there is no time for one."""
        left = self._left()
        if left <= 0:
            raise TimedOutError(
                f"{self._endpoint.url} was not ready within {self._timeout:g} s: {self._reason}"
            )
        return min(_POLL_SECONDS, left)

    def _left(self) -> float:
        return self._deadline - time.monotonic()
