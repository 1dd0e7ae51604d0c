"""An asynchronous generator behaves as an ordinary one."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator

import pytest
from handpose_client.bridge import iterate


def loop_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "handpose-stream"]


async def count(to: int, log: list[str]) -> AsyncGenerator[int, None]:
    log.append("begin")
    try:
        for i in range(to):
            await asyncio.sleep(0)
            yield i
    finally:
        await asyncio.sleep(0)
        log.append("end")


def test_it_yields_the_same() -> None:
    log: list[str] = []
    assert list(iterate(lambda: count(5, log))) == [0, 1, 2, 3, 4]
    assert log == ["begin", "end"]
    assert not loop_threads()


def test_nothing_begins_before_the_first_next() -> None:
    log: list[str] = []
    with contextlib.closing(iterate(lambda: count(5, log))):
        assert not log
        assert not loop_threads()


def test_leaving_early_closes_it() -> None:
    log: list[str] = []
    for i in iterate(lambda: count(5, log)):
        if i == 2:
            break
    assert log == ["begin", "end"]
    assert not loop_threads()


def test_errors_come_through() -> None:
    async def fail() -> AsyncGenerator[int, None]:
        yield 1
        raise ZeroDivisionError("inside")

    results = iterate(fail)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError, match="inside"):
        next(results)
    assert not loop_threads()


def test_it_works_where_a_loop_is_running_already() -> None:
    async def main() -> list[int]:
        return list(iterate(lambda: count(3, [])))

    assert asyncio.run(main()) == [0, 1, 2]


def test_its_tasks_run_while_the_caller_is_busy() -> None:
    ticks = []

    async def ticking() -> AsyncGenerator[int, None]:
        async def tick() -> None:
            while True:
                ticks.append(1)
                await asyncio.sleep(0.01)

        task = asyncio.create_task(tick())
        try:
            yield 1
            yield 2
        finally:
            task.cancel()

    for _ in iterate(ticking):
        before = len(ticks)
        time.sleep(0.1)
        assert len(ticks) > before


def test_ctrl_c_interrupts_a_wait_and_cleans_up() -> None:
    log: list[str] = []

    async def wait() -> AsyncGenerator[int, None]:
        try:
            yield 1
            timer.start()
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            log.append("end")

    timer = threading.Timer(0.2, signal.pthread_kill, [threading.get_ident(), signal.SIGINT])
    results = iterate(wait)
    next(results)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        next(results)
    timer.join()
    assert time.monotonic() - started < 10
    assert log == ["end"]
    assert not loop_threads()


def test_a_program_may_end_in_the_middle() -> None:
    """The generator is left in a global, so that it is only collected after every thread is gone."""
    program = """
import asyncio
from handpose_client.bridge import iterate

async def forever():
    try:
        while True:
            yield 1
    finally:
        print("closed", flush=True)

results = iterate(forever)
next(results)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "closed\n", "")
