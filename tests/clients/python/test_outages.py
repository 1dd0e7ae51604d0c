"""When to try again, on a clock that the test sets."""

import random
from types import SimpleNamespace

import pytest
from handpose_client import ConnectionFailedError, TooManyRequestsError
from handpose_client.outages import Outage

LOST = ConnectionFailedError("cut")


def busy(retry_after: float | None) -> TooManyRequestsError:
    return TooManyRequestsError(429, "Too Many Requests", retry_after=retry_after)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Time stands still, and pauses are of their longest."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr("handpose_client.outages.time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(random, "uniform", lambda _, high: high)
    return clock


@pytest.mark.usefixtures("clock")
def test_pauses_grow_up_to_a_bound() -> None:
    outage = Outage(60)
    assert [outage.pause(LOST) for _ in range(7)] == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


@pytest.mark.usefixtures("clock")
def test_who_is_told_when_does_not_come_sooner() -> None:
    outage = Outage(60)
    assert [outage.pause(busy(after)) for after in (3.0, 1.0, None, 0.0)] == [3.25, 1.5, 1.0, 2.0]


def test_it_ends_with_the_failure(clock: SimpleNamespace) -> None:
    outage = Outage(10)
    assert outage.pause(busy(4.0)) == 4.25
    clock.now += 9
    last = busy(1.0)
    with pytest.raises(TooManyRequestsError) as raised:
        outage.pause(last)
    assert raised.value is last


def test_what_would_come_too_late_is_not_waited_for() -> None:
    with pytest.raises(TooManyRequestsError):
        Outage(10).pause(busy(10.0))
    with pytest.raises(ConnectionFailedError):
        Outage(0).pause(LOST)
