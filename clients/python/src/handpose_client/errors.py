"""What can go wrong, as exceptions. All of them are `HandPoseError`.

A file that cannot be read raises OSError, and a value of the wrong type or shape TypeError or ValueError, as
everywhere in Python.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

_EXCERPT = 200  # characters of an answer that is not a problem document, for the message


class HandPoseError(Exception):
    """The base of every error of this package."""


class MissingExtraError(HandPoseError, ImportError):
    """This needs OpenCV: `pip install "handpose-client[video]"`."""

    def __init__(self, what: str) -> None:
        """what: the thing that needs it, to begin the sentence with."""
        super().__init__(f'{what} needs OpenCV: pip install "handpose-client[video]"')


class ConnectionFailedError(HandPoseError):
    """The service could not be reached, or the connection was cut.

    code: why a WebSocket was closed, where the service said so (RFC 6455, section 7.4), otherwise None.
    """

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class TimedOutError(HandPoseError):
    """The service did not answer in time."""


class AnswerError(HandPoseError):
    """The service answered with success, but not what its contract says: most often the URL leads to
    something else.
    """


class ProblemError(HandPoseError):
    """The service refused or failed, and said why (RFC 9457).

    status: the HTTP status. title: its phrase. detail: what is wrong with this request. type: a URI that
    names the kind of problem, mostly "about:blank". errors: wrong parameters, `{"name": …, "detail": …}`
    each. retry_after: seconds after which to try again, where the service said so.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        *,
        type: str = "about:blank",
        errors: tuple[Mapping[str, str], ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{status} {title}: {detail}" if detail else f"{status} {title}")
        self.status = status
        self.title = title
        self.detail = detail
        self.type = type
        self.errors = errors
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        """Problems survive pickling, so that they cross process pools."""
        return _rebuild, (self.status, self.title, self.detail, self.type, self.errors, self.retry_after)

    def to_dict(self) -> dict[str, Any]:
        """The members of the problem document."""
        document = {"type": self.type, "title": self.title, "status": self.status, "detail": self.detail}
        return document | ({"errors": [dict(e) for e in self.errors]} if self.errors else {})


class UnauthorizedError(ProblemError):
    """401: no key, or not one the service knows."""


class TooLargeError(ProblemError):
    """413: more bytes or pixels than the service takes."""


class UnsupportedImageError(ProblemError):
    """415: not an image type that is read."""


class UnprocessableError(ProblemError):
    """422: the image cannot be decoded, or a parameter is wrong."""


class TooManyRequestsError(ProblemError):
    """429: slower, please; `retry_after` says by how much."""


class UnavailableError(ProblemError):
    """503: the queue is full or the models are not warm; `retry_after` says when to come back. 502, 504: a proxy does
    not reach the service, which may be starting.
    """


_BY_STATUS: dict[int, type[ProblemError]] = {
    401: UnauthorizedError,
    413: TooLargeError,
    415: UnsupportedImageError,
    422: UnprocessableError,
    429: TooManyRequestsError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}


def problem(
    status: int,
    title: str = "",
    detail: str = "",
    *,
    type: str = "about:blank",
    errors: tuple[Mapping[str, str], ...] = (),
    retry_after: float | None = None,
) -> ProblemError:
    """The exception for a status: the subclass that is made for it, if there is one."""
    kind = _BY_STATUS.get(status, ProblemError)
    return kind(status, title or _phrase(status), detail, type=type, errors=errors, retry_after=retry_after)


def problem_from_answer(status: int, headers: Mapping[str, str], body: bytes) -> ProblemError:
    """The exception for an HTTP answer that is not a success: a problem document, or whatever a proxy in
    between made of it.

    headers: looked up by lower-case name; httpx's and websockets' own objects do.
    """
    retry_after = _seconds(headers.get("retry-after"))
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type in ("application/problem+json", "application/json"):
        try:
            document = json.loads(body)
        except ValueError:
            document = None
        if isinstance(document, dict):
            return problem_from_document(document, status, retry_after)
    if 300 <= status < 400 and "location" in headers:
        return problem(status, detail=f"the service is at {headers['location']}; give that URL instead")
    text = " ".join(body.decode("utf-8", "replace").split())
    excerpt = text[:_EXCERPT] + ("…" if len(text) > _EXCERPT else "")
    kind = content_type or "without a type"
    detail = f"the answer is {kind}, not a problem document" + (f": {excerpt}" if excerpt else "")
    return problem(status, detail=detail, retry_after=retry_after)


def problem_from_document(
    document: Mapping[str, Any], status: int, retry_after: float | None = None
) -> ProblemError:
    """The exception for a decoded problem document. Members that are missing or of the wrong type are passed
    over. status: the one to use, whatever the document says.
    """

    def text(name: str) -> str:
        value = document.get(name)
        return value if isinstance(value, str) else ""

    errors = document.get("errors")
    return problem(
        status,
        text("title"),
        text("detail"),
        type=text("type") or "about:blank",
        errors=tuple(e for e in errors if isinstance(e, dict)) if isinstance(errors, list) else (),
        retry_after=retry_after,
    )


def _rebuild(
    status: int,
    title: str,
    detail: str,
    type: str,
    errors: tuple[Mapping[str, str], ...],
    retry_after: float | None,
) -> ProblemError:
    return problem(status, title, detail, type=type, errors=errors, retry_after=retry_after)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown Status"


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds; None for its other form, a date, which this service does not send."""
    try:
        return max(0.0, float(retry_after)) if retry_after else None
    except ValueError:
        return None
