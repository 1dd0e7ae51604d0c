import asyncio
import contextvars
import gc
import threading
import time
import weakref
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from service.inference.workers import Condition, QueueFullError, Workers

Until = Callable[[Callable[[], object]], Awaitable[None]]


def test_a_job_runs_in_another_thread_and_its_result_comes_back() -> None:
    workers = Workers(1, 0)
    done = asyncio.run(workers.run(threading.get_ident))
    assert done.result != threading.get_ident()
    assert 0 <= done.queued_ms < 1000
    workers.close()


def test_a_job_for_every_thread_runs_once_in_each() -> None:
    workers = Workers(threads=3, queue_size=0)
    seen: list[int] = []
    asyncio.run(workers.in_every_thread(lambda: seen.append(threading.get_ident())))
    assert len(seen) == len(set(seen)) == 3
    with pytest.raises(ValueError, match="broken"):
        asyncio.run(workers.in_every_thread(lambda: int("broken")))
    workers.close()


def test_what_a_job_raises_reaches_the_caller_and_frees_its_place() -> None:
    workers = Workers(1, 0)

    def fail() -> None:
        raise KeyError("inside")

    for _ in range(3):
        with pytest.raises(KeyError, match="inside"):
            asyncio.run(workers.run(fail))
    workers.close()


def test_a_full_queue_refuses_at_once_and_takes_jobs_again_later(until: Until) -> None:
    async def scenario() -> None:
        workers, gate = Workers(2, 1), threading.Event()
        jobs = [asyncio.create_task(workers.run(lambda: gate.wait(5))) for _ in range(3)]
        await until(lambda: workers.waiting == 1)
        assert workers.full
        with pytest.raises(QueueFullError):
            await workers.run(lambda: gate.wait(5))
        gate.set()
        await asyncio.gather(*jobs)
        assert workers.waiting == 0
        assert (await workers.run(lambda: 5)).result == 5
        workers.close()

    asyncio.run(scenario())


def test_waiting_is_measured(until: Until) -> None:
    """Between what it must have been at least and what it can have been at most, by our own clock."""

    async def scenario() -> None:
        workers, begun, gate = Workers(1, 1), threading.Event(), threading.Event()

        def job() -> None:
            begun.set()
            gate.wait(5)

        handed_in = time.perf_counter()
        jobs = [asyncio.create_task(workers.run(job))]
        await until(begun.is_set)
        free = time.perf_counter()
        jobs.append(asyncio.create_task(workers.run(time.perf_counter)))
        await until(lambda: workers.waiting == 1)
        waiting = time.perf_counter()
        await asyncio.sleep(0.1)
        opened = time.perf_counter()
        gate.set()
        first, second = await asyncio.gather(*jobs)
        assert 0 <= first.queued_ms <= (free - handed_in) * 1e3
        assert (opened - waiting) * 1e3 <= second.queued_ms <= (second.result - free) * 1e3
        workers.close()

    asyncio.run(scenario())


def test_a_caller_who_leaves_frees_the_place_of_a_job_that_waits(until: Until) -> None:
    async def scenario() -> None:
        workers, gate, ran = Workers(1, 1), threading.Event(), threading.Event()
        running = asyncio.create_task(workers.run(lambda: gate.wait(5)))
        await until(lambda: workers.running == 1)
        leaving = asyncio.create_task(workers.run(ran.set))
        await until(lambda: workers.waiting == 1)
        assert workers.full
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert not workers.full
        gate.set()
        await running
        assert not ran.is_set()
        workers.close()

    asyncio.run(scenario())


def test_no_more_threads_than_asked_for_run_at_once() -> None:
    async def scenario() -> None:
        workers, lock, now, most = Workers(3, 100), threading.Lock(), 0, 0

        def job() -> None:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.005)
            with lock:
                now -= 1

        await asyncio.gather(*(workers.run(job) for _ in range(30)))
        assert most == 3
        workers.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(("threads", "queue_size"), [(0, 1), (1, -1)])
def test_senseless_sizes_are_refused(threads: int, queue_size: int) -> None:
    with pytest.raises(ValueError, match="threads must be"):
        Workers(threads, queue_size)


def test_a_burst_fills_the_queue_and_a_lasting_load_does_not(until: Until) -> None:
    async def scenario() -> None:
        workers, gates = Workers(1, 5), [threading.Event() for _ in range(20)]
        assert (workers.standing, workers.queue_size) == (1, 5)
        jobs = [asyncio.create_task(workers.run(partial(gate.wait, 5))) for gate in gates[:6]]
        await until(lambda: workers.waiting == 5)
        assert workers.full
        for done, gate in enumerate(gates[:4], 1):  # the queue shrinks and stays closed until one job waits
            gate.set()
            await until(lambda waiting=5 - done: workers.waiting == waiting)
            assert workers.full
        gates[4].set()
        await until(lambda: workers.waiting == 0)
        assert not workers.full
        jobs.append(asyncio.create_task(workers.run(partial(gates[6].wait, 5))))
        await until(lambda: workers.waiting == 1)
        assert workers.full  # what was used up does not come back while jobs wait
        for gate in gates:
            gate.set()
        await asyncio.gather(*jobs)
        workers.close()

    asyncio.run(scenario())


