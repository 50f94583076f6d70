"""A key may send so many requests in a minute and in an hour, and is told when to come back."""

from hypothesis import given
from hypothesis import strategies as st

from engine.api.limits import RateLimiter


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_request_past_the_limit_is_refused_with_the_time_to_wait() -> None:
    clock = Clock()
    limiter = RateLimiter(per_minute=2, per_hour=100, clock=clock)
    assert [limiter.take("a").remaining for _ in range(2)] == [1, 0]
    clock.now += 20
    refused = limiter.take("a")
    assert not refused.allowed
    assert refused.reset_s == 40
    assert refused.limit == 2


def test_each_key_has_a_limit_of_its_own() -> None:
    limiter = RateLimiter(per_minute=1, per_hour=100)
    assert limiter.take("a").allowed
    assert limiter.take("b").allowed
    assert not limiter.take("a").allowed


def test_the_limit_of_the_hour_holds_over_minutes() -> None:
    clock = Clock()
    limiter = RateLimiter(per_minute=10, per_hour=15, clock=clock)
    taken = 0
    for _ in range(30):
        taken += limiter.take("a").allowed
        clock.now += 10
    assert taken == 15
    refused = limiter.take("a")
    assert refused.limit == 15
    clock.now += refused.reset_s
    assert limiter.take("a").allowed


def test_waiting_as_told_lets_the_next_one_in() -> None:
    clock = Clock()
    limiter = RateLimiter(per_minute=1, per_hour=2, clock=clock)
    for _ in range(5):
        answer = limiter.take("a")
        if not answer.allowed:
            clock.now += answer.reset_s
            assert limiter.take("a").allowed


def test_a_flood_of_peers_does_not_grow_memory() -> None:
    limiter = RateLimiter(per_minute=1, per_hour=1)
    for peer in range(25_000):
        limiter.take(peer)
    assert len(limiter._windows) <= 10_000


@given(st.lists(st.floats(min_value=0, max_value=30), max_size=300), st.integers(1, 5), st.integers(1, 20))
def test_never_more_than_the_limit_in_a_window(waits: list[float], per_minute: int, per_hour: int) -> None:
    clock = Clock()
    limiter = RateLimiter(per_minute, per_hour, clock)
    allowed_at: list[float] = []
    for wait in waits:
        clock.now += wait
        if limiter.take("a").allowed:
            allowed_at.append(clock.now)
    first = allowed_at[0] if allowed_at else 0
    assert sum(at < first + 60 for at in allowed_at) <= per_minute
    assert sum(at < first + 3600 for at in allowed_at) <= per_hour
