import asyncio
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest


@pytest.fixture
def full(make_client: Callable) -> Iterator:
    """A client of a service that is at work and lets nobody wait."""
    client = make_client(queue_size=0)
    workers, gate = client.app.state.service.workers, threading.Event()

    async def begin() -> asyncio.Task:
        job = asyncio.create_task(workers.run(partial(gate.wait, 20)))
        await asyncio.sleep(0)
        return job

    job = client.portal.call(begin)
    assert workers.full
    yield client
    gate.set()
    client.portal.call(asyncio.wait_for, job, 20)


@pytest.mark.parametrize("path", ["/v1/pose", "/v1/pose/batch"])
def test_pictures_are_refused_before_anything_is_done_for_them(full, path: str) -> None:
    read = []

    async def body():
        read.append(True)
        yield b"x"

    response = full.post(path, content=body(), headers={"X-Request-ID": "id-7"})
    assert response.status_code == 503
    assert response.json()["title"] == "Service Unavailable"
    assert int(response.headers["retry-after"]) >= 1
    assert response.headers["x-request-id"] == "id-7"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "connection" not in response.headers
    assert read == []
    text = full.get("/metrics").text
    assert f'handpose_requests_total{{route="{path}",status="503"}} 1.0' in text
    assert 'handpose_rejected_total{reason="queue_full"} 1.0' in text


def test_everything_else_is_answered(full) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/v1/models"):
        assert full.get(path).status_code == 200
    assert full.get("/v1/pose").status_code == 405
