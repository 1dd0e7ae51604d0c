"""The models: how they are loaded, and how a new pair takes the place of the old one while requests go on.

The new pair is loaded and tried beside the old one; both are in memory until the last request that began with the
old pair has ended. A new pair that cannot be used changes nothing.
"""

import asyncio
import logging
from collections.abc import Callable

from service import memory
from service.engines.base import EngineError
from service.engines.factory import Runtime
from service.inference.pipeline import Pipeline, Thresholds
from service.models.checkpoint import CheckpointError
from service.settings import Settings

log = logging.getLogger("service")


class ReloadRunningError(Exception):
    """A reload is running already."""


def load_pipeline(settings: Settings) -> Pipeline:
    """The pipeline that the settings describe. Raises CheckpointError or EngineError."""
    thresholds = Thresholds(settings.detection_threshold, settings.presence_threshold)
    runtime = Runtime(settings.engine, settings.device, settings.precision)
    return Pipeline.load(settings.detector, settings.pose, thresholds, runtime)


def warm_up(pipeline: Pipeline) -> None:
    """Try both models, so that no request pays for what they set up lazily. Raises EngineError when they fail."""
    try:
        pipeline.warm_up()
    except EngineError:
        raise
    except Exception as error:  # each engine has its own, and the shapes of a wrong graph yet others
        raise EngineError(f"the models do not run: {error}") from error


class Reloader:
    """Brings new models into use, one reload at a time."""

    def __init__(self, load: Callable[[], Pipeline], use: Callable[[Pipeline], None]) -> None:
        """load: the pipeline as the checkpoints are now; runs in a thread. use: take it for all that begins from now
        on; runs on the event loop.
        """
        self._load = load
        self._use = use
        self._running = False

    @property
    def running(self) -> bool:
        """Whether a reload is under way."""
        return self._running

    async def reload(self) -> Pipeline:
        """Load, try and use the models. They are loaded in a thread of their own, so requests keep theirs.

        Raises CheckpointError or EngineError when the new ones cannot be used, and ReloadRunningError.
        """
        if self._running:
            raise ReloadRunningError("a reload is running already")
        self._running = True
        try:
            pipeline = await asyncio.to_thread(self._prepare)
            self._use(pipeline)
            await asyncio.to_thread(memory.give_back)
        except (CheckpointError, EngineError) as error:
            log.error("reload failed, the old models stay in use: %s", error)
            raise
        finally:
            self._running = False
        models = ", ".join(
            f"{m.task} {m.name} {m.version} {m.sha256[:12]} ({m.runs_on})" for m in pipeline.models
        )
        log.info("reloaded: %s", models)
        return pipeline

    def _prepare(self) -> Pipeline:
        pipeline = self._load()
        warm_up(pipeline)
        return pipeline
