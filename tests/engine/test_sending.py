"""A request is not sent when its answer would come too late: for its readers, or for its lease."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from engine.world import BUSY, Issuer, World
from wxmiddleware import EventType
from wxmiddleware._rules.models import Snapshot
from wxmiddleware.sources import Failure, Grant
from wxmiddleware.sources._sending import may_send
from wxmiddleware.stores import Record

pytestmark = pytest.mark.parametrize("worlds", ["fleet"], indirect=True)

TOO_LATE = Failure(BUSY.cause, "The connection came too late.")


class Careful(Issuer):
    """A source that is held up before it sends, as by a slow look-up, and then asks whether it still may."""

    hold_up: Callable[[], object] | None = None

    def fetch(self, account: Any, *, force: bool = False) -> Grant | Failure:
        hold_up, self.hold_up = self.hold_up, None
        if hold_up is not None:
            hold_up()
        return super().fetch(account, force=force) if may_send(self.timeout) else TOO_LATE


@pytest.fixture
def source() -> Careful:
    return Careful()


def test_another_process_has_fetched(world: World, source: Careful) -> None:
    """Who was held up past its lease gives the token of the process that fetched meanwhile, and sends nothing."""
    world.script("T1")
    other = world.elsewhere()

    def hold_up() -> None:
        world.advance(8.5)
        world.get(other)

    source.hold_up = hold_up
    late = world.provider(source=source)

    assert "T1" == world.get(late) == world.get(other)
    assert (0, 1) == (source.fetches, world.issuer.fetches)


def test_nobody_else_has_fetched(world: World, source: Careful) -> None:
    """A process that was held up past its lease gives it back, takes another one, and then sends."""
    leased, save = list[bool](), world.store.save

    def watched(key: str, record: Record, version: Any) -> Any:
        leased.append(record.lease is not None)
        return save(key, record, version)

    world.store.save = watched
    source.script.append("T1")
    source.hold_up = lambda: world.advance(4.0)  # of the 8 s there are less than the 5 s of a fetch left
    late = world.provider(source=source)

    assert "T1" == world.get(late)
    assert 1 == source.fetches
    assert [True, False, True, False] == leased
    record = world.store.load(late._own.key).record
    assert record is not None
    assert record.lease is None
    assert 172.8 == pytest.approx(record.owed_until - world.clock.now, abs=5.0)  # what was not sent costs nothing


def test_in_forced_mode(world: World) -> None:
    """A process that was held up past its lease before a request in forced mode starts again, and then sends."""
    source = Careful("stable", revokes_previous=False, can_force=True)
    source.script.extend(["T1", "T1", "T1", "T2"])
    provider = world.provider(source=source)
    world.get(provider)

    def hold_up_the_next() -> None:
        source.during, source.hold_up = None, lambda: world.advance(4.0)

    source.during = hold_up_the_next

    assert "T2" == world.get(provider, "T1")
    assert [False, False, False, True] == source.asked
    assert EventType.BACKING_OFF not in world.names()  # nothing has failed
    record = world.store.load(provider._own.key).record
    assert record is not None
    assert 1 == record.forced
    assert 4 * 172.8 == pytest.approx(record.owed_until - world.clock.now, abs=5.0)


def test_in_time(world: World, source: Careful) -> None:
    """A process that was held up for less than the room in its lease sends."""
    source.script.append("T1")
    source.hold_up = lambda: world.advance(2.9)

    assert "T1" == world.get(world.provider(source=source))
    assert 1 == source.fetches


@pytest.mark.parametrize("others", [True, False])
def test_without_a_store(world: World, source: Careful, others: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the store is down, a refresh that another one of its process has superseded sends nothing."""
    provider = world.provider(source=source)
    monkeypatch.setattr(world.store, "load", None)
    source.script.extend(["T1"] if others else [BUSY, "T1"])
    held, go = threading.Event(), threading.Event()

    def hold_up() -> None:
        held.set()
        assert go.wait(20)

    source.hold_up = hold_up
    world.error(provider, timeout=0)
    assert held.wait(20)
    first = provider._own.flight
    world.advance(9)
    if others:
        assert "T1" == world.get(provider)
    else:
        assert "busy" in str(world.error(provider))
    go.set()
    assert first is not None
    outcome = first.wait(20)

    assert 1 == source.fetches
    if others:
        assert isinstance(outcome, Snapshot)
        assert "T1" == outcome.value
    else:
        source.script.clear()
        assert isinstance(outcome, Failure)
        assert "WeChat was not asked" in outcome.message
