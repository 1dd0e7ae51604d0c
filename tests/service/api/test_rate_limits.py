import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.rate_limits import RateLimiter, TooFastError


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_burst_then_the_rate(clock: Clock) -> None:
    limiter = RateLimiter(2, 3, clock=clock)
    for _ in range(3):
        limiter.take("a")
    with pytest.raises(TooFastError) as caught:
        limiter.take("a")
    assert caught.value.seconds == pytest.approx(0.5)
    limiter.take("b")  # has its own
    clock.now += 0.5
    limiter.take("a")
    with pytest.raises(TooFastError):
        limiter.take("a")
    clock.now += 100
    for _ in range(3):
        limiter.take("a")
    with pytest.raises(TooFastError):
        limiter.take("a")


def test_what_is_refused_costs_nothing(clock: Clock) -> None:
    limiter = RateLimiter(1, 10, clock=clock)
    limiter.take("a", 7)
    for _ in range(5):
        with pytest.raises(TooFastError) as caught:
            limiter.take("a", 4)
        assert caught.value.seconds == pytest.approx(1)
    limiter.take("a", 3)


def test_what_will_never_fit_says_so(clock: Clock) -> None:
    with pytest.raises(TooFastError) as caught:
        RateLimiter(1, 10, clock=clock).take("a", 11)
    assert caught.value.seconds is None


def test_no_limit(clock: Clock) -> None:
    limiter = RateLimiter(0, 0, clock=clock)
    for _ in range(100):
        limiter.take("a", 50)
    assert len(limiter) == 0


def test_memory_is_bounded_and_many_addresses_win_nothing(clock: Clock) -> None:
    limiter = RateLimiter(1, 2, clock=clock, max_clients=10)
    limiter.take("victim", 2)
    let_in = 0
    for i in range(1000):
        try:
            limiter.take(f"address {i}")
        except TooFastError:
            continue
        let_in += 1
    assert len(limiter) == 11  # and the strangers'
    assert let_in == 9 + 2
    with pytest.raises(TooFastError):  # nor did they push out what is remembered of others
        limiter.take("victim")
    clock.now += 2
    limiter.take("new")
    assert len(limiter) == 1


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 4)), max_size=60))
def test_never_more_than_the_burst_and_the_rate(asked: list[tuple[float, int]]) -> None:
    clock = Clock()
    limiter = RateLimiter(2, 5, clock=clock)
    taken = 0
    for pause, tokens in asked:
        clock.now += pause
        try:
            limiter.take("a", tokens)
        except TooFastError:
            pass
        else:
            taken += tokens
        assert taken <= 5 + 2 * (clock.now - 100) + 1e-6
