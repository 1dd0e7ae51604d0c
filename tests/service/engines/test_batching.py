import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from service.engines.batching import _MOST_PIXELS, Inputs, JointBatches, Outputs


class Device:
    """Tells of each picture its first value and twice that, when the gate is open; fails for values above `limit`
    pictures and for the value 13.
    """

    def __init__(self, limit: int = 100) -> None:
        self.limit = limit
        self.batches: list[list[int]] = []
        self.entered = threading.Semaphore(0)
        self.gate = threading.Event()
        self._alone = threading.Lock()

    def __call__(self, inputs: Inputs) -> Outputs:
        assert self._alone.acquire(blocking=False), "two batches at once"
        try:
            values = inputs[:, 0, 0, 0].astype(np.float32)
            self.batches.append([int(value) for value in values])
            self.entered.release()
            assert self.gate.wait(10)
            if len(inputs) > self.limit or 13 in values:
                raise MemoryError(f"{len(inputs)} pictures")
            return [values, 2 * values[:, None]]
        finally:
            self._alone.release()


def pictures(*values: int, size: int = 32) -> NDArray[np.uint8]:
    return np.stack([np.full((size, size, 3), value, np.uint8) for value in values])


class Callers:
    """Threads that ask one after the other: each waits when the next one comes."""

    def __init__(self, device: Device) -> None:
        self.joint = JointBatches(device)
        self._threads = ThreadPoolExecutor(16)

    def ask(self, *batches: Inputs) -> list[Future[Outputs]]:
        asked = []
        for batch in batches:
            before = len(self.joint._waiting)
            asked.append(self._threads.submit(self.joint, batch))
            while len(self.joint._waiting) == before and not asked[-1].done():
                pass
        return asked


@pytest.fixture
def start() -> Callable[[Device], tuple[Callers, Future[Outputs]]]:
    """Callers of a device that computes the value 1 until its gate opens."""

    def start(device: Device) -> tuple[Callers, Future[Outputs]]:
        callers = Callers(device)
        first = callers._threads.submit(callers.joint, pictures(1))
        assert device.entered.acquire(timeout=10)
        return callers, first

    return start


def values(asked: Future[Outputs]) -> list[int]:
    ones, twos = asked.result(10)
    assert np.array_equal(twos, 2 * ones[:, None])
    return [int(value) for value in ones]


def test_one_caller_does_not_wait() -> None:
    device = Device()
    device.gate.set()
    joint = JointBatches(device)
    assert [joint(pictures(i, i + 1))[0].tolist() for i in (3, 5)] == [[3, 4], [5, 6]]
    assert device.batches == [[3, 4], [5, 6]]


def test_those_who_come_meanwhile_go_together_and_get_their_own(start: Callable) -> None:
    device = Device()
    callers, first = start(device)
    others = callers.ask(pictures(2), pictures(3, 4, 5), pictures(6))
    device.gate.set()
    assert [values(each) for each in (first, *others)] == [[1], [2], [3, 4, 5], [6]]
    assert device.batches == [[1], [2, 3, 4, 5, 6]]


def test_other_sizes_go_by_themselves_in_their_turn(start: Callable) -> None:
    device = Device()
    callers, _ = start(device)
    others = callers.ask(pictures(2, size=64), pictures(3), pictures(4, size=64), pictures(5))
    device.gate.set()
    assert [values(each) for each in others] == [[2], [3], [4], [5]]
    assert device.batches == [[1], [2, 4], [3, 5]]


def test_a_batch_has_a_largest_size(start: Callable) -> None:
    """But one that is larger by itself is computed all the same."""
    side = 512
    most = _MOST_PIXELS // side**2
    device = Device()
    callers, _ = start(device)
    large = pictures(*range(20, 21 + most), size=side)
    others = callers.ask(*(pictures(2, 3, 4, size=side) for _ in range(3)), large)
    device.gate.set()
    assert values(others[-1]) == list(range(20, 21 + most))
    assert [len(batch) for batch in device.batches] == [1, 6, 3, most + 1]


def test_a_joint_batch_that_fails_is_computed_one_by_one(start: Callable) -> None:
    device = Device(limit=2)
    callers, _ = start(device)
    fine, failing, also_fine = callers.ask(pictures(2), pictures(13), pictures(3, 4))
    device.gate.set()
    assert values(fine) == [2]
    assert values(also_fine) == [3, 4]
    with pytest.raises(MemoryError, match="1 pictures"):
        failing.result(10)
    assert device.batches == [[1], [2, 13, 3, 4], [2], [13], [3, 4]]
    assert values(callers._threads.submit(callers.joint, pictures(5))) == [5]


def test_many_threads_get_what_is_theirs() -> None:
    device = Device()
    device.gate.set()
    joint = JointBatches(device)

    def ask(value: int) -> bool:
        return all(values_of(joint(pictures(value, 0))) == [value, 0] for _ in range(50))

    def values_of(outputs: Outputs) -> list[int]:
        return [int(value) for value in outputs[0]]

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(20, 28)))
