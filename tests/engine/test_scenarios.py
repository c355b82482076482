"""
The scenarios of a token's life, with the clock in the test's hand.

Each is played with each store, by threads, by tasks of asyncio and by tasks of trio. The numbers are those of the list
in docs/why.md. What needs real processes is in tests/processes/.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from support.background import landed

from engine.world import BUSY, LOST, QUOTA, WRONG, FleetStore, Tasks, World
from wxmiddleware import (
    EventType,
    StoreError,
    TokenProvider,
    TokenRefused,
    TokenUnavailable,
    current_token,
    use_provider,
    with_token,
)
from wxmiddleware._engine.token import CachedToken
from wxmiddleware._rules.models import Lease, Record
from wxmiddleware._rules.policies import LEASE, OPEN_SECONDS, REJECTION_STREAK
from wxmiddleware._runtime import process
from wxmiddleware.sources import Cause, Failure, Grant

NOT_ALLOWED = Failure(Cause.PERMANENT, "The IP address is not allowed.", errcode=40164)


def gate(world: World) -> threading.Event:
    """Hold the issuer's answers back until the event is set."""
    world.issuer.gate = threading.Event()
    return world.issuer.gate


def open_when_asked(world: World) -> None:
    """Let the issuer answer as soon as it has been asked; the herd is waiting then."""
    held = gate(world)
    threading.Timer(0.05, held.set).start()


def after_an_outage(world: World, *, pause: float = 31) -> list[TokenProvider]:
    """
    Three processes that have fetched T2, T3 and T4 without the store; the second has written its token back.

    Args:
        pause: What has passed since.
    """
    world.script("T1", "T2", "T3", "T4", "T5")
    fleet = [world.elsewhere() for _ in range(3)]
    for provider in fleet:
        world.get(provider)
    load, world.store.load = world.store.load, None
    for provider in fleet:
        world.advance(1)
        world.get(provider, "T1")
    world.advance(pause)
    world.store.load = load
    world.get(fleet[1])
    world.drain()
    record = load(fleet[1]._own.key).record
    assert record is not None
    assert record.value == "T3"
    return fleet


class TestStates:
    """Who gets what in which state."""

    def test_cold(self, world: World) -> None:
        """64 callers of an empty provider cause one fetch."""
        world.script("T1")
        open_when_asked(world)

        assert ["T1"] * 64 == world.herd(world.provider())
        assert 1 == world.issuer.fetches

    def test_fresh(self, world: World) -> None:
        """A fresh token is handed out for as long as it is fresh."""
        world.script("T1")
        provider = world.provider()
        world.get(provider)
        world.advance(6599)

        assert ["T1"] * 64 == world.herd(provider)
        assert 1 == world.issuer.fetches

    def test_ahead(self, world: World) -> None:
        """Near its end the token is handed out, also to whoever comes first, while one fetch renews it."""
        world.script("T1", "T2")
        provider = world.provider()
        world.get(provider)
        world.advance(6601)
        held = gate(world)

        assert ["T1"] * 64 == world.herd(provider)
        world.issuer.wait_for(2)
        assert ["T1"] * 64 == world.herd(provider)
        held.set()
        world.drain()
        assert "T2" == world.get(provider)
        assert 2 == world.issuer.fetches

    def test_expired(self, world: World) -> None:
        """64 callers after the end wait for one fetch."""
        world.script("T1", "T2")
        provider = world.provider()
        world.get(provider)
        world.advance(7201)
        open_when_asked(world)

        assert ["T2"] * 64 == world.herd(provider)
        assert 2 == world.issuer.fetches

    def test_life_counts_from_before_the_request(self, world: World) -> None:
        """A fetch that takes three seconds brings a token that lives three seconds less."""
        world.script(Grant("T1", 100), "T2")
        world.issuer.during = lambda: world.advance(3)
        provider = world.provider()
        world.get(provider)
        world.issuer.during = None
        world.advance(97)

        assert "T2" == world.get(provider)

    def test_refresh_after(self, world: World) -> None:
        """A token is renewed at the age that the user names."""
        world.script("T1", "T2")
        provider = world.provider(refresh_after=3600)
        world.get(provider)
        world.advance(3599)
        assert "T1" == world.get(provider)
        world.drain()
        assert 1 == world.issuer.fetches
        world.advance(1)

        assert "T1" == world.get(provider)
        world.drain()
        assert "T2" == world.get(provider)

    def test_no_wait(self, world: World) -> None:
        """Who does not wait gets none from an empty provider, and the fetch goes on for the next one."""
        world.script("T1")
        held = gate(world)
        provider = world.provider()

        assert isinstance(world.error(provider, timeout=0), TokenUnavailable)
        held.set()
        assert "T1" == world.get(provider)

    def test_peek(self, world: World) -> None:
        """A peek never waits; it starts what is due."""
        world.script("T1")
        held = gate(world)
        provider = world.provider()

        assert provider.peek() is None
        held.set()
        world.drain()
        assert "T1" == provider.peek()

    def test_fetch_every_time(self, world: World) -> None:
        """Without cache and store every call fetches."""
        world.script("T1", "T2", "T3")
        provider = world.provider(store=None, cache=False)

        assert ["T1", "T2", "T3"] == [world.get(provider) for _ in range(3)]

    def test_store_without_cache(self, world: World) -> None:
        """Without cache every call reads the store, and fetches only what is not there."""
        world.script("T1", "T2")
        provider, other = world.provider(cache=False), world.elsewhere()
        assert "T1" == world.get(provider)
        assert "T1" == world.get(provider)
        assert "T1" == world.get(other)
        assert "T2" == world.get(other, "T1")

        assert "T2" == world.get(provider)


