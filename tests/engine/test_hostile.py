"""Clocks that are set, stores that hang, records that nobody can have written: none of it is a reason to fail."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from engine.world import BUSY, World
from wxmiddleware import EventType, TokenProvider, TokenUnavailable
from wxmiddleware.sources import Cause, Failure, Grant
from wxmiddleware.stores import Cooldown, Lease, Record, dumps_record, loads_record

pytestmark = pytest.mark.parametrize("worlds", ["fleet"], indirect=True)  # a store that others write, too

HOURS = 3 * 3600.0
AHEAD = 10**18  # a number from the future


@pytest.fixture
def key(world: World) -> str:
    return world.provider()._own.key


@pytest.fixture
def gate(world: World) -> Iterator[threading.Event]:
    """The store hangs until this is set."""
    opened = threading.Event()
    yield opened
    opened.set()
    world.drain()


def hang(world: World, gate: threading.Event) -> None:
    load = world.store.load

    def stuck(key: str) -> object:
        assert gate.wait(60)
        return load(key)

    world.store.load = stuck


def put(world: World, key: str, record: Record) -> None:
    """Write a record as somebody else would."""
    assert world.store.save(key, record, world.store.load(key).version) is not None


def token(world: World, value: str, generation: int, *, age: float = 10.0) -> Record:
    """A token that was fetched so many seconds ago."""
    sent = world.clock.now - age
    return Record(generation, value, expires_at=sent + 7200, sent_at=sent, received_at=sent + 0.1)


def look(world: World, *providers: TokenProvider) -> list[str]:
    """A minute later, what each has after its look at the store."""
    world.advance(60)
    for provider in providers:
        world.get(provider)
        world.drain(provider)
    return [world.get(provider) for provider in providers]


def test_late_answer_of_a_store_that_hung(world: World, gate: threading.Event) -> None:
    """It does not close the circuit breaker: the store is said to fail for as long as it is not called."""
    world.script("T1")
    load, calls, arrived = world.store.load, [], threading.Event()

    def stuck(key: str) -> object:
        calls.append(world.clock.now)
        arrived.set()
        assert gate.wait(60)
        return load(key)

    world.store.load = stuck
    provider = world.provider()
    world.error(provider, timeout=0)
    assert arrived.wait(20)
    hung, began = provider._own.flight, world.clock.now
    world.advance(7)
    assert "T1" == world.get(provider)
    gate.set()
    assert hung is not None
    hung.wait(20)
    told = [name for name in world.names() if name in (EventType.STORE_FAILED, EventType.STORE_BACK)]
    for _ in range(5):
        world.advance(12)
        world.get(provider)
        world.drain()

    assert [EventType.STORE_FAILED] == told
    assert [0.0, 44.0] == [at - began for at in calls[:2]]
    assert 1 == world.names().count(EventType.STORE_BACK)


@pytest.mark.parametrize("step", [HOURS, -HOURS])
def test_store_clock_is_set(world: World, step: float) -> None:
    """A token in memory lives as long as it did, whatever the store's clock says now."""
    world.script("T1")
    provider = world.provider()
    world.get(provider)
    world.store._clock = lambda: world.clock.now + step

    assert ["T1"] == look(world, provider)
    assert 7000 < (provider.status().expires_in or 0) < 7200


def test_doubt_of_another_process(world: World, key: str) -> None:
    """If another process has shortened a token's life, it is renewed."""
    world.script("T1", "T2")
    provider = world.provider()
    world.get(provider)
    record = world.store.load(key).record
    put(world, key, replace(record, expires_at=record.expires_at - 6900))

    look(world, provider)
    world.drain()
    assert "T2" == world.get(provider)


@pytest.mark.parametrize(
    "lie",
    [
        Record(lease=Lease("there/1/2/3/4", 50_000 + HOURS)),
        Record(cooldown=Cooldown(50_000 + HOURS, BUSY)),
        Record(lease=Lease("there/1/2/3/4", 50_000 + HOURS), cooldown=Cooldown(50_000 + HOURS, BUSY)),
    ],
    ids=["lease", "cooldown", "both"],
)
def test_written_when_a_clock_was_ahead(world: World, key: str, lie: Record) -> None:
    """A lease or a pause that would last for hours does not count."""
    world.script("T1")
    put(world, key, lie)

    assert "T1" == world.get(world.provider())
    assert world.clock.now < 50_001


def test_refused_when_a_clock_was_ahead(world: World, key: str) -> None:
    """A rejection in the future is no reason to keep a rejected token."""
    world.script("T1", "T2")
    provider = world.provider()
    world.get(provider)
    put(world, key, replace(world.store.load(key).record, rejected_at=world.clock.now + HOURS))

    assert "T2" == world.get(provider, "T1")


