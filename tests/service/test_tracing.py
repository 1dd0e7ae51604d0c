import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from starlette.datastructures import Headers

from service.app import create_app
from service.inference.pipeline import Pipeline
from service.settings import Settings
from service.tracing import Tracing, TracingError, create

sdk = pytest.importorskip("opentelemetry.sdk.trace")
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: E402

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(exporter: InMemorySpanExporter) -> Tracing:
    provider = sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Tracing(provider)


def test_a_request_and_its_stages(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    headers = Headers({"traceparent": f"00-{TRACE}-{PARENT}-01"})
    with tracing.request({"method": "POST", "scheme": "http"}, headers):
        tracing.stages(0.0, {"queue": 1.0, "decode": 2.0, "detect": 3.0, "total": 6.0})
        tracing.answered("/v1/pose", 200)
    *stages, request = exporter.get_finished_spans()
    assert request.name == "POST /v1/pose"
    assert dict(request.attributes) == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "http.route": "/v1/pose",
        "http.response.status_code": 200,
    }
    assert f"{request.context.trace_id:032x}" == TRACE
    assert f"{request.parent.span_id:016x}" == PARENT
    assert [span.name for span in stages] == ["queue", "decode", "detect"]
    assert [(span.end_time - span.start_time) / 1e6 for span in stages] == [1.0, 2.0, 3.0]
    assert stages[0].end_time == stages[1].start_time
    assert {span.parent.span_id for span in stages} == {request.context.span_id}


def test_a_damaged_traceparent_begins_a_new_trace(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    with tracing.request({"method": "GET", "scheme": "http"}, Headers({"traceparent": "00-x\r\n"})):
        tracing.answered("/readyz", 503)
    (span,) = exporter.get_finished_spans()
    assert span.parent is None
    assert span.status.status_code.name == "ERROR"


def test_frames_of_a_stream_belong_to_what_opened_it(
    tracing: Tracing, exporter: InMemorySpanExporter
) -> None:
    parent = tracing.parent(Headers({"traceparent": f"00-{TRACE}-{PARENT}-01"}))
    for index in range(2):
        tracing.frame(parent, index, 0.0, {"decode": 1.0, "pose": 2.0})
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["decode", "pose", "/v1/stream frame"] * 2
    assert {f"{span.context.trace_id:032x}" for span in spans} == {TRACE}
    assert spans[2].attributes["handpose.frame"] == 0
    assert spans[0].parent.span_id == spans[2].context.span_id


def test_a_whole_request_is_traced(
    tracing: Tracing,
    exporter: InMemorySpanExporter,
    pipeline: Pipeline,
    monkeypatch: pytest.MonkeyPatch,
    draw: Callable,
) -> None:
    import cv2
    import httpx

    monkeypatch.setattr("service.app.create_tracing", lambda _: tracing)
    image = cv2.imencode(".png", draw(320, 240, (100, 60, 50, 80, (255, 0, 0))))[1].tobytes()

    async def scenario() -> None:
        app = create_app(Settings(threads=1, tracing=True), pipeline)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://test") as client,
        ):
            url, headers = "/v1/pose?min_score=0.25", {"Content-Type": "image/png"}
            assert (await client.post(url, content=image, headers=headers)).status_code == 200
            assert (await client.post("/nowhere/secret", content=b"")).status_code == 404

    asyncio.run(scenario())
    *stages, pose, unknown = exporter.get_finished_spans()
    assert [span.name for span in stages] == ["queue", "decode", "detect", "pose", "encode"]
    assert (pose.name, unknown.name) == ("POST /v1/pose", "POST unknown")
    assert {span.parent.span_id for span in stages} == {pose.context.span_id}
    told = str([(span.name, dict(span.attributes)) for span in exporter.get_finished_spans()])
    assert "secret" not in told
    assert "0.25" not in told


def test_traces_go_where_the_standard_variables_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "hands-of-the-lab")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    tracing = create("1.2")
    attributes = tracing._provider.resource.attributes
    assert (attributes["service.name"], attributes["service.version"]) == ("hands-of-the-lab", "1.2")
    tracing.close()


def test_a_collector_that_does_not_answer_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.tracing._CLOSE_SECONDS", 0.01)
    released = threading.Event()

    class Stuck(SimpleSpanProcessor):
        def shutdown(self) -> None:
            assert released.wait(5)

    provider = sdk.TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Stuck(InMemorySpanExporter()))
    Tracing(provider).close()
    released.set()


def test_without_the_extra_the_start_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(TracingError, match=r"pip install '\.\[otel\]'"):
        create("1.2")


def test_settings_of_opentelemetry_that_cannot_be_meant_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "-5")
    with pytest.raises(TracingError, match="OTEL_…"):
        create("1.2")


def test_it_costs_nothing_while_it_is_off() -> None:
    """FastAPI brings the bare API along, and would start exporting because of the environment alone."""
    program = """
import asyncio, sys, httpx, service.app
async def main():
    app = service.app.create_app()
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        assert (await client.get("http://test/healthz")).status_code == 200
asyncio.run(main())
print([name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))])
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
