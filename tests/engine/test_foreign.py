"""What others own: a follower without the secret, another program's token, a secret that is wrong or was reset."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from engine.world import SECRET, WRONG, World
from wxmiddleware import Account, EventType, TokenProvider, TokenRefused, TokenUnavailable, WeComAccount
from wxmiddleware._engine.refresh import Refresh
from wxmiddleware.stores import Lease, Loaded, Record

pytestmark = pytest.mark.parametrize("worlds", ["fleet"], indirect=True)  # a store that others write, too


@pytest.fixture
def key(world: World) -> str:
    return world.provider()._own.key


def put(world: World, key: str, record: Record) -> None:
    """Write a record as somebody else would."""
    assert world.store.save(key, record, world.store.load(key).version) is not None


def with_secret(world: World, secret: str, **options: Any) -> TokenProvider:
    """A provider of another process, which has this secret."""
    own, world.account = world.account, Account(world.account.appid, secret)
    try:
        return world.elsewhere(**options)
    finally:
        world.account = own


def bare(world: World, value: str, *, life: float = 7200.0) -> Record:
    """What a program knows that counts nothing."""
    return Record(value=value, expires_at=world.clock.now + life)


class TestRival:
    def test_times_are_kept(self, world: World, key: str) -> None:
        """The record has the last eight times at which a rejected token was replaced."""
        world.script(*(f"T{number}" for number in range(11)))
        provider, times = world.provider(), []
        token = world.get(provider)
        for _ in range(10):
            world.advance(7000)
            token = world.get(provider, token)
            times.append(world.clock.now)

        assert tuple(times[-8:]) == pytest.approx(world.store.load(key).record.replaced)

    def test_same_token_again(self, world: World, key: str) -> None:
        """A fetch that brings the rejected token once more has replaced none."""
        world.script("T1", "T1")
        provider = world.provider()
        world.get(provider)
        world.advance(60)
        world.error(provider, "T1")

        assert () == world.store.load(key).record.replaced


class TestWithoutTheSecret:
    def test_follows(self, world: World) -> None:
        """It gets the owner's token, and its successor when that is rejected."""
        world.script("T1", "T2")
        owner, follower = world.provider(), with_secret(world, "", follow=True)
        first = world.get(owner), world.get(follower)
        world.advance(60)
        world.get(owner, "T1")

        assert (("T1", "T1"), "T2") == (first, world.get(follower, "T1"))
        assert 2 == world.issuer.fetches

    def test_gives_up_soon(self, world: World) -> None:
        """While there is nothing it says so after a second; it has the token as soon as the owner writes it."""
        follower = with_secret(world, "", follow=True)
        before = world.clock.now
        error = world.error(follower)
        waited = world.clock.now - before
        world.script("T1")
        world.get(world.provider())
        world.advance(1)

        assert isinstance(error, TokenUnavailable)
        assert "has not put a token" in str(error)
        assert 1.0 <= waited < 2.0
        assert "T1" == world.get(follower)

    def test_where_it_looked(self, world: World, key: str) -> None:
        """The key and the realm are named: with a wrong realm nobody else writes there."""
        world.account = Account("wx0123456789abcdef", realm="privat")
        said = str(world.error(world.provider(follow=True)))

        assert f"under the key {key.replace(':wechat:', ':privat:')!r}" in said
        assert "realm= here, which is 'privat'" in said

    def test_a_store_that_is_down(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is named with what to do, in the error and the status, and not the owner; also while the token is late."""
        world.script("T1")
        owner, late, new = world.provider(), *(with_secret(world, "", follow=True) for _ in range(2))
        assert ("T1", "T1") == (world.get(owner), world.get(late))

        def down(*_: object) -> Any:
            raise ConnectionRefusedError("T1 and the password")

        monkeypatch.setattr(world.store, "load", down)
        world.advance(7000)
        told = [str(world.error(new)), new.status().failure, world.get(late) and late.status().failure]

        for said in told:
            assert said
            assert "cannot read the store" in said
            assert "(ConnectionRefusedError). Nothing listens there. Check host and port" in said
            assert "has not" not in said
            assert "password" not in said
        monkeypatch.undo()
        world.advance(300)
        assert "has not put a token" in str(world.error(new))

    def test_waits_for_the_owner(self, world: World, key: str) -> None:
        """While the owner is fetching it waits for that."""
        put(world, key, Record(lease=Lease("there/1/2/3/4", world.clock.now + 5)))
        before = world.clock.now
        world.error(with_secret(world, "", follow=True))

        assert world.clock.now - before > 5

    def test_is_told_why_the_owner_has_none(self, world: World) -> None:
        """The owner's failure is the follower's."""
        world.script(WRONG)
        world.error(world.provider())

        assert 40125 == world.error(with_secret(world, "", follow=True)).errcode


class TestOwnerIsLate:
    """The owner is killed, frozen or slow: its token is good to its end, and followers say what is wrong."""

    @pytest.fixture
    def near_the_end(self, world: World) -> Iterator[TokenProvider]:
        """A follower whose token has 600 s left, which is when the owner should renew it; nobody fetches any more."""
        world.script("T1")
        owner, follower = world.provider(), with_secret(world, "", follow=True)
        world.get(owner)
        world.get(follower)
        world.advance(6600)
        yield follower
        assert 1 == world.issuer.fetches

    def test_killed(self, world: World, near_the_end: TokenProvider) -> None:
        """The follower hands the token out to its end, and says once, half-way, that nobody has renewed it."""
        told = []
        for _ in range(60):
            assert "T1" == world.get(near_the_end)
            world.drain(near_the_end)
            told.append(world.names().count(EventType.OWNER_LATE))
            world.advance(10)
        error = world.error(near_the_end)

        assert [0] * 30 == told[:30]
        assert [1] * 29 == told[31:]
        assert isinstance(error, TokenUnavailable)
        assert "has not put a token" in str(error)  # the store has forgotten the one that is over

    def test_status(self, world: World, near_the_end: TokenProvider) -> None:
        """A health page shows it, without a back-off, for as long as the token is good."""
        before = near_the_end.status()
        world.advance(400)
        during = near_the_end.status()
        world.advance(200)
        after = near_the_end.status()

        assert (None, None) == (before.failure, after.failure)
        assert during.failure is not None
        assert "has not renewed the token" in during.failure
        assert "ends in 200 s" in during.failure
        assert during.backing_off is None

    def test_frozen(self, world: World, key: str, near_the_end: TokenProvider) -> None:
        """A lease that its holder does nothing with makes nobody wait who has a token."""
        put(world, key, replace(world.store.load(key).record, lease=Lease("there/1/2/3/4", world.clock.now + 8)))
        before = world.clock.now

        assert "T1" == world.get(near_the_end)
        world.drain(near_the_end)
        assert before == world.clock.now

    def test_slow(self, world: World, key: str, near_the_end: TokenProvider) -> None:
        """As soon as the owner writes, the follower has it, and takes back what it said."""
        world.advance(400)
        world.get(near_the_end)
        world.drain(near_the_end)
        now = world.clock.now
        newer = world.store.load(key).record.generation + 1
        put(world, key, Record(newer, "T2", now + 7200, now - 1, now))
        world.advance(7)
        world.get(near_the_end)
        world.drain(near_the_end)

        assert "T2" == world.get(near_the_end)
        assert near_the_end.status().failure is None
        assert 1 == world.names().count(EventType.OWNER_LATE)

    def test_who_may_fetch_says_nothing(self, world: World, key: str) -> None:
        """A process that may renew the token itself does not say so while another one is at it."""
        world.script("T1")
        owner = world.provider()
        world.get(owner)
        world.advance(6900)
        put(world, key, replace(world.store.load(key).record, lease=Lease("there/1/2/3/4", world.clock.now + 8)))
        world.get(owner)
        world.drain()

        assert owner.status().failure is None
        assert EventType.OWNER_LATE not in world.names()


class TestWeCom:
    def test_follows(self, world: World) -> None:
        """At WeCom the AgentId is enough to follow, and to find the token again when the secret was changed."""
        world.script("T1")
        got = []
        for secret in ("a-secret", "another-secret", ""):
            world.account = WeComAccount("ww1", secret, agentid=1000002)
            got.append(world.get(world.elsewhere(follow=not secret)))

        assert ["T1"] * 3 == got

    def test_another_app(self, world: World) -> None:
        """Another app's token is not taken."""
        world.script("T1")
        world.account = WeComAccount("ww1", "a-secret", agentid=1000002)
        world.get(world.provider())
        world.account = WeComAccount("ww1", agentid=1000003)

        assert "has not put a token" in str(world.error(world.elsewhere(follow=True)))


def test_lease_that_ends_while_it_is_looked_at(world: World, key: str) -> None:
    """Who waits for a lease takes it over in the moment in which it ends."""
    world.script("T1")
    put(world, key, Record(lease=Lease("there/1/2/3/4", world.clock.now + 5)))
    looked = Refresh._leased

    def leased(refresh: Refresh, seen: Any) -> bool:
        found = looked(refresh, seen)
        if world.clock.now < 50_005:
            world.clock.advance(5)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Refresh, "_leased", leased)
        assert "T1" == world.get(world.elsewhere())