def test_real_lease(world: World, key: str) -> None:
    """A lease of a few seconds does count."""
    put(world, key, Record(lease=Lease("there/1/2/3/4", world.clock.now + 5)))
    world.script("T1")

    assert "T1" == world.get(world.provider())
    assert world.clock.now > 50_005


def test_store_hangs_cold(world: World, gate: threading.Event) -> None:
    """Without a token callers go on without a store that hangs, and it is left alone for a while."""
    world.script("T1")
    provider = world.provider()
    hang(world, gate)
    error = world.error(provider, timeout=0.05)
    world.advance(7)

    assert isinstance(error, TokenUnavailable)
    assert "T1" == world.get(provider)
    gate.set()
    assert [EventType.STORE_FAILED] == [name for name in world.names() if name is EventType.STORE_FAILED]


def test_store_hangs_when_out_of_touch(world: World, gate: threading.Event) -> None:
    """A good token is handed out although the look that callers wait for comes to no end."""
    world.script("T1")
    provider = world.provider()
    world.get(provider)
    world.advance(300)
    hang(world, gate)
    first = world.get(provider, timeout=0.05)
    world.advance(7)

    assert "T1" == first
    assert "T1" == provider.peek()
    assert ["T1"] * 64 == world.herd(provider)


def test_wall_clock_was_ahead(world: World, key: str) -> None:
    """A newer token is not overwritten by an older one whose number is higher; who has that takes the newer."""
    world.script("T2")
    put(world, key, token(world, "T1", AHEAD))
    here, there = world.provider(), world.elsewhere()
    world.get(here)
    put(world, key, Record())
    world.advance(20)
    world.get(there)

    assert ["T2", "T2"] == look(world, here, there)
    assert "T2" == world.store.load(key).record.value


def test_two_after_a_number_from_the_future(world: World, key: str) -> None:
    """Two processes that fetch without the store agree when it is back, though their clocks give them no number."""
    world.script("T2", "T3")
    put(world, key, token(world, "T1", AHEAD))
    here, there = world.provider(random=lambda: 0.25), world.provider(random=lambda: 0.75)
    world.get(here)
    world.get(there)
    load, world.store.load = world.store.load, None
    world.advance(7300)
    alone = {world.get(here), world.get(there)}
    world.store.load = load
    look(world, here, there)

    assert {"T2", "T3"} == alone
    assert 1 == len(set(look(world, here, there)))


def test_follower_of_a_clock_that_was_set_back(world: World, key: str) -> None:
    """A follower takes a newer token with a lower number."""
    put(world, key, token(world, "T1", AHEAD))
    follower = world.provider(follow=True)
    world.get(follower)
    world.advance(30)
    put(world, key, token(world, "T2", 5, age=1.0))

    assert ["T2"] == look(world, follower)


def test_budget_that_somebody_spent(world: World, key: str) -> None:
    """A record that says the day's budget is spent holds a fetch back for three minutes, and not for a day."""
    world.script("T1")
    put(world, key, Record(owed_until=world.clock.now + 300 * 172.8))
    provider = world.provider()
    assert world.error(provider).retry_after == pytest.approx(172.8, abs=1.0)
    world.advance(173)

    assert "T1" == world.get(provider)


FUTURE = 1e12
POISONS: dict[str, dict[str, object]] = {
    "highest generation": {"generation": 2**63 - 1},
    "half of the way": {"generation": 2**62},
    "next to the highest": {"generation": 2**63 - 2},
    "beyond the highest": {"generation": 2**63},
    "below nothing": {"generation": -1},
    "lives for ever": {"generation": AHEAD, "expires_at": math.inf},
    "lives for long": {"generation": AHEAD, "expires_at": FUTURE},
    "no end": {"generation": AHEAD, "expires_at": -math.inf},
    "end is no number": {"generation": AHEAD, "expires_at": math.nan},
    "sent in the future": {"sent_at": FUTURE, "received_at": FUTURE},
    "sent at no time": {"generation": AHEAD, "sent_at": math.nan, "received_at": math.nan},
    "empty": {"generation": AHEAD, "value": ""},
    "long": {"generation": AHEAD, "value": "x" * 4097},
    "blank": {"generation": AHEAD, "value": "two words"},
    "line": {"generation": AHEAD, "value": "66_wrong\r\nHost: elsewhere"},
    "chinese": {"generation": AHEAD, "value": "\u6210\u529f"},
    "rejections": {"rejections": 2**63 - 1, "rejected_at": FUTURE},
    "forced": {"forced": 2**63 - 1, "forced_at": FUTURE, "forced_day": 2**63 - 1},
    "spent": {"owed_until": FUTURE},
    "lease": {"generation": AHEAD, "lease": Lease("there/1/2/3/4", FUTURE)},
    "cooldown": {"generation": AHEAD, "cooldown": Cooldown(FUTURE, BUSY, 2**63 - 1, 2**63 - 1)},
    "streak": {"generation": AHEAD, "cooldown": Cooldown(50_100.0, BUSY, 2**63 - 1, 2**63 - 1)},
    "not a refresh token": {"generation": AHEAD, "refresh": "two words"},
}


