"""The in-process TTL cache. What it has in common with the others: contract.py."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from typing import Any

import pytest
from stores.contract import KEY, TOKEN, TokenStoreContract, record

from wxmiddleware import ConfigurationError, StoreError
from wxmiddleware._rules.models import Cause, Cooldown, Failure, Lease, Record
from wxmiddleware.simulator import SimulatedClock
from wxmiddleware.stores.memory import MemoryStore, process_store


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(1000.0)


class TestMemoryStore(TokenStoreContract):
    @pytest.fixture
    def store(self, clock: SimulatedClock) -> MemoryStore:
        return MemoryStore(clock=clock)

    def test_not_shared(self, store: MemoryStore) -> None:
        """No other process writes to it, so nobody has to look again."""
        assert store.shared is False

    def test_clock_is_its_own(self, store: MemoryStore, clock: SimulatedClock) -> None:
        """The time it tells is that of the clock it was given."""
        clock.advance(4242.5 - clock())

        assert store.load(KEY).now == 4242.5

    @pytest.mark.parametrize(
        ("changes", "end"),
        [
            ({}, 8200.0),
            ({"expires_at": 1300.0}, 1300.0),
            ({"expires_at": 1300.0, "rejected_at": 1000.0}, 1600.0),
            ({"expires_at": 1300.0, "lease": Lease("1-a", 1308.0)}, 1308.0),
            ({"expires_at": 1300.0, "cooldown": Cooldown(1600.0, Failure(Cause.QUOTA, "No."))}, 2200.0),
            ({"forced_at": 1000.0}, 87_400.0),
        ],
    )
    def test_end_of_life(self, store: MemoryStore, clock: SimulatedClock, changes: dict[str, Any], end: float) -> None:
        """A record lives as long as its own token, or whatever else it remembers; then it is gone by itself."""
        store.save(KEY, record(clock(), **changes), store.load(KEY).version)
        clock.advance(end - 0.001 - clock())
        before = store.load(KEY).record
        clock.advance(end - clock())

        assert before is not None
        assert store.load(KEY).record is None

    def test_each_its_own_end(self, store: MemoryStore, clock: SimulatedClock) -> None:
        """Records of different lives end one by one."""
        for life in (100, 300, 200):
            store.save(str(life), record(clock(), expires_at=clock() + life), 0)
        left = []
        for now in (1099.0, 1100.0, 1200.0, 1300.0):
            clock.advance(now - clock())
            left.append([key for key in ("100", "200", "300") if store.load(key).record is not None])

        assert [["100", "200", "300"], ["200", "300"], ["300"], []] == left

    def test_save_after_the_end(self, store: MemoryStore, clock: SimulatedClock) -> None:
        """Who saves over a record that has ended meanwhile is told to look again."""
        version = store.save(KEY, record(clock(), expires_at=1100.0), 0)
        clock.advance(1100.0 - clock())

        assert store.save(KEY, record(clock(), 2), version or 0) is None
        assert store.save(KEY, record(clock(), 2), store.load(KEY).version) is not None

    def test_version_after_the_end(self, store: MemoryStore, clock: SimulatedClock) -> None:
        """The version of a record that has ended is not that of the next one under its key."""
        version = store.save(KEY, record(clock(), expires_at=1100.0), 0)
        clock.advance(1100.0 - clock())
        store.save(KEY, record(clock(), 2), store.load(KEY).version)

        assert store.save(KEY, record(clock(), 3), version or 0) is None

    def test_over_when_it_is_saved(self, store: MemoryStore, clock: SimulatedClock) -> None:
        """A record with nothing left to remember replaces the one that is there, and its lease."""
        leased = store.save(KEY, Record(1, TOKEN, expires_at=900.0, lease=Lease("1-a", 1008.0)), 0)
        store.save(KEY, Record(1, TOKEN, expires_at=900.0), leased or 0)

        assert store.load(KEY).record is None

    def test_bound(self, clock: SimulatedClock) -> None:
        """Beyond its size the least recently used one goes."""
        store = MemoryStore(2, clock=clock)
        for key in ("a", "b"):
            store.save(key, record(clock()), 0)
        store.load("a")
        store.save("c", record(clock()), 0)

        assert [True, False, True] == [store.load(key).record is not None for key in ("a", "b", "c")]

    def test_overwriting_takes_no_room(self, clock: SimulatedClock) -> None:
        """The same key again displaces nobody."""
        store = MemoryStore(2, clock=clock)
        store.save("a", record(clock()), 0)
        version = store.save("b", record(clock()), 0)
        for generation in range(2, 50):
            version = store.save("b", record(clock(), generation), version or 0)

        assert store.load("a").record is not None

    @pytest.mark.parametrize("maxsize", [0, -1, 1.5, True, "10", None, float("inf")])
    def test_bad_size(self, maxsize: Any) -> None:
        """A size that is none is said at construction."""
        with pytest.raises(ConfigurationError, match="maxsize"):
            MemoryStore(maxsize)

    def test_text(self) -> None:
        """Its text says what it is."""
        assert repr(MemoryStore(10)) == "MemoryStore(maxsize=10)"

    @pytest.mark.parametrize("outer", ["load", "save"])
    def test_interrupted(self, outer: str) -> None:
        """Who interrupts a load, as a signal's handler does, is served; in the midst of a save it is an error."""
        interrupt: list[bool] = []
        told: list[Any] = []

        def clock() -> float:
            if interrupt:
                interrupt.clear()
                try:
                    told.append(store.save("other", record(1000.0), 0) and store.load("other").record)
                except StoreError as error:
                    told.append(error)
            return 1000.0

        def work() -> None:
            interrupt.append(True)
            if outer == "load":
                told.append(store.load(KEY).record)
            else:
                told.append(store.save(KEY, record(1000.0), 0) and store.load(KEY).record)

        store = MemoryStore(clock=clock)
        if outer == "load":
            store.save(KEY, record(1000.0), 0)
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(20)

        assert len(told) == 2
        assert isinstance(told[0], Record if outer == "load" else StoreError)
        assert told[1] == record(1000.0)
        assert store.save("other", record(1000.0, 2), store.load("other").version) is not None

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
    def test_fork(self, store: MemoryStore, clock: SimulatedClock) -> None:
        """A child that is forked while a thread is in the middle of a save reads and writes all the same."""
        version = store.save(KEY, record(clock()), 0)
        held, done = threading.Event(), threading.Event()

        def hold() -> None:
            with store._lock:
                store._saving = True
                held.set()
                done.wait(20)
                store._saving = False

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait(20)
        child = os.fork()
        if not child:
            code = 1
            try:
                if store._lock.acquire(timeout=2):
                    store._lock.release()
                    saved = store.save(KEY, record(clock(), 2), version or 0)
                    code = 0 if saved is not None else 2
            finally:
                os._exit(code)
        done.set()
        holder.join(20)
        _, status = os.waitpid(child, 0)

        assert os.waitstatus_to_exitcode(status) == 0
        assert store.load(KEY).version == version


class TestProcessStore:
    def test_one_for_all(self) -> None:
        """Providers that were given no store have the same one."""
        from wxmiddleware._runtime.clock import clock

        assert process_store(clock) is process_store(clock)
        assert not process_store(clock).shared

    def test_another_clock(self) -> None:
        """Times of two clocks do not meet in one store."""
        first, second = SimulatedClock(1000.0), SimulatedClock(1000.0)
        stores = [process_store(one) for one in (first, second, first)]

        assert stores[0] is stores[2]
        assert stores[0] is not stores[1]

    def test_is_forgotten(self) -> None:
        """The store of a test's clock goes with those who use it."""
        clock = SimulatedClock(1000.0)
        store = process_store(clock)
        store.save(KEY, replace(record(clock())), 0)
        del store

        assert process_store(clock).load(KEY).record is None
