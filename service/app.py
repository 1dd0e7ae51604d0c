"""`create_app`: the parts put together, nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI

from service.api import batch, operations, pose, problems, stream, web
from service.api.admission import RefuseWhenFull
from service.api.metrics import Metrics
from service.api.observe import Observe
from service.api.security import protect
from service.api.state import Service
from service.inference.cores import available_cores
from service.inference.pipeline import Pipeline
from service.inference.workers import Workers
from service.reload import load_pipeline, warm_up
from service.settings import Settings, load
from service.tracing import create as create_tracing

# Newer FastAPIs trace by themselves, queries included, as soon as the environment names a collector; `tracing` decides
# here. Older ones take the argument and do nothing with it.
_NO_TELEMETRY: Any = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}


def create_app(settings: Settings | None = None, pipeline: Pipeline | None = None) -> FastAPI:
    """The ASGI application.

    settings: by default from the environment. pipeline: by default loaded from the checkpoints the settings
        name, while the application starts. It is ready once both models have run.
    Raises SettingsError, TracingError; starting it raises CheckpointError or EngineError.
    """
    settings = settings or load()
    threads = settings.threads or available_cores()
    workers = Workers(threads, settings.queue_size, settings.standing_queue or None)
    tracing = create_tracing(_version()) if settings.tracing else None
    service = Service(settings, workers, Metrics(workers, _version()), pipeline, tracing=tracing)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if service.pipeline is None:
            service.pipeline = await asyncio.to_thread(load_pipeline, settings)
        await workers.in_every_thread(partial(warm_up, service.pipeline))
        service.use(service.pipeline)
        service.watchdog.start()
        service.ready = True
        yield
        service.ready = False
        await service.streams.close()
        service.watchdog.stop()
        await asyncio.to_thread(workers.close, settings.grace_seconds)
        if tracing is not None:
            await asyncio.to_thread(tracing.close)

    app = FastAPI(
        title="handpose",
        version=_version(),
        description="Finds hands in pictures: boxes, handedness and 21 keypoints.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # to an address made of the client's Host, and out of a proxy's prefix
        telemetry=_NO_TELEMETRY,
    )
    app.state.service = service
    app.add_middleware(problems.CatchCrashes)  # the first added is the innermost
    app.add_middleware(RefuseWhenFull, service=service)
    protect(app, settings)
    app.add_middleware(Observe, metrics=service.metrics, access_log=settings.access_log, tracing=tracing)
    problems.install(app)
    app.include_router(pose.router)
    app.include_router(batch.router)
    app.include_router(stream.router)
    app.include_router(operations.router)
    app.include_router(web.create_router())
    return app


def _version() -> str:
    try:
        return version("handpose")
    except PackageNotFoundError:  # run from a checkout that was not installed
        return "0+unknown"
