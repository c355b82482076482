"""A look at the store, before it is due: `CachedToken.look`."""

from __future__ import annotations

import threading

import pytest

from .world import World


def test_another_processes_token(world: World) -> None:
    """What another process has saved is in use here after a look, and nothing is fetched for it."""
    world.script("T1", "T2")
    here, there = world.provider(), world.elsewhere()
    if not world.store.shared:
        world.get(here)
        assert here._live().look() is None
        return
    assert ["T1", "T1"] == [world.get(here), world.get(there)]
    world.advance(1.0)
    world.get(there, "T1")
    assert "T1" == here.peek()
    assert here._live().look() is not None
    world.drain()

    assert "T2" == here.peek()
    assert here.status().generation == there.status().generation
    assert 2 == world.issuer.fetches


def test_none_there(world: World) -> None:
    """Where there is no token yet a look brings none."""
    provider = world.provider()
    provider._live().look()
    world.drain()

    assert "empty" == provider.status().state
    assert 0 == world.issuer.fetches


def test_one_at_a_time(world: World) -> None:
    """A refresh under way reads the store, too."""
    if not world.store.shared:
        pytest.skip("there is nothing to look at")
    world.script("T1")
    provider, gate = world.provider(), threading.Event()
    world.issuer.gate = gate
    provider.peek()
    world.issuer.wait_for(1)
    first = provider._live().flight
    looks = {provider._live().look() for _ in range(3)}
    gate.set()
    world.drain()

    assert {first} == looks
    assert 1 == world.issuer.fetches