class TestAnotherProgram:
    @pytest.mark.parametrize("times", [{}, {"sent_at": 49_990.0, "received_at": 49_990.0}], ids=["end", "times"])
    def test_successor(self, world: World, key: str, times: dict[str, Any]) -> None:
        """A follower takes a token that has no number, and its successor, when it is rejected and when it looks."""
        put(world, key, replace(bare(world, "A"), **times))
        follower = world.provider(follow=True)
        got = [world.get(follower)]
        put(world, key, replace(bare(world, "B"), **times))
        got.append(world.get(follower, "A"))
        put(world, key, replace(bare(world, "C"), **times))
        world.advance(60)
        world.get(follower)
        world.drain()

        assert ["A", "B", "C"] == [*got, world.get(follower)]

    def test_same_number(self, world: World, key: str) -> None:
        """Of two tokens with one number the one in the store counts."""
        put(world, key, replace(bare(world, "A"), generation=5))
        follower = world.provider(follow=True)
        world.get(follower)
        put(world, key, replace(bare(world, "B"), generation=5))

        assert "B" == world.get(follower, "A")

    def test_after_one_with_a_number(self, world: World, key: str) -> None:
        """Where another program has taken over from one of ours, its token is taken."""
        world.script("T1")
        world.get(world.provider())
        follower = world.elsewhere(follow=True)
        world.get(follower)
        put(world, key, bare(world, "B"))

        assert "B" == world.get(follower, "T1")

    def test_end_comes_to_be_known(self, world: World, key: str) -> None:
        """That it is said later when it was sent does not end the token."""
        put(world, key, bare(world, "A"))
        follower = world.provider(follow=True)
        world.get(follower)
        put(world, key, replace(bare(world, "A"), sent_at=world.clock.now, received_at=world.clock.now))
        world.advance(60)
        world.get(follower)
        world.drain()

        assert "A" == world.get(follower)

    @pytest.mark.parametrize(
        ("record", "why"),
        [
            ({"expires_at": -math.inf}, "when the token ends"),
            ({"expires_at": 50_000.0 * 1000}, "more than a day away"),
            ({"expires_at": 49_000.0}, "is over since 100"),
            ({"value": "two words"}, "not a token"),
            ({"value": "x" * 5000}, "not a token"),
        ],
        ids=["no end", "milliseconds", "over", "blank", "long"],
    )
    def test_of_no_use(self, world: World, record: dict[str, Any], why: str) -> None:
        """A record that cannot be used is named as such, with the reason; its value is not."""
        there = replace(bare(world, "TOKEN-A"), **record)
        world.store.load = lambda _: Loaded(there, "a version", world.clock.now)
        error = world.error(world.provider(follow=True))

        assert isinstance(error, TokenUnavailable)
        assert "in the store cannot be used: " in str(error)
        assert why in str(error)
        assert "TOKEN-A" not in str(error)

    def test_refused(self, world: World, key: str) -> None:
        """Also that its token was rejected."""
        put(world, key, bare(world, "TOKEN-A"))
        follower = world.provider(follow=True)
        world.get(follower)

        assert "WeChat has rejected its token" in str(world.error(follower, "TOKEN-A"))


