"""
A store whose reads lag behind its writes, as behind a read/write splitter: one fetch is enough all the same.

With processes side by side: tests/stores/test_lag.py.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from engine.world import FleetStore, World
from wxmiddleware import EventType
from wxmiddleware._rules.models import Lease
from wxmiddleware.stores import Loaded, Record

pytestmark = pytest.mark.parametrize("worlds", ["fleet"], indirect=True)  # a store that others write, too


class Lagging(FleetStore):
    """Compares with what was saved last, and shows what was there some seconds ago."""

    def __init__(self, clock: Any, lag: float) -> None:
        super().__init__(clock=clock)
        self.lag = lag
        self._history: list[tuple[float, Loaded]] = []

    def load(self, key: str) -> Loaded:
        now = self._clock()
        seen = [loaded for at, loaded in self._history if at <= now - self.lag]
        return Loaded(seen[-1].record if seen else None, seen[-1].version if seen else 0, now)

    def save(self, key: str, record: Record, version: Any) -> Any:
        saved = super().save(key, record, version)
        if saved is not None:
            self._history.append((self._clock(), Loaded(record, saved, 0.0)))
        return saved


@pytest.fixture(params=[0.3, 1.0, 5.0])
def lagging(request: pytest.FixtureRequest, world: World) -> World:
    world.store = Lagging(world.clock, request.param)
    return world


def lags(world: World) -> int:
    return world.names().count(EventType.STORE_LAGS)


def test_cold(lagging: World) -> None:
    """Who cannot see yet that another process has fetched waits for that, and says once what is the matter."""
    lagging.script("T1")
    here, there = lagging.provider(), lagging.elsewhere()

    assert ["T1", "T1"] == [lagging.get(here), lagging.get(there)]
    assert 1 == lags(lagging)


def test_refused(lagging: World) -> None:
    """A token that was rejected everywhere is replaced once."""
    lagging.script("T1", "T2")
    here, there = lagging.provider(), lagging.elsewhere()
    lagging.get(here)
    lagging.get(there)
    lagging.advance(60)

    assert ["T2", "T2"] == [lagging.get(here, "T1"), lagging.get(there, "T1")]
    assert 2 == lagging.issuer.fetches


def test_published_behind_a_save_that_is_not_shown(lagging: World) -> None:
    """A token is saved in the end, though another process has saved while it was fetched and that is not to be seen."""
    provider = lagging.provider()

    def interfere() -> None:
        _, newest = lagging.store._history[-1]
        assert lagging.store.save(provider._own.key, newest.record, newest.version) is not None

    lagging.issuer.during = interfere
    lagging.script("T1")

    assert "T1" == lagging.get(provider)
    assert "T1" == lagging.store._history[-1][1].record.value


def test_never_shown(world: World) -> None:
    """A store that shows nothing is waited for as long as a lease lasts; then each process carries on alone."""
    world.store = Lagging(world.clock, math.inf)
    world.script("T1", "T2")
    here, there = world.provider(), world.elsewhere()
    world.get(here)
    before = world.clock.now

    assert "T2" == world.get(there)
    assert 8.0 <= world.clock.now - before < 12.0
    assert 1 == lags(world)


def test_no_lag(world: World) -> None:
    """Where reads show what was written, a lost race is no reason to say so."""
    world.script("T1")
    here, there = world.provider(), world.elsewhere()
    load = world.store.load
    first: list[Loaded] = []

    def look(key: str) -> Loaded:
        loaded: Loaded = load(key)
        if not first:
            first.append(loaded)
            world.get(there)
        return loaded

    world.store.load = look

    assert "T1" == world.get(here)
    assert 0 == lags(world)


def test_the_winner_died(world: World) -> None:
    """Who has lost the race to a process that died then waits for its lease to end, and takes one itself."""
    world.script("T1")
    here = world.provider()
    key, load = here._own.key, world.store.load
    leases: list[Lease | None] = []

    def look(key: str) -> Loaded:
        loaded: Loaded = load(key)
        if not leases:
            leases.append(Lease("elsewhere", loaded.now + 8.0))
            assert world.store.save(key, Record(lease=leases[0]), loaded.version) is not None
        return loaded

    world.store.load = look
    world.issuer.during = lambda: leases.append((load(key).record or Record()).lease)

    assert "T1" == world.get(here)
    assert 2 == len(leases)
    assert leases[1] is not None
    assert "elsewhere" != leases[1].owner
    assert 0 == lags(world)
