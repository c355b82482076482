"""Whatever WeChat, the network and the disk do, a day sees fewer than a thousand requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from typing import Any

import pytest

from engine.world import BUSY, LOST, Issuer, World
from wxmiddleware import EventType, TokenProvider, TokenUnavailable
from wxmiddleware.exceptions import TokenError
from wxmiddleware.simulator import WeChat
from wxmiddleware.sources import Cause, Failure, Grant
from wxmiddleware.stores import Record
from wxmiddleware.stores.memory import MemoryStore

pytestmark = pytest.mark.parametrize("face", ["threads"], indirect=True)

DAY = 86_400.0
HOURS = 8 * 3600.0  # what may be sent at once is sent in the first of them; then the pace is the whole day's
UNREACHABLE = Failure(Cause.TRANSIENT, "The host cannot be reached.")


class Endless(deque[Any]):
    """A script that begins anew at its end."""

    def __init__(self, *answers: Any) -> None:
        super().__init__([None])
        self._answers = cycle(answers)
        self._number = 0

    def popleft(self) -> Any:
        self._number += 1
        answer = next(self._answers)
        return Grant(f"T{self._number}", answer) if isinstance(answer, float) else answer


def record_in(world: World, key: str) -> Record:
    """What the store holds."""
    return world.store.load(key).record or Record()


def most(day: int) -> float:
    """How many requests these hours may see, if a day may see so many, of which 300 at once."""
    return 300 + (day - 300) * HOURS / DAY


def live(world: World, *providers: TokenProvider, seconds: float = HOURS) -> int:
    """Let callers ask as soon as they may, and see each token rejected; how many requests that caused."""
    before, end = world.issuer.fetches, world.clock.now + seconds
    while world.clock.now < end:
        waits = []
        for provider in providers:
            try:
                world.get(provider, world.get(provider))
            except TokenError as error:
                waits.append(error.retry_after or 1.0)
            world.drain(provider)
        world.advance(max(1.0, min(waits, default=1.0)))
    return world.issuer.fetches - before


@pytest.mark.parametrize(
    ("stable", "answers"),
    [
        (False, (LOST,)),
        (True, (LOST,)),
        (False, (BUSY,)),
        (False, (LOST, BUSY)),
        (False, (BUSY, BUSY, LOST)),
        (True, (60.0,)),
        (False, (7200.0,)),
        (False, (LOST, 7200.0)),
    ],
    ids=["lost", "lost, stable", "busy", "by turns", "now and then", "short lives", "rejected", "lost and rejected"],
)
def test_whatever_wechat_does(worlds: Callable[..., World], stable: bool, answers: tuple[Any, ...]) -> None:
    """Fewer than a thousand requests a day."""
    world = worlds(stable=stable)
    world.issuer.script = Endless(*answers)

    assert 10 < live(world, world.provider()) < most(1000)


@pytest.mark.parametrize("worlds", ["fleet"], indirect=True)
def test_fleet(world: World) -> None:
    """What one process has sent counts for all."""
    world.issuer.script = Endless(60.0)
    fleet = [world.elsewhere() for _ in range(4)]

    assert live(world, *fleet) < most(1000)


@pytest.mark.parametrize("worlds", ["fleet"], indirect=True)
@pytest.mark.parametrize("method", ["load", "save"])
def test_store_that_is_down(world: World, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Eight processes that cannot read or write the store send fewer than two thousand a day."""
    world.issuer.script = Endless(7200.0)
    fleet = [world.elsewhere() for _ in range(8)]
    monkeypatch.setattr(world.store, method, None)

    assert live(world, *fleet) < most(2000)


@pytest.mark.parametrize("worlds", ["fleet"], indirect=True)
def test_store_that_is_wiped(world: World) -> None:
    """What a process knows of the budget it writes into a store that has lost it."""
    world.script("T1", "T2")
    provider = world.provider()
    key = provider._own.key
    world.get(provider)
    paid = record_in(world, key).owed_until
    world.store.save(key, Record(), world.store.load(key).version)
    world.advance(60)
    world.get(provider, "T1")
    world.drain()

    assert "T2" == record_in(world, key).value
    assert paid + 150.0 < record_in(world, key).owed_until


@pytest.mark.parametrize("worlds", ["memory"], indirect=True)
def test_request_that_was_not_sent(world: World) -> None:
    """Time without a network costs nothing of the budget: the token is there as soon as the network is."""
    world.issuer.script = Endless(UNREACHABLE)
    provider = world.provider()
    assert live(world, provider, seconds=400.0) > 300
    world.issuer.script = deque(["T1"])
    world.advance(30)

    assert "T1" == world.get(provider)


