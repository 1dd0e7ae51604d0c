"""Errors as RFC 9457 problem documents: every answer that is not a success, 404 and 500 included."""

import asyncio
import difflib
import functools
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.parameters import explain, repeated
from service.api.schemas import PoseQuery, ProblemAnswer

MEDIA_TYPE = "application/problem+json"
CLIENT_CLOSED_REQUEST = 499  # nginx's; there is no standard status for an answer that nobody gets
log = logging.getLogger("service")
_STREAM = "/v1/stream"
_PATH = 100  # characters of a path that are compared with those there are
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}  # RFC 9110; older Pythons have older names


class Problem(Exception):  # noqa: N818 - a problem document, as RFC 9457 calls it
    """Raise it anywhere below a route: it becomes the answer."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """detail: what is wrong with this request and what would be right. errors: `{"name": …, "detail":
        …}` each.
        """
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})


def title(status: int) -> str:
    """The phrase of an HTTP status."""
    return _TITLES.get(status) or HTTPStatus(status).phrase


def document(status: int, detail: str, errors: Sequence[Mapping[str, str]] = ()) -> dict[str, Any]:
    """The members of a problem document."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title(status),
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = list(errors)
    return body


def respond(problem: Problem) -> Response:
    """A problem as an HTTP answer."""
    return Response(
        orjson.dumps(document(problem.status, problem.detail, problem.errors)),
        problem.status,
        headers=problem.headers,
        media_type=MEDIA_TYPE,
    )


def responses(descriptions: Mapping[int, str]) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: these statuses answer with a problem."""
    schema = {"schema": {"$ref": f"#/components/schemas/{ProblemAnswer.__name__}"}}
    return {
        status: {"description": text, "content": {MEDIA_TYPE: schema}}
        for status, text in descriptions.items()
    }


def install(app: FastAPI) -> None:
    """Make every error that routes raise a problem document; `CatchCrashes` does the same for their bugs."""

    @app.exception_handler(Problem)
    async def _problem(_: Request, error: Problem) -> Response:
        return respond(error)

    @app.exception_handler(HTTPException)
    async def _http(request: HTTPConnection, error: HTTPException) -> Response:
        detail = error.detail
        if error.status_code == 404:
            detail = f"There is {_nothing_at(request)}"
        elif error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "")
            detail = f"{request.scope['method']} is not allowed here; allowed: {allowed or 'another method'}."
        return respond(Problem(error.status_code, detail, headers=error.headers))

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> Response:
        errors = _repeated(request) or [explain(item, PoseQuery) for item in error.errors()]
        return respond(_wrong_parameters(errors))

    @app.exception_handler(ClientDisconnect)
    async def _gone(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_CLOSED_REQUEST)  # nobody reads it; logs and metrics do

    async def _nothing_there(scope: Scope, receive: Receive, send: Send) -> None:
        raise HTTPException(404)

    app.router.default = _nothing_there  # for streams, too; Starlette closes those with a bare 403

    generate = app.openapi

    @functools.cache
    def openapi() -> dict[str, Any]:
        """The description with the schema of problems, which FastAPI cannot find by itself."""
        described = generate()
        _, found = models_json_schema(
            [(ProblemAnswer, "serialization")], ref_template="#/components/schemas/{model}"
        )
        described["components"]["schemas"] |= found["$defs"]
        return described

    app.openapi = openapi  # type: ignore[method-assign]


def _nothing_at(request: HTTPConnection) -> str:
    """What there is not at the path that was asked for, and the nearest place where there is something."""
    path = request.url.path
    if request.scope["type"] == "websocket":
        return f"no stream at {path}; the only one is at {_STREAM}."
    places = [*request.app.openapi()["paths"], _STREAM, "/docs"]
    near = difflib.get_close_matches(path[:_PATH], places, 1)
    return f"nothing at {path}; did you mean {near[0]}?" if near else f"nothing at {path}."


def check_once(request: HTTPConnection) -> None:
    """Raises Problem 422 for a query that has a parameter more than once."""
    if errors := _repeated(request):
        raise _wrong_parameters(errors)


def _wrong_parameters(errors: Sequence[Mapping[str, str]]) -> Problem:
    return Problem(422, " ".join(error["detail"] for error in errors), errors=errors)


def _repeated(request: HTTPConnection) -> list[dict[str, str]]:
    return repeated(name for name, _ in request.query_params.multi_items())


class CatchCrashes:
    """ASGI middleware, the innermost: logs what nobody caught with its traceback and answers 500, telling
    nothing.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except asyncio.CancelledError:  # by the server, whose grace period is over
            if started:
                raise
            problem = Problem(
                503, "The service stopped before this was done.", headers={"Connection": "close"}
            )
            await respond(problem)(scope, receive, send)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if started:  # too late for another answer: the server closes the connection
                raise
            problem = Problem(500, "The service failed on this request; its log says why.")
            await respond(problem)(scope, receive, send)