def test_calm_brings_the_credit_for_bursts_back(monkeypatch: pytest.MonkeyPatch, until: Until) -> None:
    monkeypatch.setattr("service.inference.workers._CREDIT_SECONDS", 0.05)

    async def scenario() -> None:
        workers = Workers(1, 5)
        for _ in range(2):
            gate = threading.Event()
            jobs = [asyncio.create_task(workers.run(partial(gate.wait, 5))) for _ in range(6)]
            await until(lambda: workers.waiting == 5)
            gate.set()
            await asyncio.gather(*jobs)
            await asyncio.sleep(0.1)
        workers.close()

    asyncio.run(scenario())


def test_an_operator_may_let_the_whole_queue_stand(until: Until) -> None:
    async def scenario() -> None:
        workers, gates = Workers(1, 3, standing=3), [threading.Event() for _ in range(8)]
        jobs = [asyncio.create_task(workers.run(partial(gate.wait, 5))) for gate in gates[:4]]
        await until(lambda: workers.waiting == 3)
        for index in range(4):
            assert workers.full
            gates[index].set()
            await until(lambda: workers.waiting == 2)
            assert not workers.full
            jobs.append(asyncio.create_task(workers.run(partial(gates[4 + index].wait, 5))))
            await until(lambda: workers.waiting == 3)
        for gate in gates:
            gate.set()
        await asyncio.gather(*jobs)
        workers.close()

    asyncio.run(scenario())


def test_a_reserved_job_is_never_refused(until: Until) -> None:
    async def scenario() -> None:
        workers, gate = Workers(1, 0), threading.Event()
        first = asyncio.create_task(workers.run(partial(gate.wait, 5)))
        await until(lambda: workers.full)
        second = asyncio.create_task(workers.run(lambda: 7, reserved=True))
        await until(lambda: workers.waiting == 1)
        gate.set()
        assert (await second).result == 7
        await first
        workers.close()

    asyncio.run(scenario())


def test_what_nobody_waits_for_is_counted_and_let_go_of_at_once(until: Until) -> None:
    class Picture:
        def __call__(self) -> None:
            raise AssertionError("nobody wants it any more")

    async def scenario() -> None:
        workers, gate, picture = Workers(1, 1), threading.Event(), Picture()
        alive = weakref.ref(picture)
        running = asyncio.create_task(workers.run(partial(gate.wait, 5)))
        await until(lambda: workers.running == 1)
        leaving = asyncio.create_task(workers.run(picture))
        await until(lambda: workers.waiting == 1)
        del picture
        leaving.cancel()
        await asyncio.wait([leaving])
        assert leaving.cancelled()
        del leaving
        gc.collect()
        assert alive() is None  # although the thread has not come to it yet
        assert workers.abandoned == 1
        gate.set()
        await running
        workers.close()

    asyncio.run(scenario())


def test_the_oldest_job_and_its_thread_are_known(until: Until) -> None:
    async def scenario() -> None:
        workers, gate, threads = Workers(1, 1), threading.Event(), []
        assert workers.condition() == Condition()

        def job() -> None:
            threads.append(threading.get_ident())
            assert gate.wait(5)

        jobs = [asyncio.create_task(workers.run(job)) for _ in range(2)]
        await until(lambda: threads)
        await asyncio.sleep(0.02)
        condition = workers.condition()
        assert condition.oldest_seconds >= 0.02
        assert (condition.thread, condition.dead) == (threads[0], 0)
        gate.set()
        await asyncio.gather(*jobs)
        assert workers.condition() == Condition()
        workers.close()

    asyncio.run(scenario())


def test_a_thread_that_ended_by_itself_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Workers(1, 1)
    thread = asyncio.run(workers.run(threading.current_thread)).result
    assert workers.condition().dead == 0
    monkeypatch.setattr(thread, "is_alive", lambda: False)
    assert workers.condition().dead == 1
    monkeypatch.undo()
    workers.close()
    assert workers.condition().dead == 0  # these were told to


def test_closing_waits_no_longer_than_it_may(until: Until) -> None:
    async def scenario() -> None:
        workers, gate = Workers(1, 1), threading.Event()
        running = asyncio.create_task(workers.run(partial(gate.wait, 5)))
        await until(lambda: workers.running == 1)
        assert not await asyncio.to_thread(workers.close, 0.01)
        gate.set()
        assert await asyncio.to_thread(workers.close, 5)
        await running

    asyncio.run(scenario())


def test_a_job_sees_the_context_of_its_caller() -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name")

    async def scenario() -> None:
        workers = Workers(1, 1)
        name.set("ours")
        assert (await workers.run(name.get)).result == "ours"
        workers.close()

    asyncio.run(scenario())