def spend(world: World, provider: TokenProvider) -> None:
    """Use the day's budget up, as other processes might have."""
    provider._own.amend(lambda record, _: replace(record, owed_until=world.clock.now + 300 * 172.8))


@pytest.mark.parametrize("worlds", ["fleet"], indirect=True)
def test_spent(world: World) -> None:
    """Once the budget is spent each caller is told how long it will take, and the observers are told once."""
    world.script("T1")
    provider = world.provider()
    world.get(provider)
    world.advance(7200)
    spend(world, provider)
    errors = []
    for seconds in (0, 100):
        world.advance(seconds)
        errors.append(world.error(provider))

    assert [172.8, 72.8] == pytest.approx([error.retry_after for error in errors])
    assert 1 == world.names().count(EventType.BACKING_OFF)


@pytest.mark.parametrize("worlds", ["fleet"], indirect=True)
def test_spent_and_rejected(world: World) -> None:
    """A rejection then has no effect for callers whose calls were not rejected; the observers are told once."""
    world.script("T1")
    provider = world.provider()
    world.get(provider)
    spend(world, provider)
    errors = [world.error(provider, "T1") for _ in range(2)]

    assert all("the day's budget" in str(error) for error in errors)
    assert "T1" == world.get(provider)
    assert 1 == world.names().count(EventType.KEPT)


@pytest.mark.parametrize("worlds", ["memory"], indirect=True)
@pytest.mark.parametrize(("allowed", "asked"), [(1.5, [False, False]), (2.5, [False, False, True])])
def test_forced_mode(worlds: Callable[..., World], allowed: float, asked: list[bool]) -> None:
    """A request in forced mode is sent only if the budget allows it, and is counted."""
    world = worlds(stable=True)
    world.script("T1", "T1", "T2")
    provider = world.provider()
    world.get(provider)
    key = provider._own.key
    provider._own.amend(lambda record, _: replace(record, owed_until=world.clock.now + (300 - allowed) * 172.8))
    if len(asked) == 2:
        error = world.error(provider, "T1")
        assert 86.4 == pytest.approx(error.retry_after)
    else:
        assert "T2" == world.get(provider, "T1")
    record = world.store.load(key).record

    assert asked == world.issuer.asked
    assert record is not None
    assert 299.5 * 172.8 == pytest.approx(record.owed_until - world.clock.now)


@pytest.mark.parametrize("worlds", ["memory"], indirect=True)
def test_message(world: World) -> None:
    """Who gets no token as the budget is spent reads that, and when the next request is sent."""
    issuer = Issuer("stable", refresh_ahead=0.0, revokes_previous=False, script=Endless(1.0))
    provider = world.provider(source=issuer)
    error: TokenError | None = None
    while error is None:
        try:
            provider.get_token()
        except TokenUnavailable as unavailable:
            error = unavailable
        world.advance(1)

    assert 300 < issuer.fetches < 310
    assert "the day's budget" in str(error)
    assert error.retry_after is not None
    assert 0 < error.retry_after < 173


@pytest.mark.parametrize("worlds", ["memory"], indirect=True)
def test_user_who_wants_a_fetch_for_each_call(world: World) -> None:
    """With ``cache=False`` and no store, each call has its request, however many."""
    issuer = Issuer("stable", refresh_ahead=290.0, revokes_previous=False, script=Endless(7200.0))
    provider = world.provider(source=issuer, store=None, cache=False)
    for _ in range(350):
        provider.get_token()

    assert 350 == issuer.fetches


@pytest.mark.parametrize("worlds", ["memory"], indirect=True)
def test_workers_that_share_nothing(world: World) -> None:
    """Eight busy workers that end each other's tokens all day leave half of the day's quota to others."""
    wechat = WeChat(clock=world.wall, overlap=0.0)

    class Source(Issuer):
        def fetch(self, account: Any, *, force: bool = False) -> Grant:
            return Grant(wechat.token()["access_token"], 7200.0)

    workers = [world.provider(source=Source(), store=MemoryStore(clock=world.clock)) for _ in range(8)]
    for _ in range(int(HOURS / 30)):
        world.advance(30)
        for worker in workers:
            token = worker.get_token()
            if not wechat.is_valid(token):
                try:
                    again = worker.get_token(rejected=token)
                except TokenUnavailable:
                    continue
                if wechat.is_valid(again):
                    worker.confirm(again)

    assert wechat.fetches(slot="classic") < most(1000)
