"""What operators ask: is it alive, is it ready, what runs, how does it do."""

from dataclasses import asdict

import orjson
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from service.api import problems
from service.api.access import NO_ACCESS, require
from service.api.problems import Problem
from service.api.schemas import ModelsAnswer, StatusAnswer
from service.api.state import ServiceDependency
from service.engines.base import EngineError
from service.inference.pipeline import Pipeline
from service.models.checkpoint import CheckpointError
from service.reload import ReloadRunningError

router = APIRouter(tags=["operations"])

_NOT_WARM = {503: "The models are not warm yet, or the service is stopping."}


@router.head("/healthz", include_in_schema=False)  # as `wget --spider` and other monitors ask
@router.get(
    "/healthz",
    summary="Is the process alive?",
    responses={
        200: {"model": StatusAnswer},
        **problems.responses({503: "A thread is stuck or dead, or the models always fail."}),
    },
)
async def healthz(service: ServiceDependency) -> Response:
    """200 as long as the event loop turns, the threads get on with their work and the models do not always fail, as
    they do on a GPU that is lost. On 503 the process should be started anew.
    """
    if wrong := service.watchdog.problem():
        raise Problem(503, wrong)
    return Response(b'{"status":"ok"}', media_type="application/json")


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz",
    summary="Can it answer now?",
    responses={200: {"model": StatusAnswer}, **problems.responses(_NOT_WARM)},
)
async def readyz(service: ServiceDependency) -> Response:
    """Ready only after both models have run once, and no longer when it was told to stop."""
    if service.draining:
        raise Problem(503, "The service is stopping.")
    if not service.ready:
        raise Problem(503, "The models are not warm yet.", headers={"Retry-After": "1"})
    return Response(b'{"status":"ready"}', media_type="application/json")


@router.get(
    "/v1/models",
    summary="What runs?",
    dependencies=[require("inference")],
    responses={200: {"model": ModelsAnswer}, **problems.responses(NO_ACCESS | _NOT_WARM)},
)
async def models(service: ServiceDependency) -> Response:
    """The networks as they were really loaded: checkpoint, hash, licence, engine, device, precision,
    and why it runs there."""
    return _models(service.warm_pipeline())


def _models(pipeline: Pipeline) -> Response:
    body = {model.task: asdict(model) for model in pipeline.models}
    return Response(orjson.dumps(body), media_type="application/json")


@router.post(
    "/v1/models/reload",
    summary="Bring new models into use",
    dependencies=[require("admin")],
    responses={
        200: {"model": ModelsAnswer},
        **problems.responses(
            NO_ACCESS
            | _NOT_WARM
            | {
                409: "A reload is running already.",
                422: "The new models cannot be used; the old ones stay in use.",
            }
        ),
    },
)
async def reload(service: ServiceDependency) -> Response:
    """Read both checkpoint folders anew, try the models and, if they run, answer with them from now on. Requests that
    have begun end on the old ones; streams go on. Answers what runs then, as `GET /v1/models` does.
    """
    service.warm_pipeline()
    try:
        pipeline = await service.reload()
    except ReloadRunningError:
        raise Problem(409, "A reload is running already; ask again when it has ended.") from None
    except (CheckpointError, EngineError) as error:
        raise Problem(422, f"The new models cannot be used, the old ones stay in use: {error}") from None
    return _models(pipeline)


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    dependencies=[require("metrics")],
    responses=problems.responses(NO_ACCESS),
)
async def metrics(service: ServiceDependency) -> Response:
    """Requests by route and status, latency, stages, hands found, jobs waiting, memory and processor time."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)
