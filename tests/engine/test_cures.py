"""What one process knows of a cure is the fleet's."""

from __future__ import annotations

import pytest

from engine.world import World
from wxmiddleware import EventType
from wxmiddleware.exceptions import TokenError

pytestmark = pytest.mark.parametrize("worlds", ["fleet"], indirect=True)


@pytest.mark.parametrize("size", [3, 16])
def test_fleet_that_heals_every_time(world: World, size: int) -> None:
    """A fleet whose tokens another system ends each minute is not held back, whoever is rejected first."""
    world.script(*(f"T{n}" for n in range(1, 100)))
    fleet = [world.elsewhere() for _ in range(size)]
    for provider in fleet:
        world.get(provider)
    failed = 0
    for turn in range(40):
        world.advance(60)
        provider = fleet[turn % size]
        dead = world.get(provider)
        world.drain()
        try:
            again = world.get(provider, dead)
            provider.confirm(again)
        except TokenError:
            failed += 1
        world.drain()
    world.issuer.script.clear()

    assert 0 == failed
    assert EventType.KEPT not in world.names()


def test_record_tells(world: World) -> None:
    """A cure is in the record at once, and written there once."""
    world.script("T1", "T2")
    fleet = [world.elsewhere() for _ in range(3)]
    for provider in fleet:
        world.get(provider)
    key, saves, save = fleet[0]._own.key, list[int](), world.store.save

    def counting(*args: object) -> object:
        saves.append(1)
        return save(*args)

    assert "T2" == world.get(fleet[0], "T1")
    record = world.store.load(key).record
    assert record is not None
    assert 1 == record.rejections
    world.store.save = counting
    for provider in fleet:
        assert "T2" == world.get(provider, "T1")
        provider.confirm("T2")
        world.drain()
    record = world.store.load(key).record

    assert record is not None
    assert (0, "T2") == (record.rejections, record.value)
    assert 1 == len(saves)


def test_another_saves_meanwhile(world: World) -> None:
    """A cure that cannot be written down, as another process has just saved, is no failure of the read."""
    world.script("T1", "T2")
    provider = world.provider()
    world.get(provider)
    world.get(provider, "T1")
    save, world.store.save = world.store.save, lambda *_: None
    provider.confirm("T2")
    world.drain()
    world.store.save = save

    assert EventType.BACKING_OFF not in world.names()
    assert "T2" == world.get(provider)


def test_nothing_cured(world: World) -> None:
    """A fleet that is rejected for ever, whatever it fetches, is held back after ten fetches."""
    world.script(*(f"T{n}" for n in range(1, 100)))
    fleet = [world.elsewhere() for _ in range(3)]
    for provider in fleet:
        world.get(provider)
    failed = 0
    for turn in range(40):
        world.advance(31)
        provider = fleet[turn % 3]
        dead = world.get(provider)
        world.drain()
        try:
            world.get(provider, dead)
        except TokenError:
            failed += 1
    world.issuer.script.clear()

    assert failed > 15
