"""A token that somebody else owns: the source only says what it is, so asking it is cheap."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from engine.world import BUSY, WRONG, World
from wxmiddleware import (
    Account,
    ConfigurationError,
    EventType,
    TokenProvider,
    TokenUnavailable,
    WeComAccount,
    with_token,
)
from wxmiddleware._rules.policies import CHEAP_BACKOFF
from wxmiddleware.sources import ClassicToken, Failure, Grant, JsapiTicket, StableToken, WeComToken

REJECTION = {"errcode": 40001, "errmsg": "invalid credential"}


@dataclass
class Elsewhere:
    """A source that says what it is told to, as often as it is asked."""

    gives: Any = "T1"
    life: float = 7200.0
    asked: int = 0
    kind: str = "elsewhere"
    asks: str = "the file"
    timeout: float = 5.0
    refresh_ahead: float = 60.0
    refresh_after: float = 60.0
    revokes_previous: bool = False
    can_force: bool = False
    cheap: bool = True
    needs_secret: bool = False
    during: Callable[[], object] = field(default=lambda: None)

    __hash__ = object.__hash__

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        self.asked += 1
        self.during()
        return Grant(self.gives, self.life) if isinstance(self.gives, str) else self.gives


@pytest.fixture
def source() -> Elsewhere:
    return Elsewhere()


def caller(provider: TokenProvider, accepted: set[str]) -> tuple[list[str], Callable[[], dict[str, object]]]:
    """An API call that takes some tokens, and what it was sent."""
    sent = []

    @with_token(provider)
    def call(access_token: str) -> dict[str, object]:
        sent.append(access_token)
        return {"errcode": 0} if access_token in accepted else REJECTION

    return sent, call


class TestRejected:
    """What happens in a theft."""

    def test_owner_has_renewed(self, world: World, source: Elsewhere) -> None:
        """There is a new one: one ask heals all."""
        provider = world.provider(source=source)
        world.get(provider)
        source.gives = "T2"

        assert ["T2"] * 64 == world.herd(provider, "T1")
        assert 2 == source.asked

    def test_owner_has_not(self, world: World, source: Elsewhere) -> None:
        """The same one is still there: the caller gets WeChat's answer, and others keep the token."""
        provider = world.provider(source=source)
        world.get(provider)
        sent, call = caller(provider, set())

        assert REJECTION == call()
        assert ["T1"] == sent
        error = world.error(provider, "T1")
        assert isinstance(error, TokenUnavailable)
        assert "the file still gives it" in str(error)
        assert 1.0 == error.retry_after
        assert "T1" == world.get(provider)
        assert 2 == source.asked

    def test_a_second_later(self, world: World, source: Elsewhere) -> None:
        """It is asked again after a second, however often, and healed when there is a new one."""
        provider = world.provider(source=source)
        world.get(provider)
        for _ in range(40):
            world.error(provider, "T1")
            world.error(provider, "T1")
            world.advance(1)
        assert 41 == source.asked
        source.gives = "T2"

        assert "T2" == world.get(provider, "T1")
        assert 42 == source.asked

    def test_again_and_again(self, world: World, source: Elsewhere) -> None:
        """New ones that die are replaced each second, and no other system is blamed: whoever owns it may renew it."""
        provider = world.provider(source=source)
        token = world.get(provider)
        for number in range(2, 20):
            world.advance(20)
            source.gives = f"T{number}"
            token = world.get(provider, token)
        world.error(provider, token)

        assert "T19" == token
        assert 19 == source.asked
        assert EventType.OTHER_SYSTEM not in world.names()

    def test_replaced_just_now(self, world: World, source: Elsewhere) -> None:
        """Nobody knows when it was minted, so the one before is not tried again, as it would be after a fetch."""
        provider = world.provider(source=source)
        world.get(provider)
        world.advance(61)
        source.gives = "T2"
        world.get(provider)
        world.drain()
        source.gives = "T3"

        assert "T3" == world.get(provider, "T2")

    def test_copy_that_lags(self, world: World, source: Elsewhere) -> None:
        """One that was rejected before, and replaced, does not come back."""
        provider = world.provider(source=source)
        world.get(provider)
        source.gives = "T2"
        world.get(provider, "T1")
        source.gives = "T1"
        world.advance(61)
        assert "T2" == world.get(provider)
        world.drain()

        assert "T2" == world.get(provider)
        assert "the file still gives it" in str(world.error(provider, "T2"))
        source.gives = "T3"
        world.advance(5)
        assert "T3" == world.get(provider, "T2")

    @pytest.mark.parametrize("ends", [False, True])
    def test_gone_back(self, world: World, source: Elsewhere, ends: bool) -> None:
        """One that was rejected counts again once it is insisted on, a minute later, and there is no other to use."""
        provider = world.provider(source=source)
        world.get(provider)
        source.gives = "T2"
        source.life = 70.0
        world.get(provider, "T1")
        source.gives = "T1"
        world.advance(59)
        assert "T2" == world.get(provider)  # one look in the background
        world.drain()
        if not ends:
            assert "still gives it" in str(world.error(provider, "T2"))
            world.advance(2)
            assert "T1" == world.get(provider, "T2")
        else:
            world.advance(12)
            assert "T1" == world.get(provider)
        assert "T1" == world.get(provider)

        source.gives = "T3"
        world.advance(1)
        assert "T3" == world.get(provider, "T1")

    def test_copy_that_lags_in_a_fleet(self, worlds: Callable[..., World], source: Elsewhere) -> None:
        """Nor does one that was rejected in another process."""
        world = worlds()
        here, there = world.elsewhere(source=source), world.elsewhere(source=source)
        assert ("T1", "T1") == (world.get(here), world.get(there))
        source.gives = "T2"
        world.get(here, "T1")
        world.advance(30)
        for _ in range(2):
            world.get(there)
            world.drain()
        source.gives = "T1"
        for _ in range(3):
            world.advance(61)
            for provider in (there, here):
                assert "T2" == world.get(provider)
                world.drain()

        assert ("T2", "T2") == (world.get(there), world.get(here))

    def test_copy_that_lags_behind_a_late_owner(self, world: World, source: Elsewhere) -> None:
        """Nor does one that was kept for a while, as its owner had not renewed it yet."""
        provider = world.provider(source=source)
        world.get(provider)
        world.error(provider, "T1")
        for given in ("T2", "T1"):
            source.gives = given
            world.advance(61)
            world.get(provider)
            world.drain()
            assert "T2" == world.get(provider)

    def test_one_look_is_not_enough(self, world: World, source: Elsewhere) -> None:
        """Of two copies one may lag: what it shows counts if there was nothing else in between."""
        provider = world.provider(source=source)
        world.get(provider)
        source.gives = "T2"
        world.get(provider, "T1")
        world.advance(3600)
        world.get(provider)
        world.drain()
        for _ in range(5):
            source.gives = "T1"
            world.advance(1)
            assert "still gives it" in str(world.error(provider, "T2"))
            source.gives = "T2"
            world.advance(1)
            assert "still gives it" in str(world.error(provider, "T2"))
        assert "T2" == world.get(provider)

    def test_both_dead(self, world: World, source: Elsewhere) -> None:
        """Two that both are dead, in turns: about one ask in a second, and each comes back once in a minute at most."""
        provider = world.provider(source=source)
        world.get(provider)
        tokens, asked = [], source.asked
        for second in range(600):
            source.gives = f"T{second // 10 % 2 + 1}"
            with suppress(TokenUnavailable):
                world.get(provider, world.get(provider))
            tokens.append(world.get(provider))
            world.advance(1)
            world.drain()

        changes = sum(one != other for one, other in pairwise(tokens))
        assert (source.asked - asked <= 660, 2 < changes <= 20) == (True, True)

    def test_gone_back_in_a_fleet(self, worlds: Callable[..., World], source: Elsewhere) -> None:
        """What one process has found out serves those that had rejected it, too."""
        world = worlds()
        fleet = [world.elsewhere(source=source) for _ in range(8)]
        for provider in fleet:
            world.get(provider)
        source.gives = "T2"
        for provider in fleet:
            world.get(provider, "T1")
        source.gives = "T1"
        world.advance(65)
        for provider in fleet:
            world.get(provider)
            world.drain()
        asked = source.asked
        world.error(fleet[0], "T2")
        world.advance(2)

        assert ["T1"] * 8 == [world.get(provider, "T2") for provider in fleet]
        assert source.asked - asked == 2
        world.advance(61)
        for provider in fleet:
            assert "T1" == world.get(provider)
            world.drain()
            assert provider.status().failure is None

    def test_while_it_is_asked_for(self, world: World, source: Elsewhere) -> None:
        """A rejection during a look that finds the same token is not forgotten."""
        provider = world.provider(source=source)
        world.get(provider)
        world.advance(61)
        errors = []
        source.during = lambda: errors.append(provider._own.decide("T1"))
        world.get(provider)
        world.drain()
        source.during = lambda: None
        source.gives = "T2"
        world.advance(5)

        assert "T2" == world.get(provider, "T1")

    def test_while_it_is_saved(self, world: World, source: Elsewhere) -> None:
        """Nor is a rejection after the look has found the same token, before that is saved."""
        provider = world.provider(source=source)
        world.get(provider)
        world.advance(61)
        save, saved = world.store.save, []

        def reject_and_save(*arguments: Any) -> Any:
            saved.append(arguments)
            if source.asked == 2:
                world.store.save = save
                provider._own.decide("T1")
            return save(*arguments)

        world.store.save = reject_and_save
        world.get(provider)
        world.drain()

        assert len(saved) > 1
        assert "rejected" == provider.status().state

    def test_ends_the_back_off(self, world: World, source: Elsewhere) -> None:
        """A rejection overrules a back-off, which is over if there is still the same one."""
        provider = world.provider(source=source)
        world.get(provider)
        source.gives = BUSY
        world.advance(61)
        world.get(provider)
        world.drain()
        assert provider.status().backing_off
        source.gives = "T1"

        assert "still gives it" in str(world.error(provider, "T1"))
        assert provider.status().backing_off is None

    def test_told_once(self, world: World, source: Elsewhere) -> None:
        """The log says once that the owner has to renew it, and nothing of each look."""
        provider = world.provider(source=source)
        world.get(provider)
        world.names()  # what one flight has to tell may else come after what the next one tells
        for _ in range(5):
            world.error(provider, "T1")
            world.advance(1)

        begun = [EventType.FETCH_BEGUN, EventType.FETCH_DONE]
        assert [*begun, EventType.REJECTED, EventType.KEPT] == world.names()
        assert "Asking the file for a token (first)." == world.events[0].message
        assert "The file gave a token for 7200 s (first)." == world.events[1].message
        assert world.events[-1].message.startswith("WeChat rejected the token, and the file still gives it.")
        assert "another service" not in world.events[-1].message

    def test_another_process(self, worlds: Callable[..., World], source: Elsewhere) -> None:
        """With a store, what one process has found serves the others."""
        world = worlds()
        here, there = world.elsewhere(source=source), world.elsewhere(source=source)
        world.get(here)
        world.get(there)
        source.gives = "T2"
        world.get(here, "T1")

        assert "T2" == world.get(there, "T1")
        assert 2 == source.asked


