"""Members that differ: by the way to WeChat, by the secret, and without any. They share one token all the same."""

from __future__ import annotations

import re

import pytest

from .backends import BACKENDS
from .conftest import MakeWorld
from .fork_server import Member
from .world import World

pytestmark = pytest.mark.timeout(600)
stores = pytest.mark.parametrize("store", BACKENDS)
sources = pytest.mark.parametrize("kind", ["classic", "stable"])
NEW = "4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e"


def mixed(world: World) -> list[Member]:
    """One as ever, one by another host, and one that has no secret and never fetches."""
    world.in_realm("fleet")
    by_name = world._setup["base_url"].replace("127.0.0.1", "localhost")
    assert by_name != world._setup["base_url"]
    return [world.worker(), world.member(base_url=by_name), world.member(secret="", follow=True)]


@stores
@sources
def test_one_token(make_world: MakeWorld, store: str, kind: str) -> None:
    """One fetch cold; none as the secret is reset; one after a theft, by who has the new secret."""
    world = make_world(store, kind)
    members = mixed(world)
    world.agreed(*members)
    cold = world.fetches
    world.wechat.accounts[world.wechat.appid].secret = NEW
    rotated = world.member(secret=NEW)
    world.agreed(rotated, *members)
    after_reset = world.fetches
    world.clock.advance(60)
    world.wechat.steal(slot=kind)
    rejected = [world.call(member)[1] for member in (rotated, *members)]

    assert (1, 1, 2) == (cold, after_reset, world.fetches)
    assert [1, 1, 1, 1] == rejected
    world.agreed(rotated, *members)


@stores
def test_old_secret(make_world: MakeWorld, store: str) -> None:
    """Who has the old secret and asks first is told so; it neither delays the one with the new secret nor harms it."""
    world = make_world(store)
    members = mixed(world)
    token = world.agreed(*members)
    world.wechat.accounts[world.wechat.appid].secret = NEW
    rotated = world.member(secret=NEW)
    world.agreed(rotated)
    world.clock.advance(60)
    world.wechat.steal(slot="classic")
    told = members[0].do("attempt", rejected=token, alone=True)

    assert "40125" in told["error"]
    assert token == world.record.value
    world.call(rotated)
    assert 2 == world.wechat.minted()
    world.clock.advance(61)
    world.agreed(rotated, *members)


@stores
@pytest.mark.parametrize("fate", ["killed", "frozen"])
def test_owner_gone(make_world: MakeWorld, store: str, fate: str) -> None:
    """While the owner is dead, or stands still in the middle of a renewal, its follower hands out the old token."""
    world = make_world(store)
    world.in_realm("fleet")
    first = world.worker()
    token = world.agreed(first)
    owner, follower = world.worker(hold="claimed"), world.member(secret="", follow=True)
    world.agreed(owner, follower)
    world.clock.advance(6900)
    owner.send("ask")
    owner.event("held")
    owner.kill() if fate == "killed" else owner.stop()
    got = [follower.ask()]
    world.clock.advance(100)
    got += [follower.ask(), follower.ask()]
    status = follower.do("failure")

    assert [token] * 3 == got
    assert 1 == world.fetches
    assert "has not renewed the token" in str(status)
    world.clock.advance(201)
    assert re.search("its token is over|has not put a token", follower.do("attempt", alone=True)["error"])
    world.clock.advance(10)
    heir = world.worker()
    heir.ask()
    world.clock.advance(2)
    world.agreed(heir, follower)
    assert 2 == world.fetches
    if fate == "frozen":
        owner.kill()
