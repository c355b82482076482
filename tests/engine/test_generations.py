"""The numbers of tokens: whose clock they are made of, and that each is above all that are known."""

from __future__ import annotations

import pytest

from engine.world import Clock, FleetStore, World

pytestmark = pytest.mark.parametrize("worlds", ["fleet"], indirect=True)  # a store that others write, too


@pytest.fixture
def apart(world: World) -> World:
    """The store has a clock of its own, which is far from the process's and from the time of day."""
    world.store = FleetStore(clock=Clock(3_000.0))
    return world


def test_clock_of_the_store(apart: World) -> None:
    """All processes of a fleet read the store's clock, so a number is made of that."""
    apart.script("T1")
    provider = apart.provider()
    apart.get(provider)

    assert 3_000_000_000 == provider.status().generation


def test_without_the_store(apart: World) -> None:
    """Where it cannot be read, a number is made of the time of day, which all machines know."""

    def fail(*_: object) -> None:
        raise OSError

    apart.script("T1")
    apart.store.load = fail
    provider = apart.provider()
    apart.get(provider)

    assert int(apart.wall.now * 1e6) == provider.status().generation


def test_store_that_begins_anew(apart: World) -> None:
    """A store that has lost the record, and whose clock is set back, does not make the next token an old one."""
    apart.script("T1", "T2")
    provider = apart.provider()
    apart.get(provider)
    apart.store._records.clear()
    apart.store._clock.advance(-1_000.0)
    apart.advance(7_201)

    assert "T2" == apart.get(provider)
    assert 3_000_000_001 == provider.status().generation