class TestLooks:
    """It is asked for every minute, whatever its end."""

    def test_replaced(self, world: World, source: Elsewhere) -> None:
        """One that was replaced before its end is found within a minute, and nobody waits."""
        provider = world.provider(source=source)
        world.get(provider)
        source.gives = "T2"
        world.advance(59)
        assert "T1" == world.get(provider)
        world.drain()
        assert 1 == source.asked
        world.advance(1)
        assert "T1" == world.get(provider)
        world.drain()

        assert "T2" == world.get(provider)
        assert 2 == source.asked

    def test_the_same(self, world: World, source: Elsewhere) -> None:
        """The same one is one look a minute, no event, and has the end that is known now."""
        provider = world.provider(source=source)
        world.get(provider)
        number = provider.status().generation
        for _ in range(120):
            world.advance(60)
            assert "T1" == world.get(provider)
            world.drain()

        assert 121 == source.asked
        assert number == provider.status().generation
        assert 7200.0 == provider.status().expires_in
        assert [EventType.FETCH_BEGUN, EventType.FETCH_DONE] == world.names()

    def test_option(self, world: World, source: Elsewhere) -> None:
        """The provider's own wish goes first."""
        provider = world.provider(source=source, refresh_after=600)
        world.get(provider)
        world.advance(599)
        world.get(provider)
        world.drain()

        assert 1 == source.asked

    def test_end(self, world: World, source: Elsewhere) -> None:
        """Near its end it is asked for more often, not with each call."""
        source.life = 100.0
        provider = world.provider(source=source)
        world.get(provider)
        source.during = lambda: setattr(source, "life", 50_100.0 - world.clock.now)
        for _ in range(990):
            world.advance(0.1)
            world.get(provider)
            world.drain()

        assert 2 < source.asked < 10

    def test_over_on_arrival(self, world: World, source: Elsewhere) -> None:
        """One that ends while it is on its way does not take the place of the token in use, nor its end."""
        provider = world.provider(source=source)
        world.get(provider)
        world.advance(61)
        source.gives, source.life, source.during = "T2", 0.5, lambda: world.advance(1)
        world.get(provider)
        world.drain()

        assert "T1" == world.get(provider)
        assert 7200.0 - 62.0 == provider.status().expires_in

    @pytest.mark.parametrize("failure", [BUSY, WRONG])
    def test_out_of_order(self, world: World, source: Elsewhere, failure: Failure) -> None:
        """While it cannot be read the token stays; it heals within seconds, also if a person had to act."""
        provider = world.provider(source=source)
        world.get(provider)
        source.gives = failure
        for _ in range(60):
            world.advance(60)
            assert "T1" == world.get(provider)
            world.drain()
        source.gives = "T2"
        world.advance(CHEAP_BACKOFF)
        world.get(provider)
        world.drain()

        assert "T2" == world.get(provider)

    @pytest.mark.parametrize("failure", [BUSY, WRONG])
    def test_none(self, world: World, source: Elsewhere, failure: Failure) -> None:
        """Without a token, too."""
        source.gives = failure
        provider = world.provider(source=source)
        for _ in range(9):
            world.error(provider)
            world.advance(CHEAP_BACKOFF)
        assert 9 == source.asked
        source.gives = "T1"

        assert "T1" == world.get(provider)

    def test_no_budget(self, world: World, source: Elsewhere) -> None:
        """Four hundred rejections, one a second, are never told that a budget is spent."""
        provider = world.provider(source=source)
        world.get(provider)
        for _ in range(400):
            world.error(provider, "T1")
            world.advance(1)

        assert 401 == source.asked


