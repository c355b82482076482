"""The way to the store: clocks that differ, a circuit breaker, and changes that nobody has fetched."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from engine.world import Clock, FleetStore
from wxmiddleware import EventType
from wxmiddleware._engine.link import Seen, Session, StoreLink
from wxmiddleware._rules.policies import (
    CALL_TIMEOUT,
    FAILURE_THRESHOLD,
    OPEN_AFTER_HANG,
    OPEN_SECONDS,
    OUT_OF_TOUCH,
    RECOVERY_WINDOW,
    Timing,
)
from wxmiddleware.exceptions import StoreError
from wxmiddleware.stores import Cause, Cooldown, Failure, Lease, Loaded, Record

KEY = "wx:wx1:stable"
RECORD = Record(1, "T1", expires_at=7200.0, sent_at=0.0, received_at=1.0)


class Store(FleetStore):
    """Counts its calls, and does before each what a test says."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.calls: list[str] = []
        self.before: Callable[[str], object] = lambda name: None

    def load(self, key: str) -> Any:
        self.calls.append("load")
        self.before("load")
        return super().load(key)

    def save(self, key: str, record: Record, version: Any) -> Any:
        self.calls.append("save")
        self.before("save")
        return super().save(key, record, version)


@pytest.fixture
def process() -> Clock:
    """This process's clock. The store's is 900 s ahead of it."""
    return Clock(100.0)


@pytest.fixture
def store() -> Store:
    return Store(Clock(1000.0))


@pytest.fixture
def link(store: Store, process: Clock) -> StoreLink:
    return StoreLink(store, KEY, process)


@pytest.fixture
def told() -> list[EventType]:
    return []


@pytest.fixture
def session(link: StoreLink, told: list[EventType]) -> Session:
    return make_session(link, told)


def make_session(link: StoreLink, told: list[EventType]) -> Session:
    return Session(link, due=lambda seconds: None, note=lambda name, message: told.append(name))


def fail(name: str) -> None:
    raise OSError


def written(store: Store) -> Record:
    """What the store holds, in times of its own clock."""
    record: Record | None = FleetStore.load(store, KEY).record
    assert record is not None
    return record


class TestClocks:
    def test_save_and_load(self, session: Session, store: Store) -> None:
        """A record has the store's times in the store and the process's outside, leases and back-offs included."""
        record = replace(RECORD, lease=Lease("p", 110.0), cooldown=Cooldown(130.0, Failure(Cause.TRANSIENT, "Busy.")))
        seen = session.load()
        assert seen is not None
        assert session.save(record, seen) is not None
        again = session.load()
        assert again is not None

        assert (record, record.shifted(900.0)) == (again.record, written(store))
        assert 1000.0 == again.store_time(100.0)

    def test_store_clock_is_set(self, session: Session, store: Store) -> None:
        """What another process writes after the store's clock was set is read by that clock."""
        FleetStore.save(store, KEY, RECORD.shifted(1000.0), FleetStore.load(store, KEY).version)
        first = session.load()
        store._clock.advance(60.0)  # type: ignore[attr-defined]
        second = session.load()
        assert first is not None
        assert second is not None

        assert (7300.0, 7240.0) == (first.record.expires_at, second.record.expires_at)

    def test_lease_that_was_read_slowly(self, session: Session, store: Store, process: Clock) -> None:
        """A lease holds for as long as if it had been read at the read's end; a token ends as early as at its start."""
        record = replace(RECORD.shifted(900.0), lease=Lease("elsewhere", 1008.0))
        FleetStore.save(store, KEY, record, FleetStore.load(store, KEY).version)
        store.before = lambda name: process.advance(0.5)

        seen = session.load()

        assert seen is not None
        assert seen.record.lease is not None
        assert (108.5, 7200.0) == (seen.record.lease.until, seen.record.expires_at)

    def test_slow_read(self, session: Session, store: Store, process: Clock) -> None:
        """A read that takes a second is repeated, as the clock offset cannot be told from it; once at most."""
        store.before = lambda name: process.advance(1.0)

        assert session.load() is not None
        assert ["load"] * 2 == store.calls


class TestSwap:
    def test_lost(self, session: Session, store: Store) -> None:
        """A save over what another process has changed saves nothing."""
        seen = session.load()
        assert seen is not None
        FleetStore.save(store, KEY, RECORD, FleetStore.load(store, KEY).version)

        assert (None, False) == (session.save(replace(RECORD, value="T2"), seen), session.failed)
        assert "T1" == written(store).value


