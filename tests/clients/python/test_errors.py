"""Problems become exceptions that carry them."""

import json
import pickle

import pytest
from handpose_client import (
    HandPoseError,
    MissingExtraError,
    ProblemError,
    TooLargeError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
    UnprocessableError,
    UnsupportedImageError,
)
from handpose_client.errors import problem, problem_from_answer

PROBLEM = {"content-type": "application/problem+json"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, UnauthorizedError),
        (413, TooLargeError),
        (415, UnsupportedImageError),
        (422, UnprocessableError),
        (429, TooManyRequestsError),
        (503, UnavailableError),
        (502, UnavailableError),
        (504, UnavailableError),
        (500, ProblemError),
    ],
)
def test_a_status_has_its_exception(status: int, kind: type) -> None:
    error = problem(status, detail="why")
    assert type(error) is kind
    assert isinstance(error, HandPoseError)
    assert (error.status, error.detail) == (status, "why")
    assert str(error) == f"{status} {error.title}: why"


def test_a_problem_document_is_carried_whole() -> None:
    document = {
        "type": "https://example.org/bad",
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "max_hands: too many.",
        "errors": [{"name": "max_hands", "detail": "too many"}],
        "instance": "/unknown/member",
    }
    error = problem_from_answer(422, PROBLEM | {"retry-after": "3"}, json.dumps(document).encode())
    assert error.title == "Unprocessable Content"
    assert error.type == "https://example.org/bad"
    assert error.errors == ({"name": "max_hands", "detail": "too many"},)
    assert error.retry_after == 3.0
    assert error.to_dict() == {name: document[name] for name in document if name != "instance"}


@pytest.mark.parametrize(
    ("content_type", "body", "detail"),
    [
        (
            "text/html",
            b"<h1>502  Bad\nGateway</h1>",
            "text/html, not a problem document: <h1>502 Bad Gateway</h1>",
        ),
        ("application/json", b"[1, 2]", "application/json, not a problem document: [1, 2]"),
        ("application/problem+json", b'{"cut": ', "not a problem document"),
        ("", b"", "without a type, not a problem document"),
        ("text/plain", b"\xff\xfe", "\ufffd"),
    ],
)
def test_an_answer_that_is_no_problem_document_is_quoted(content_type: str, body: bytes, detail: str) -> None:
    error = problem_from_answer(502, {"content-type": content_type}, body)
    assert (error.status, error.title) == (502, "Bad Gateway")
    assert detail in error.detail


def test_a_long_answer_is_cut() -> None:
    assert len(problem_from_answer(500, {}, b"x" * 10_000).detail) < 300


def test_members_of_the_wrong_type_are_passed_over() -> None:
    body = b'{"title": 7, "detail": null, "type": [], "errors": ["x", {"name": "a"}]}'
    error = problem_from_answer(500, PROBLEM, body)
    assert (error.title, error.detail, error.type) == ("Internal Server Error", "", "about:blank")
    assert error.errors == ({"name": "a"},)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("2", 2.0), ("0.5", 0.5), ("-1", 0.0), ("Fri, 31 Dec 1999 23:59:59 GMT", None), ("", None)],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    assert problem_from_answer(503, {"retry-after": header}, b"").retry_after == seconds


def test_a_redirect_says_where_the_service_is() -> None:
    error = problem_from_answer(308, {"location": "https://example.org/"}, b"")
    assert "https://example.org/" in error.detail


def test_a_status_that_nobody_knows() -> None:
    assert str(problem(799)) == "799 Unknown Status"


def test_problems_pickle() -> None:
    error = problem(429, "Slow", "down", errors=({"name": "x"},), retry_after=2.0)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is TooManyRequestsError
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)


def test_a_missing_extra_is_an_import_error_that_says_what_to_install() -> None:
    error = MissingExtraError("drawing")
    assert isinstance(error, ImportError)
    assert 'pip install "handpose-client[video]"' in str(error)