class TestSecrets:
    def test_reset(self, world: World) -> None:
        """A process with the new secret goes on with the living token, and later fetches for all."""
        world.script("T1", "T2")
        before, after = world.provider(), with_secret(world, SECRET[::-1])
        assert ["T1", "T1"] == [world.get(before), world.get(after)]
        world.advance(60)

        assert ["T2", "T2"] == [world.get(after, "T1"), world.get(before, "T1")]

    def test_wrong(self, world: World) -> None:
        """A process with a wrong secret neither brakes those with the right one, nor takes their token away."""
        world.script(WRONG, "T1")
        wrong, right = with_secret(world, "wrong"), world.provider()
        rejected = world.error(wrong)

        assert isinstance(rejected, TokenRefused)
        assert "T1" == world.get(right)
        world.advance(61)
        assert "T1" == world.get(wrong)

    def test_wrong_and_remembered(self, world: World) -> None:
        """For those with the same secret the failure is one, and grows with each try."""
        world.script(WRONG, WRONG)
        one, other = world.provider(), world.elsewhere()
        world.error(one)
        world.error(other)
        fetched = world.issuer.fetches
        world.advance(61)
        error = world.error(other)

        assert (1, 2) == (fetched, world.issuer.fetches)
        assert 119 < error.retry_after <= 120
        assert EventType.BACKING_OFF in world.names()

    def test_wrong_while_the_other_waits(self, world: World) -> None:
        """Failures of two secrets do not count as one row."""
        world.script(WRONG, WRONG)
        error = world.error(with_secret(world, "wrong")), world.error(world.provider())

        assert 2 == world.issuer.fetches
        assert error[1].retry_after <= 60
