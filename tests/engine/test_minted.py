"""A new token that WeChat's APIs do not know yet is no theft, and the one before may still be good."""

from __future__ import annotations

from typing import Any

import pytest

from engine.world import Issuer, World
from wxmiddleware import EventType, TokenProvider
from wxmiddleware._rules.models import Snapshot
from wxmiddleware._rules.rejections import Rejections
from wxmiddleware.exceptions import TokenError
from wxmiddleware.simulator import WeChat
from wxmiddleware.sources import Grant
from wxmiddleware.stores import Record


def renewed(world: World) -> TokenProvider:
    """A process that has renewed T1 ahead of its end, and now hands T2 out."""
    world.script("T1", "T2")
    provider = world.provider()
    world.get(provider)
    world.advance(6601)
    world.get(provider)
    world.drain()
    assert "T2" == world.get(provider)
    return provider


def test_new_token_is_rejected_at_once(world: World) -> None:
    """The token before serves for three seconds, and then the new one again; nothing is fetched."""
    provider = renewed(world)
    held = [world.get(provider, "T2"), world.get(provider), world.get(provider, "T2")]
    world.advance(2.9)
    held.append(world.get(provider))
    world.advance(0.1)
    held.append(world.get(provider))

    assert ["T1", "T1", "T1", "T1", "T2"] == held
    assert 2 == world.issuer.fetches
    assert 1 == world.names().count(EventType.KEPT)
    assert EventType.REJECTED not in world.names()


def test_it_is_rejected_again(world: World) -> None:
    """A rejection ten seconds after it was minted is one like any other."""
    provider = renewed(world)
    world.script("T3")
    for _ in range(3):
        assert "T1" == world.get(provider, "T2")
        world.advance(3)
        assert "T2" == world.get(provider)
    world.advance(1)

    assert "T3" == world.get(provider, "T2")


def test_the_one_before_is_rejected_too(world: World) -> None:
    """Then there is only the new one, and its next rejection leads to a fetch."""
    provider = renewed(world)
    world.script("T3")

    assert "T1" == world.get(provider, "T2")
    assert "T2" == world.get(provider, "T1")
    assert "T2" == world.get(provider)
    assert "T3" == world.get(provider, "T2")


def test_the_one_before_ends(world: World) -> None:
    """The token before is not handed out past its end."""
    world.script(Grant("T1", 100.0), "T2")
    provider = world.provider()
    world.get(provider)
    world.advance(98)
    world.get(provider)
    world.drain()
    assert "T1" == world.get(provider, "T2")
    world.advance(2)

    assert "T2" == world.get(provider)


@pytest.mark.parametrize("how", ["rejected", "over"])
def test_no_token_before(world: World, how: str) -> None:
    """Where the token before was rejected or is over, a rejection of the new one leads to a fetch."""
    world.script("T1", "T2", "T3")
    provider = world.provider()
    world.get(provider)
    world.advance(7201 if how == "over" else 60)
    assert "T2" == world.get(provider, "T1" if how == "rejected" else None)
    world.advance(0 if how == "over" else 31)

    assert "T3" == world.get(provider, "T2")


@pytest.mark.parametrize("worlds", ["fleet"], indirect=True)
def test_fetched_without_the_store(world: World) -> None:
    """While the store is away processes end each other's tokens, and those before: the one before does not serve."""
    world.script("T1", "T2", "T3")
    provider = world.provider()
    world.get(provider)

    def fail(key: str) -> object:
        raise OSError

    world.store.load = fail
    world.advance(7100)
    world.get(provider)
    world.drain()
    assert "T2" == world.get(provider)

    assert "T3" == world.get(provider, "T2")


@pytest.mark.parametrize("worlds", ["fleet"], indirect=True)
def test_another_process_has_renewed(world: World) -> None:
    """So it is where the new token comes from the store; with a newer one the wait is over."""
    provider = renewed(world)
    other = world.elsewhere()
    assert "T2" == world.get(other)
    assert "T1" == world.get(provider, "T2")
    seen = world.store.load(provider._own.key)
    assert seen.record is not None
    now = world.clock.now
    newer = Record(seen.record.generation + 1, "T3", expires_at=now + 7200, sent_at=now, received_at=now)
    world.store.save(provider._own.key, newer, seen.version)
    provider._own.adopt(newer)

    assert "T3" == world.get(provider)
    assert "T2" == world.get(other)


@pytest.mark.parametrize("face", ["threads"], indirect=True)
@pytest.mark.parametrize("worlds", ["memory"], indirect=True)
@pytest.mark.parametrize(("age", "foreign"), [(0.0, False), (9.0, False), (10.0, True), (60.0, True)])
def test_other_system(world: World, age: float, foreign: bool) -> None:
    """A token that is rejected in its first seconds tells nothing of another system."""
    ledger = Rejections(revokes_previous=True)
    reports = [
        ledger.report(Snapshot(f"T{number}", number, received_at=100.0 * number, own=True), 100.0 * number + age)
        for number in range(1, 4)
    ]

    assert [False, False, foreign] == [report.foreign for report in reports]


@pytest.mark.parametrize("face", ["threads"], indirect=True)
@pytest.mark.parametrize("worlds", ["memory"], indirect=True)
@pytest.mark.parametrize("lag", [0.0, 2.0, 5.0])
@pytest.mark.parametrize("stable", [False, True], ids=["classic", "stable"])
@pytest.mark.parametrize("overlap", [0.0, 300.0])
def test_apis_that_lag(world: World, lag: float, stable: bool, overlap: float) -> None:
    """While the APIs lag behind the token endpoint no call fails, and a renewal costs one fetch."""
    wechat = WeChat(clock=world.wall, overlap=overlap)

    class Source(Issuer):
        def fetch(self, account: Any, *, force: bool = False) -> Grant:
            answer = wechat.stable_token() if stable else wechat.token()
            return Grant(answer["access_token"], answer["expires_in"])

    kind = "stable" if stable else "classic"
    provider = world.provider(
        source=Source(kind, refresh_ahead=290.0 if stable else 600.0, revokes_previous=not stable, can_force=stable)
    )
    provider.get_token()
    wechat.propagation_lag = lag
    failed = rejected = 0
    for _ in range(3):
        world.advance(provider.status().renews_in or 0.0)
        provider.get_token()
        world.drain()
        for _ in range(200):
            token = provider.get_token()
            if not wechat.is_valid(token):
                rejected += 1
                try:
                    failed += not wechat.is_valid(provider.get_token(rejected=token))
                except TokenError:
                    failed += 1
            world.advance(0.1)

    assert 4 == wechat.fetches(slot=kind)
    assert 0 == failed
    assert rejected <= 3 * 3