class TestRejected:
    """WeChat said no to a token."""

    def test_rejection_of_a_replaced_token(self, world: World) -> None:
        """A late 40001 for a token that has been replaced costs nothing."""
        world.script("T1", "T2")
        provider = world.provider()
        world.get(provider)
        world.get(provider, "T1")

        assert ["T2"] * 64 == world.herd(provider, "T1")
        assert 2 == world.issuer.fetches

    def test_herd_with_one_rejected_token(self, world: World) -> None:
        """64 callers with one rejected token cause one fetch."""
        world.script("T1", "T2")
        provider = world.provider()
        world.get(provider)
        open_when_asked(world)

        assert ["T2"] * 64 == world.herd(provider, "T1")
        assert 2 == world.issuer.fetches

    def test_others_are_not_handed_a_rejected_token(self, world: World) -> None:
        """While a rejected token is replaced, nobody else is handed it either."""
        world.script("T1", "T2")
        provider = world.provider()
        world.get(provider)
        held = gate(world)
        assert isinstance(world.error(provider, "T1", timeout=0), TokenUnavailable)

        assert isinstance(world.error(provider, timeout=0), TokenUnavailable)
        held.set()
        assert "T2" == world.get(provider)

    def test_new_token_is_rejected_too(self, world: World) -> None:
        """When the new token is rejected at once, nothing more is fetched, and the token is kept for the others."""
        world.script("T1", "T2")
        provider = world.provider()
        world.get(provider)
        world.get(provider, "T1")
        error = world.error(provider, "T2")

        assert isinstance(error, TokenUnavailable)
        world.error(provider, "T2")
        assert world.names().count(EventType.KEPT) <= 1  # said once, not for each call
        # Where other processes write, too, it is worth another look after a second.
        assert error.retry_after == pytest.approx(1 if world.store.shared else 30)
        assert "T2" == world.get(provider)
        assert 2 == world.issuer.fetches

    def test_api_that_rejects_every_token(self, world: World) -> None:
        """An API that answers 40001 for ever is called twice, and the user gets its answer."""
        world.script("T1", "T2")
        provider = world.provider()
        sent = []

        @with_token(provider)
        def call(access_token: str) -> dict[str, object]:
            sent.append(access_token)
            return {"errcode": 40001, "errmsg": "invalid credential"}

        assert {"errcode": 40001, "errmsg": "invalid credential"} == call()
        assert ["T1", "T2"] == sent
        assert 2 == world.issuer.fetches

    def test_bystanders_of_a_refusal_that_comes_too_soon(self, stable: World) -> None:
        """When a rejected token is kept after all, those who only waited get it."""
        stable.script("T1", "T1", "T1")
        provider = stable.provider()
        stable.get(provider)
        held = gate(stable)
        assert isinstance(stable.error(provider, "T1", timeout=0), TokenUnavailable)
        threading.Timer(0.05, held.set).start()

        assert ["T1"] * 64 == stable.herd(provider)

    def test_token_that_the_endpoint_confirms_is_no_failure(self, stable: World) -> None:
        """When a rejected token is kept after all, no back-off begins: the fetches have succeeded."""
        stable.script("T1", "T1", "T1")
        provider = stable.provider()
        stable.get(provider)
        stable.error(provider, "T1")

        assert EventType.BACKING_OFF not in stable.names()
        assert provider.status().backing_off is None

    def test_one_token_refused_by_many_is_no_other_system(self, world: World) -> None:
        """One token that is rejected three times is not three tokens."""
        world.script("T1", "T2")
        provider = world.provider()
        world.get(provider)
        world.get(provider, "T1")
        for _ in range(4):
            world.error(provider, "T2")
            world.advance(2)

        assert EventType.OTHER_SYSTEM not in world.names()

    def test_empty_string(self, world: World) -> None:
        """An empty string is no token that could be rejected."""
        world.script("T1")

        assert "T1" == world.get(world.provider(), "")
        assert EventType.REJECTED not in world.names()

    def test_after_half_a_minute(self, world: World) -> None:
        """After 30 s a rejected token may cause a fetch again."""
        world.script("T1", "T2", "T3")
        provider = world.provider()
        world.get(provider)
        world.get(provider, "T1")
        world.advance(30)

        assert "T3" == world.get(provider, "T2")

    @pytest.mark.parametrize("face", ["threads"], indirect=True)
    def test_refused_for_ever(self, world: World) -> None:
        """A day of rejections, one in four minutes, spends some hundred fetches and not the quota."""
        world.script("T0", *(f"T{n}" for n in range(1, 400)))
        provider = world.provider()
        token = world.get(provider)
        # Some flights for each, and among busy processes a Python without a GIL takes a tenth of a second for a thread.
        for _ in range(86_400 // 240):
            world.advance(240)
            try:
                token = provider.get_token(token)
            except TokenUnavailable:
                token = provider.get_token()

        assert REJECTION_STREAK < world.issuer.fetches < 200
        world.issuer.script.clear()

    def test_cured_refusals_do_not_add_up(self, world: World) -> None:
        """Where each refresh cures the call, the eleventh rejection is as good as the first."""
        world.script(*(f"T{n}" for n in range(1, 16)))
        provider = world.provider()
        token = world.get(provider)
        for _ in range(14):
            world.advance(31)
            token = world.get(provider, token)
            provider.confirm(token)

        assert "T15" == token

    @pytest.mark.parametrize("face", ["threads"], indirect=True)
    @pytest.mark.parametrize("kills", [True, False])
    def test_cured_refusals_without_the_store(self, world: World, kills: bool) -> None:
        """
        While the store is down, processes that kill each other's tokens do not spend the quota on it.

        Each accepted call lasts until another process fetches. When the store is back, there is no such brake.
        """
        world.issuer.revokes_previous = kills
        world.script(*(f"T{n}" for n in range(1, 500)))
        provider = world.provider()
        load, world.store.load = world.store.load, None
        token = world.get(provider)

        def refused_for_an_hour() -> int:
            nonlocal token
            before = world.issuer.fetches
            for _ in range(120):
                world.advance(30.5)
                with suppress(TokenUnavailable):
                    token = provider.get_token(token)
                    provider.confirm(token)
            return world.issuer.fetches - before

        alone = [refused_for_an_hour(), refused_for_an_hour()]
        world.store.load = load
        world.advance(30.5)
        token = provider.get_token()
        together = refused_for_an_hour()
        world.advance(86_400)  # the day's budget is another one
        token = provider.get_token()
        world.store.load = None
        alone.append(refused_for_an_hour())
        world.issuer.script.clear()

        if kills and not world.store.shared:
            assert 10 <= together <= 30  # nor can it see then what others fetch
        else:
            assert 115 <= together <= 120
        if kills:
            assert REJECTION_STREAK < alone[0] <= 20
            assert 5 <= alone[1] <= 7
            assert REJECTION_STREAK < alone[2] <= 20
        else:
            assert [120, 120, 120] == alone

    def test_another_system_is_warned_of(self, world: World) -> None:
        """Three rejections of our own young tokens in a quarter of an hour: one warning."""
        world.script(*(f"T{n}" for n in range(2, 9)))
        provider = world.provider()
        token = world.get(provider)
        for _ in range(4):
            world.advance(60)
            token = world.get(provider, token)
            provider.confirm(token)

        assert 1 == world.names().count(EventType.OTHER_SYSTEM)
        (told,) = [event.message for event in world.events if event.name is EventType.OTHER_SYSTEM]
        assert "StableToken() here" in told

    def test_another_system_that_forces(self, stable: World) -> None:
        """The classic endpoint is not blamed for a stable token that is replaced: the two do not touch each other."""
        world = stable
        world.script(*(f"T{n}" for n in range(2, 9)))
        provider = world.provider()
        token = world.get(provider)
        for _ in range(4):
            world.advance(60)
            token = world.get(provider, token)
            provider.confirm(token)
        world.names()
        (told,) = [event.message for event in world.events if event.name is EventType.OTHER_SYSTEM]

        assert "force_refresh" in told
        assert "is not the reason" in told

    def test_adopted_instead_of_fetched(self, world: World) -> None:
        """A process whose token was rejected takes the one that another process has stored meanwhile."""
        world.script("T1", "T2")
        here, there = world.provider(), world.elsewhere()
        world.get(here)
        world.get(there)
        world.get(there, "T1")

        assert "T2" == world.get(here, "T1")
        assert 2 == world.issuer.fetches

    def test_stored_token_is_revoked_too(self, world: World) -> None:
        """
        When the next token has died with the rejected one, a call that knew only the first gets WeChat's answer.

        It is repeated once, with what the store has. The call after that heals, and one fetch is all that it costs.
        """
        if not isinstance(world.store, FleetStore):
            pytest.skip("nobody shares it")
        world.script("T1", "T2", "T3")
        here, there = world.provider(), world.elsewhere(refresh_after=100)
        world.get(here)
        world.get(there)
        world.advance(90)
        world.get(here)
        world.drain()
        world.advance(11)  # the next look is not due yet
        world.get(there)
        world.drain()
        dead, sent = {"T1", "T2"}, []

        @with_token(here)
        def call(access_token: str) -> dict[str, object]:
            sent.append(access_token)
            return {"errcode": 40001 if access_token in dead else 0}

        assert [40001, 0] == [call()["errcode"], call()["errcode"]]
        assert ["T1", "T2", "T2", "T3"] == sent
        assert 3 == world.issuer.fetches

    def test_refresh_fails(self, world: World) -> None:
        """If the fetch for a rejected token fails, the rejected get that error; the others keep the token meanwhile."""
        world.script("T1", BUSY, "T2")
        provider = world.provider()
        world.get(provider)
        open_when_asked(world)
        results = world.herd(provider, "T1")

        assert [-1] * 64 == [error.errcode for error in results]
        assert ["T1"] * 64 == world.herd(provider)
        assert [-1] * 64 == [error.errcode for error in world.herd(provider, "T1")]
        assert 2 == world.issuer.fetches
        world.advance(2)
        assert "T1" == world.get(provider)  # and it is renewed in the background
        world.drain()
        assert "T2" == world.get(provider)

    @pytest.mark.parametrize("failure", [BUSY, LOST, WRONG, QUOTA], ids=["busy", "lost", "wrong", "quota"])
    def test_kept_for_want_of_a_fetch(self, world: World, failure: Failure) -> None:
        """One API refuses the token while none can be fetched: other calls go on, and nobody loops."""
        world.script("T1", *[failure] * 30)
        provider = world.provider()
        other = world.elsewhere() if world.store.shared else provider
        assert ["T1", "T1"] == [world.get(provider), world.get(other)]
        errors = []
        for _ in range(20):
            errors += [world.error(provider, "T1").errcode, world.error(other, "T1").errcode]
            assert "T1" == world.get(provider)
            assert "T1" == world.get(other)
            world.drain()
        at_once = world.issuer.fetches
        for _ in range(10):
            world.advance(20)
            errors.append(world.error(provider, "T1").errcode)
            assert "T1" == world.get(other)
            world.drain()

        assert {failure.errcode} == set(errors)
        assert 2 == at_once
        assert world.issuer.fetches <= 12

    def test_kept_while_it_is_being_replaced(self, world: World) -> None:
        """While the next fetch for it is under way, those who were not rejected go on with the token."""
        world.script("T1", WRONG, "T2")
        provider = world.provider()
        world.get(provider)
        world.error(provider, "T1")
        world.advance(61)
        held = gate(world)
        healed: list[str] = []
        rejected = threading.Thread(target=lambda: healed.append(world.get(provider, "T1")), daemon=True)
        rejected.start()
        world.issuer.wait_for(3)
        others = world.herd(provider)
        held.set()
        rejected.join(20)

        assert ["T1"] * 64 == others
        assert ["T2"] == healed
        assert 3 == world.issuer.fetches

    def test_kept_no_longer_than_it_lives(self, world: World) -> None:
        """A token that was kept ends when its time is over; a lost answer of the classic endpoint shortens that."""
        world.script("T1", LOST, *[BUSY] * 100)
        provider = world.provider()
        world.get(provider)
        world.error(provider, "T1")
        world.advance(280)
        before = world.get(provider)
        world.drain()
        world.advance(20)

        assert "T1" == before
        assert -1 == world.error(provider).errcode

    def test_refusal_after_a_lost_answer(self, world: World) -> None:
        """After a lost answer a rejection is news: the fetch is repeated at once, and not after the pause."""
        world.script("T1", LOST, "T3")
        provider = world.provider()
        world.get(provider)
        world.advance(6601)
        world.get(provider)
        world.drain()

        assert "T3" == world.get(provider, "T1")

    def test_refusals_while_wechat_fails(self, world: World) -> None:
        """A rejected token is news once: eight processes that hold it ask a failing WeChat as rarely as one would."""
        if not isinstance(world.store, FleetStore):
            pytest.skip("nobody shares it")
        world.draws = 1.0  # it is left alone for 1, 2, 4, 8 and 15 s
        world.script("T1", *[LOST] * 5, "T2")
        fleet = [world.elsewhere() for _ in range(8)]
        for provider in fleet:
            world.get(provider)

        for pause in (1, 2, 4, 8, 15):
            for provider in fleet:
                assert isinstance(world.error(provider, "T1"), TokenUnavailable)
            world.advance(pause)
        assert ["T2"] * 8 == [world.get(provider, "T1") for provider in fleet]
        assert 7 == world.issuer.fetches

    def test_refusal_with_a_wrong_secret(self, world: World) -> None:
        """When the secret is known to be wrong, a rejection fetches nothing."""
        world.script("T1", WRONG)
        provider = world.provider()
        world.get(provider)
        world.advance(6601)
        world.get(provider)
        world.drain()

        assert isinstance(world.error(provider, "T1"), TokenRefused)


class TestPutBack:
    """
    A token that was written back when the store was there again may be dead.

    While there is no store each process fetches for itself, and nobody knows whose token was the last.
    """

    @pytest.fixture
    def world(self, worlds: Callable[..., World]) -> World:
        world = worlds()
        if not isinstance(world.store, FleetStore):
            pytest.skip("nobody shares it")
        return world

    def test_one_fetch(self, world: World) -> None:
        """It is not tried, and one fetch settles it for all."""
        here, there, third = after_an_outage(world)

        assert "T5" == world.get(here, "T2")
        world.advance(31)  # now a rejection may lead to a fetch
        assert "T5" == world.get(third, "T4")
        world.advance(31)
        world.get(there)
        world.drain()
        assert "T5" == world.get(there)
        assert 5 == world.issuer.fetches

    def test_where_nothing_kills(self, world: World) -> None:
        """Where the others' fetches killed nothing, it is as good as any."""
        world.issuer.revokes_previous = False
        here, _, _ = after_an_outage(world)

        assert "T3" == world.get(here, "T2")
        world.issuer.script.clear()

    def test_who_never_fetches(self, world: World) -> None:
        """A follower takes it at once: waiting brings nothing."""
        after_an_outage(world)
        follower = world.elsewhere(follow=True)
        there = world.store.load(follower._own.key)
        assert there.record is not None
        world.store.save(follower._own.key, replace(there.record, generation=1, value="T0"), there.version)
        world.get(follower)
        world.store.save(follower._own.key, there.record, world.store.load(follower._own.key).version)
        before = world.clock()

        assert "T3" == world.get(follower, "T0")
        assert world.clock() == before
        world.issuer.script.clear()

    def test_too_soon(self, world: World) -> None:
        """While a rejection must not lead to a fetch, it is better than nothing."""
        here, _, _ = after_an_outage(world, pause=20)

        assert "T3" == world.get(here, "T2")
        world.issuer.script.clear()

    def test_wechat_fails(self, world: World) -> None:
        """When there is no other to be had, it is better than nothing."""
        here, _, _ = after_an_outage(world)
        world.issuer.script[0] = BUSY

        assert "T3" == world.get(here, "T2")

    @pytest.mark.parametrize("comes", [True, False])
    def test_another_fetches(self, world: World, comes: bool) -> None:
        """A token that another process is just fetching is waited for; if it does not come, there is the other."""
        here, _, _ = after_an_outage(world)
        seen = world.store.load(here._own.key)
        assert seen.record is not None
        lease = Lease(f"{process.name()}another", seen.now + (8 if comes else 60))
        claim = world.store.save(here._own.key, replace(seen.record, lease=lease), seen.version)
        published = replace(seen.record, generation=seen.record.generation + 1, value="T9", lease=None, put_back=False)
        polls = []

        def sleep(seconds: float) -> None:
            polls.append(seconds)
            world.clock.advance(seconds)
            if comes and len(polls) == 3:
                world.store.save(here._own.key, published, claim)

        here._own.runtime = replace(here._own.runtime, sleep=sleep)  # type: ignore[misc]

        assert ("T9" if comes else "T3") == world.get(here, "T2")
        assert 4 == world.issuer.fetches
        assert len(polls) >= 3
        world.issuer.script.clear()


class TestStable:
    """The endpoint that hands out the same token to everybody."""

    def test_window(self, stable: World) -> None:
        """Before the last 290 s nothing is asked, since it would bring the same token."""
        stable.script("T1", "T2")
        provider = stable.provider()
        stable.get(provider)
        stable.advance(6909)
        stable.get(provider)
        stable.drain()
        assert 1 == stable.issuer.fetches
        stable.advance(1)
        stable.get(provider)
        stable.drain()

        assert "T2" == stable.get(provider)

    def test_same_token_ahead(self, stable: World) -> None:
        """An early renewal that brings the same token does not lead to one request for each call."""
        stable.script("T1", Grant("T1", 290), "T2")
        provider = stable.provider()
        stable.get(provider)
        stable.advance(6910)
        for _ in range(200):
            stable.get(provider)
            stable.drain()

        assert "T1" == stable.get(provider)
        assert 2 == stable.issuer.fetches
        stable.advance(218)
        stable.get(provider)
        stable.drain()
        assert "T2" == stable.get(provider)

    def test_newer_token_in_normal_mode(self, stable: World) -> None:
        """When someone else has rotated the token, normal mode brings the new one and nothing is forced."""
        stable.script("T1", "T2")
        provider = stable.provider()
        stable.get(provider)

        assert "T2" == stable.get(provider, "T1")
        assert [False, False] == stable.issuer.asked

    def test_forced_once(self, stable: World) -> None:
        """When normal mode brings the rejected token again, the forced mode is used once."""
        stable.script("T1", "T1", "T2")
        provider = stable.provider()
        stable.get(provider)

        assert "T2" == stable.get(provider, "T1")
        assert [False, False, True] == stable.issuer.asked

    def test_forced_brings_the_same_token(self, stable: World) -> None:
        """When even the forced mode brings the rejected token, it is kept: WeChat stands by it."""
        stable.script("T1", "T1", "T1")
        provider = stable.provider()
        stable.get(provider)

        error = stable.error(provider, "T1")

        assert (TokenUnavailable, 30.0) == (type(error), error.retry_after)  # the forced mode's own limit
        assert "T1" == stable.get(provider)
        assert 3 == stable.issuer.fetches

    def test_forced_fails(self, stable: World) -> None:
        """When the forced mode fails, the caller is told why, and the token stays in use."""
        stable.script("T1", "T1", BUSY)
        provider = stable.provider()
        stable.get(provider)

        assert "busy" in str(stable.error(provider, "T1"))
        assert "T1" == stable.get(provider)

    def test_nothing_to_force(self, stable: World) -> None:
        """The same where there is no forced mode."""
        stable.issuer.can_force = False
        stable.script("T1", "T1")
        provider = stable.provider()
        stable.get(provider)
        error = stable.error(provider, "T1")

        assert (TokenUnavailable, 1.0) == (type(error), error.retry_after)
        assert "T1" == stable.get(provider)

    def test_rejected_while_renewed(self, stable: World) -> None:
        """A token that is rejected while an early renewal brings it again is then replaced in forced mode."""
        stable.script("T1", Grant("T1", 280), "T1", "T2")
        provider = stable.provider()
        stable.get(provider)
        stable.advance(6920)
        held = gate(stable)
        stable.get(provider)
        stable.issuer.wait_for(2)
        threading.Timer(0.05, held.set).start()

        assert "T2" == stable.get(provider, "T1")
        assert [False, False, False, True] == stable.issuer.asked

    def test_rejected_while_renewed_is_not_handed_out(self, stable: World) -> None:
        """What an early renewal brings again is not handed out to others either, if it was rejected meanwhile."""
        stable.script("T1", Grant("T1", 280), "T1", "T2")
        provider = stable.provider()
        stable.get(provider)
        stable.advance(6920)
        held = gate(stable)
        stable.get(provider)
        stable.issuer.wait_for(2)
        assert isinstance(stable.error(provider, "T1", timeout=0), TokenUnavailable)
        held.set()
        stable.drain()

        assert "T2" == stable.get(provider)

    def test_forced_budget(self, stable: World) -> None:
        """The forced mode is used ten times a day, however often tokens are rejected."""
        provider = stable.provider()
        stable.script("T1")
        token = stable.get(provider)
        for number in range(40):
            stable.advance(300)
            stable.script(token)
            if number < 10:
                stable.script(f"{token}x")
            if number < 10:
                token = stable.get(provider, token)
            else:
                assert isinstance(stable.error(provider, token), TokenUnavailable)

        assert 10 == stable.issuer.asked.count(True)
        assert token == stable.get(provider)

    def test_forced_budget_of_the_next_day(self, stable: World) -> None:
        """The next day there are ten more."""
        provider = stable.provider()
        stable.script("T0")
        token = stable.get(provider)
        for number in range(11):
            stable.advance(300 if number != 10 else 86_400)
            if number == 10:
                stable.script(token)  # it has expired
                token = stable.get(provider)
            stable.script(token, f"U{number}")
            token = stable.get(provider, token)

        assert 11 == stable.issuer.asked.count(True)


class TestFailures:
    """The token endpoint fails."""

    def test_herd(self, world: World) -> None:
        """When WeChat is down, 64 callers share one attempt, and a second wave makes none."""
        world.script(BUSY)
        open_when_asked(world)
        provider = world.provider()
        first, second = world.herd(provider), world.herd(provider)

        assert [-1] * 64 == [error.errcode for error in first]
        assert [-1] * 64 == [error.errcode for error in second]
        assert {error.retry_after for error in second} == {1.0}
        assert 1 == world.issuer.fetches

    def test_errors_are_not_shared_objects(self, world: World) -> None:
        """Each caller gets an exception of its own, so that tracebacks do not grow into each other."""
        world.script(BUSY)
        errors = world.herd(world.provider(), size=8)

        assert 8 == len({id(error) for error in errors})

    def test_burst_of_busy_answers(self, world: World) -> None:
        """A burst of -1 while the token lives is felt by nobody, and the pauses grow."""
        world.draws = 1.0
        world.script("T1", *[BUSY] * 5, "T2")
        provider = world.provider()
        world.get(provider)
        world.advance(6661)
        pauses = []
        for _ in range(5):
            assert "T1" == world.get(provider)
            world.drain()
            pause = provider.status().backing_off
            assert pause is not None
            pauses.append(round(pause))
            world.advance(pause)
        assert "T1" == world.get(provider)
        world.drain()

        assert [1, 2, 4, 8, 16] == pauses
        assert "T2" == world.get(provider)

    def test_recovery(self, world: World) -> None:
        """After the pause the next caller tries again."""
        world.script(BUSY, "T1")
        provider = world.provider()
        world.error(provider)
        world.advance(1)

        assert "T1" == world.get(provider)

    def test_lost_answer(self, world: World) -> None:
        """When only the answer is lost, the old classic token is used for 290 s more, not longer."""
        world.script("T1", LOST, "T2")
        provider = world.provider()
        world.get(provider)
        world.advance(6601)
        assert "T1" == world.get(provider)
        world.drain()

        assert provider.status().expires_in == pytest.approx(290)
        world.advance(15)
        assert "T1" == world.get(provider)
        world.drain()
        assert "T2" == world.get(provider)

    def test_lost_answer_of_another_process(self, world: World) -> None:
        """Another process that lost an answer makes this one doubt the token, too."""
        world.script("T1", LOST)
        here, there = world.provider(), world.elsewhere(refresh_after=100)
        world.get(here)
        world.get(there)
        world.advance(101)
        world.get(there)
        world.drain()
        if isinstance(world.store, FleetStore):
            world.get(here)
            world.drain()

            assert here.status().expires_in == pytest.approx(290)

    def test_lost_answer_of_the_stable_endpoint(self, stable: World) -> None:
        """A lost answer of the stable endpoint leaves the old token as it is."""
        stable.script("T1", LOST)
        provider = stable.provider(refresh_after=100)
        stable.get(provider)
        stable.advance(101)
        stable.get(provider)
        stable.drain()

        assert provider.status().expires_in == pytest.approx(7099)

    @pytest.mark.parametrize("failure", [WRONG, replace(WRONG, errcode=40164, message="Add 1.2.3.4 to it.")])
    def test_permanent_failure(self, world: World, failure: Failure) -> None:
        """A wrong secret is tried once a minute, then ever more rarely, at least every ten minutes."""
        provider = world.provider()
        for pause in (60, 120, 240, 480, 600, 600):
            world.script(failure)
            first, second = world.error(provider), world.error(provider)
            assert isinstance(first, TokenRefused)
            assert failure.errcode == first.errcode == second.errcode
            assert failure.message in str(first)
            assert second.retry_after == pytest.approx(pause)
            world.advance(pause)

        assert 6 == world.issuer.fetches

    def test_quota_used_up(self, world: World) -> None:
        """With the quota used up there is one probe in ten minutes, and the old token goes on."""
        world.script("T1", QUOTA, "T2")
        provider = world.provider()
        world.get(provider)
        world.advance(6590 + 11)
        assert "T1" == world.get(provider)
        world.drain()
        world.advance(598)
        assert "T1" == world.get(provider)
        world.drain()
        assert 2 == world.issuer.fetches
        world.advance(2)

        assert "T2" == world.get(provider)

    def test_a_source_that_raises_gives_its_lease_back(self, world: World) -> None:
        """After a source has raised, the next try needs not wait for its lease."""
        world.script(RuntimeError(), "T1")
        here, there = world.provider(), world.elsewhere()
        world.error(here)
        world.advance(1)
        before = world.clock()

        assert "T1" == world.get(there)
        assert before == world.clock()

    def test_a_source_that_exits(self, world: World) -> None:
        """A source that ends its thread ends all waiters, too, and leaves no lease."""
        world.script(SystemExit(), "T1")
        provider = world.provider()
        assert isinstance(world.error(provider), TokenUnavailable)
        world.advance(1)
        before = world.clock()

        assert "T1" == world.get(provider)
        assert before == world.clock()

    def test_token_of_another_process_while_backing_off(self, world: World) -> None:
        """While a process leaves WeChat alone, it takes the token that a luckier one has stored."""
        world.script(WRONG, "T2")
        here, there = world.provider(), world.elsewhere()
        world.error(here)
        seen = world.store.load(here._own.key)
        assert seen.record is not None
        world.store.save(here._own.key, replace(seen.record, cooldown=None), seen.version)
        assert "T2" == world.get(there)
        world.advance(1)

        if world.store.shared:
            assert "T2" == world.get(here)

    def test_token_over_on_arrival(self, world: World) -> None:
        """A token whose life is over when it arrives is a failure, and not a loop."""
        world.script(Grant("T1", 1))
        world.issuer.during = lambda: world.advance(2)
        provider = world.provider()

        assert isinstance(world.error(provider), TokenUnavailable)
        assert 1 == world.issuer.fetches

    def test_a_source_that_raises(self, world: World) -> None:
        """A source of the user's that raises ends all waiters, and its text goes nowhere."""
        world.script(RuntimeError("T1 in a message"))
        provider = world.provider()
        errors = world.herd(provider, size=8)

        assert {TokenUnavailable} == {type(error) for error in errors}
        assert not [error for error in errors if "T1" in str(error) or error.__context__ or error.__cause__]
        assert 1 == world.issuer.fetches

    def test_rejected_during_a_back_off(self, world: World) -> None:
        """A rejection while nothing may be fetched is an error to its caller alone: the others have the token."""
        world.script("T1", WRONG)
        provider = world.provider()
        world.get(provider)
        world.advance(6601)
        world.get(provider)
        world.drain()

        assert isinstance(world.error(provider, "T1"), TokenRefused)
        assert "T1" == world.get(provider)

    def test_retry_now_near_the_end(self, world: World) -> None:
        """Once the reason has been mended, a token near its end is renewed with the next call."""
        world.script("T1", WRONG, "T2")
        provider = world.provider()
        world.get(provider)
        world.advance(6601)
        world.get(provider)
        world.drain()
        assert "T1" == world.get(provider)
        provider.retry_now()
        world.get(provider)
        world.drain()

        assert "T2" == world.get(provider)

    def test_retry_now_of_who_never_fetches(self, world: World) -> None:
        """A follower forgets the failure in its own memory, and leaves the store to who fetches."""
        world.script(WRONG)
        here, follower = world.provider(), world.elsewhere(follow=True)
        world.error(here)
        world.error(follower)
        follower.retry_now()
        record = world.store.load(here._own.key).record

        assert record is not None
        assert record.cooldown is not None
        assert follower.status().backing_off is None

    def test_back_off_of_another_kind(self, world: World) -> None:
        """What is mended ends only the back-off that it was the reason of."""
        world.script(QUOTA)
        provider = world.provider()
        world.error(provider)
        provider._own.resume(lambda failure: failure.cause is not Cause.QUOTA)

        assert 600.0 == provider.status().backing_off

    @pytest.mark.parametrize(("failure", "wrong"), [(WRONG, True), (QUOTA, False), (NOT_ALLOWED, False)])
    def test_wrong_until(self, world: World, failure: Failure, wrong: bool) -> None:
        """Only a wrong secret is one; nor is it while there is a good token."""
        world.script("T1", failure, failure)
        provider = world.provider()
        world.get(provider)
        world.advance(6601)
        world.get(provider)
        world.drain()
        with_token = provider.wrong_until()
        world.advance(600)
        world.error(provider)

        assert -math.inf == with_token
        assert wrong is (provider.wrong_until() > world.clock())

    def test_fleet_remembers(self, world: World) -> None:
        """What one process has learnt about a wrong secret, the others do not try before its back-off is over."""
        world.script(WRONG)
        here, there = world.provider(), world.elsewhere()
        world.error(here)
        world.advance(10)
        error = world.error(there)

        assert (TokenRefused, 50.0) == (type(error), error.retry_after)
        assert 1 == world.issuer.fetches

    def test_another_has_fetched_meanwhile(self, world: World) -> None:
        """Whose request failed, past its lease, gives the token that another process has fetched meanwhile."""
        world.script(BUSY, "T2")
        here, there = world.provider(), world.elsewhere()

        def stand_still() -> None:
            world.issuer.during = None
            world.advance(60)
            assert "T2" == there.get_token()

        world.issuer.during = stand_still

        assert "T2" == world.get(here)


class TestFleet:
    """Several processes on one store; each is a provider that shares nothing else."""

    def test_cold(self, world: World) -> None:
        """The second process finds the first one's token."""
        world.script("T1")

        assert "T1" == world.get(world.provider())
        assert "T1" == world.get(world.elsewhere())

    def test_both_at_once(self, world: World) -> None:
        """While one process fetches, the other waits for its token."""
        world.script("T1")
        held = gate(world)
        here, there = world.provider(), world.elsewhere(sleep=lambda _: held.set())
        assert isinstance(world.error(here, timeout=0), TokenUnavailable)
        world.issuer.wait_for(1)

        assert "T1" == world.get(there)

    def test_ahead_by_one(self, world: World) -> None:
        """While one process renews ahead, the other does not wait and does not fetch."""
        world.script("T1", "T2")
        here, there = world.provider(), world.elsewhere()
        world.get(here)
        world.get(there)
        world.advance(6601)
        held = gate(world)
        world.get(here)
        world.issuer.wait_for(2)

        assert "T1" == world.get(there)
        world.drain(there)
        held.set()
        world.drain()
        world.advance(20)
        world.get(there)
        world.drain()
        assert "T2" == world.get(there)

    def test_leader_gone(self, world: World) -> None:
        """When the process that holds the lease is gone, another fetches when the lease ends."""
        provider = world.provider()
        seen = world.store.load(provider._own.key)
        gone = f"{process.name()}gone"  # alive, and in a store of one process the only one that can hold a lease
        world.store.save(provider._own.key, Record(lease=Lease(gone, seen.now + 8)), seen.version)
        world.script("T1")
        before = world.clock()

        assert "T1" == world.get(provider)
        assert 8 <= world.clock() - before <= 9

    def test_leader_gone_with_an_old_token(self, world: World) -> None:
        """The same when there is an old record, and the others have waited for long."""
        world.script("T1", "T2")
        provider = world.provider()
        world.get(provider)
        world.advance(7100)
        seen = world.store.load(provider._own.key)
        gone = f"{process.name()}gone"
        assert seen.record is not None
        world.store.save(provider._own.key, replace(seen.record, lease=Lease(gone, seen.now + 108)), seen.version)
        world.advance(100)

        assert "T2" == world.get(provider)
        assert 8 <= world.clock() - 57_200 <= 9

    def test_leader_gone_and_store_down(self, world: World) -> None:
        """When the store fails after the dead leader's lease was seen, the process fetches for itself."""
        world.script("T1")
        provider = world.provider()
        seen = world.store.load(provider._own.key)
        gone = f"{process.name()}gone"
        world.store.save(provider._own.key, Record(lease=Lease(gone, seen.now + 8)), seen.version)
        save = world.store.save

        def fail(*_: object) -> None:
            raise OSError

        world.store.save = fail

        assert "T1" == world.get(provider)
        world.store.save = save

    def test_leader_comes_back(self, world: World) -> None:
        """A process that stood still past its lease does not put its older token over a newer one."""
        world.script("T1", "T2")
        here, there = world.provider(), world.elsewhere()

        def stand_still() -> None:
            world.issuer.during = None
            world.advance(60)
            assert "T2" == there.get_token()
            world.advance(1)

        world.issuer.during = stand_still

        assert "T2" == world.get(here)
        assert "T2" == world.store.load(here._own.key).record.value

    def test_leader_comes_back_before_it_sends(self, world: World) -> None:
        """A process that stood still between the lease and the request does not send it on a lease that is over."""
        world.script("T1")
        here, there = world.provider(), world.elsewhere()
        save = world.store.save

        def stand_still(key: str, record: Record, version: object) -> object:
            saved = save(key, record, version)
            world.store.save = save
            world.advance(60)
            assert "T1" == there.get_token()
            return saved

        world.store.save = stand_still

        assert "T1" == world.get(here)
        assert 1 == world.issuer.fetches

    def test_later_answer_wins(self, world: World) -> None:
        """Whoever sent after the other's answer had arrived has the newer token, and publishes it."""
        world.script("T1", "T2")
        there = world.elsewhere()
        stood_still: list[bool] = []

        def wall() -> float:  # read between the lease and the request
            if not stood_still:
                stood_still.append(True)
                world.advance(60)
                assert "T1" == there.get_token()
                world.advance(1)
            return world.wall()

        here = world.provider(time=wall)

        assert "T2" == world.get(here)
        record = world.store.load(here._own.key).record
        assert record is not None
        assert "T2" == record.value

    def test_lease_over_and_nobody_published(self, world: World) -> None:
        """A fetch that outlasts its lease is published all the same, if nobody else has."""
        world.script("T1")
        world.issuer.during = lambda: world.advance(60)
        provider = world.provider()

        assert "T1" == world.get(provider)
        assert "T1" == world.store.load(provider._own.key).record.value

    def test_store_flushed(self, world: World) -> None:
        """When the store has forgotten a good token, it is written back and nothing is fetched."""
        world.script("T1")
        here, there = world.provider(), world.elsewhere()
        world.get(here)
        world.store._records.clear()
        world.advance(61)
        world.get(here)
        world.drain()

        if isinstance(world.store, FleetStore):
            assert "T1" == world.get(there)

    def test_store_found_empty_is_looked_at_twice(self, world: World) -> None:
        """A store that is found empty is looked at twice before it is written to: it may just be replaced."""
        there: dict[str, object] = {}
        saved: list[Record] = []

        def come_back(seconds: float) -> None:
            world.clock.advance(seconds)
            world.store._records.update(there)
            world.store.save = lambda key, record, version: saved.append(record)

        world.script("T1")
        provider = world.provider(sleep=come_back)
        world.get(provider)
        if not world.store.shared:
            pytest.skip("nobody shares it")
        there.update(world.store._records)
        world.store._records.clear()
        world.advance(61)
        world.get(provider)
        world.drain()

        assert [] == saved
        assert there == world.store._records

    def test_store_with_an_old_record(self, world: World) -> None:
        """When the store comes back with an old record, the newer token is written over it."""
        world.script("T1", "T2")
        here, there = world.provider(), world.elsewhere()
        world.get(here)
        key = here._own.key
        old = world.store.load(key).record
        world.get(here, "T1")
        world.store.save(key, old, world.store.load(key).version)
        world.advance(61)
        world.get(here)
        world.drain()

        if isinstance(world.store, FleetStore):
            assert "T2" == world.get(there)

    def test_new_token_is_noticed(self, world: World) -> None:
        """Whoever shares a store looks at it within a minute, and takes what is newer."""
        world.script("T1", "T2")
        here, there = world.provider(), world.elsewhere()
        world.get(here)
        world.get(there)
        world.get(there, "T1")
        world.advance(60)
        world.get(here)
        world.drain()

        assert "T2" == world.get(here)

    def test_out_of_touch(self, world: World) -> None:
        """Who has asked for nothing in a minute may hold a dead token, and looks before it hands one out."""
        world.script("T1", "T2")
        here, there = world.provider(), world.elsewhere()
        world.get(here)
        world.get(there)
        world.get(there, "T1")
        world.advance(61)
        answers = set(world.herd(here))

        if isinstance(world.store, FleetStore):
            assert {"T2"} == answers
        assert world.issuer.fetches == 2

    def test_out_of_touch_without_news(self, world: World) -> None:
        """If nobody has replaced it, it is handed out as before; the next look is in the background."""
        world.script("T1")
        provider = world.provider()
        world.get(provider)
        world.advance(300)
        world.herd(provider)
        world.advance(60)
        world.store.load = None  # who waited for it would be told so

        assert {"T1"} == set(world.herd(provider))

    def test_out_of_touch_and_store_down(self, world: World) -> None:
        """If the store is down, one caller finds out, and then all get what there is."""
        world.script("T1")
        provider = world.provider()
        world.get(provider)
        world.advance(300)
        calls = []

        def fail(key: str) -> object:
            calls.append(key)
            raise OSError

        world.store.load = fail

        assert ["T1"] * 64 == world.herd(provider)
        world.drain()
        assert ["T1"] * 64 == world.herd(provider)
        world.drain()
        assert len(calls) == 1

    def test_out_of_touch_without_waiting(self, world: World) -> None:
        """Who does not wait gets what there is."""
        world.script("T1")
        provider = world.provider()
        world.get(provider)
        world.advance(300)
        load, go = world.store.load, threading.Event()
        if not isinstance(world.store, FleetStore):
            go.set()  # a store of one process is looked at at once

        def slow(key: str) -> object:
            assert go.wait(20)
            return load(key)

        world.store.load = slow

        assert "T1" == world.get(provider, timeout=0)
        go.set()
        world.drain()

    @pytest.mark.parametrize("face", ["asyncio", "trio"], indirect=True)
    def test_out_of_touch_in_a_loop(self, world: World, face: Tasks) -> None:
        """In an event loop, where it cannot wait for the look, `current_token` gives the token that is good."""
        world.script("T1")
        provider = world.provider()
        load, go = world.store.load, threading.Event()

        def slow(key: str) -> object:
            assert not isinstance(world.store, FleetStore) or go.wait(20)
            return load(key)

        async def main() -> list[str]:
            found = [await provider.aget_token()]
            world.store.load = slow
            with use_provider(provider):
                for _ in range(3):
                    world.advance(120)
                    found.append(current_token())
            return found

        found = face.run(main)
        go.set()
        world.drain()

        assert ["T1"] * 4 == found

    def test_out_of_touch_near_the_end(self, world: World) -> None:
        """The look that callers have waited for is followed by a renewal, which they do not wait for."""
        world.script("T1", "T2")
        provider = world.provider()
        world.get(provider)
        world.advance(6700)
        held = gate(world)

        assert "T1" == world.get(provider)
        world.issuer.wait_for(2)
        held.set()
        world.names()
        assert "T2" == world.get(provider)

    def test_store_down(self, world: World) -> None:
        """A store that fails is no reason to fail: the process fetches for itself, and says so once."""
        world.script("T1", "T2")
        provider = world.provider()

        def fail(*_: object) -> None:
            raise OSError("redis://:password@host is down")

        world.store.load = fail

        assert "T1" == world.get(provider)
        world.advance(7201)
        assert "T2" == world.get(provider)
        assert 1 == world.names().count(EventType.STORE_FAILED)
        assert "password" not in repr(world.events)

    def test_store_that_keeps_failing(self, world: World) -> None:
        """After three failures in a row a store is left alone for five seconds, and then asked again."""
        world.script("T1")
        provider = world.provider()
        load, calls = world.store.load, []

        def fail(key: str) -> object:
            calls.append(key)
            raise OSError

        world.store.load = fail
        world.get(provider)
        asked = []
        for step in (60, 60, 1, 1, 60):  # the third failure in a row is at the second of these
            world.advance(step)
            provider._own.snapshot = replace(provider._own.snapshot, revalidate_at=0.0, hot_until=0.0, hot_ticks=0.0)
            world.get(provider)
            world.drain()
            asked.append(len(calls))
        world.store.load = load
        world.advance(60)
        world.get(provider)
        world.drain()

        assert asked[1] == asked[2] == asked[3] < asked[4]
        assert EventType.STORE_BACK in world.names()

    def test_store_is_back(self, world: World) -> None:
        """A token that was fetched while the store was down is there for the others soon after the store is."""
        if not isinstance(world.store, FleetStore):
            pytest.skip("nobody shares it")
        world.script("T1")
        provider, other = world.provider(), world.elsewhere()
        store: Any = world.store
        load, store.load = store.load, None
        world.get(provider)
        world.drain()
        store.load = load
        world.advance(OPEN_SECONDS * 1.25)
        world.get(provider)
        world.drain()

        assert "T1" == world.get(other)

    def test_store_down_near_the_end(self, world: World) -> None:
        """While a token near its end is good and the store is down, one caller in a while looks whether it still is."""
        world.script("T1")
        provider = world.provider()
        world.get(provider)
        world.advance(6700)
        calls = []

        def fail(key: str) -> object:
            calls.append(key)
            raise OSError

        world.store.load = fail
        for _ in range(10):
            world.get(provider)
            world.drain()

        assert 1 <= len(calls) <= 2

    def test_store_error_tells_what_to_do(self, world: World) -> None:
        """What a store says to a person in a StoreError is in the log."""
        world.script("T1")
        provider = world.provider()

        def fail(*_: object) -> None:
            raise StoreError("The disk is full. Make room.")

        world.store.load = fail
        world.get(provider)
        world.names()

        assert [event.message for event in world.events if "Make room." in event.message]

    def test_store_that_cannot_be_written(self, world: World) -> None:
        """A store that can be read and not written is no reason to fail, or to ask for ever."""
        world.script("T1")
        provider = world.provider()

        def fail(*_: object) -> None:
            raise OSError

        world.store.save = fail

        assert "T1" == world.get(provider)

    @pytest.mark.parametrize("forgets", [False, True])
    def test_refused_for_ever_and_store_not_written(self, world: World, forgets: bool) -> None:
        """A store that can be read and not written, or that forgets, is no reason to lose count of the rejections."""
        world.script("T1", *(f"T{n}" for n in range(2, 6)))
        provider = world.provider()
        token = world.get(provider)
        load = world.store.load

        def fail(*_: object) -> None:
            raise OSError

        world.store.save = fail
        if forgets:
            world.store.load = lambda key: replace(load(key), record=None)
        for _ in range(10):
            world.advance(10)
            try:
                token = provider.get_token(token)
            except TokenUnavailable:
                token = provider.get_token()

        assert 4 <= world.issuer.fetches <= 5

    def test_store_that_never_saves(self, world: World) -> None:
        """A store that always says that somebody else was faster does not keep anyone busy for ever."""
        world.script("T1")
        provider = world.provider()
        world.store.save = lambda *_: None

        assert "T1" == world.get(provider)

    def test_follow(self, world: World) -> None:
        """A follower never fetches; it has the token as soon as the owner has written it."""
        world.script("T1", "T2")
        owner, follower = world.provider(), world.elsewhere(follow=True)
        assert isinstance(world.error(follower), TokenUnavailable)
        assert 0 == world.issuer.fetches
        world.get(owner)
        world.advance(1)

        assert "T1" == world.get(follower)
        world.get(owner, "T1")
        assert "T2" == world.get(follower, "T1")

    def test_follow_through_the_end(self, world: World) -> None:
        """A follower takes the renewed token before the old one ends."""
        world.script("T1", "T2")
        owner, follower = world.provider(), world.elsewhere(follow=True)
        world.get(owner)
        world.get(follower)
        world.advance(6700)
        world.get(owner)
        world.drain(owner)
        world.advance(60)
        world.get(follower)
        world.drain(follower)

        assert "T2" == world.get(follower)
        assert 2 == world.issuer.fetches


class TestFlights:
    """One refresh, and what must not disturb it."""

    def test_time_of_a_fetch(self, world: World) -> None:
        """A refresh is not overdue while its fetch may take its time: it has a lease's length from its claim."""
        world.script("T1")
        provider = world.provider()
        left: list[float] = []

        def note() -> None:
            flight = provider._own.flight
            assert flight is not None
            left.append(flight.due - world.clock.now)

        world.issuer.during = note
        world.get(provider)

        assert [LEASE] == left

    def test_waiter_gives_up(self, world: World) -> None:
        """A caller whose time is over leaves the flight as it is; the next one gets its token."""
        world.script("T1")
        held = gate(world)
        provider = world.provider()
        assert isinstance(world.error(provider, timeout=0.01), TokenUnavailable)
        held.set()

        assert "T1" == world.get(provider)

    def test_frozen_flight(self, world: World) -> None:
        """A flight that stood still past its time is superseded, and cannot put its older token over the newer."""
        world.script("T1", "T2")
        held = gate(world)
        provider = world.provider()
        assert isinstance(world.error(provider, timeout=0), TokenUnavailable)
        world.issuer.wait_for(1)
        frozen = provider._own.flight
        assert frozen is not None
        world.advance(600)
        world.issuer.gate = None

        assert "T2" == world.get(provider)
        held.set()
        assert frozen.wait(20) is not None
        assert "T2" == world.get(provider)

    def test_frozen_flight_that_fails(self, world: World) -> None:
        """What a superseded flight failed with is of no interest any more."""
        world.script(WRONG, "T2")
        held = gate(world)
        provider = world.provider()
        world.error(provider, timeout=0)
        world.issuer.wait_for(1)
        frozen = provider._own.flight
        assert frozen is not None
        world.advance(600)
        world.issuer.gate = None
        assert "T2" == world.get(provider)
        held.set()
        frozen.wait(20)

        assert provider.status().backing_off is None

    def test_frozen_flight_without_a_store(self, world: World) -> None:
        """The same when the store is down: what was sent earlier is older."""
        world.script("T1", "T2")
        held = gate(world)
        provider = world.provider()
        world.error(provider, timeout=0)
        world.issuer.wait_for(1)
        frozen = provider._own.flight
        assert frozen is not None
        world.advance(600)
        world.issuer.gate = None

        def fail(*_: object) -> None:
            raise OSError

        world.store.load = world.store.save = fail
        assert "T2" == world.get(provider)
        held.set()
        frozen.wait(20)

        assert "T2" == world.get(provider)

    def test_suspended_during_a_look(self, world: World) -> None:
        """A machine that is suspended while the store is read does not add the nap to the token's life."""
        world.script("T1", "T2")
        here, there = world.provider(), world.elsewhere()
        world.get(here)
        load = world.store.load

        def nap(key: str) -> object:
            loaded = load(key)
            world.advance(1500)
            return loaded

        world.store.load = nap
        assert "T1" == world.get(there)
        world.store.load = load
        world.clock.now = 50_000.0 + 7201

        assert "T2" == world.get(there)

    @pytest.mark.parametrize("face", ["threads"], indirect=True)
    def test_asked_while_deciding(self, world: World) -> None:
        """A signal handler or finaliser that asks for a token while its thread decides does not lock itself out."""
        world.script("T1")
        provider = world.provider()
        results: list[str | None] = []

        def deciding() -> None:
            with provider._own._lock:
                results.append(provider.peek())

        caller = threading.Thread(target=deciding, daemon=True)
        caller.start()
        caller.join(10)

        assert [None] == results
        assert "T1" == world.get(provider)

    @pytest.mark.parametrize(("cache", "rejected"), [(True, "T1"), (True, "T0"), (False, "T0")])
    def test_asked_while_deciding_about_a_good_token(self, world: World, cache: bool, rejected: str) -> None:
        """It gets a good token, unless that is the rejected one, or each caller is to have one of the store's."""
        world.script("T1")
        provider = world.provider(cache=cache)
        world.get(provider)
        with provider._own._lock:
            answer = provider._own.decide(rejected)

        assert (cache and rejected != "T1") is (answer is provider._own.snapshot)

    def test_wall_clock_steps(self, world: World) -> None:
        """A wall clock that jumps by hours, either way, changes nothing."""
        world.script("T1", "T2", "T3")
        provider = world.provider()
        world.get(provider)
        world.wall.advance(-3 * 3600)
        assert "T1" == world.get(provider)
        assert "T2" == world.get(provider, "T1")
        world.wall.advance(6 * 3600)
        world.advance(31)

        assert "T3" == world.get(provider, "T2")

    def test_suspended(self, world: World) -> None:
        """After three hours of sleep the token is known to be over."""
        world.script("T1", "T2")
        provider = world.provider()
        world.get(provider)
        world.advance(3 * 3600)

        assert "T2" == world.get(provider)

    def test_two_accounts(self, worlds: Callable[..., World]) -> None:
        """Two accounts on one store have nothing to do with each other."""
        one, two = worlds(), worlds()
        two.account = replace(two.account, appid="wxffffffffffffffff")
        two.store = one.store
        two.clock = one.clock
        one.script("T1")
        two.script("U1")

        assert ("T1", "U1") == (one.get(one.provider()), two.get(two.provider()))

    def test_shared_by_providers(self, world: World) -> None:
        """Two providers of one account share cache and flight."""
        world.script("T1")
        open_when_asked(world)
        one, two = world.provider(), world.provider()

        assert ["T1"] * 16 == world.herd(one, size=16)
        assert "T1" == two.peek()

    def test_observers(self, world: World) -> None:
        """The story of a token is told in order."""
        world.script("T1", "T2")
        provider = world.provider()
        # An API takes longer to answer than a flight to say that it has landed.
        world.get(provider)
        landed()
        world.get(provider, "T1")
        landed()
        provider.confirm("T2")

        told = [name for name in world.names() if name is not EventType.ADOPTED]
        assert told == [
            EventType.FETCH_BEGUN,
            EventType.FETCH_DONE,
            EventType.REJECTED,
            EventType.FETCH_BEGUN,
            EventType.FETCH_DONE,
            EventType.HEALED,
        ]


def test_adopted_in_between(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that comes while a caller is about to be told of a failure is given whole, or not at all."""
    world.script(BUSY)
    provider, usable = world.provider(), CachedToken.usable

    def late(token: CachedToken) -> bool:
        if sys._getframe(1).f_code.co_name == "_asking":  # between what the caller has read and what it asks next
            now = token.runtime.clock()
            token.adopt(Record(generation=7, value="T9", expires_at=now + 7200, sent_at=now, received_at=now))
        return usable(token)

    monkeypatch.setattr(CachedToken, "usable", late)
    assert isinstance(world.error(provider), TokenUnavailable)


@pytest.mark.parametrize("face", ["asyncio", "trio"], indirect=True)
def test_loops_and_threads(worlds: Callable[..., World], face: Tasks) -> None:
    """Two event loops and thirty threads at once: one fetch."""
    world = worlds()
    world.script("T1")
    open_when_asked(world)
    provider = world.provider()
    results: list[object] = []
    callers = [threading.Thread(target=lambda: results.extend(face.many(provider, None, 100))) for _ in range(2)]
    callers += [threading.Thread(target=lambda: results.append(provider.get_token())) for _ in range(30)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)

    assert ["T1"] * 230 == results
    assert 1 == world.issuer.fetches