class TestAmend:
    def test_change(self, link: StoreLink, store: Store) -> None:
        """The change sees the process's times and the store's own time, and what it makes is known and written."""
        times = []

        def change(record: Record, now: float) -> Record:
            times.append(now)
            return replace(record, generation=1, value="T1", expires_at=7300.0)

        record = link.amend(change)

        assert ([1000.0], record, 8200.0) == (times, link.known, written(store).expires_at)

    def test_another_process(self, link: StoreLink, store: Store) -> None:
        """A save in between is not lost: the change is made once more, to what is there then."""

        def interfere(name: str) -> None:
            if name == "save":
                store.before = lambda name: None
                FleetStore.save(store, KEY, replace(RECORD, forced=3), FleetStore.load(store, KEY).version)

        store.before = interfere
        link.amend(lambda record, now: replace(record, rejections=7))

        assert (3, 7) == (written(store).forced, written(store).rejections)

    def test_unchanged(self, link: StoreLink, store: Store) -> None:
        """What is not changed is not saved, and given back."""
        FleetStore.save(store, KEY, RECORD.shifted(900.0), FleetStore.load(store, KEY).version)

        assert (RECORD, ["load"]) == (link.amend(lambda record, now: record), store.calls)

    def test_read(self, link: StoreLink, store: Store) -> None:
        """It is also only read, in the process's times."""
        FleetStore.save(store, KEY, RECORD.shifted(900.0), FleetStore.load(store, KEY).version)

        assert (RECORD, ["load"]) == (link.read(), store.calls)

    def test_somebody_always_saves(self, link: StoreLink, store: Store) -> None:
        """It gives up in the end, and says so."""
        store.save = lambda *_: None  # type: ignore[method-assign]
        with pytest.raises(StoreError, match="saved each time"):
            link.amend(lambda record, now: replace(record, rejections=7))

    def test_fails(self, link: StoreLink, store: Store) -> None:
        """A store that fails raises a StoreError, which says only the kind of a client's own error."""

        def quote(name: str) -> None:
            raise OSError("redis://:password@host")

        store.before = quote
        with pytest.raises(StoreError, match="OSError") as caught:
            link.amend(lambda record, now: replace(record, rejections=7))

        assert "password" not in str(caught.value)

    def test_open(self, link: StoreLink, store: Store, process: Clock, told: list[EventType]) -> None:
        """What a user asks for is tried although the circuit breaker is open."""
        store.before = fail
        for _ in range(FAILURE_THRESHOLD):
            make_session(link, told).load()
        store.before = lambda name: None

        assert 7 == link.amend(lambda record, now: replace(record, rejections=7)).rejections


