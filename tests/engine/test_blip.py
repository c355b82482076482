"""A store that is away for a moment: nobody goes on without it in haste, and it is told what was fetched meanwhile."""

from __future__ import annotations

import pytest

from engine.world import World
from wxmiddleware import TokenProvider
from wxmiddleware.stores import Loaded

pytestmark = pytest.mark.parametrize("worlds", ["fleet"], indirect=True)


@pytest.fixture
def fleet(world: World) -> list[TokenProvider]:
    """Four processes that know T1."""
    world.script("T1")
    made = [world.elsewhere() for _ in range(4)]
    assert ["T1"] * 4 == [world.get(provider) for provider in made]
    return made


def away(world: World, seconds: float) -> list[float]:
    """Take the store away for so long; gives when it is called meanwhile."""
    until, load, calls = world.clock.now + seconds, world.store.load, list[float]()

    def broken(key: str) -> Loaded:
        if world.clock.now >= until:
            loaded: Loaded = load(key)
            return loaded
        calls.append(world.clock.now)
        raise ConnectionError

    world.store.load = broken
    return calls


@pytest.mark.parametrize("seconds", [0.1, 0.5, 0.9])
def test_blip(world: World, fleet: list[TokenProvider], seconds: float) -> None:
    """Processes that are rejected while the store is away for less than a second fetch once, together."""
    world.script("T2")
    away(world, seconds)

    assert ["T2"] * 4 == [world.get(provider, "T1") for provider in fleet]
    record = world.store.load(fleet[0]._own.key).record
    assert record is not None
    assert ("T2", None) == (record.value, record.lease)


def test_blip_while_the_circuit_breaker_is_open(world: World, fleet: list[TokenProvider]) -> None:
    """Whoever would go on without the store asks it once more, also if it is left alone after three failures."""
    world.script("T2")
    calls = away(world, 10.5)
    for _ in range(3):
        world.advance(3)
        fleet[0]._own.expect_the_end()
        assert "T1" == world.get(fleet[0])
        world.drain()
    assert 3 == len(calls)
    world.advance(1)

    assert ["T2"] * 4 == [world.get(provider, "T1") for provider in fleet]


def test_store_is_told_at_once(world: World, fleet: list[TokenProvider]) -> None:
    """What a process has fetched without the store is in the store as soon as that is back."""
    world.script("T2")
    away(world, 3.0)
    world.issuer.during = lambda: world.advance(2.5)

    assert ["T2"] * 4 == [world.get(provider, "T1") for provider in fleet]


def test_outage(world: World, fleet: list[TokenProvider]) -> None:
    """While the store stays away a caller waits for a second or two, and then has a token."""
    world.script("T2")
    away(world, 1000.0)
    before = world.clock.now

    assert "T2" == world.get(fleet[0], "T1")
    assert 1.0 <= world.clock.now - before < 1.5
    world.draws = 1.0
    world.script("T3")
    assert "T3" == world.get(fleet[1], "T1")
    assert 4.0 <= world.clock.now - before < 4.7


def test_another_has_told_it(world: World, fleet: list[TokenProvider]) -> None:
    """Who comes back with a token that was asked for before another's takes that one."""
    world.script("T2", "T3")
    load = world.store.load
    away(world, 1000.0)

    def other() -> None:
        world.issuer.during = None
        world.store.load = load
        assert "T3" == world.get(fleet[1], "T1")

    world.issuer.during = other

    assert "T3" == world.get(fleet[0], "T1")


def test_another_has_fetched_meanwhile(world: World, fleet: list[TokenProvider]) -> None:
    """Who waits for the store takes what another process has fetched while it waited."""
    world.script("T2")
    load = world.store.load

    def sleep(seconds: float) -> None:
        world.advance(seconds)
        if world.store.load is None:
            world.store.load = load
            assert "T2" == fleet[0].get_token("T1")

    late = world.elsewhere(sleep=sleep)
    world.store.load = None

    assert "T2" == world.get(late, "T1")
    assert 2 == world.issuer.fetches
