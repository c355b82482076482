"""The circuit breaker in front of a store: a pure object, whose times the test gives."""

from __future__ import annotations

import pytest

from wxmiddleware._rules.breaker import CircuitBreaker
from wxmiddleware._rules.policies import FAILURE_THRESHOLD, OPEN_AFTER_HANG, OPEN_SECONDS, RECOVERY_WINDOW


@pytest.fixture
def breaker() -> CircuitBreaker:
    return CircuitBreaker()


def opened(breaker: CircuitBreaker, now: float) -> CircuitBreaker:
    for _ in range(FAILURE_THRESHOLD):
        breaker.failure(now)
    return breaker


def test_new(breaker: CircuitBreaker) -> None:
    """Before any call it is closed, and has nothing to recover from."""
    assert (False, True, False) == (breaker.is_open(0.0), breaker.may_probe(0.0), breaker.recovering(0.0))


def test_failures(breaker: CircuitBreaker) -> None:
    """It opens with the third failure in a row, and not before."""
    open_after = []
    for now in range(FAILURE_THRESHOLD):
        breaker.failure(float(now))
        open_after.append(breaker.is_open(float(now)))

    assert [False, False, True] == open_after


def test_rest(breaker: CircuitBreaker) -> None:
    """It is open for `OPEN_SECONDS` seconds; then calls go through."""
    opened(breaker, 100.0)

    assert [True, False] == [breaker.is_open(now) for now in (100.0 + OPEN_SECONDS - 0.1, 100.0 + OPEN_SECONDS)]


@pytest.mark.parametrize("hangs", [False, True])
def test_count_anew(breaker: CircuitBreaker, hangs: bool) -> None:
    """Once it was open, it takes as many failures as before to open it again."""
    breaker.trip(100.0) if hangs else opened(breaker, 100.0)
    open_after = []
    for _ in range(FAILURE_THRESHOLD):
        breaker.failure(200.0)
        open_after.append(breaker.is_open(200.0))

    assert [False, False, True] == open_after


def test_not_in_a_row(breaker: CircuitBreaker) -> None:
    """A call that succeeds in between starts the count anew."""
    breaker.failure(1.0)
    breaker.failure(2.0)
    breaker.success(tell=True)
    breaker.failure(3.0)
    breaker.failure(4.0)

    assert not breaker.is_open(4.0)


def test_trip(breaker: CircuitBreaker) -> None:
    """A call that hangs opens it at once, for longer."""
    breaker.trip(100.0)

    assert [True, False] == [breaker.is_open(now) for now in (100.0 + OPEN_AFTER_HANG - 0.1, 100.0 + OPEN_AFTER_HANG)]


def test_probe(breaker: CircuitBreaker) -> None:
    """Who sees whether the store is back may call while it is open, but after a hang only once its time is over."""
    after_failures = opened(CircuitBreaker(), 100.0).may_probe(100.0)
    breaker.trip(100.0)

    assert [True, False, True] == [after_failures, *map(breaker.may_probe, (100.0, 100.0 + OPEN_AFTER_HANG))]


def test_success_closes(breaker: CircuitBreaker) -> None:
    """It never says both that the store works and that it is not to be called."""
    breaker.trip(100.0)
    news = breaker.success(tell=True)

    assert (True, False) == (news, breaker.is_open(100.0))


def test_insistence(breaker: CircuitBreaker) -> None:
    """`close` lets the next call through, and is no news of the store."""
    opened(breaker, 100.0).close()
    states = breaker.is_open(100.0), breaker.failure(101.0)

    assert (False, False) == states


def test_news_once(breaker: CircuitBreaker) -> None:
    """An outage is news once, and so is its end."""
    told = [breaker.failure(1.0), breaker.failure(2.0), breaker.trip(3.0)]
    told += [breaker.success(tell=True), breaker.success(tell=True), breaker.failure(4.0)]

    assert [True, False, False, True, False, True] == told


def test_untold_success(breaker: CircuitBreaker) -> None:
    """A success that is not to be told leaves the end of the outage to be told later."""
    breaker.failure(1.0)

    assert [False, True] == [breaker.success(tell=False), breaker.success(tell=True)]


def test_recovering_after_a_hang(breaker: CircuitBreaker) -> None:
    """After a hang it recovers for as long, from the end of the pause on: what it was spared has to be caught up."""
    breaker.trip(100.0)

    end = 100.0 + OPEN_AFTER_HANG + RECOVERY_WINDOW
    assert [True, False] == [breaker.recovering(now) for now in (end - 0.1, end)]


def test_recovering(breaker: CircuitBreaker) -> None:
    """It recovers for `RECOVERY_WINDOW` seconds after the last failure, also once calls succeed."""
    breaker.failure(100.0)
    breaker.success(tell=True)

    end = 100.0 + RECOVERY_WINDOW
    assert [True, False] == [breaker.recovering(now) for now in (end - 0.1, end)]