class TestAccounts:
    """Whose token it may be."""

    def test_no_secret(self, source: Elsewhere) -> None:
        """No secret is needed, but where the source needs one."""
        assert "T1" == TokenProvider(Account("wx1"), source=source).get_token()
        for needs in (None, StableToken(), ClassicToken()):
            with pytest.raises(ConfigurationError, match=r"no secret.*FileToken"):
                TokenProvider(Account("wx1"), source=needs)

    def test_tickets(self, source: Elsewhere) -> None:
        """A ticket is fetched with a token, so it needs no secret either."""
        provider = TokenProvider(Account("wx2"), source=source)

        assert isinstance(provider.with_source(JsapiTicket(provider)), TokenProvider)

    def test_errcodes(self, source: Elsewhere) -> None:
        """Which errcodes mean a rejected token depends on whose it is."""
        wecom = TokenProvider(WeComAccount("ww1", "secret"), source=source)

        assert {40001, 40014, 42001} == TokenProvider(Account("wx1"), source=source).retryable_errcodes
        assert WeComToken.retryable_errcodes == wecom.retryable_errcodes


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"follow": True}, "This process only follows; it looks at the store again in "),
        ({"source": Elsewhere(gives=BUSY)}, "The next look at the file is in "),
        ({}, "No request is sent to WeChat for "),
    ],
    ids=["follower", "elsewhere", "owner"],
)
def test_pause_is_told(world: World, options: dict[str, Any], says: str) -> None:
    """Only who asks WeChat says that for a while it does not."""
    world.script(BUSY)
    world.error(world.provider(**options))

    assert EventType.BACKING_OFF in world.names()  # which waits until all is told
    (told,) = [event.message for event in world.events if event.name is EventType.BACKING_OFF]
    assert told.startswith(says)
    assert ("WeChat" in told) is (not options)
