"""Who writes into metrics: one thread at a time, for whom nobody waits, and into whom no fork falls."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from prometheus_client import CollectorRegistry
from support.prelude import forked

from wxmiddleware import Measure, Measurement
from wxmiddleware._instrumentation.turns import Turns
from wxmiddleware.prometheus import WxCollector

PATIENCE = 20.0


def test_all_are_run() -> None:
    """Nothing is lost between many threads, and each is run once."""
    turns, found = Turns(), list[int]()
    with ThreadPoolExecutor(8) as pool:
        for number in range(2000):
            pool.submit(turns.take, partial(found.append, number))
    turns.take(lambda: None)

    assert list(range(2000)) == sorted(found)


def test_amid_another() -> None:
    """What comes from a signal handler or a finaliser amid a write waits until that is over, and is no deadlock."""
    turns, lock, found = Turns(), threading.Lock(), []

    def write() -> None:
        with lock:
            found.append("begun")
            turns.take(again)
            found.append("ended")

    def again() -> None:
        assert lock.acquire(blocking=False)
        lock.release()
        found.append("then")

    turns.take(write)

    assert ["begun", "ended", "then"] == found


def test_nobody_waits() -> None:
    """While one thread writes, another leaves its own to it."""
    turns, inside, go, found = Turns(), threading.Event(), threading.Event(), []

    def slow() -> None:
        inside.set()
        assert go.wait(PATIENCE)

    thread = threading.Thread(target=turns.take, args=(slow,))
    thread.start()
    assert inside.wait(PATIENCE)
    turns.take(lambda: found.append("mine"))
    before = list(found)
    go.set()
    thread.join(PATIENCE)

    assert ([], ["mine"]) == (before, found)


@pytest.mark.parametrize("raised", [ValueError, IndexError])
def test_an_error(raised: type[Exception]) -> None:
    """What one raises goes to who runs it, and the others are run."""
    turns, found = Turns(), list[int]()

    def fail() -> None:
        raise raised

    with pytest.raises(raised):
        turns.take(fail)
    turns.take(lambda: found.append(1))

    assert [1] == found


def test_fork() -> None:
    """A fork waits for what is being written: the child does not inherit the lock of a thread that it does not have."""
    turns, lock, inside, go, found = Turns(), threading.Lock(), threading.Event(), threading.Event(), []

    def slow() -> None:
        with lock:
            inside.set()
            assert go.wait(PATIENCE)

    def write() -> None:
        with lock:
            found.append("written")

    thread = threading.Thread(target=turns.take, args=(slow,))
    thread.start()
    assert inside.wait(PATIENCE)
    threading.Timer(0.1, go.set).start()

    def child() -> list[str]:
        turns.take(write)
        return found

    told = forked(child)
    thread.join(PATIENCE)
    turns.take(write)

    assert ("['written']", ["written"]) == (told, found)


def test_what_the_parent_has_not_written() -> None:
    """It writes that itself; the child does not count it again."""
    turns, found = Turns(), []
    turns._turn.acquire()
    turns.take(lambda: found.append("of the parent"))
    turns._turn.release()

    def child() -> list[str]:
        turns.take(lambda: found.append("of the child"))
        return found

    assert "['of the child']" == forked(child)
    assert ["of the parent"] == found


def test_metrics_take_turns() -> None:
    """A measurement that comes amid another one is counted after it."""
    registry, collector = CollectorRegistry(), WxCollector()
    registry.register(collector)
    turns = collector._recorder._turns
    turns.take(lambda: collector.measure(Measurement(Measure.PUSH, outcome="late")))

    assert 1 == registry.get_sample_value("wxmiddleware_webhook_pushes_total", {"outcome": "late"})