@pytest.mark.parametrize("poison", POISONS.values(), ids=POISONS)
def test_poisoned_record(world: World, key: str, poison: dict[str, Any]) -> None:
    """Whatever stands in one record, ten minutes later a fleet has one token again, and a record that it can read."""
    world.script("T1", *["T2", "T3"])
    here, there = world.provider(random=lambda: 0.25), world.elsewhere()
    world.get(here)
    world.get(there)
    put(world, key, replace(token(world, "66_wrong", AHEAD - 1, age=0.0), **poison))
    held = []
    for _ in range(10):
        world.advance(60)
        held = [world.get(provider) for provider in (here, there)]
        # WeChat refuses what it has not given.
        held = [
            world.get(provider, value) if value not in ("T1", "T2", "T3") else value
            for provider, value in zip((here, there), held, strict=True)
        ]
        world.drain()
    record = world.store.load(key).record

    assert held[0] == held[1] == record.value
    assert record.value in ("T1", "T2")
    assert record == loads_record(dumps_record(record))


@pytest.mark.parametrize("poison", POISONS.values(), ids=POISONS)
def test_poisoned_record_that_is_met_cold(world: World, key: str, poison: dict[str, Any]) -> None:
    """Nor does it matter to processes that start with it."""
    world.script("T1", "T2")
    put(world, key, replace(token(world, "66_wrong", AHEAD - 1, age=0.0), **poison))
    here, there = world.provider(random=lambda: 0.25), world.elsewhere()
    world.advance(1)
    for provider in (here, there):
        got = world.get(provider)
        if got == "66_wrong":
            world.get(provider, got)
    held = look(world, here, there)
    record = world.store.load(key).record

    assert ["T1", "T1"] == held
    assert record.value == "T1"
    assert record == loads_record(dumps_record(record))


def test_source_that_gives_what_is_no_token(world: World, key: str) -> None:
    """A source of the user's that gives something else has failed; nothing is saved that others could not read."""
    world.script(Grant("two words", 7200))
    error = world.error(world.provider())
    record = world.store.load(key).record

    assert "not a token" in str(error)
    assert record.value is None
    assert record == loads_record(dumps_record(record))


@pytest.mark.parametrize("seconds", [math.inf, 1e13, 30 * 86_400])
def test_source_that_gives_a_long_life(world: World, key: str, seconds: float) -> None:
    """Nobody believes in more than a day; what is saved can be read by all."""
    world.script(Grant("T1", seconds))
    provider = world.provider()

    assert "T1" == world.get(provider)
    assert world.store.load(key).record.expires_at == world.clock.now + 86_400
    assert "T1" == world.get(world.elsewhere())


@pytest.mark.parametrize("seconds", [math.nan, "7200", None])
def test_source_that_gives_no_life(world: World, key: str, seconds: Any) -> None:
    """A token of which nobody knows how long it lives is not used, and nothing breaks."""
    world.script(Grant("T1", seconds))
    error = world.error(world.provider())

    assert "life is not a number of seconds" in str(error)
    assert world.store.load(key).record.value is None


def test_ciphertext(world: World, key: str) -> None:
    """A process without the key never hands out what is encrypted; it fetches for itself and says what is missing."""
    world.script("T1")
    put(world, key, token(world, "fernet:gAAAAABk", 5))

    assert "T1" == world.get(world.provider())
    world.names()
    assert [event for event in world.events if "Give this process the key" in event.message]


def test_odd_failure(world: World) -> None:
    """An errcode of twenty digits and a text with lines of its own: every process can read the record, and the log."""
    world.script("T1", Failure(Cause.TRANSIENT, "It said\nFORGED \x1b[2J", errcode=10**20, errmsg="a\r\nb", rid="c\nd"))
    provider = world.provider()
    world.get(provider)
    error = world.error(provider, "T1")
    record = world.store.load(provider._own.key).record
    read = loads_record(dumps_record(record))

    assert read is not None
    assert ("T1", record.cooldown) == (read.value, read.cooldown)
    assert not [text for text in (str(error), *(event.message for event in world.events)) if not text.isprintable()]