class TestWhen:
    """When the store is called again."""

    def test_after_failures(self, link: StoreLink, store: Store, process: Clock, told: list[EventType]) -> None:
        """After three failures in a row it is not called for `OPEN_SECONDS`; what is asked meanwhile fails at once."""
        store.before = fail
        calls = []
        for seconds in (0, 0, 0, 0, OPEN_SECONDS - 0.1, 0.1):
            process.advance(seconds)
            session = make_session(link, told)
            assert (None, True) == (session.load(), session.failed)
            calls.append(len(store.calls))

        assert [1, 2, 3, 3, 3, 4] == calls
        assert [EventType.STORE_FAILED] == told

    def test_hangs(self, link: StoreLink, store: Store, process: Clock, told: list[EventType]) -> None:
        """After a call that hung it is not called for `OPEN_AFTER_HANG`; the late answer or error changes nothing."""
        problems = []
        for late in (lambda: None, lambda: fail("")):

            def hang(name: str, late: Callable[[], object] = late) -> None:
                problems.append(link.hangs(process.now))
                late()

            store.before = hang
            make_session(link, told).load()
            store.before = lambda name: None
            process.advance(OPEN_AFTER_HANG - 0.1)
            assert make_session(link, told).load() is None
            process.advance(0.1)

        assert [True, False] == [problem.startswith("The store does not answer.") for problem in problems]
        assert ([], ["load", "load"]) == (told, store.calls)

    def test_back(self, link: StoreLink, store: Store, told: list[EventType]) -> None:
        """The end of an outage is told once, by the first refresh that has not failed itself."""
        store.before = fail
        failed = make_session(link, told)
        failed.load()
        store.before = lambda name: None
        for session in (failed, make_session(link, told), make_session(link, told)):
            assert isinstance(session.load(), Seen)

        assert [EventType.STORE_FAILED, EventType.STORE_BACK] == told

    def test_failed_itself(self, session: Session, store: Store, told: list[EventType]) -> None:
        """A refresh that has failed says nothing of the end of the outage: it goes on without the store."""
        store.before = fail
        session.load()
        store.before = lambda name: None
        session.load()

        assert ([EventType.STORE_FAILED], False) == (told, session.works)

    def test_read_only(self, session: Session, store: Store, told: list[EventType]) -> None:
        """A store that can be read and not written is not back before a save has succeeded."""
        seen = session.load()
        assert seen is not None
        store.before = lambda name: fail(name) if name == "save" else None
        session.save(RECORD, seen)
        readable, told_of_reads = session.is_back(), list(told)
        store.before = lambda name: None
        session.save(RECORD, seen)

        assert (True, [EventType.STORE_FAILED]) == (readable, told_of_reads)
        assert [EventType.STORE_FAILED, EventType.STORE_BACK] == told

    def test_time_limit(self, link: StoreLink) -> None:
        """Each call gets its time anew: a refresh that makes many is not taken for one that hangs."""
        limits: list[float] = []
        session = Session(link, due=limits.append, note=lambda name, message: None)
        seen = session.load()
        assert seen is not None
        session.save(RECORD, seen)

        assert [CALL_TIMEOUT] * 2 == limits

    @pytest.mark.parametrize("back", [True, False])
    def test_probe(self, session: Session, store: Store, back: bool) -> None:
        """A refresh that has seen that the store is back goes on with it, and without it if not."""
        store.before = fail
        session.load()
        store.before = (lambda name: None) if back else fail

        assert (back, not back) == (session.is_back(), session.failed)

    def test_thread_ends_in_a_call(self, link: StoreLink, session: Session, store: Store, process: Clock) -> None:
        """A call that neither returns nor fails, as its thread ends, is not one that hangs."""

        def interrupt(name: str) -> None:
            raise KeyboardInterrupt

        store.before = interrupt
        with pytest.raises(KeyboardInterrupt):
            session.load()

        assert "" == link.hangs(process.now)

    @pytest.mark.parametrize("answered", [True, False])
    def test_never_answered(self, link: StoreLink, store: Store, answered: bool) -> None:
        """What is told of an outage says so if the store has never answered: then it is none, but a wrong setting."""
        messages: list[str] = []
        if answered:
            make_session(link, []).load()
        store.before = fail
        Session(link, due=lambda seconds: None, note=lambda name, message: messages.append(message)).load()

        assert [not answered] == ["has not answered since" in message for message in messages]

    def test_insistence(self, link: StoreLink, store: Store, told: list[EventType]) -> None:
        """A refresh token must be saved: then it is called although the circuit breaker is open."""
        store.before = fail
        session = make_session(link, told)
        for _ in range(FAILURE_THRESHOLD + 1):
            session.load()
        store.before = lambda name: None
        session.insist()
        session.load()

        assert (FAILURE_THRESHOLD + 1, False) == (len(store.calls), session.failed)

    def test_while_the_token_is_good(self, link: StoreLink, store: Store, told: list[EventType]) -> None:
        """It is read every 40 s, and every `OPEN_SECONDS` for a while after it failed."""
        timing = Timing(600.0)
        before = link.revalidate_at(100.0, timing, 0.5)
        store.before = fail
        make_session(link, told).load()
        after = [link.revalidate_at(now, timing, 0.5) - now for now in (100.0, 100.0 + RECOVERY_WINDOW)]

        assert [140.0, OPEN_SECONDS, 40.0] == [before, *after]

    def test_during_a_back_off(self, link: StoreLink) -> None:
        """It is read once a second at most."""
        link.reads_in_backoff(100.0)

        assert [False, True] == [link.may_read_in_backoff(now) for now in (100.9, 101.0)]

    @pytest.mark.parametrize(("shared", "expected"), [(True, [False, True]), (False, [False, False])])
    def test_out_of_touch(self, link: StoreLink, store: Store, shared: bool, expected: list[bool]) -> None:
        """It is read before anything else after a minute without a read, if others write to it."""
        store.shared = shared
        assert shared is link.out_of_touch(100.0)  # it was never read
        link.checked()

        assert expected == [link.out_of_touch(100.0 + seconds) for seconds in (OUT_OF_TOUCH, OUT_OF_TOUCH + 0.1)]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (RECORD.shifted(900.0), ""),
        (Record(lease=Lease("elsewhere", 1008.0)), ""),
        (replace(RECORD, expires_at=1000.0), "its token is over since 0 s"),
        (replace(RECORD, value="not a token"), "its value is not a token"),
        (replace(RECORD, expires_at=-math.inf), "it does not say when the token ends"),
    ],
)
def test_problem(session: Session, store: Store, record: Record, expected: str) -> None:
    """A read says why no process can use the token that is there; a record without one has no problem."""
    store.load = lambda key: Loaded(record, 1, 1000.0)  # type: ignore[method-assign]
    seen = session.load()

    assert seen is not None
    assert seen.problem.startswith(expected) if expected else "" == seen.problem


def test_lag_is_told_once(link: StoreLink) -> None:
    """Reads that lag behind writes are news once in a process."""
    assert [True, False] == [link.lags(), link.lags()]
