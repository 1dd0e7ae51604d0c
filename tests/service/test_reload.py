import asyncio
import gc
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from service.engines.base import Detections, EngineError, Poses
from service.inference.pipeline import Pipeline
from service.models.checkpoint import CheckpointError
from service.reload import Reloader, ReloadRunningError, load_pipeline, warm_up
from service.settings import Settings


def test_the_new_models_are_used_when_they_have_run(pipeline: Pipeline) -> None:
    used = []
    loaded = asyncio.run(Reloader(lambda: pipeline, used.append).reload())
    assert used == [loaded] == [pipeline]
    assert pipeline.detector_engine.batches == pipeline.pose_engine.batches == [1]


def test_models_that_cannot_be_read_are_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    used = []
    settings = Settings(detector=tmp_path)
    with pytest.raises(CheckpointError, match=r"card\.json"):
        asyncio.run(Reloader(lambda: load_pipeline(settings), used.append).reload())
    assert used == []
    assert "the old models stay in use" in caplog.text
    assert str(tmp_path) in caplog.text


@pytest.mark.parametrize("engine", ["detector_engine", "pose_engine"])
def test_models_whose_answers_are_no_numbers_are_not_used(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    used: list[Pipeline] = []
    plain = getattr(pipeline, engine)

    def damaged(images: np.ndarray) -> Detections | Poses:
        answers = plain(images)
        (answers.boxes if isinstance(answers, Detections) else answers.keypoints)[0, 3, 1] = np.nan
        return answers

    monkeypatch.setattr(damaged, "input_size", plain.input_size, raising=False)
    monkeypatch.setattr(damaged, "flexible", False, raising=False)
    monkeypatch.setattr(pipeline, engine, damaged)
    with pytest.raises(EngineError, match=r"no numbers|must be finite"):
        asyncio.run(Reloader(lambda: pipeline, used.append).reload())
    assert used == []


def test_models_that_fail_when_run_are_not_used(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(pipeline, "detector_engine", fail)
    monkeypatch.setattr(fail, "input_size", 64, raising=False)
    monkeypatch.setattr(fail, "flexible", False, raising=False)
    with pytest.raises(EngineError, match="do not run: shapes do not fit"):
        warm_up(pipeline)


def test_one_reload_at_a_time(pipeline: Pipeline) -> None:
    async def scenario() -> None:
        gate = threading.Event()

        def load() -> Pipeline:
            assert gate.wait(10)
            return pipeline

        reloader = Reloader(load, lambda _: None)
        first = asyncio.create_task(reloader.reload())
        await asyncio.sleep(0)
        assert reloader.running
        with pytest.raises(ReloadRunningError):
            await reloader.reload()
        gate.set()
        await first
        assert not reloader.running
        await reloader.reload()

    asyncio.run(scenario())


def test_a_failed_reload_does_not_stand_in_the_way_of_the_next(pipeline: Pipeline) -> None:
    outcomes = [CheckpointError("broken"), pipeline]

    def load() -> Pipeline:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def scenario() -> None:
        reloader = Reloader(load, lambda _: None)
        with pytest.raises(CheckpointError):
            await reloader.reload()
        await reloader.reload()

    asyncio.run(scenario())


def test_the_old_models_are_freed_when_nobody_uses_them() -> None:
    """With the real engine: a leak of a pair at each reload would be the end of a service."""
    settings = Settings()

    async def scenario() -> None:
        used: list[Pipeline] = []

        def use(pipeline: Pipeline) -> None:
            used[:] = [pipeline]

        reloader = Reloader(lambda: load_pipeline(settings), use)
        await reloader.reload()
        request, old = used[0], weakref.ref(used[0])
        await reloader.reload()
        assert old() is request  # still at work on them
        del request
        gc.collect()
        assert old() is None

    asyncio.run(scenario())
