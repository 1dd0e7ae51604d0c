"""What the routes share: made once by `create_app`, found by them through `ServiceDependency`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

from fastapi import Depends, Request

from service.api.access import Access
from service.api.images import Limits
from service.api.metrics import NO_MEMORY, NOT_READY, Metrics
from service.api.places import Budget
from service.api.problems import Problem
from service.api.streams import Streams
from service.inference.calibration import PairCalibration
from service.inference.geometry import Image
from service.inference.hands import Detection, Hand
from service.inference.pipeline import Pipeline, Thresholds
from service.inference.workers import Workers
from service.reload import Reloader, ReloadRunningError, load_pipeline
from service.settings import Settings
from service.tracing import Tracing
from service.watchdog import Watchdog


@dataclass(slots=True)
class Service:
    """The running service. `pipeline` is None until its models are loaded, `ready` is false until they are warm and
    after it began to stop. `draining`: it was told to stop and serves on for a moment, to those who have not noticed.
    """

    settings: Settings
    workers: Workers
    metrics: Metrics
    pipeline: Pipeline | None = None
    ready: bool = False
    draining: bool = False
    tracing: Tracing | None = None
    limits: Limits = field(init=False)
    streams: Streams = field(init=False)
    reloader: Reloader = field(init=False)
    watchdog: Watchdog = field(init=False)
    access: Access = field(init=False)
    uploads: Budget = field(init=False)  # bytes of request bodies
    drawn: Budget = field(init=False)  # bytes of drawn pictures that are being read
    batched: Budget = field(init=False)  # pictures of batches

    def __post_init__(self) -> None:
        self.limits = Limits(self.settings.max_pixels, self.settings.decode_side)
        self.reloader = Reloader(lambda: load_pipeline(self.settings), self.use)
        self.watchdog = Watchdog(
            self.workers,
            self.settings.stuck_seconds,
            failures=self._failures,
            exit_when_stuck=self.settings.exit_when_stuck,
        )
        self.metrics.failures.set_function(self._failures)
        self.metrics.ready.set_function(lambda: self.ready and not self.draining)
        self.streams = Streams(self.settings.max_streams, self.workers.threads, self.metrics.registry)
        self.access = Access(self.settings)
        no_memory = partial(self.metrics.reject, NO_MEMORY)
        self.uploads = Budget(self.settings.upload_memory, no_memory)
        self.drawn = Budget(self.settings.upload_memory, no_memory)
        self.batched = Budget(self.workers.threads + self.workers.queue_size)

    def _failures(self) -> int:
        return self.pipeline.failures if self.pipeline else 0

    def use(self, pipeline: Pipeline) -> None:
        """Everything that begins from now on runs on this pipeline; what has begun keeps the one it has."""
        self.pipeline = pipeline
        self.metrics.tell_models(pipeline.models)
        pipeline.on_pose = self.metrics.pose_batch.observe

    async def reload(self) -> Pipeline:
        """Bring the checkpoints, and the keys, into use as they are now. Raises as `Reloader.reload` does."""
        self.access.reload_keys()
        try:
            pipeline = await self.reloader.reload()
        except ReloadRunningError:
            self.metrics.reloads.labels("refused").inc()
            raise
        except Exception:
            self.metrics.reloads.labels("failed").inc()
            raise
        self.metrics.reloads.labels("done").inc()
        return pipeline

    def observe(self, hands: int, began: float, timing_ms: Mapping[str, float]) -> None:
        """Count a picture and trace its stages. began: when it was handed in, in seconds of `time.perf_counter`."""
        self.metrics.observe(hands, timing_ms)
        if self.tracing is not None:
            self.tracing.stages(began, timing_ms)

    def warm_pipeline(self) -> Pipeline:
        """The pipeline. Raises Problem 503 before it is warm and after the service began to stop."""
        if self.pipeline is None or not self.ready:
            self.metrics.reject(NOT_READY)
            raise Problem(503, "The models are not warm yet.", headers={"Retry-After": "1"})
        return self.pipeline


class CurrentPipeline:
    """A `HandFinder` for who outlives a reload: the service's pipeline of the moment, and no hold on an older one."""

    def __init__(self, service: Service) -> None:
        """service: with models loaded."""
        self._service = service

    @property
    def thresholds(self) -> Thresholds:
        """Where the pipeline draws its lines."""
        return self._now.thresholds

    @property
    def calibration(self) -> PairCalibration:
        """Of the scores that are told."""
        return self._now.calibration

    def detect(self, image: Image, turn: int | None = None) -> list[Detection]:
        """As `Pipeline.detect`."""
        return self._now.detect(image, turn)

    def pose(self, image: Image, detections: Sequence[Detection]) -> list[Hand]:
        """As `Pipeline.pose`."""
        return self._now.pose(image, detections)

    @property
    def _now(self) -> Pipeline:
        pipeline = self._service.pipeline
        assert pipeline is not None
        return pipeline


async def _service(request: Request) -> Service:
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


ServiceDependency = Annotated[Service, Depends(_service)]
