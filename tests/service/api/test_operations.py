import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from service.api.schemas import ModelsAnswer
from service.inference.pipeline import Pipeline
from service.models.checkpoint import CheckpointError


def test_health_needs_no_models(make_client: Callable) -> None:
    cold = make_client(lifespan=False)
    assert cold.get("/healthz").json() == {"status": "ok"}
    assert cold.get("/readyz").status_code == 503
    assert cold.get("/readyz").json()["title"] == "Service Unavailable"


def test_ready_after_both_engines_ran(client) -> None:
    assert client.get("/readyz").json() == {"status": "ready"}
    pipeline = client.app.state.service.pipeline
    assert pipeline.detector_engine.batches == [1]
    assert pipeline.pose_engine.batches == [1]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_monitors_may_ask_without_a_body(client, path: str) -> None:
    answer = client.request("HEAD", path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")


def test_models_tell_what_runs(client) -> None:
    answer = ModelsAnswer.model_validate(client.get("/v1/models").json(), strict=True)
    assert answer.detector.name == "fake-detector"
    assert answer.pose.task == "pose"
    assert (answer.pose.engine, answer.pose.device, answer.pose.precision) == ("fake", "cpu", "float32")


def test_metrics_count_by_route_and_never_by_path(client, photo: bytes) -> None:
    client.pose(photo)
    client.pose(b"nothing")
    client.get("/some/made/up/path")
    text = client.get("/metrics").text
    assert 'handpose_requests_total{route="/v1/pose",status="200"} 1.0' in text
    assert 'handpose_requests_total{route="/v1/pose",status="415"} 1.0' in text
    assert 'handpose_requests_total{route="unknown",status="404"} 1.0' in text
    assert "made" not in text
    assert "handpose_hands_sum 1.0" in text
    assert 'handpose_stage_seconds_count{stage="detect"} 1.0' in text
    assert "process_resident_memory_bytes" in text


def test_health_tells_models_that_always_fail(
    client, pipeline: Pipeline, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU that was lost: the process lives and can never answer again."""

    def broken(*_: object) -> None:
        raise RuntimeError("the device is gone")

    assert "handpose_failures_in_a_row 0.0" in client.get("/metrics").text
    with monkeypatch.context() as patched:
        patched.setattr(type(pipeline.pose_engine), "__call__", broken)
        for _ in range(5):
            assert client.get("/healthz").status_code == 200
            assert client.pose(photo).status_code == 500
        assert client.get("/healthz").json()["detail"] == "The models have failed 5 times in a row."
        assert "handpose_failures_in_a_row 5.0" in client.get("/metrics").text
    assert client.pose(photo).status_code == 200
    assert client.get("/healthz").status_code == 200


def test_health_tells_a_stuck_thread(make_client: Callable) -> None:
    client = make_client(stuck_seconds=0.05)
    workers, begun, gate = client.app.state.service.workers, threading.Event(), threading.Event()

    def endless_job() -> None:
        begun.set()
        gate.wait(20)

    async def begin() -> asyncio.Task:
        return asyncio.create_task(workers.run(endless_job))

    job = client.portal.call(begin)
    assert begun.wait(10)
    deadline = time.monotonic() + 10
    while (response := client.get("/healthz")).status_code == 200 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert response.status_code == 503
    assert "A job has run" in response.json()["detail"]
    gate.set()
    client.portal.call(asyncio.wait_for, job, 10)
    assert client.get("/healthz").status_code == 200


def test_told_to_stop_it_is_not_ready_and_serves_on(client, photo: bytes) -> None:
    client.app.state.service.draining = True
    assert client.get("/readyz").status_code == 503
    assert "handpose_ready 0.0" in client.get("/metrics").text
    assert client.get("/healthz").status_code == 200
    assert client.pose(photo).status_code == 200


@pytest.fixture
def reloading(make_client: Callable, pipeline: Pipeline, keys: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client, and the loads that `POST /v1/models/reload` will find: each a pipeline or an error."""
    client, loads = make_client(**keys.settings), []

    def load() -> Pipeline:
        found = loads.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(client.app.state.service.reloader, "_load", load)
    return client, loads


def test_reload_is_for_admins(reloading: Any, keys: Any) -> None:
    client, _ = reloading
    assert client.post("/v1/models/reload").status_code == 401
    assert client.post("/v1/models/reload", headers=keys.lab).status_code == 403
    assert client.get("/v1/models/reload", headers=keys.admin).status_code == 405


def test_without_keys_nobody_may_reload(client) -> None:
    assert client.post("/v1/models/reload").status_code == 403


def test_reload_answers_and_uses_the_new_models(reloading: Any, keys: Any, photo: bytes) -> None:
    client, loads = reloading
    old = client.app.state.service.pipeline
    newer = tuple(replace(model, version="new") for model in old.models)
    loads.append(Pipeline(old.detector_engine, old.pose_engine, models=newer))
    answer = ModelsAnswer.model_validate(client.post("/v1/models/reload", headers=keys.admin).json())
    assert (answer.detector.version, answer.pose.version) == ("new", "new")
    assert client.get("/v1/models", headers=keys.lab).json()["pose"]["version"] == "new"
    assert client.pose(photo, headers=keys.lab).json()["models"]["pose"] == "fake-pose new"
    assert 'handpose_reloads_total{outcome="done"} 1.0' in client.get("/metrics", headers=keys.metrics).text


def test_broken_models_change_nothing_and_are_told(reloading: Any, keys: Any, photo: bytes) -> None:
    client, loads = reloading
    loads.append(CheckpointError("pose/model.onnx: sha256 is 1, card.json says 2"))
    response = client.post("/v1/models/reload", headers=keys.admin)
    assert response.status_code == 422
    assert "sha256 is 1" in response.json()["detail"]
    assert client.pose(photo, headers=keys.lab).json()["models"]["pose"] == "fake-pose 1"
    assert client.get("/readyz").status_code == 200
    assert 'handpose_reloads_total{outcome="failed"} 1.0' in client.get("/metrics", headers=keys.metrics).text


def test_two_reloads_at_once_are_one_too_many(reloading: Any, keys: Any) -> None:
    client, _ = reloading
    client.app.state.service.reloader._running = True
    assert client.post("/v1/models/reload", headers=keys.admin).status_code == 409
    assert (
        'handpose_reloads_total{outcome="refused"} 1.0' in client.get("/metrics", headers=keys.metrics).text
    )
