import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI

from service.api.problems import CatchCrashes
from service.inference.pipeline import Pipeline
from tests.service.api.asgi_socket import Socket


@pytest.mark.parametrize(
    ("method", "url", "status", "words"),
    [
        ("GET", "/nothing", 404, "/nothing"),
        ("POST", "/v1/poze", 404, "There is nothing at /v1/poze; did you mean /v1/pose?"),
        ("POST", "/v1/pose/", 404, "did you mean /v1/pose?"),
        ("GET", "/v1/strem", 404, "did you mean /v1/stream?"),
        ("GET", "/doc", 404, "did you mean /docs?"),
        ("GET", "/" + "x" * 5000, 404, "xxx."),
        ("GET", "/v1/pose", 405, "POST"),
        ("GET", "/v1/stream", 426, "A proxy in front must pass on Upgrade and Connection"),
        ("DELETE", "/healthz", 405, "GET"),
    ],
)
def test_routing_errors_are_problems(client, method: str, url: str, status: int, words: str) -> None:
    response = client.request(method, url)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["type"] == "about:blank"
    assert problem["status"] == status
    assert words in problem["detail"]
    if status == 405:
        assert response.headers["allow"]


@pytest.mark.parametrize("path", ["/nothing", "/v1/pose"])
def test_a_stream_that_is_not_there_is_a_problem(play: Callable, path: str) -> None:
    async def scenario(app: FastAPI) -> None:
        status, headers, problem = await Socket(app, path=path).refused()
        assert status == problem["status"] == 404
        assert headers["content-type"] == "application/problem+json"
        assert headers["x-request-id"]
        assert problem["detail"] == f"There is no stream at {path}; the only one is at /v1/stream."

    play(scenario)


def test_a_crash_is_a_problem_without_internals(
    make_client: Callable, pipeline: Pipeline, photo: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Pipeline):
        def run(self, *args: object, **options: object) -> None:
            raise RuntimeError("secret path /srv/weights")

    broken = Broken(pipeline.detector_engine, pipeline.pose_engine, models=pipeline.models)
    client = make_client(engines=broken)
    with caplog.at_level(logging.ERROR):
        response = client.pose(photo)
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "secret" not in response.text
    (record,) = [r for r in caplog.records if r.name == "service"]
    assert "/v1/pose" in record.getMessage()
    assert record.exc_info is not None
    assert "secret" in str(record.exc_info[1])
    assert client.get("/healthz").status_code == 200
    assert 'handpose_requests_total{route="/v1/pose",status="500"} 1.0' in client.get("/metrics").text


def test_who_is_cut_off_when_the_grace_period_is_over_gets_an_answer() -> None:
    async def scenario() -> None:
        sent: list[dict[str, Any]] = []

        async def endless(*_: object) -> None:
            await asyncio.sleep(60)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/v1/pose"}
        task = asyncio.create_task(CatchCrashes(endless)(scope, endless, send))
        await asyncio.sleep(0)
        task.cancel()
        await task
        assert sent[0]["status"] == 503
        assert (b"connection", b"close") in sent[0]["headers"]

    asyncio.run(scenario())
