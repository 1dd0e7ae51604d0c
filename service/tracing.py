"""OpenTelemetry traces: a span for each request, and below it one for each stage. The only module that imports it.

What happens in a stage is measured anyway, for the answer and the metrics; spans are made of these figures
afterwards, so nothing of it runs in the worker threads.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.types import Scope

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

STAGES = ("queue", "decode", "detect", "pose", "encode")  # in the order in which they follow one another
_CLOSE_SECONDS = 3.0


class TracingError(Exception):
    """Traces were asked for and cannot be had."""


class Tracing:
    """Makes spans of requests and frames."""

    def __init__(self, provider: "TracerProvider") -> None:
        """provider: exports them. Raises TracingError when the extra is not installed."""
        from opentelemetry import context, trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._context = context
        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()
        self._provider = provider
        self._tracer = provider.get_tracer("handpose")

    @contextmanager
    def request(self, scope: Scope, headers: Headers) -> Iterator[None]:
        """The span of an HTTP request; what is traced inside is below it. It goes on with the caller's trace
        (`traceparent`).
        """
        attributes = {"http.request.method": scope["method"], "url.scheme": scope["scheme"]}
        with self._tracer.start_as_current_span(
            scope["method"],
            self.parent(headers),
            kind=self._trace.SpanKind.SERVER,
            attributes=attributes,
        ):
            yield

    def answered(self, route: str, status: int) -> None:
        """Complete the request's span. route: its pattern; no path and no query is ever traced."""
        span = self._trace.get_current_span()
        span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_status(self._trace.StatusCode.ERROR)
        span.update_name(f"{_name_of(span)} {route}")

    def parent(self, headers: Headers) -> Any:
        """The context that `traceparent` names, for `frame`; an empty one without it."""
        return self._propagator.extract(headers, context=self._context.Context())

    def stages(self, began: float, timing_ms: Mapping[str, float], **attributes: int) -> None:
        """Spans of a picture's stages, below the current span.

        began: `time.perf_counter` when it was handed in, in seconds. timing_ms: the milliseconds of `STAGES`, of which
        some may be missing. attributes: of each span.
        """
        at = _unix_ns(began)
        for stage in STAGES:
            if stage in timing_ms:
                span = self._tracer.start_span(stage, start_time=at, attributes=attributes)
                at += int(timing_ms[stage] * 1e6)
                span.end(at)

    def frame(self, parent: Any, index: int, began: float, timing_ms: Mapping[str, float]) -> None:
        """The span of a stream's frame with its stages. A stream may last for days, so it has no span of its own: each
        frame is one below what its client was doing when it opened the stream (`parent`).
        """
        span = self._tracer.start_span(
            "/v1/stream frame", parent, start_time=_unix_ns(began), attributes={"handpose.frame": index}
        )
        with self._trace.use_span(span):
            self.stages(began, timing_ms)
        span.end()

    def close(self) -> None:
        """Send what is left, for a few seconds at most: to a collector that is gone the library would try for longer
        than a service may take to stop.
        """
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)


def create(version: str) -> Tracing:
    """Traces over OTLP; the standard environment variables (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME`,
    `OTEL_TRACES_SAMPLER` …) say where to and how many.

    Raises TracingError when the extra `otel` is not installed or cannot use what these variables say.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise TracingError(f"tracing needs {error.name}: pip install '.[otel]'") from None
    try:
        ours = Resource.create({"service.name": "handpose", "service.version": version})
        provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    except ValueError as error:
        raise TracingError(f"OpenTelemetry cannot use its settings (OTEL_…): {error}") from None
    return Tracing(provider)


def _name_of(span: Any) -> str:
    return str(getattr(span, "name", ""))  # one that is not sampled has none


def _unix_ns(moment: float) -> int:
    """A moment of `time.perf_counter` in nanoseconds of Unix time."""
    return time.time_ns() - int((time.perf_counter() - moment) * 1e9)
