import asyncio
import logging
import re
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from service.inference.workers import Workers
from service.watchdog import EXIT_CODE, Watchdog

Until = Callable[[Callable[[], object]], Awaitable[None]]


def test_all_is_well_while_jobs_come_and_go() -> None:
    async def scenario() -> None:
        workers = Workers(1, 1)
        watchdog = Watchdog(workers, 30)
        watchdog.start()
        await workers.run(lambda: 1)
        assert watchdog.problem() is None
        await asyncio.to_thread(watchdog.stop)
        workers.close()

    asyncio.run(scenario())


def test_a_job_that_does_not_end_is_told_with_its_stack_and_so_is_its_end(
    caplog: pytest.LogCaptureFixture, until: Until
) -> None:
    async def scenario() -> None:
        workers, begun, gate = Workers(1, 1), threading.Event(), threading.Event()
        watchdog = Watchdog(workers, 0.5)
        watchdog.start()

        def endless_job() -> None:
            begun.set()
            gate.wait(10)

        jobs = [asyncio.create_task(workers.run(endless_job))]
        await until(begun.is_set)
        jobs.append(asyncio.create_task(workers.run(endless_job)))
        await until(watchdog.problem)
        assert re.match(r"A job has run for [1-9] seconds", watchdog.problem())
        await until(lambda: caplog.records)
        assert "in endless_job" in caplog.records[0].stack
        gate.set()
        await asyncio.gather(*jobs)
        assert watchdog.problem() is None
        await until(lambda: "no longer stuck" in caplog.text)
        await asyncio.to_thread(watchdog.stop)
        workers.close()

    caplog.set_level(logging.WARNING, "service")
    asyncio.run(scenario())
    assert sum("stuck: " in record.getMessage() for record in caplog.records) == 1  # not at every look


def test_a_dead_thread_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Workers(2, 1)
    thread = asyncio.run(workers.run(threading.current_thread)).result
    monkeypatch.setattr(thread, "is_alive", lambda: False)
    assert Watchdog(workers, 30).problem() == "1 of 2 threads have died."
    monkeypatch.undo()
    workers.close()


@pytest.mark.parametrize("exit_when_stuck", [True, False])
def test_models_that_always_fail_are_told(
    exit_when_stuck: bool, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    failures, codes = [0], []

    async def scenario() -> None:
        workers = Workers(1, 1)
        watchdog = Watchdog(
            workers, 0.05, failures=lambda: failures[0], exit_when_stuck=exit_when_stuck, end=codes.append
        )
        watchdog.start()
        failures[0] = 4
        assert watchdog.problem() is None
        failures[0] = 5
        assert watchdog.problem() == "The models have failed 5 times in a row."
        await until(lambda: codes if exit_when_stuck else "stuck: The models" in caplog.text)
        failures[0] = 0
        assert watchdog.problem() is None
        await asyncio.to_thread(watchdog.stop)
        workers.close()

    asyncio.run(scenario())
    assert codes == ([EXIT_CODE] if exit_when_stuck else [])


def test_a_loop_that_does_not_turn_ends_the_process_if_so_asked(caplog: pytest.LogCaptureFixture) -> None:
    ended = threading.Event()
    codes = []

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    async def scenario() -> None:
        watchdog = Watchdog(Workers(1, 1), 0.05, exit_when_stuck=True, end=end)
        watchdog.start()
        assert ended.wait(10)  # on the loop: it cannot turn
        await asyncio.to_thread(watchdog.stop)

    asyncio.run(scenario())
    assert codes == [EXIT_CODE]
    assert "The event loop has been blocked" in caplog.text
    assert "ended.wait(10)" in caplog.records[0].stack  # where it hangs


def test_without_being_asked_it_ends_nothing(until: Until) -> None:
    async def scenario() -> None:
        workers, gate, codes = Workers(1, 1), threading.Event(), []
        watchdog = Watchdog(workers, 0.01, end=codes.append)
        watchdog.start()
        job = asyncio.create_task(workers.run(partial(gate.wait, 10)))
        await until(watchdog.problem)
        await asyncio.to_thread(time.sleep, 0.1)
        gate.set()
        await job
        await asyncio.to_thread(watchdog.stop)
        assert codes == []
        workers.close()

    asyncio.run(scenario())


def test_it_ends_with_its_loop() -> None:
    async def scenario() -> Watchdog:
        watchdog = Watchdog(Workers(1, 1), 0.01)
        watchdog.start()
        return watchdog

    watchdog = asyncio.run(scenario())
    watchdog._thread.join(10)
    assert not watchdog._thread.is_alive()
