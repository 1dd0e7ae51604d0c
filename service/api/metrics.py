"""What Prometheus reads at `/metrics`."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.engines.loaded import LoadedModel
from service.inference.workers import Workers

_SECONDS = (0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10)
HANDS = (0, 1, 2, 4, 8, 16)
BATCH, STREAM = "/v1/pose/batch", "/v1/stream"  # routes whose answers are no status
_BATCHES = (1, 2, 4, 8, 16, 32, 64)
_MODEL_LABELS = (
    "task", "name", "version", "architecture", "licence", "sha256", "engine", "device", "precision",
)  # fmt: skip
# Why a request, a stream or a connection was turned away: said where that is done, or by its status.
QUEUE_FULL, NO_MEMORY, NOT_READY, MALFORMED = "queue_full", "no_memory", "not_ready", "malformed"
TOO_MANY_STREAMS, TOO_MANY_CONNECTIONS = "too_many_streams", "too_many_connections"
TOO_SLOW, TOO_LARGE = "too_slow", "too_large"
REASONS = {401: "unauthorized", 403: "forbidden", 408: TOO_SLOW, 413: TOO_LARGE, 429: "rate_limited"}

disable_created_metrics()  # type: ignore[no-untyped-call] # a third of the page, and nobody reads it


class Metrics:
    """One registry an app, so that two apps in a process do not count into one another."""

    def __init__(self, workers: Workers, version: str = "") -> None:
        """workers: their queue is read when Prometheus asks. version: of the service."""
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(_WorkersCollector(workers))
        build = Gauge("handpose_build_info", "1, and what runs.", ("version",), registry=registry)
        build.labels(version).set(1)
        self.requests = Counter(
            "handpose_requests", "Requests answered.", ("route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "handpose_request_seconds",
            "From the request's first byte to the answer's last.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "handpose_requests_in_flight", "Requests begun and not answered yet.", registry=registry
        )
        self.rejected = Counter(
            "handpose_rejected",
            "Requests and streams turned away before a picture of theirs was looked at.",
            ("reason",),
            registry=registry,
        )
        unasked = QUEUE_FULL, NO_MEMORY, NOT_READY, TOO_MANY_STREAMS, TOO_MANY_CONNECTIONS, MALFORMED
        for reason in (*REASONS.values(), *unasked):
            self.rejected.labels(reason)  # so that a rate can be taken of the first one
        self.stage_seconds = Histogram(
            "handpose_stage_seconds",
            "Time in each stage of a pose request.",
            ("stage",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.hands = Histogram(
            "handpose_hands", "Hands found in a picture.", buckets=HANDS, registry=registry
        )
        self.batch_pictures = Histogram(
            "handpose_batch_pictures",
            "Pictures in a request to /v1/pose/batch.",
            buckets=_BATCHES,
            registry=registry,
        )
        self.pose_batch = Histogram(
            "handpose_pose_batch_crops",
            "Crops that went through the pose model together.",
            buckets=_BATCHES,
            registry=registry,
        )
        self.ready = Gauge("handpose_ready", "1 while /readyz says yes.", registry=registry)
        self.failures = Gauge(
            "handpose_failures_in_a_row",
            "Inferences that have failed since the last one that did not.",
            registry=registry,
        )
        self.faults = Counter(
            "handpose_faults",
            "Pictures that the service failed on, where no status says so.",
            ("route",),
            registry=registry,
        )
        for route in (BATCH, STREAM):
            self.faults.labels(route)
        self.reloads = Counter(
            "handpose_reloads",
            "Reloads of the models: done, refused because one runs already, or failed.",
            ("outcome",),
            registry=registry,
        )
        for outcome in ("done", "failed", "refused"):
            self.reloads.labels(outcome)
        self._loaded = Gauge(
            "handpose_models_loaded_timestamp_seconds",
            "When the models that answer now were taken into use, in Unix time.",
            registry=registry,
        )
        self._models = Gauge(
            "handpose_model_info", "1, and what the model is.", _MODEL_LABELS, registry=registry
        )

    def observe(self, hands: int, timing_ms: Mapping[str, float]) -> None:
        """Count one picture."""
        self.hands.observe(hands)
        for stage, ms in timing_ms.items():
            self.stage_seconds.labels(stage).observe(ms / 1e3)

    def reject(self, reason: str) -> None:
        """Count a request that was turned away: one of `REASONS`, `QUEUE_FULL`, `NOT_READY` …"""
        self.rejected.labels(reason).inc()

    def tell_models(self, models: Iterable[LoadedModel]) -> None:
        """These models answer from now on, and no others."""
        self._models.clear()
        for model in models:
            known = asdict(model)
            self._models.labels(*(known[label] for label in _MODEL_LABELS)).set(1)
        self._loaded.set_to_current_time()

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)


class _WorkersCollector(Collector):
    """The threads and their queue, read at the moment of asking."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def collect(self) -> Iterable[Metric]:
        workers, condition = self._workers, self._workers.condition()
        gauges = {
            "queue_waiting": ("Jobs that wait for a thread.", workers.waiting),
            "queue_size": ("Jobs that may wait for a thread during a burst.", workers.queue_size),
            "jobs_running": ("Jobs that threads work on.", workers.running),
            "threads": ("Threads that decode and infer.", workers.threads),
            "threads_dead": ("Threads that ended by themselves; above 0 is a fault.", condition.dead),
            "oldest_job_seconds": ("Age of the oldest unfinished job.", condition.oldest_seconds),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(f"handpose_{name}", text, value)
        yield CounterMetricFamily(
            "handpose_jobs_abandoned",
            "Jobs dropped from the queue because their client had left.",
            workers.abandoned,
        )
