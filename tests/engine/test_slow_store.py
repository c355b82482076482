"""A store that is slow: what is waited for is reckoned from when it begins, and from what it is known to take."""

from __future__ import annotations

from typing import Any

import pytest

from engine.world import World
from wxmiddleware import ConfigurationError
from wxmiddleware.sources import ClassicToken
from wxmiddleware.stores import Lease, Loaded, Record

pytestmark = pytest.mark.parametrize("worlds", ["fleet"], indirect=True)

OTHER = "there/1/2/3/4"


def slow(world: World, method: str, seconds: float) -> list[float]:
    """Let a method of the store take so long, half of it before it acts; gives when it was called."""
    real, calls = getattr(world.store, method), list[float]()

    def sluggish(*args: Any) -> Any:
        calls.append(world.clock.now)
        world.advance(seconds / 2)
        result = real(*args)
        world.advance(seconds / 2)
        return result

    setattr(world.store, method, sluggish)
    return calls


@pytest.mark.parametrize("seconds", [0.4, 1.4, 1.8, 3.4, 5.0, 5.9])
def test_slow_save(world: World, seconds: float) -> None:
    """A process whose saves take seconds fetches all the same, under a lease that lasts until the token is saved."""
    world.script("T1")
    provider, key, began = world.provider(), world.provider()._own.key, world.clock.now
    load = world.store.load
    slow(world, "save", seconds)
    left: list[float] = []

    def fetching() -> None:
        record = load(key).record
        assert record is not None
        assert record.lease is not None
        left.append(record.lease.until - world.clock.now)

    world.issuer.during = fetching

    assert "T1" == world.get(provider)
    assert world.clock.now - began <= 3 * seconds + 0.1
    assert left[0] >= 5.0 + (seconds if seconds > 0.5 else 0.0)


def test_slow_saves_are_known(world: World) -> None:
    """The next refresh takes a lease that is long enough at once."""
    world.script("T1", "T2")
    provider = world.provider()
    saves = slow(world, "save", 3.4)
    world.get(provider)
    first = len(saves)
    world.advance(7300)
    assert "T2" == world.get(provider)

    assert (3, 2) == (first, len(saves) - first)


def test_saves_that_become_slower_and_slower(world: World) -> None:
    """A lease that cannot be made long enough is given back, and the fetch comes without it in the end."""
    world.script("T1")
    real, took = world.store.save, [0.5]

    def worse(key: str, record: Record, version: Any) -> Any:
        took[0] = min(took[0] * 3, 100.0)
        world.advance(took[0])
        return real(key, record, version)

    world.store.save = worse

    assert "T1" == world.get(world.provider())


@pytest.mark.parametrize("seconds", [1.5, 5.0])
def test_slow_load(world: World, seconds: float) -> None:
    """A lease that was read slowly is honoured to its end."""
    key = world.provider()._own.key
    now = world.clock.now
    claim = world.store.save(key, Record(lease=Lease(OTHER, now + 2 * seconds + 3)), world.store.load(key).version)
    slow(world, "load", seconds)

    def sleep(pause: float) -> None:
        world.clock.advance(pause)
        record = Record(7, "T1", expires_at=now + 7200, sent_at=now, received_at=now)
        if world.clock.now > now + 2 * seconds:
            world.store.save(key, record, claim)

    assert "T1" == world.get(world.provider(sleep=sleep))
    assert 0 == world.issuer.fetches


def test_slow_load_is_repeated_once(world: World) -> None:
    """The clock offset may be reckoned anew, but not for longer than callers wait."""
    world.script("T1")
    loads = slow(world, "load", 3.0)
    world.get(world.provider())

    assert 2 == len(loads)


def test_one_holder_after_the_other(world: World) -> None:
    """Who waits for a second holder of the lease, as the first has ended, gives that one its time, too."""
    key = world.provider()._own.key
    now = world.clock.now
    version = [world.store.save(key, Record(lease=Lease(OTHER, now + 8)), world.store.load(key).version)]
    second = Record(lease=Lease(f"{OTHER}5", now + 15.5))
    done = Record(7, "T1", expires_at=now + 7200, sent_at=now, received_at=now)
    todo = [(now + 7.9, second), (now + 15.0, done)]

    def sleep(pause: float) -> None:
        world.clock.advance(pause)
        if todo and world.clock.now > todo[0][0]:
            version.append(world.store.save(key, todo.pop(0)[1], version[-1]))

    assert "T1" == world.get(world.provider(sleep=sleep))
    assert 0 == world.issuer.fetches


@pytest.mark.parametrize("face", ["threads"], indirect=True)
class TestTimeout:
    """A source whose fetch may take longer than any lease."""

    def test_shared_store(self, world: World) -> None:
        """With a store that others share it is an error, and the message says what to do."""
        for seconds in (51.0, 60.0, 600.0):
            with pytest.raises(ConfigurationError, match="50 s or less"):
                world.provider(source=ClassicToken(timeout=seconds))

    def test_others(self, world: World) -> None:
        """Where nobody waits for a lease, or it fits, it is none."""
        world.provider(source=ClassicToken(timeout=50.0))
        world.provider(source=ClassicToken(timeout=600.0), follow=True)
        world.provider(source=ClassicToken(timeout=600.0), store=None)

    def test_lease(self, world: World) -> None:
        """The longest of them is honoured by others, also by a source that takes less."""
        world.issuer.timeout = 50.0
        world.script("T1")
        here = world.provider()
        seen: list[Loaded] = []
        world.issuer.during = lambda: seen.append(world.store.load(here._own.key))
        assert "T1" == world.get(here)
        record = seen[0].record
        assert record is not None
        assert record.lease is not None

        assert 50.0 < record.lease.until - seen[0].now <= 60.0
